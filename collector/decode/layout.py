"""Layouts: how the octets of one kind of record become columns.

A layout is a list of fields; records of one layout are found and read together. Fields of fixed
width form segments; behind each segment but the last comes one field of variable length (RFC 7011
section 7). Where the segments of every record begin is found for all records in lock-step; after
that a column is one read at `segment + offset`, and only the columns that are asked for are read at
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import kernel
from collector.decode.elements import RAW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from collector.decode.octets import Octets

Computed = Mapping[str, "NDArray[Any] | Callable[[], NDArray[Any]]"]
"""Columns that are not in the record, or functions that give them."""
Derivation = Callable[[Mapping[str, "NDArray[Any]"]], "NDArray[Any]"]
"""A column out of others of the same records."""

VARIABLE: Final = 65_535
"""Width of a field of variable length, as templates write it."""
LONG: Final = 255
"""First octet of a variable-length value: the length is in the next two."""


class Field(NamedTuple):
    """One field of a record."""

    name: str
    """Of its information element."""
    kind: str
    """Abstract data type (RFC 7012 section 3.1)."""
    width: int
    """Octets, or VARIABLE."""


class _Place(NamedTuple):
    """Where in a record a field is."""

    segment: int
    offset: int
    """Octets from the start of the segment; of a variable-length field, the segment's width."""
    field: Field


@dataclass(frozen=True, slots=True)
class Located:
    """Where the records of some sets are."""

    owner: NDArray[np.int64]
    """Index of the set that the record is in; ascending."""
    segments: NDArray[np.int64]
    """Index of the first octet of each segment, shape (records, segments)."""
    rest: NDArray[np.int64]
    """Per set: where its last whole record ends."""
    broken: NDArray[np.bool_]
    """Per set: what follows there is a record that does not fit, not padding."""
    needed: NDArray[np.int64]
    """Per set: octets that the broken record needs at least."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The fields of one kind of record, in order; each is its own key (they are compiled once)."""

    fields: tuple[Field, ...]
    scopes: int = 0
    """How many of the first fields are an options record's scope (RFC 7011 section 3.4.2.2)."""

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Octets of each segment."""
        widths = [0]
        for field in self.fields:
            if field.width == VARIABLE:
                widths.append(0)
            else:
                widths[-1] += field.width
        return tuple(widths)

    @cached_property
    def minimum_octets(self) -> int:
        """Octets of the shortest record; no whole record is shorter."""
        return sum(self.widths) + len(self.widths) - 1

    @cached_property
    def places(self) -> dict[str, _Place]:
        """Name to place. Of an element that occurs several times the second becomes `name#2`."""
        places: dict[str, _Place] = {}
        segment = offset = 0
        for field in self.fields:
            name, occurrence = field.name, 1
            while name in places:
                occurrence += 1
                name = f"{field.name}#{occurrence}"
            places[name] = _Place(segment, offset, field)
            if field.width == VARIABLE:
                segment, offset = segment + 1, 0
            else:
                offset += field.width
        return places

    @cached_property
    def segment_dtypes(self) -> list[np.dtype[np.void]]:
        """Per segment: the fixed fields that can be read as one item each, named as in `places`."""
        dtypes = []
        for segment, width in enumerate(self.widths):
            fields = {
                name: (_dtype(place.field), place.offset)
                for name, place in self.places.items()
                if place.segment == segment and place.field.width != VARIABLE
            }
            spec: Any = {
                "names": list(fields),
                "formats": [form for form, _ in fields.values()],
                "offsets": [offset for _, offset in fields.values()],
                "itemsize": width,
            }
            dtypes.append(np.dtype(spec))
        return dtypes

    def locate(self, octets: Octets, start: NDArray[np.int64], end: NDArray[np.int64]) -> Located:
        """Find the records in the octets from `start` to `end` of each set."""
        if len(self.widths) == 1:
            return self._locate_fixed(start, end)
        return self._locate_variable(octets, start, end)

    def _locate_fixed(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> Located:
        """All records have one length."""
        width = self.widths[0]
        counts = (end - start) // width
        owner = np.repeat(np.arange(len(start)), counts)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        segments = (start[owner] + number * width)[:, None]
        nothing = np.zeros(len(start), np.int64)
        return Located(owner, segments, start + counts * width, nothing.astype(bool), nothing)

    def _locate_variable(
        self, octets: Octets, start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> Located:
        """The n-th record of every set at the same time, then the next, until no set has one."""
        walked = kernel.records(octets.buffer, start, end, self.widths, self.minimum_octets)
        if walked is not None:
            nothing = np.zeros(len(start), np.int64)
            return Located(*walked, nothing.astype(bool), nothing)
        rest = start.copy()
        broken = np.zeros(len(start), np.bool_)
        needed = np.zeros(len(start), np.int64)
        owners, places = [], []
        active = np.flatnonzero(end - start >= self.minimum_octets)
        while len(active):
            segments, following, lacking = self._step(octets, rest[active], end[active])
            whole = lacking == 0
            broken[active] = ~whole
            needed[active] = lacking
            active, following = active[whole], following[whole]
            owners.append(active)
            places.append(segments[whole])
            rest[active] = following
            active = active[end[active] - following >= self.minimum_octets]
        if not owners:
            return Located(
                rest[:0], np.empty((0, len(self.widths)), np.int64), rest, broken, needed
            )
        owner, segments = np.concatenate(owners), np.concatenate(places)
        if len(owners) > 1:
            order = np.argsort(owner, kind="stable")
            owner, segments = owner[order], segments[order]
        return Located(owner, segments, rest, broken, needed)

    def _step(
        self, octets: Octets, at: NDArray[np.int64], end: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """One record from each place: its segments, where it ends, and (0: whole) what it needs."""
        segments = np.empty((len(at), len(self.widths)), np.int64)
        begin = at
        for index, width in enumerate(self.widths):
            segments[:, index] = at
            at = at + width
            if index == len(self.widths) - 1:
                break
            at, length = _variable_value(octets, at, end)
            at = at + length
        return segments, at, np.where(at > end, at - begin, 0)


def _variable_value(
    octets: Octets, at: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the value of a variable-length field begins, and its octets; it may end past `end`.

    RFC 7011 section 7: one octet of length, or 255 and two octets of length. A length that is
    itself not there counts as 0, and the place returned is past `end`.
    """
    last = len(octets) - 1
    length = np.where(at < end, octets.u8(np.minimum(at, last)), 0).astype(np.int64)
    long = length == LONG
    if long.any():
        there = at[long] + 3 <= end[long]
        at_length = np.minimum(at[long] + 1, max(last - 1, 0))
        length[long] = np.where(there, octets.u16(at_length), 0)
    return at + np.where(long, 3, 1), length


