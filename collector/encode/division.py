"""Which items share a datagram."""

from __future__ import annotations

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
    """Of the payload: as an Ethernet frame with IPv4 carries it. An item that is longer by itself
    is alone in its datagram."""


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
    end = np.cumsum(octets)
    fresh = np.zeros(len(octets), np.bool_) if fresh is None else fresh.copy()
    fresh[0] = True
    starts = _by_count(division.most_records, counted, fresh)
    last = np.append(starts[1:], len(octets)) - 1
    long = end[last] - end[starts] + first_octets[starts] > division.most_octets
    if not (long & (last > starts)).any():
        return starts
    return _by_octets(division, end, first_octets, counted, fresh)


def _by_count(
    most: int | None, counted: NDArray[np.bool_], fresh: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The first items of the datagrams if only records are counted."""
    if most is None:
        return np.flatnonzero(fresh)
    before: NDArray[np.int64] = np.cumsum(counted) - counted
    run = np.cumsum(fresh) - 1
    number = (before - before[fresh][run]) // most
    # A datagram is full behind its last record: announcements there belong to the next one.
    begins = fresh.copy()
    begins[1:] |= number[1:] != number[:-1]
    return np.flatnonzero(begins)


def _by_octets(
    division: Division,
    end: NDArray[np.int64],
    first_octets: NDArray[np.int64],
    counted: NDArray[np.bool_],
    fresh: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The same if octets are counted too: each datagram is filled, then the next."""
    records = np.cumsum(counted)
    most_records = division.most_records or len(end)
    fences = np.append(np.flatnonzero(fresh)[1:], len(end)).tolist()
    starts, at = [], 0
    for fence in fences:
        while at < fence:
            starts.append(at)
            room = division.most_octets - int(first_octets[at]) + int(end[at])
            before = int(records[at]) - int(counted[at])
            by_octets = int(np.searchsorted(end, room, side="right"))
            by_records = int(np.searchsorted(records, before + most_records, side="left")) + 1
            at = max(at + 1, min(fence, by_octets, by_records))
    return np.array(starts, np.int64)
