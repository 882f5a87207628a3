"""Columns to records: how a table is written with a layout, the other way of `decode.layout`.

The columns are those that the decoders give: numbers in the element's own unit, MAC addresses as
48-bit numbers, IPv4 addresses as 32-bit numbers, IPv6 addresses with shape (n, 2), strings and
other octets as uint8 of shape (n, width), as Python bytes in an object array, or as `Slices`. A
single value stands for a column of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import kernel
from collector.decode.elements import RAW
from collector.decode.layout import LONG, VARIABLE
from collector.encode.errors import NotEncodableError
from collector.encode.pieces import Joined, Pieces, Rows, Slices, slices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from collector.decode.layout import Field, Layout

_ROWS_AT_ONCE: Final = 8192
"""Records written together: from field to field so many stay in the processor's cache."""
_PADDING: Final = ("paddingOctets", "padding")
_MOST_OCTETS: Final = 65_535
"""Of a value of variable length (RFC 7011 section 7)."""


def rows_of(columns: Mapping[str, Any]) -> int:
    """How many records a table has.

    Raises:
        NotEncodableError: columns differ in length, or all are single values.
    """
    lengths = {name: len(column) for name, column in columns.items() if np.ndim(column)}
    if not lengths:
        message = "no column says how many records there are: all are single values"
        raise NotEncodableError(message)
    first, count = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != count:
            message = f"column {first} has {count} values, but {name} has {length}"
            raise NotEncodableError(message)
    return count


def pack(layout: Layout, columns: Mapping[str, Any], count: int | None = None) -> Pieces:
    """The octets of every record.

    Args:
        layout: of the records.
        columns: name to values; those that the layout does not have are not used.
        count: how many records, if no column says it.

    Raises:
        NotEncodableError: a column is missing (padding need not be there), or has a value that its
        field cannot hold.
    """
    used = {name: columns[name] for name in layout.places if name in columns}
    count = rows_of(used) if count is None else count
    variable = [name for name, place in layout.places.items() if place.field.width == VARIABLE]
    parts: list[Pieces] = []
    for segment, dtype in enumerate(layout.segment_dtypes):
        if dtype.itemsize:
            parts.append(_segment(layout, dtype, used, count))
        if segment < len(variable):
            name = variable[segment]
            field = layout.places[name].field
            values = used.get(name)
            if not isinstance(values, Slices):
                values = _values(name, _column(used, name, field, count))
            parts += _variable(name, values)
    return parts[0] if len(parts) == 1 else Joined(parts)


def _column(columns: Mapping[str, Any], name: str, field: Field, count: int) -> NDArray[Any]:
    """One column, as an array with a value per record."""
    if name not in columns:
        if field.name not in _PADDING:
            message = f"the records have no column {name}, and their layout has such a field"
            raise NotEncodableError(message)
        return np.zeros((count, 0 if field.width == VARIABLE else field.width), np.uint8)
    column = np.asarray(columns[name])
    if not column.ndim and column.dtype.kind == "S":
        octets = np.frombuffer(columns[name], np.uint8)
        return np.broadcast_to(octets, (count, len(octets)))
    return column if column.ndim else np.broadcast_to(column, (count,))


