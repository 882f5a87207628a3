"""From the recorded export datagrams to flow rows, each exporter's by its own habits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector import pcap
from collector.account import Account
from collector.decode import BY_NAME, STANDARD, Decoder
from collector.decode.address import ip_texts
from collector.flows import FLOWS, each, flow_json, observed, summed
from collector.source import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from collector.check import Point
    from collector.decode import Datagrams, Decoded, Habits, Summary
    from collector.fault import Fault
    from collector.observations import Columns

_BLOCK: Final = 1 << 14
"""Datagrams decoded together."""
_OBSERVED: Final = (
    *("protocol", "exporter", "observation_domain", "agent", "flowDirection"),
    *("packets", "octets_l2", "octets_l3", "tcpControlBits", "first_ns", "last_ns"),
    *("records", "samples", "datagram", "offset"),
)


@dataclass(frozen=True)
class Recorded:
    """The recorded exports as flow rows, and what is to be said of them.

    Single records (`collector.flows.each`) are there where an expectation asks of them.

    Attributes:
        table: flows, in the columns of `collector.flows.FLOWS`.
        each: single records.
        datagrams: how many there are.
        problems: what was lost or not understood, in words.
        notes: what else is to be said.
        lost: units that sequence numbers show to be missing.
        undecodable: what could not be read.
    """

    table: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FLOWS))
    each: list[dict[str, Any]] = field(default_factory=list)
    datagrams: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: int = 0
    undecodable: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Flows, as ``observed.json`` has them."""
        return rows_of(self.table)


def decode_exports(file: Path, habits: Mapping[str, str], *, singly: bool = False) -> Recorded:
    """Decode a capture of exports, each exporter's by its own habits; nothing is raised.

    Args:
        file: the capture.
        habits: names of habits (`collector.decode.BY_NAME`) by the address of who has them.
        singly: whether single records are wanted too.
    """
    try:
        capture = pcap.read(file)
    except FileNotFoundError:
        return Recorded(problems=("there is no recording of the export datagrams",))
    except (OSError, pcap.NotACaptureError) as odd:
        return Recorded(problems=(f"the recording cannot be read: {odd}",))
    datagrams = pcap.datagrams(capture)
    parts = [
        _decode_part(datagrams, which, own, singly=singly)
        for own, which in _by_habits(datagrams, habits)
    ]
    return Recorded(
        table=pl.concat([pl.DataFrame(schema=FLOWS), *(part.table for part in parts)]),
        each=[row for part in parts for row in part.each],
        datagrams=len(datagrams),
        problems=tuple(
            chain(
                [f"the recording is broken: {capture.fault}"] if capture.fault else [],
                _frames(datagrams.faults),
                *(part.problems for part in parts),
            )
        ),
        notes=tuple(note for part in parts for note in part.notes),
        lost=sum(part.lost for part in parts),
        undecodable=sum(part.undecodable for part in parts),
    )


def habits_of(points: Iterable[Point]) -> dict[str, str]:
    """Habits by the address that datagrams come from."""
    return {
        address: point.habits
        for point in points
        for address in (point.address, point.also_to)
        if address
    }


def rows_of(table: pl.DataFrame) -> list[dict[str, Any]]:
    """A flow table as ``observed.json`` has it."""
    return [
        {**{name: row[name] for name in _OBSERVED}, "flow": flow_json(row)}
        for row in table.iter_rows(named=True)
    ]


def _frames(faults: Iterable[Fault]) -> Iterator[str]:
    """Frames of the recording that hold no whole datagram."""
    for reason, times in Counter(fault.reason for fault in faults).items():
        yield f"{times} times: {reason}"


def _by_habits(
    datagrams: Datagrams, habits: Mapping[str, str]
) -> Iterator[tuple[Habits, NDArray[np.int64]]]:
    """The datagrams of exporters with the same habits; whose sender is unknown has none."""
    texts = ip_texts(datagrams.source)
    names = np.array([habits.get(text, STANDARD.name) for text in texts], object)
    for name in dict.fromkeys(names.tolist()):
        yield BY_NAME[name], np.flatnonzero(names == name)


def _decode_part(
    datagrams: Datagrams, which: NDArray[np.int64], habits: Habits, *, singly: bool
) -> Recorded:
    """Decode some of the datagrams; what is said of them has their numbers in the whole."""
    account = Account()
    singles: list[dict[str, Any]] = []

    def records() -> Iterator[Columns]:
        for decoded in _blocks(replace(datagrams, faults=()), which, habits, account):
            if singly:
                singles.extend(each(decoded).iter_rows(named=True))
            yield from observed(decoded)

    table = summed(records())
    summary = account.summary()
    datagram = pl.Series("datagram", which[table["datagram"].to_numpy() - 1] + 1, pl.UInt32)
    return Recorded(
        table=table.with_columns(datagram),
        each=singles,
        problems=tuple(_problems(which, summary)),
        notes=tuple(
            f"stepped over {times} times: {kind}, which is not known"
            for kind, times in summary.unknown.items()
        ),
        lost=sum(stream.lost for stream in summary.streams),
        undecodable=sum(summary.undecodable_by_reason.values()),
    )


def _blocks(
    datagrams: Datagrams, which: NDArray[np.int64], habits: Habits, account: Account
) -> Iterator[Decoded]:
    """Some datagrams decoded, not too many at once: a record takes more memory than its octets."""
    decoder = Decoder(habits)
    for first in range(0, max(len(which), 1), _BLOCK):
        block = datagrams.take(which[first : first + _BLOCK])
        last = first + _BLOCK >= len(which)
        yield counted(block, decoder.decode(block, last=last), account)


def _problems(which: NDArray[np.int64], summary: Summary) -> Iterator[str]:
    """What was lost or not understood on the way from datagrams to records."""
    for reason, times in summary.undecodable_by_reason.items():
        first = next((one for one in summary.undecodable if one.reason == reason), None)
        if first:
            first = first._replace(datagram=int(which[first.datagram - 1]) + 1)
        yield f"{times} times: {reason}" + (f"; first at {first}" if first else "")
    for stream in summary.streams:
        if stream.lost:
            yield (
                f"the sequence numbers of {stream.protocol} from {stream.exporter} "
                f"({stream.agent or stream.observation_domain or stream.source_port}) show "
                f"{stream.lost} {stream.unit} missing"
            )
