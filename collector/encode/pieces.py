"""Octets of many things at once, described first and written last.

A datagram is headers, records and padding one behind the other, and so are a set and a record. Here
each of these is a value that knows the octets of every one of its items, and can write them all,
each to its own place; composing them copies nothing. `render` makes the buffer and lets them write:
every octet is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from collector import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Pieces(Protocol):
    """Some items, numbered from 0."""

    @property
    def length(self) -> NDArray[np.int64]:
        """Octets of each item."""
        ...

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place in `out`, which is all zeros there."""
        ...


@dataclass(frozen=True, eq=False)
class Rows:
    """Items of one length, given as the rows of a matrix of octets."""

    octets: NDArray[np.uint8]
    """Shape (items, octets of each), contiguous."""

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """Octets of each item."""
        count, width = self.octets.shape
        return np.full(count, width, np.int64)

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place."""
        count, width = self.octets.shape
        if not (count and width):
            return
        offset = np.arange(count, dtype=np.int64) * width
        if not kernel.put(out, at, self.octets.reshape(-1), offset, self.length):
            _items(out, width)[at] = self.octets.view(f"V{width}")[:, 0]


@dataclass(frozen=True, eq=False)
class Slices:
    """Items that are parts of one buffer."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place, those of one length together."""
        if kernel.put(out, at, self.buffer, self.offset, self.length):
            return
        for rows, width in _by_length(self.length):
            _items(out, width)[at[rows]] = _items(self.buffer, width)[self.offset[rows]]


@dataclass(frozen=True, eq=False)
class Joined:
    """Item n is what the parts have as item n, one behind the other."""

    parts: Sequence[Pieces]

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """Octets of each item."""
        total = self.parts[0].length
        for part in self.parts[1:]:
            total = total + part.length
        return total

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place."""
        for part in self.parts:
            part.write(out, at)
            at = at + part.length


@dataclass(frozen=True, eq=False)
class Grouped:
    """Item n is the next `counts[n]` items of the pieces, one behind the other."""

    pieces: Pieces
    counts: NDArray[np.int64]

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        """Where each of the pieces would be if all were one behind the other, and where they end.

        Shape (pieces + 1,).
        """
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.pieces.length)])

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """Where each group would begin likewise."""
        first: NDArray[np.int64] = self._place[np.cumsum(self.counts) - self.counts]
        return first

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """Octets of each item."""
        length: NDArray[np.int64] = self._place[np.cumsum(self.counts)] - self._first
        return length

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place."""
        self.pieces.write(out, np.repeat(at - self._first, self.counts) + self._place[:-1])


@dataclass(frozen=True, eq=False)
class Padded:
    """The same items, followed by zeros."""

    pieces: Pieces
    length: NDArray[np.int64]
    """Octets of each item with its padding."""

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place."""
        self.pieces.write(out, at)


@dataclass(frozen=True, eq=False)
class Merged:
    """The items of several pieces in one order."""

    parts: Sequence[Pieces]
    order: NDArray[np.integer]
    """Item n is the next one of part `order[n]`."""

    @cached_property
    def _rows(self) -> list[NDArray[np.int64]]:
        """Per part, which items are its own."""
        return [np.flatnonzero(self.order == part) for part in range(len(self.parts))]

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """Octets of each item."""
        length = np.zeros(len(self.order), np.int64)
        for part, rows in zip(self.parts, self._rows, strict=True):
            length[rows] = part.length
        return length

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write each item to its place."""
        for part, rows in zip(self.parts, self._rows, strict=True):
            part.write(out, at[rows])


class Rendered(NamedTuple):
    """Items as octets."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    """Index of each item's first octet."""
    length: NDArray[np.int64]


def render(pieces: Pieces, room: int = 0) -> Rendered:
    """Write all items, one behind the other, with so many octets to spare in front of each."""
    length = pieces.length
    end = np.cumsum(length + room)
    buffer = np.zeros(int(end[-1]) if len(end) else 0, np.uint8)
    pieces.write(buffer, end - length)
    return Rendered(buffer, end - length, length)


def slices(values: Sequence[bytes]) -> Slices:
    """Items from their octets."""
    length = np.fromiter(map(len, values), np.int64, len(values))
    return Slices(np.frombuffer(b"".join(values), np.uint8), np.cumsum(length) - length, length)


def tiled(pieces: Pieces, times: int) -> Slices:
    """All items so many times over."""
    buffer, offset, length = render(pieces)
    return Slices(buffer, np.tile(offset, times), np.tile(length, times))


def up_to(length: NDArray[np.int64], multiple: int) -> NDArray[np.int64]:
    """The next multiples of a number of octets."""
    return -(-length // multiple) * multiple


def _items(buffer: NDArray[np.uint8], width: int) -> NDArray[np.void]:
    """A view of a buffer whose items are `width` octets long and overlap (see `decode.octets`)."""
    count = len(buffer) - width + 1
    return np.ndarray((max(count, 0),), f"V{width}", buffer if count > 0 else None, strides=(1,))


def _by_length(length: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64] | slice, int]]:
    """The rows of each length but 0."""
    if not len(length):
        return
    if (length == length[0]).all():
        if length[0]:
            yield slice(None), int(length[0])
        return
    # Sorting 16-bit numbers is several times faster.
    key = length.astype(np.uint16) if length.max() < 1 << 16 else length
    order = np.argsort(key, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(length[order])) + 1):
        if length[rows[0]]:
            yield rows, int(length[rows[0]])
