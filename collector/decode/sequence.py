"""Sequence numbers: what an exporter sent and the collector did not get.

Every format counts something (records, messages, datagrams). Here a datagram has a first number and
a count of units; the next one of the same stream must start where it ended, modulo 2^32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

UNKNOWN: Final = -1
"""Units of a datagram that could not be decoded to its end: what follows it is not judged."""
_RESTART: Final = 1 << 16
"""A step back by more than this is a restart, not a reordering."""
MOST_HOLES: Final = 128
"""Of a stream, where something late may still belong; older ones stay lost."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The sequence of one exporter (and observation domain, agent, or socket)."""

    protocol: str
    unit: str
    """What is counted: "data records" or "datagrams"."""
    exporter: str
    source_port: int | None
    """Given if the sequence belongs to a socket."""
    observation_domain: int | None
    agent: str | None
    sub_agent: int | None
    datagrams: int
    units: int
    """Received."""
    lost: int
    """Units that never came; those that came late are not lost. Of a block that is not the first:
    how many more than before, which is negative if what was missing came late."""
    gaps: int
    """Times a number was skipped."""
    reordered: int
    """Datagrams that came after a later one, or twice."""
    restarts: int
    """Times the exporter began to count anew."""


Spans: TypeAlias = "NDArray[np.int64]"
"""Rows of [begin, end[ on the line of a stream's numbers, none of which touches another."""
NO_SPANS: Final = np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class Account:
    """What the sequence numbers of one stream say."""

    units: int
    missing: int
    """Units skipped, less those that were missing before and came late."""
    gaps: int
    reordered: int
    restarts: int
    covered: tuple[int, int] = field(default=(0, 0), compare=False)
    """From the first number to the highest, from the end of the last datagram."""
    holes: Spans = field(default_factory=lambda: NO_SPANS, compare=False)
    """What is missing in between, likewise."""


def account(
    first: NDArray[np.int64],
    units: NDArray[np.int64],
    expected: int | None = None,
    covered: tuple[int, int] = (0, 0),
    booted_ms: NDArray[np.int64] | None = None,
    within_ms: int = 0,
    *,
    holes: Spans = NO_SPANS,
    unread: bool = False,
    booted_before_ms: int | None = None,
) -> Account:
    """Compare the numbers of one stream's datagrams, in order of arrival.

    Args:
        first: number of each datagram's first unit, modulo 2^32.
        units: units in each datagram, or UNKNOWN.
        expected: the number that follows what came before; None: not known.
        covered: of what came before, from there.
        booted_ms: of each datagram, when its exporter says that it was started; None: it does not.
        within_ms: how exact that is.
        holes: what was missing of that, likewise.
        unread: whether what came before ended with a datagram of UNKNOWN units, whose first number
            then is the expected one.
        booted_before_ms: what the last datagram of that said that `booted_ms` is of; None: it did
            not, or nothing came before.
    """
    if expected is not None:
        first, units = np.append(expected, first), np.append(UNKNOWN if unread else 0, units)
        if booted_ms is not None:
            before_ms = booted_ms[0] if booted_before_ms is None else booted_before_ms
            booted_ms = np.append(before_ms, booted_ms)
    later = np.zeros(len(first) - 1, np.bool_)
    if booted_ms is not None:
        # Back to the first number of all, by one who says that it was started later than before.
        later = (np.diff(booted_ms) > within_ms) & (first[1:] <= 1)
    judged = units[:-1] != UNKNOWN
    counted = np.where(units == UNKNOWN, 0, units)
    received = int(counted.sum())
    # What could not be read is taken for all that there is up to the next one.
    ahead = _around(first[1:] - first[:-1])
    filling = ~judged & (ahead > 0) & (ahead <= _RESTART)
    counted[:-1][filling] = ahead[filling]
    step = _around(first[1:] - first[:-1] - counted[:-1])
    # Half way around the circle, what is back looks like ahead.
    restart = judged & ((step < -_RESTART) | ((step != 0) & later))
    step[restart | ~judged] = 0
    # Where each one begins, on a line without an end. Missing is what nobody covers between the
    # ends of that line: it does not matter which datagram came first, or last, or twice.
    begin = np.append(0, np.cumsum(counted[:-1] + step))
    end = begin + counted
    lowest, highest = min(int(begin.min()), covered[0]), max(int(end.max()), covered[1])
    last = int(end[-1])
    new = _spans([lowest, covered[1]], [covered[0], highest])
    came = _union(begin, end) if step.any() else _spans([int(begin[0])], [last])
    left = _spans(np.append(lowest, came[:, 1]), np.append(came[:, 0], highest))
    missing = _common(np.concatenate([holes, new]), left)
    return Account(
        units=received,
        missing=_length(missing) - _length(holes),
        gaps=int((step > 0).sum()),
        reordered=int((step < 0).sum()),
        restarts=int(restart.sum()),
        covered=(lowest - last, highest - last),
        holes=missing[-MOST_HOLES:] - last,
    )


def _spans(begin: ArrayLike, end: ArrayLike) -> Spans:
    """Those that are not empty."""
    spans = np.column_stack([np.asarray(begin, np.int64), np.asarray(end, np.int64)])
    return spans[spans[:, 0] < spans[:, 1]]


def _length(spans: Spans) -> int:
    """Numbers in them."""
    return int((spans[:, 1] - spans[:, 0]).sum())


def _union(begin: NDArray[np.int64], end: NDArray[np.int64]) -> Spans:
    """What any of them covers."""
    order = np.argsort(begin, kind="stable")
    starts, ends = begin[order], np.maximum.accumulate(end[order])
    apart = np.flatnonzero(starts[1:] > ends[:-1])
    return _spans(starts[np.append(0, apart + 1)], ends[np.append(apart, len(ends) - 1)])


def _common(one: Spans, other: Spans) -> Spans:
    """What both cover, in order."""
    edges = np.concatenate([one[:, 0], other[:, 0], one[:, 1], other[:, 1]])
    rises = np.repeat([1, -1], len(one) + len(other))
    order = np.argsort(edges, kind="stable")
    edges, depth = edges[order], np.cumsum(rises[order])
    inside = (depth[:-1] == 2) & (edges[:-1] < edges[1:])
    return np.column_stack([edges[:-1][inside], edges[1:][inside]])


def _around(step: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shorter way around the circle: 4294967295 before 0 is one back."""
    return (step + (1 << 31)) % (1 << 32) - (1 << 31)
