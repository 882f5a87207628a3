"""Structured data of RFC 6313: lists in a field of a record, read when somebody looks at them.

    basicList             semantic 1, element 2 (or 2 and enterprise 4), width 2, values
    subTemplateList       semantic 1, template 2, records
    subTemplateMultiList  semantic 1, then per template: template 2, length 2 (of all), records

A column of such a kind holds the octets of each value; here they become nested Python values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode.elements import IANA, LISTS, element
from collector.decode.layout import Columns, Field, Layout
from collector.decode.octets import Octets

if TYPE_CHECKING:
    from collections.abc import Callable

    Lookup = Callable[[int], Layout | None]
    """The layout that a template id has in the observation domain of the record."""

_DEEPEST: Final = 8
"""Lists in lists beyond this stay octets."""
_MOST: Final = 65_535
SEMANTICS: Final = {0: "noneOf", 1: "exactlyOneOf", 2: "oneOrMoreOf", 3: "allOf", 4: "ordered"}
"""Of a list (RFC 6313 section 4.4); 255: undefined."""


class Nested(NamedTuple):
    """A list."""

    semantic: str
    items: tuple[Any, ...]
    """Values of a basicList; records (name to value) of the others."""
    rest: bytes = b""
    """Octets that could not be read: cut short, or of a template that is not known."""


def read_list(kind: str, octets: bytes, lookup: Lookup, depth: int = 0) -> Nested:
    """Read one value of a structured type; nothing in it raises.

    Args:
        kind: basicList, subTemplateList or subTemplateMultiList.
        octets: the value.
        lookup: template id to layout.
        depth: of lists around this one.
    """
    if not octets or depth >= _DEEPEST or kind not in LISTS:
        return Nested("undefined", (), octets)
    semantic = SEMANTICS.get(octets[0], "undefined")
    if kind == "basicList":
        items, rest = _basic(octets[1:], lookup, depth)
    elif kind == "subTemplateList":
        items, rest = _records(octets[1:3], octets[3:], lookup, depth)
    else:
        items, rest = _multiple(octets[1:], lookup, depth)
    return Nested(semantic, tuple(items), rest)


def _basic(octets: bytes, lookup: Lookup, depth: int) -> tuple[list[Any], bytes]:
    """The values of a basicList."""
    if len(octets) < 4:
        return [], octets
    number, width = int.from_bytes(octets[:2], "big"), int.from_bytes(octets[2:4], "big")
    enterprise, at = IANA, 4
    if number & 0x8000:
        if len(octets) < 8:
            return [], octets
        enterprise, number, at = int.from_bytes(octets[4:8], "big"), number & 0x7FFF, 8
    layout = Layout((Field(*element(enterprise, number, width)[:2], width),))
    records, rest = _of_layout(layout, octets[at:], lookup, depth)
    return [value for record in records for value in record.values()], rest


def _records(template: bytes, octets: bytes, lookup: Lookup, depth: int) -> tuple[list[Any], bytes]:
    """Records of one template."""
    layout = lookup(int.from_bytes(template, "big")) if len(template) == 2 else None
    if layout is None:
        return [], octets
    return _of_layout(layout, octets, lookup, depth)


def _multiple(octets: bytes, lookup: Lookup, depth: int) -> tuple[list[Any], bytes]:
    """Records of several templates."""
    items: list[Any] = []
    at = 0
    while len(octets) - at >= 4:
        length = int.from_bytes(octets[at + 2 : at + 4], "big")
        if length < 4 or at + length > len(octets):
            break
        found, rest = _records(octets[at : at + 2], octets[at + 4 : at + length], lookup, depth)
        if rest:
            break
        items += found
        at += length
    return items, octets[at:]


def _of_layout(
    layout: Layout, octets: bytes, lookup: Lookup, depth: int
) -> tuple[list[dict[str, Any]], bytes]:
    """All records of one layout; what is left over."""
    if not layout.minimum_octets or len(octets) > _MOST:
        return [], octets
    buffer = Octets(np.frombuffer(octets, np.uint8))
    located = layout.locate(buffer, np.zeros(1, np.int64), np.array([len(octets)]))
    columns = Columns(layout, buffer, located.segments)
    count = len(located.owner)
    values = {
        name: _values(columns[name], layout.places[name].field.kind, lookup, depth)
        for name in layout.places
        if count
    }
    records = [{name: column[row] for name, column in values.items()} for row in range(count)]
    return records, octets[int(located.rest[0]) :]


def _values(column: Any, kind: str, lookup: Lookup, depth: int) -> list[Any]:
    """The values of a column as plain Python: numbers, octets, address halves, lists."""
    if column.dtype == np.uint8 and column.ndim == 2:
        column = [row.tobytes() for row in column]
    else:
        column = column.tolist()
    if kind in LISTS:
        return [read_list(kind, value, lookup, depth + 1) for value in column]
    return list(column)
