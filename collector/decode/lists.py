"""Structured data of RFC 6313: lists in a field of a record, read when somebody looks at them.

    basicList             semantic 1, element 2 (or 2 and enterprise 4), width 2, values
    subTemplateList       semantic 1, template 2, records
    subTemplateMultiList  semantic 1, then per template: template 2, length 2 (of all), records

A column of such a kind holds the octets of each value; here they become nested Python values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode.elements import IANA, LISTS, RAW, element
from collector.decode.layout import Columns, Field, Layout
from collector.decode.octets import Octets

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Lookup = Callable[[int], Layout | None]
    """The layout that a template id has in the observation domain of the record."""
    Plain = Callable[[str, NDArray[Any]], list[Any]]
    """Writes the values of a column, given their abstract data type."""

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


def as_python(kind: str, column: NDArray[Any]) -> list[Any]:
    """The values of a column as plain Python: numbers, octets, halves of addresses."""
    if kind in RAW and column.dtype == np.uint8:
        return [row.tobytes() for row in column]
    return list(column.tolist())


def read_list(kind: str, octets: bytes, lookup: Lookup, plain: Plain = as_python) -> Nested:
    """Read one value of a structured type; nothing in it raises.

    Args:
        kind: basicList, subTemplateList or subTemplateMultiList.
        octets: the value.
        lookup: template id to layout.
        plain: writes the values of a column of some kind.
    """
    return _Reader(lookup, plain).read(kind, octets, 0)


class _Reader(NamedTuple):
    """How lists are read."""

    lookup: Lookup
    plain: Plain

    def read(self, kind: str, octets: bytes, depth: int) -> Nested:
        """A list, in so many others."""
        if not octets or depth >= _DEEPEST or kind not in LISTS:
            return Nested("undefined", (), octets)
        semantic = SEMANTICS.get(octets[0], "undefined")
        if kind == "basicList":
            items, rest = self._basic(octets[1:], depth)
        elif kind == "subTemplateList":
            items, rest = self._records(octets[1:3], octets[3:], depth)
        else:
            items, rest = self._multiple(octets[1:], depth)
        return Nested(semantic, tuple(items), rest)

    def _basic(self, octets: bytes, depth: int) -> tuple[list[Any], bytes]:
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
        records, rest = self._of_layout(layout, octets[at:], depth)
        return [value for record in records for value in record.values()], rest

    def _records(self, template: bytes, octets: bytes, depth: int) -> tuple[list[Any], bytes]:
        """Records of one template."""
        layout = self.lookup(int.from_bytes(template, "big")) if len(template) == 2 else None
        if layout is None:
            return [], octets
        return self._of_layout(layout, octets, depth)

    def _multiple(self, octets: bytes, depth: int) -> tuple[list[Any], bytes]:
        """Records of several templates."""
        items: list[Any] = []
        at = 0
        while len(octets) - at >= 4:
            length = int.from_bytes(octets[at + 2 : at + 4], "big")
            if length < 4 or at + length > len(octets):
                break
            found, rest = self._records(octets[at : at + 2], octets[at + 4 : at + length], depth)
            if rest:
                break
            items += found
            at += length
        return items, octets[at:]

    def _of_layout(
        self, layout: Layout, octets: bytes, depth: int
    ) -> tuple[list[dict[str, Any]], bytes]:
        """All records of one layout; what is left over."""
        if not layout.minimum_octets or len(octets) > _MOST:
            return [], octets
        buffer = Octets(np.frombuffer(octets, np.uint8))
        located = layout.locate(buffer, np.zeros(1, np.int64), np.array([len(octets)]))
        columns = Columns(layout, buffer, located.segments)
        count = len(located.owner)
        values = {
            name: self._values(columns[name], layout.places[name].field.kind, depth)
            for name in layout.places
            if count
        }
        records = [{name: column[row] for name, column in values.items()} for row in range(count)]
        return records, octets[int(located.rest[0]) :]

    def _values(self, column: NDArray[Any], kind: str, depth: int) -> list[Any]:
        """The values of a column; lists in it are read too."""
        if kind in LISTS:
            return [self.read(kind, value, depth + 1) for value in as_python(kind, column)]
        return self.plain(kind, column)
