"""The documents that are made from the code: ``python -m lab.generated`` writes them anew.

A test holds them to what the code says now.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import catalogue, sees
from lab.scenario import reference, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHECKOUT: Final = Path(__file__).resolve().parent.parent

FILES: Final[Mapping[str, Callable[[], str]]] = {
    schema.SCHEMA_FILE: schema.text,
    reference.REFERENCE_FILE: reference.text,
    sees.SEES_FILE: sees.text,
    catalogue.CATALOGUE_FILE: catalogue.text,
}
"""What makes the content of each, by path in the repository."""

if __name__ == "__main__":
    for path, make in FILES.items():
        (CHECKOUT / path).write_text(make(), encoding="utf-8")
