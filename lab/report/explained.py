"""A datagram field by field on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from lab.printable import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.explain import Line
    from collector.explain.find import Explained

OCTETS_A_LINE: Final = 8

_STYLES: Final = {"name": "cyan", "value": "bold", "section": "dim", "offset": "dim"}


def lines(explained: Explained) -> Iterator[Text]:
    """The title, then a line per field; long fields go on below."""
    yield Text(explained.title, "bold")
    yield Text("offset  octets                   field", "dim")
    for line in explained.lines:
        yield from _lines(line)


def _lines(line: Line) -> Iterator[Text]:
    """One field, or a heading."""
    indent = "  " * line.depth
    if not line.octets:
        text = Text(" " * 33 + indent)
        text.append(line.name, "bold yellow")
        text.append(f"  [{line.section}]" if line.section else "", _STYLES["section"])
        yield text
        return
    for shift in range(0, len(line.octets), OCTETS_A_LINE):
        part = line.octets[shift : shift + OCTETS_A_LINE].hex(" ")
        text = Text(f"{line.offset + shift:>6}  ", _STYLES["offset"])
        text.append(f"{part:<23}  ", "green")
        if not shift:
            text.append(f"{indent}{escaped(line.name)}", _STYLES["name"])
            text.append(f"  {escaped(line.value)}" if line.value else "", _STYLES["value"])
            text.append(f"  ({escaped(line.meaning)})" if line.meaning else "")
            text.append(f"  [{line.section}]" if line.section else "", _STYLES["section"])
        yield text