def _dtype(field: Field) -> Any:
    """How numpy reads one fixed field; that its width fits its kind is seen to in `elements`."""
    kind, width = field.kind, field.width
    if kind == "ipv6Address":
        return (">u8", (2,))
    if kind in RAW or width not in (1, 2, 4, 8):
        return ("u1", (width,))
    if kind.startswith("float"):
        return f">f{width}"
    return f">i{width}" if kind.startswith("signed") else f">u{width}"


def _convert(field: Field, raw: NDArray[Any]) -> NDArray[Any]:
    """What was read, in native byte order; odd widths and MAC addresses become one number."""
    if raw.ndim == 2 and raw.dtype == np.uint8:
        if field.kind in RAW:
            return raw.copy()
        number = np.zeros(len(raw), np.uint64)
        for column in raw.T:
            number = number << np.uint64(8) | column
        if field.kind.startswith("signed"):
            unused = np.int64(64 - 8 * field.width)
            return number.astype(np.int64) << unused >> unused
        return number
    # By its name: a type that was derived from another one is slow in some of numpy's loops.
    return raw.astype(f"{raw.dtype.kind}{raw.dtype.itemsize}")


class Columns(Mapping[str, "NDArray[Any]"]):
    """The records of one layout as columns, each read when it is asked for and then kept.

    Integers, booleans and dateTimeSeconds or -Milliseconds are unsigned or signed numbers of the
    field's width, in the element's own unit; MAC addresses are 48-bit numbers; IPv4 addresses
    32-bit numbers; IPv6 addresses have shape (n, 2), see `address`; raw octets and strings of fixed
    width are uint8 of shape (n, width); values of variable length are Python bytes in an object
    array.
    """

    def __init__(
        self,
        layout: Layout,
        octets: Octets,
        segments: NDArray[np.int64],
        computed: Computed | None = None,
        derived: Mapping[str, Derivation] | None = None,
    ) -> None:
        """Records of `layout` at `segments`; `computed` are further columns, which come first.

        A column that is given as a function is computed when it is asked for; `derived` ones are
        functions of these columns here.
        """
        self.layout = layout
        self._octets = octets
        self._segments = segments
        self._computed = computed or {}
        self._derived = derived or {}
        self._given = {*self._computed, *self._derived}
        self._gathered: dict[int, NDArray[np.void]] = {}
        self._columns: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column, with a value per record."""
        column = self._columns.get(name)
        if column is None:
            given = self._computed.get(name)
            if name in self._derived:
                column = self._derived[name](self)
            elif given is None:
                column = self._read(self.layout.places[name], name)
            else:
                column = given() if callable(given) else given
            self._columns[name] = column
        return column

    def __iter__(self) -> Iterator[str]:
        """The names of all columns, in the order of the record."""
        yield from (own := {**self._computed, **self._derived})
        yield from (name for name in self.layout.places if name not in own)

    def __len__(self) -> int:
        """How many columns."""
        return len(list(iter(self)))

    def _read(self, place: _Place, name: str) -> NDArray[Any]:
        """Decode one column."""
        if place.field.width == VARIABLE:
            return self._values(place)
        if self.read_together([name]):
            return self._columns[name]
        segment = self._gathered.get(place.segment)
        if segment is None:
            dtype = self.layout.segment_dtypes[place.segment]
            segment = self._octets.records(self._segments[:, place.segment], dtype)
            self._gathered[place.segment] = segment
        return _convert(place.field, segment[name])

    def beside(self, computed: Computed) -> Columns:
        """The same with further columns, which come first; what was read already stays."""
        both = Columns(self.layout, self._octets, self._segments, computed, self._derived)
        both._gathered, both._columns = self._gathered, dict(self._columns)
        return both

    def at(self, rows: NDArray[np.intp]) -> Columns:
        """Some of the records; what is computed or derived of them stays what it is of all."""
        given = {name: partial(self._some, name, rows) for name in self._given}
        return Columns(self.layout, self._octets, self._segments[rows], given)

    def _some(self, name: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        """A column of some of the records."""
        return self[name][rows]

    def read_together(self, names: Iterable[str]) -> bool:
        """Read those of the columns that are whole numbers of fixed width, in one pass.

        Returns:
            Whether any was read.
        """
        chosen = {}
        for name in names:
            place = self.layout.places.get(name)
            if place is None or name in self._columns or name in self._given:
                continue
            form = None if place.field.width == VARIABLE else _dtype(place.field)
            if isinstance(form, str) and form[1] in "ui":
                chosen[name] = form[1:], (place.segment, place.offset, place.field.width)
        if not chosen:
            return False
        fields = [field for _, field in chosen.values()]
        columns = kernel.columns(self._octets.buffer, self._segments, fields)
        for (name, (form, _)), column in zip(
            chosen.items(), columns or (), strict=columns is not None
        ):
            self._columns[name] = column.view(form)
        return columns is not None

    def _values(self, place: _Place) -> NDArray[Any]:
        """The values of a variable-length field."""
        at = self._segments[:, place.segment] + place.offset
        end = np.full(len(at), len(self._octets), np.int64)
        begin, length = _variable_value(self._octets, at, end)
        values = np.empty(len(at), object)
        buffer = self._octets.buffer
        for row, (first, size) in enumerate(zip(begin.tolist(), length.tolist(), strict=True)):
            values[row] = buffer[first : first + size].tobytes()
        return values


def layout_of(fields: Sequence[tuple[str, int]], kinds: Mapping[str, str]) -> Layout:
    """A layout of named fields with their widths; a name without a kind is an unsigned number."""
    return Layout(
        tuple(
            Field(name, kinds.get(name.partition("#")[0], "unsigned64"), width)
            for name, width in fields
        )
    )
