"""What is wrong with a scenario file, and where.

One `Fault` says what was found, what was expected and what to do next, in one line that
editors understand: ``file:line:column: message; hint``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from lab.printable import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Path = tuple[str | int, ...]
"""Where a value is in a file: keys and, from 0, places in lists."""

_LONGEST_QUOTE = 40
_CLOSE_ENOUGH = 0.65


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        file: the file as the user called it.
        line: from 1; 0 if it is about the file as a whole.
        column: in characters, from 1; 0 likewise.
        path: the place in the scenario's own words, ``traffic[0].udp.pakets``; may be empty.
        message: what was found and what was expected.
        hint: what to do next; may be empty.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """The fault in one line."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class ScenarioFaults(Exception):
    """A scenario file cannot be used; `faults` has everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Take the faults, in the order of the file."""
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def readable(file: str | os.PathLike[str]) -> str:
    """A file's name as text, whatever octets it has."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def printable(file: str | os.PathLike[str]) -> str:
    """A file's name as text that can be printed anywhere, on one line, whatever octets it has."""
    return escaped(readable(file))


def path_text(path: Sequence[str | int]) -> str:
    """``("traffic", 0, "udp")`` as ``traffic[0].udp``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def quote(text: str) -> str:
    """``text`` in quotes, shortened, on one line and without control characters."""
    short = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    return repr(short)


def found(value: object) -> str:
    """What a value of a file is, in words: ``the text 'abc'``, ``a list``."""
    if isinstance(value, str):
        return f"the text {quote(value)}" if value else "an empty text"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, dict | list | tuple):
        what = "mapping" if isinstance(value, dict) else "list"
        return f"a {what}" if value else f"an empty {what}"
    return "nothing" if value is None else "something else"


def any_of(choices: Iterable[object]) -> str:
    """``a, b or c``."""
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that ``word`` was most likely meant to be, if any is near."""
    names = {choice.lower(): choice for choice in choices}
    near = get_close_matches(word.lower().replace("-", "_"), names, n=1, cutoff=_CLOSE_ENOUGH)
    return names[near[0]] if near else None
