"""What cannot be written."""

from __future__ import annotations


class NotEncodableError(ValueError):
    """Something cannot be written in this format; the text says what, and why."""
