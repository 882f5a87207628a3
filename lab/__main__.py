"""``python -m lab`` is ``flowlab``."""

from __future__ import annotations

from lab import early

early.begin()  # the import below takes a moment

from lab.cli import entry  # noqa: E402 (the line above has to come first)

entry()
