"""``python -m lab`` is ``flowlab``."""

from __future__ import annotations

from lab.cli import entry

entry()
