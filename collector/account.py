"""One account of what came and what did not, over many blocks of datagrams.

A decoder accounts for one block; a file that is read block by block, or a port that is listened
to, has many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decode import Summary
from collector.decode.faults import FURTHER, KEPT, REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.decode import Datagrams, Decoded, Stream
    from collector.fault import Fault

STREAMS: Final = 100_000
"""Streams that are told apart; further ones are not kept."""


class _Name(NamedTuple):
    """What makes a stream the same stream."""

    protocol: str
    exporter: str
    source_port: int | None
    observation_domain: int | None
    agent: str | None
    sub_agent: int | None


class Account:
    """What came so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.datagrams = 0
        self.records = 0
        self.records_of: Counter[str] = Counter()
        """By protocol."""
        self.first_ns = self.last_ns = 0
        """When the earliest and the latest datagram came, since 1970 (UTC); 0: none came."""
        self.templates = 0
        self.reasons: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self._unknown: Counter[str] = Counter()
        self._ports: Counter[int] = Counter()
        self._limits: Counter[str] = Counter()
        self._borrowed = 0
        self._waiting = 0
        self._streams: dict[_Name, Stream] = {}

    @property
    def lost(self) -> int:
        """Units that sequence numbers show as lost."""
        return sum(stream.lost for stream in self._streams.values())

    def add(self, datagrams: Datagrams, decoded: Decoded) -> None:
        """Count a block."""
        summary = decoded.summary
        room = KEPT - len(self.faults)
        # Faults of a capture are numbered by frame, and come with the right number.
        own = frozenset(datagrams.faults)
        self.faults += [
            fault if fault in own else fault._replace(datagram=fault.datagram + self.datagrams)
            for fault in summary.undecodable[:room]
        ]
        if len(datagrams):
            times_ns = datagrams.timestamp_ns
            first_ns = int(times_ns.min())
            self.first_ns = min(self.first_ns, first_ns) if self.datagrams else first_ns
            self.last_ns = max(self.last_ns, int(times_ns.max()))
        self.datagrams += summary.datagrams
        self.records += summary.records
        for batch in decoded.batches:
            self.records_of[batch.protocol] += len(batch)
        self.templates = summary.templates
        _bounded_update(self.reasons, summary.undecodable_by_reason)
        _bounded_update(self._unknown, summary.unknown)
        self._ports.update(summary.unassigned_ports)
        self._limits.update(summary.limits)
        self._borrowed += summary.borrowed_templates
        self._waiting = summary.waiting
        self._add_up(summary.streams)

    def summary(self) -> Summary:
        """The whole account, in the form that a decoder gives for one block."""
        return Summary(
            datagrams=self.datagrams,
            records=self.records,
            templates=self.templates,
            streams=tuple(self._streams.values()),
            undecodable=tuple(sorted(self.faults)),  # data waits for its template until the end
            undecodable_by_reason=dict(self.reasons),
            unknown=dict(self._unknown),
            unassigned_ports=dict(self._ports),
            borrowed_templates=self._borrowed,
            waiting=self._waiting,
            limits=dict(self._limits),
        )

    def _add_up(self, streams: Iterable[Stream]) -> None:
        """Add a block's streams to those of the same name."""
        for stream in streams:
            name = _name(stream)
            known = self._streams.get(name)
            if known is not None:
                self._streams[name] = _sum(known, stream)
            elif len(self._streams) < STREAMS:
                self._streams[name] = stream


def _bounded_update(counts: Counter[str], more: Mapping[str, int]) -> None:
    """Add counts, of no more different things than a decoder tells apart."""
    for what, count in more.items():
        known = what in counts or len(counts) < REASONS
        counts[what if known else FURTHER] += count


def _name(stream: Stream) -> _Name:
    return _Name(
        stream.protocol,
        stream.exporter,
        stream.source_port,
        stream.observation_domain,
        stream.agent,
        stream.sub_agent,
    )


def _sum(one: Stream, other: Stream) -> Stream:
    return replace(
        one,
        datagrams=one.datagrams + other.datagrams,
        units=one.units + other.units,
        lost=one.lost + other.lost,
        gaps=one.gaps + other.gaps,
        reordered=one.reordered + other.reordered,
        restarts=one.restarts + other.restarts,
    )
