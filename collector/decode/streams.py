"""Sequence numbers of many datagrams, sorted into the streams they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.decode.address import ip_text
from collector.decode.groups import codes, split
from collector.decode.sequence import NO_SPANS, UNKNOWN, Account, Spans, Stream, account

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from collector.decode.datagrams import Datagrams


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Sequence numbers of one protocol's datagrams; every column has one value per datagram.

    Datagrams of one exporter that agree in the columns that are given (not None) are one stream.
    """

    protocol: str
    unit: str
    rows: NDArray[np.int64]
    """Which datagrams (0-based, ascending)."""
    first: NDArray[np.int64]
    units: NDArray[np.int64]
    source_port: NDArray[np.int64] | None = None
    observation_domain: NDArray[np.int64] | None = None
    agent: NDArray[np.uint64] | None = None
    sub_agent: NDArray[np.int64] | None = None
    booted_ms: NDArray[np.int64] | None = None
    """When the exporter says that it was started, by its own clocks, since 1970."""
    within_ms: int = 0
    """How exact that is."""


class _Tail(NamedTuple):
    """Of one stream, when a block is over."""

    expected: int | None
    """The number that its next datagram should have; None: not known."""
    covered: tuple[int, int] = (0, 0)
    """From the first number to the highest, from the expected one."""
    holes: Spans = NO_SPANS
    """What is missing in between, likewise."""
    unread: bool = False
    """Whether its last datagram could not be read to its end: then the number is that of its own
    first unit."""
    booted_ms: int | None = None
    """When its exporter was started, as its last datagram says; None: it does not."""


class Expected:
    """What is known of every stream, from one block to the next."""

    def __init__(self, most: int) -> None:
        """Know of no stream yet; of at most so many what follows is remembered."""
        self._most = most
        self._known: dict[tuple[object, ...], _Tail] = {}

    def streams(self, sequenced: Sequenced, datagrams: Datagrams) -> list[Stream]:
        """Account for every stream, in the order of their first datagrams."""
        exporter = datagrams.source[sequenced.rows]
        columns: list[NDArray[Any]] = [exporter[:, 0], exporter[:, 1]]
        optional = (sequenced.source_port, sequenced.observation_domain, sequenced.sub_agent)
        columns += [column for column in optional if column is not None]
        if sequenced.agent is not None:
            columns += [sequenced.agent[:, 0], sequenced.agent[:, 1]]
        found = []
        for rows in sorted(split(codes(*columns)), key=lambda rows: int(rows[0])):
            alone = len(rows) == len(exporter)
            first = sequenced.first if alone else sequenced.first[rows]
            units = sequenced.units if alone else sequenced.units[rows]
            key = (sequenced.protocol, *(int(column[rows[0]]) for column in columns))
            before = self._known.pop(key, _Tail(None))
            booted = None if sequenced.booted_ms is None else sequenced.booted_ms[rows]
            counted = account(
                *(first, units, before.expected, before.covered, booted, sequenced.within_ms),
                holes=before.holes,
                unread=before.unread,
                booted_before_ms=before.booted_ms,
            )
            unread = bool(units[-1] == UNKNOWN)
            following = int(first[-1] + (0 if unread else units[-1]))
            last_boot_ms = None if booted is None else int(booted[-1])
            tail = _Tail(following, counted.covered, counted.holes, unread, last_boot_ms)
            self._remember(key, tail)
            found.append(_stream(sequenced, exporter, rows, counted))
        return found

    def _remember(self, key: tuple[object, ...], tail: _Tail) -> None:
        """Remember a stream; the one that was silent longest is forgotten."""
        self._known[key] = tail
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


def _stream(
    sequenced: Sequenced,
    exporter: NDArray[np.uint64],
    rows: NDArray[np.int64],
    counted: Account,
) -> Stream:
    """What is said of a stream."""
    one = int(rows[0])
    agent = None if sequenced.agent is None else sequenced.agent[one].tolist()
    return Stream(
        protocol=sequenced.protocol,
        unit=sequenced.unit,
        exporter=ip_text(*exporter[one].tolist()),
        source_port=_at(sequenced.source_port, one),
        observation_domain=_at(sequenced.observation_domain, one),
        agent=None if agent is None else ip_text(*agent),
        sub_agent=_at(sequenced.sub_agent, one),
        datagrams=len(rows),
        units=counted.units,
        lost=counted.missing,
        gaps=counted.gaps,
        reordered=counted.reordered,
        restarts=counted.restarts,
    )


def _at(column: NDArray[np.int64] | None, row: int) -> int | None:
    """A value of a column that may not be there."""
    return None if column is None else int(column[row])