@dataclass(frozen=True, eq=False)
class _Segment:
    """The fields of one segment of every record, put together when they are written."""

    same: NDArray[np.void]
    """A record with what all have in common."""
    columns: Mapping[str, NDArray[Any]]
    """What they differ in."""
    count: int

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """Octets of each item."""
        return np.full(self.count, self.same.itemsize, np.int64)

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place."""
        if kernel.pack(out, at, self.same, self.columns):
            return
        for begin in range(0, self.count, _ROWS_AT_ONCE):
            some = slice(begin, begin + _ROWS_AT_ONCE)
            rows = self.same.repeat(len(at[some]))
            for name, column in self.columns.items():
                rows[name] = _in_form(column[some], self.same.dtype[name])
            Rows(rows.view(np.uint8).reshape(len(rows), -1)).write(out, at[some])


def _segment(
    layout: Layout, dtype: np.dtype[np.void], columns: Mapping[str, Any], count: int
) -> Pieces:
    """The fields of one segment."""
    same, differing = np.zeros(1, dtype), {}
    for name in dtype.names or ():
        field = layout.places[name].field
        if isinstance(values := columns.get(name), Slices):
            differing[name] = _filled(name, values, field.width)
            continue
        column = _column(columns, name, field, count)
        if column.strides[0] or not count:
            differing[name] = _fitted(name, field, column, dtype[name])
        else:
            alike = _fitted(name, field, column[:1], dtype[name])
            same[name] = _in_form(alike, dtype[name])
    return _Segment(same, differing, count)


def _fitted(name: str, field: Field, column: NDArray[Any], form: np.dtype[Any]) -> NDArray[Any]:
    """A column, octets in the shape of their field, once this can hold its values."""
    if field.kind in RAW:
        return _octets(name, column, field.width)
    if form.shape and form.base.itemsize == 8:
        if column.shape[1:] != (2,):
            message = f"{name} is an IPv6 address, and needs two halves of 64 bits per record"
            raise NotEncodableError(message)
        return column
    if column.ndim != 1 or column.dtype.kind not in "iufb":
        message = f"{name} is {field.kind}, and its column is no column of numbers"
        raise NotEncodableError(message)
    if form.kind == "f":
        return column
    if column.dtype.kind == "b" and field.kind == "boolean":
        # RFC 7011 section 6.1.5: true is 1, false is 2.
        return np.where(column, 1, 2)
    _check_range(name, column, field)
    return column


def _in_form(column: NDArray[Any], form: np.dtype[Any]) -> NDArray[Any]:
    """A fitted column, with numbers of 3, 5, 6 or 7 octets as octets."""
    if column.ndim > 1 or not form.shape:
        return column
    signed = column.dtype.kind == "i"
    octets = column.astype(">i8" if signed else ">u8").view(np.uint8).reshape(-1, 8)
    return octets[:, 8 - form.itemsize :]


def _check_range(name: str, column: NDArray[Any], field: Field) -> None:
    """Refuse numbers that need more octets than their field has."""
    bits = 8 * field.width
    signed = field.kind.startswith("signed")
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if column.dtype.kind == "b" or not len(column):
        return
    if column.dtype.kind == "f":
        message = f"{name} is {field.kind}, and its column is of fractions"
        raise NotEncodableError(message)
    possible = np.iinfo(column.dtype)
    if least <= possible.min and possible.max <= most:
        return
    # All of them together have no bit that one of them has not: one pass where there is no fault.
    if not signed and 0 <= int(np.bitwise_or.reduce(column)) <= most:
        return
    for value in (int(column.min()), int(column.max())):
        if not least <= value <= most:
            message = f"{name} is {value}, and its field of {field.width} octets cannot hold that"
            raise NotEncodableError(message)


def _octets(name: str, column: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Strings and octets for a field of fixed width, filled up with zeros."""
    if column.ndim == 2 and column.dtype == np.uint8:
        if column.shape[1] == width:
            return column
        values = Slices(
            np.ascontiguousarray(column).reshape(-1),
            np.arange(len(column)) * column.shape[1],
            np.full(len(column), column.shape[1], np.int64),
        )
    else:
        values = slices(_bytes(name, column))
    return _filled(name, values, width)


def _filled(name: str, values: Slices, width: int) -> NDArray[np.uint8]:
    """Octets filled up with zeros."""
    longest = int(values.length.max(initial=0))
    if longest > width:
        message = f"{name} has {longest} octets, and its field {width}"
        raise NotEncodableError(message)
    count = len(values.length)
    filled = np.zeros(count * width, np.uint8)
    values.write(filled, np.arange(count) * width)
    return filled.reshape(count, width)


def _bytes(name: str, column: NDArray[Any]) -> list[bytes]:
    """A column of Python bytes as a list."""
    values: list[Any] = column.tolist()
    if column.dtype != object or not set(map(type, values)) <= {bytes}:
        message = f"{name} is octets, and its column is not of bytes"
        raise NotEncodableError(message)
    return values


def _values(name: str, column: NDArray[Any]) -> Pieces:
    """The values of a field of variable length."""
    if column.ndim == 2 and column.dtype == np.uint8:
        return Rows(np.ascontiguousarray(column))
    return slices(_bytes(name, column))


def _variable(name: str, values: Pieces) -> list[Pieces]:
    """The same with their lengths in front of them."""
    longest = int(values.length.max(initial=0))
    if longest > _MOST_OCTETS:
        message = f"{name} has {longest} octets, and a value can have {_MOST_OCTETS}"
        raise NotEncodableError(message)
    return [_lengths(values.length), values]


def _lengths(length: NDArray[np.int64]) -> Pieces:
    """RFC 7011 section 7: one octet of length; from 255 on that octet, and two of length."""
    long = length >= LONG
    if not long.any():
        return Rows(length.astype(np.uint8)[:, None])
    octets = np.stack([np.where(long, LONG, length), length >> 8, length], axis=1).astype(np.uint8)
    place = np.arange(len(length)) * 3
    return Slices(octets.reshape(-1), place, np.where(long, 3, 1))
