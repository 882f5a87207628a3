"""Texts of programs under test, which may have printed anything, for terminals and XML."""

from __future__ import annotations

import re
from typing import Final

_UNPRINTABLE: Final = re.compile(
    # Control characters of both sets, halves of surrogate pairs, and what is no character (XML 1.0
    # section 2.2 forbids most of them, and a terminal would do as they say).
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """A text without what neither a terminal nor XML can show; lines and tabs stay."""
    return _UNPRINTABLE.sub("�", text)
