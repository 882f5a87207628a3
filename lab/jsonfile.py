"""The JSON files of a run folder: how every one of them is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import to_json

if TYPE_CHECKING:
    from pathlib import Path


def write_json(path: Path, data: object) -> None:
    """Write a file whole or not at all: who is killed meanwhile leaves the old one or none."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(to_json(data, indent=1))  # json itself indents in Python, which is slow
    fresh.replace(path)
