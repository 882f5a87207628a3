"""The JSON files of a run folder: how every one of them is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_json(path: Path, data: object) -> None:
    """Write a file whole or not at all: who is killed meanwhile leaves the old one or none."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    fresh.replace(path)
