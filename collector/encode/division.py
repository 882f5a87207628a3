"""Which items share a datagram."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.encode.errors import NotEncodableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

UDP_OCTETS: Final = 65_507
"""The longest payload of a UDP datagram over IPv4."""


@dataclass(frozen=True, slots=True)
class Division:
    """When a datagram is full."""

    most_records: int | None = None
    """Data records, or samples, in one datagram; None: as many as fit."""
    most_octets: int = 1_472
    """Of the payload: as an Ethernet frame with IPv4 carries it; never more than UDP_OCTETS. An
    item that is longer by itself is alone in its datagram."""


AS_FITS: Final = Division()


def divide(
    division: Division,
    octets: NDArray[np.int64],
    first_octets: NDArray[np.int64],
    counted: NDArray[np.bool_],
    fresh: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """The first item of every datagram; items stay in order.

    Args:
        division: how much may be in one.
        octets: of each item, with all that it needs behind another one.
        first_octets: of each item, with all that it needs as the first one of a datagram.
        counted: whether it is a record; what is not goes with the record behind it.
        fresh: whether it begins a datagram in any case.

    Raises:
        NotEncodableError: an item is longer than UDP can carry.
    """
    if not len(octets):
        return np.zeros(0, np.int64)
    if int(first_octets.max()) > UDP_OCTETS:
        message = f"an item of {int(first_octets.max())} octets: a datagram has {UDP_OCTETS}"
        raise NotEncodableError(message)
    fresh = np.zeros(len(octets), np.bool_) if fresh is None else fresh.copy()
    fresh[0] = True
    starts = _by_count(division.most_records, counted, fresh)
    end = np.cumsum(octets)
    last = np.append(starts[1:], len(octets)) - 1
    most_octets = min(division.most_octets, UDP_OCTETS)
    long = end[last] - end[starts] + first_octets[starts] > most_octets
    long &= last > starts
    if not long.any():
        return starts
    most = Division(division.most_records or len(end), most_octets)
    filling = _Filling(most, end, first_octets, counted, np.flatnonzero(fresh))
    return filling.divide(starts, np.flatnonzero(long))


def _by_count(
    most: int | None, counted: NDArray[np.bool_], fresh: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The first items of the datagrams if only records are counted."""
    if most is None:
        return np.flatnonzero(fresh)
    before: NDArray[np.int64] = np.cumsum(counted) - counted
    run = np.cumsum(fresh) - 1
    number = (before - before[fresh][run]) // most
    begins = fresh.copy()
    # A datagram is full behind its last record: what is announced there belongs to the next one.
    begins[1:] |= number[1:] != number[:-1]
    return np.flatnonzero(begins)


class _Filling:
    """Datagrams that are filled one after the other, because octets are counted too."""

    def __init__(
        self,
        most: Division,
        end: NDArray[np.int64],
        first_octets: NDArray[np.int64],
        counted: NDArray[np.bool_],
        fences: NDArray[np.int64],
    ) -> None:
        """Of all items: where each ends, and where datagrams begin in any case (`fences`)."""
        self.most_octets = most.most_octets
        self.most_records = most.most_records or 0
        # One by one, lists answer faster.
        self.end: list[int] = end.tolist()
        self.first_octets: list[int] = first_octets.tolist()
        self.records: list[int] = np.cumsum(counted).tolist()
        self.counted: list[bool] = counted.tolist()
        self.fences: list[int] = [*fences.tolist()[1:], len(end)]

    def divide(self, starts: NDArray[np.int64], long: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first item of every datagram.

        Args:
            starts: the same if only records are counted; from each of them on the division depends
            on nothing before.
            long: which of these datagrams are too long.
        """
        by_count: list[int] = starts.tolist()
        found: list[int] = []
        done = 0
        for index in long.tolist():
            if index < done:
                continue
            found += by_count[done:index]
            done, at = index, by_count[index]
            while at < len(self.end):
                found.append(at)
                at = self._next(at)
                done = bisect_left(by_count, at, done)
                if by_count[done : done + 1] == [at]:
                    break
        return np.array(found + by_count[done:], np.int64)

    def _next(self, at: int) -> int:
        """The first item that is not in the datagram that begins with `at`."""
        room = self.most_octets - self.first_octets[at] + self.end[at]
        before = self.records[at] - self.counted[at]
        return max(
            at + 1,
            min(
                self.fences[bisect_right(self.fences, at)],
                bisect_right(self.end, room),
                bisect_left(self.records, before + self.most_records) + 1,
            ),
        )
