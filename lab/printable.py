"""Texts that may be anything (of files, programs, exporters), for terminals and XML."""

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


def escaped(text: str) -> str:
    r"""A text on one line, with escapes like ``\x1b`` for what a terminal would obey or not show.

    Those are control characters and line ends, and also what turns the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
