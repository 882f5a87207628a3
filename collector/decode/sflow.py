"""sFlow version 5: samples of packets and of counters.

Source: sFlow Version 5 (sflow.org, July 2004), section 5; numbers are XDR (RFC 4506): 4 octets,
big-endian, if not said otherwise.

    datagram  version, agent address type, agent address 4 or 16 octets, sub-agent id, sequence
              number, uptime (ms), number of samples, samples
    sample    format (20 bits enterprise, 12 bits number), length, content: a head that ends with
              the number of records, then records
    record    format, length, content

All datagrams of a block are walked in lock-step, sample by sample, then all samples, record by
record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode.address import ipv4_column
from collector.decode.batch import Batch
from collector.decode.groups import split
from collector.decode.layout import Columns
from collector.decode.packet import dissect
from collector.decode.packet_columns import packet_columns
from collector.decode.sflow_layouts import COUNTERS, ETHERNET_HEADER, HEADER, RAW_HEADER, SAMPLES
from collector.decode.streams import Sequenced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.block import Block
    from collector.decode.sflow_layouts import Sample

VERSION: Final = 5
"""In four octets, where NetFlow has two."""
_IPV4, _IPV6 = 1, 2
_ITEM_HEAD_OCTETS: Final = 8
_COUNT_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class _Agents:
    """The datagram headers of a block; a value per datagram."""

    rows: NDArray[np.int64]
    """Index of the datagram."""
    end: NDArray[np.int64]
    address: NDArray[np.uint64]
    sub_agent: NDArray[np.int64]
    sequence: NDArray[np.int64]
    samples: NDArray[np.int64]
    """How many the header counts."""
    body: NDArray[np.int64]
    """Index of the first sample."""


class _Items(NamedTuple):
    """Samples of datagrams, or records of samples: format, length, content."""

    owner: NDArray[np.int64]
    """Index of the datagram or sample that it is in; ascending."""
    format: NDArray[np.int64]
    at: NDArray[np.int64]
    """Index of the first octet of the content."""
    end: NDArray[np.int64]

    def take(self, chosen: NDArray[Any]) -> _Items:
        """Some of them."""
        return _Items(*(column[chosen] for column in self))


def decode(block: Block, rows: NDArray[np.int64]) -> tuple[list[Batch], list[Sequenced]]:
    """Decode the datagrams `rows`, of which it is known that they are sFlow version 5.

    Flow samples become one batch per format of sample, with the fields of the sample,
    `ingressInterface`, `egressInterface`, `frameLength`, and the sampled packet's header fields.
    Counter records become one batch per format of record. What is well-formed but not known is
    counted.
    """
    agents = _read_headers(block, rows)
    if not len(agents.rows):
        return [], []
    batches = _Decoder(block, agents).decode()
    sequenced = Sequenced(
        protocol="sflow5",
        unit="datagrams",
        rows=agents.rows,
        first=agents.sequence,
        units=np.ones(len(agents.rows), np.int64),
        agent=agents.address,
        sub_agent=agents.sub_agent,
    )
    return batches, [sequenced]


def _read_headers(block: Block, rows: NDArray[np.int64]) -> _Agents:
    """Read the datagram headers; behind an IPv6 agent address all is 12 octets further on."""
    octets, faults = block.octets, block.faults
    start, length = block.datagrams.offset[rows], block.datagrams.length[rows]
    kind = np.zeros(len(rows), np.int64)
    there = length >= 8
    kind[there] = octets.u32(start[there] + 4)
    wrong = there & (kind != _IPV4) & (kind != _IPV6)
    faults.add(rows, start + 4, 0, length - 4, "agent address is not IPv4 or IPv6", where=wrong)
    header = np.where(kind == _IPV6, 40, 28)
    short = ~wrong & (length < header)
    faults.add(rows, start, header, length, "no sFlow datagram header", where=short)
    good = ~wrong & ~short
    rows, start, length, kind, header = (
        column[good] for column in (rows, start, length, kind, header)
    )
    address = ipv4_column(octets.u32(start + 8))
    six = kind == _IPV6
    address[six] = octets.ipv6(start[six] + 8)
    body = start + header
    sub_agent, sequence, samples = (
        octets.u32(body - before).astype(np.int64) for before in (16, 12, 4)
    )
    return _Agents(rows, start + length, address, sub_agent, sequence, samples, body)


class _Decoder:
    """The datagrams of one block while they are decoded."""

    def __init__(self, block: Block, agents: _Agents) -> None:
        """Nothing is decoded yet."""
        self.octets = block.octets
        self.datagrams = block.datagrams
        self.faults = block.faults
        self.unknown = block.unknown
        self.agents = agents

    def decode(self) -> list[Batch]:
        """Decode all samples."""
        agents = self.agents
        samples = self._walk("sample", agents.rows, agents.body, agents.end, agents.samples)
        self._count_unknown(samples, SAMPLES, "sample")
        batches = []
        for number, sample in SAMPLES.items():
            chosen = samples.take(samples.format == number)
            if len(chosen.owner):
                batches += self._decode_samples(number, sample, chosen)
        return batches

    def _walk(
        self,
        noun: str,
        rows: NDArray[np.int64],
        at: NDArray[np.int64],
        end: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> _Items:
        """Find `count` items from each place on: all first ones, then all second ones, and so on.

        `rows` are the datagrams of the places.
        """
        found = [_Items(*(at[:0] for _ in range(4)))]
        owner = np.arange(len(at))
        while True:
            active = count > 0
            owner, at, count = owner[active], at[active], count[active]
            if not len(owner):
                break
            left = end[owner] - at
            bad = left < _ITEM_HEAD_OCTETS
            reason = f"fewer {noun}s than counted"
            self.faults.add(rows[owner], at, _ITEM_HEAD_OCTETS, left, reason, where=bad)
            owner, at, count, left = owner[~bad], at[~bad], count[~bad], left[~bad]
            length = self.octets.u32(at + 4).astype(np.int64) + _ITEM_HEAD_OCTETS
            bad = length > left
            reason = f"{noun} longer than what it is in"
            self.faults.add(rows[owner], at, length, left, reason, where=bad)
            owner, at, count, length = owner[~bad], at[~bad], count[~bad], length[~bad]
            form = self.octets.u32(at).astype(np.int64)
            found.append(_Items(owner, form, at + _ITEM_HEAD_OCTETS, at + length))
            # XDR fills up to four octets (RFC 4506 section 3).
            at, count = at + (length + 3 & ~3), count - 1
        items = _Items(*(np.concatenate(column) for column in zip(*found, strict=True)))
        return items.take(np.argsort(items.owner, kind="stable"))

    def _count_unknown(self, items: _Items, known: Any, noun: str) -> None:
        """Count items of formats that are not known."""
        formats, counts = np.unique(items.format, return_counts=True)
        for number, count in zip(formats.tolist(), counts.tolist(), strict=True):
            if number not in known:
                self.unknown[f"sFlow {noun} {number >> 12}/{number & 0xFFF}"] += count

    def _decode_samples(self, number: int, sample: Sample, items: _Items) -> list[Batch]:
        """Decode samples of one kind."""
        rows = self.agents.rows[items.owner]
        head_octets = sample.layout.minimum_octets
        left = items.end - items.at
        short = left < head_octets
        self.faults.add(
            rows, items.at, head_octets, left, "sample shorter than its head", where=short
        )
        items, rows = items.take(~short), rows[~short]
        head = Columns(sample.layout, self.octets, items.at[:, None])
        body, counts = items.at + head_octets, head["records"].astype(np.int64)
        records = self._walk("record", rows, body, items.end, counts)
        if sample.kind == "counters":
            self._count_unknown(records, COUNTERS, "counter record")
            return self._counters(sample, head, items, records)
        return self._flow_samples(number, sample, head, items, records)

    def _flow_samples(
        self, number: int, sample: Sample, head: Columns, items: _Items, records: _Items
    ) -> list[Batch]:
        """Decode flow samples with the header of the packet that was sampled."""
        self._count_unknown(records, _FLOW_RECORDS, "flow record")
        raw = records.take(records.format == RAW_HEADER)
        # One packet is one sample: of several headers the first counts.
        _, first = np.unique(raw.owner, return_index=True)
        raw = raw.take(first)
        left, prefix = raw.end - raw.at, HEADER.minimum_octets
        rows = self.agents.rows[items.owner[raw.owner]]
        short = left < prefix
        reason = "sampled header without its description"
        self.faults.add(rows, raw.at, prefix, left, reason, where=short)
        raw, rows, left = raw.take(~short), rows[~short], left[~short]
        described = Columns(HEADER, self.octets, raw.at[:, None])
        length = described["headerLength"].astype(np.int64)
        there = length + prefix <= left
        reason = "sampled header cut short"
        self.faults.add(rows, raw.at, length + prefix, left, reason, where=~there)
        ethernet = (described["headerProtocol"] == ETHERNET_HEADER) & there
        others = len(items.owner) - len(first) + int((there & ~ethernet).sum())
        if others:
            self.unknown["sFlow flow sample without a sampled Ethernet header"] += others
        chosen = np.flatnonzero(ethernet)
        if not len(chosen):
            return []
        of_sample = raw.owner[chosen]
        packets = dissect(self.octets, raw.at[chosen] + prefix, length[chosen])
        computed = {
            **_interfaces(head, of_sample, expanded=sample.expanded),
            **{name: described[name][chosen] for name in ("frameLength", "stripped")},
            **packet_columns(packets),
        }
        segments = items.at[of_sample][:, None]
        columns = Columns(sample.layout, self.octets, segments, computed)
        return [self._batch("flow sample", number, columns, items.take(of_sample))]

    def _counters(
        self, sample: Sample, head: Columns, items: _Items, records: _Items
    ) -> list[Batch]:
        """Decode counter records, those of one format together."""
        batches = []
        for chosen in split(records.format):
            number = int(records.format[chosen[0]])
            layout = COUNTERS.get(number)
            if layout is None:
                continue
            some = records.take(chosen)
            rows = self.agents.rows[items.owner[some.owner]]
            left = some.end - some.at
            short = left < layout.minimum_octets
            self.faults.add(
                rows,
                some.at,
                layout.minimum_octets,
                left,
                "counter record cut short",
                where=short,
            )
            some = some.take(~short)
            if len(some.owner):
                source = _source(head, some.owner, expanded=sample.expanded)
                columns = Columns(layout, self.octets, some.at[:, None], source)
                placed = _Items(items.owner[some.owner], some.format, some.at, some.end)
                batches.append(self._batch("counters", number, columns, placed))
        return batches

    def _batch(self, kind: str, number: int, columns: Columns, items: _Items) -> Batch:
        """A batch of what begins at `items`."""
        agents = self.agents
        rows = agents.rows[items.owner]
        return Batch(
            protocol="sflow5",
            kind=kind,
            template=np.full(len(rows), number, np.int64),
            columns=columns,
            datagram=rows + 1,
            offset=items.at - _ITEM_HEAD_OCTETS - self.datagrams.offset[rows],
            exporter=self.datagrams.source[rows],
            export_time_ns=self.datagrams.timestamp_ns[rows],
            agent=agents.address[items.owner],
            sub_agent=agents.sub_agent[items.owner],
        )


_FLOW_RECORDS: Final = (RAW_HEADER, 1001)
"""Known flow records; of extended switch data (1001) nothing is used yet."""


def _source(head: Columns, rows: NDArray[np.int64], *, expanded: bool) -> dict[str, NDArray[Any]]:
    """What was sampled: the data source of the samples `rows`."""
    if expanded:
        return {name: head[name][rows] for name in ("sourceIdType", "sourceIdIndex")}
    source = head["sourceId"][rows]
    return {"sourceIdType": source >> 24, "sourceIdIndex": source & 0xFF_FFFF}


def _interfaces(
    head: Columns, rows: NDArray[np.int64], *, expanded: bool
) -> dict[str, NDArray[Any]]:
    """Data source and interfaces of the samples `rows`.

    The format of an interface (upper 2 bits) says what the value is: 0 ifIndex, 1 reason of a drop,
    2 number of interfaces (0: several, unknown how many).
    """
    columns = _source(head, rows, expanded=expanded)
    for name, field in (("ingressInterface", "input"), ("egressInterface", "output")):
        if expanded:
            value, form = head[f"{field}Value"][rows], head[f"{field}Format"][rows]
        else:
            value, form = head[field][rows] & 0x3FFF_FFFF, head[field][rows] >> 30
        columns[name], columns[f"{name}Format"] = value, form
    return columns
