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
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import kernel
from collector.decode.address import ipv4_column
from collector.decode.batch import Batch
from collector.decode.groups import split
from collector.decode.layout import Columns, Layout
from collector.decode.packet import dissect, dissect_network
from collector.decode.packet_columns import packet_columns
from collector.decode.sflow_layouts import (
    COUNTERS,
    ETHERNET_HEADER,
    EXTENDED,
    HEADER,
    NETWORK_HEADERS,
    PORT_NAME,
    RAW_HEADER,
    SAMPLED,
    SAMPLES,
)
from collector.decode.sflow_records import (
    VARIABLE_DATA,
    parse,
    raw_octets,
    sampled_columns,
)
from collector.decode.streams import Sequenced
from collector.decode.tunnels import inner_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from collector.decode.block import Block
    from collector.decode.sflow_layouts import Sample

Computed = dict[str, "NDArray[Any] | Callable[[], NDArray[Any]]"]
_Described = tuple["NDArray[np.int64]", Computed]
"""Which samples, and columns of the packets that were sampled."""

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
        """Some of them; mostly they are all wanted, and nothing needs a copy."""
        if chosen.dtype == np.bool_ and chosen.all():
            return self
        return _Items(*(column[chosen] for column in self))


def decode(block: Block, rows: NDArray[np.int64]) -> tuple[list[Batch], list[Sequenced]]:
    """Decode the datagrams `rows`, of which it is known that they are sFlow version 5.

    Flow samples become one batch per format of sample, with the fields of the sample,
    `ingressInterface`, `egressInterface`, `frameLength`, and the sampled packet's header fields.
    Counter records become one batch per format of record, and so do the flow records that the
    packet's header does not say (kind "extended"; `sampleOffset` is where their sample begins).
    Samples of tunnels have the packet inside as `inner…` columns. Records that are not known are
    kept as `octets`, and counted.
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
        self.extended = block.extended
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
        walked = kernel.items(self.octets.buffer, at, end, count)
        if walked is not None:
            return _Items(*walked)
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
            # XDR fills up to four octets (RFC 4506 section 3); behind the last item they may lack.
            at, count = np.minimum(at + (length + 3 & ~3), end[owner]), count - 1
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
        head.read_together(("records", "samplingInterval"))
        body, counts = items.at + head_octets, head["records"].astype(np.int64)
        records = self._walk("record", rows, body, items.end, counts)
        if sample.kind == "counters":
            self._count_unknown(records, COUNTERS, "counter record")
            return self._counters(sample, items, records)
        return self._flow_samples(number, sample, head, items, records)

    def _flow_samples(
        self, number: int, sample: Sample, head: Columns, items: _Items, records: _Items
    ) -> list[Batch]:
        """Decode flow samples with the header of the packet that was sampled."""
        self._count_unknown(records, _FLOW_RECORDS, "flow record")
        batches = []
        for owner, described in self._packets(items, records):
            here, fields = items, head
            if len(owner) < len(items.owner):
                here = items.take(owner)
                fields = Columns(sample.layout, self.octets, here.at[:, None])
            computed: Computed = {**_interfaces(fields, expanded=sample.expanded), **described}
            batches.append(self._batch("flow sample", number, fields.beside(computed), here))
        return batches + (self._extended(items, records) if self.extended else [])

    def _packets(self, items: _Items, records: _Items) -> list[_Described]:
        """What the records of flow samples say of the packets: of which samples, in columns.

        One packet is one sample: the first header counts, else what the agent says of the IP
        packet, else of the frame.
        """
        found = self._headers(items, _first(records.take(records.format == RAW_HEADER)))
        done = np.zeros(len(items.owner), np.bool_)
        done[records.owner[records.format == RAW_HEADER]] = True
        for number in (3, 4, 2):
            sampled = _first(records.take((records.format == number) & ~done[records.owner]))
            done[sampled.owner] = True
            minimum = SAMPLED[number].minimum_octets
            left = sampled.end - sampled.at
            short = left < minimum
            rows, reason = self.agents.rows[items.owner[sampled.owner]], "sampled packet cut short"
            self.faults.add(rows, sampled.at, minimum, left, reason, where=short)
            sampled = sampled.take(~short)
            if len(sampled.owner):
                columns = sampled_columns(self.octets, number, sampled.at)
                found.append((sampled.owner, {**columns}))
        nothing = int((~done).sum())
        if nothing:
            self.unknown["sFlow flow sample without a sampled packet"] += nothing
        return found

    def _headers(self, items: _Items, raw: _Items) -> list[_Described]:
        """Take the sampled headers apart, those with and those without Ethernet."""
        left, prefix = raw.end - raw.at, HEADER.minimum_octets
        rows = self.agents.rows[items.owner[raw.owner]]
        short = left < prefix
        reason = "sampled header without its description"
        self.faults.add(rows, raw.at, prefix, left, reason, where=short)
        raw, rows, left = raw.take(~short), rows[~short], left[~short]
        described = Columns(HEADER, self.octets, raw.at[:, None])
        described.read_together(described.layout.places)
        length = described["headerLength"].astype(np.int64)
        there = length + prefix <= left
        reason = "sampled header cut short"
        self.faults.add(rows, raw.at, length + prefix, left, reason, where=~there)
        protocol = described["headerProtocol"]
        ethernet = (protocol == ETHERNET_HEADER) & there
        network = np.isin(protocol, list(NETWORK_HEADERS)) & there
        others = int((there & ~ethernet & ~network).sum())
        if others:
            self.unknown["sFlow flow sample with a header of another protocol"] += others
        found: list[_Described] = []
        for which in (ethernet, network):
            chosen = np.flatnonzero(which)
            if not len(chosen):
                continue
            at, size = raw.at[chosen] + prefix, length[chosen]
            if which is ethernet:
                packets = dissect(self.octets, at, size)
            else:
                kinds = [NETWORK_HEADERS[int(number)] for number in protocol[chosen]]
                packets = dissect_network(self.octets, at, size, np.array(kinds, np.uint16))
            lengths = {name: described[name] for name in ("frameLength", "stripped")}
            if len(chosen) < len(raw.at):
                lengths = {name: column[chosen] for name, column in lengths.items()}
            inner = inner_columns(self.octets, packets, at + size)
            found.append((raw.owner[chosen], {**lengths, **packet_columns(packets), **inner}))
        return found

    def _extended(self, items: _Items, records: _Items) -> list[Batch]:
        """Decode the flow records that say more than the packet's header."""
        batches = []
        records = records.take(~np.isin(records.format, [RAW_HEADER, *SAMPLED]))
        for chosen in split(records.format):
            some = records.take(chosen)
            number = int(some.format[0])
            parsed = parse(self.octets, number, some.at, some.end)
            rows = self.agents.rows[items.owner[some.owner]]
            left = some.end - some.at
            reason = "flow record cut short"
            self.faults.add(rows, some.at, left + 1, left, reason, where=~parsed.whole)
            some, rows = some.take(parsed.whole), rows[parsed.whole]
            if not len(some.owner):
                continue
            sample_at = items.at[some.owner] - _ITEM_HEAD_OCTETS
            offset = sample_at - self.datagrams.offset[rows]
            columns = Columns(
                _NO_FIELDS,
                self.octets,
                some.at[:, None],
                {"sampleOffset": offset, **parsed.columns},
            )
            placed = _Items(items.owner[some.owner], some.format, some.at, some.end)
            batches.append(self._batch("extended", number, columns, placed))
        return batches

    def _counters(self, sample: Sample, items: _Items, records: _Items) -> list[Batch]:
        """Decode counter records, those of one format together."""
        batches = []
        for chosen in split(records.format):
            number = int(records.format[chosen[0]])
            layout = COUNTERS.get(number, _NO_FIELDS)
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
            some = self._named_ports(items, some) if number == PORT_NAME else some
            if len(some.owner):
                whose = Columns(sample.layout, self.octets, items.at[some.owner][:, None])
                source: Computed = {**_source(whose, expanded=sample.expanded)}
                if number == PORT_NAME:
                    name_end = some.at + 4 + self.octets.u32(some.at)
                    source["interfaceName"] = raw_octets(self.octets, some.at + 4, name_end)
                elif number not in COUNTERS:
                    source["octets"] = partial(raw_octets, self.octets, some.at, some.end)
                columns = Columns(layout, self.octets, some.at[:, None], source)
                placed = _Items(items.owner[some.owner], some.format, some.at, some.end)
                batches.append(self._batch("counters", number, columns, placed))
        return batches

    def _named_ports(self, items: _Items, records: _Items) -> _Items:
        """Those port names that are whole."""
        length = self.octets.u32(records.at).astype(np.int64) + 4
        left = records.end - records.at
        rows, reason = self.agents.rows[items.owner[records.owner]], "counter record cut short"
        self.faults.add(rows, records.at, length, left, reason, where=length > left)
        return records.take(length <= left)

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


_FLOW_RECORDS: Final = (RAW_HEADER, *SAMPLED, *EXTENDED, *VARIABLE_DATA)
"""Known flow records."""
_NO_FIELDS: Final = Layout(())
"""Of records whose columns are all computed."""


def _first(records: _Items) -> _Items:
    """The first record of each sample."""
    return records.take(np.unique(records.owner, return_index=True)[1])


_SOURCE: Final = ("sourceIdType", "sourceIdIndex")


def _source(head: Columns, *, expanded: bool) -> Computed:
    """What was sampled: the data source of samples."""
    if expanded:
        return {name: partial(head.__getitem__, name) for name in _SOURCE}
    return {
        "sourceIdType": lambda: head["sourceId"] >> 24,
        "sourceIdIndex": lambda: head["sourceId"] & 0xFF_FFFF,
    }


def _interfaces(head: Columns, *, expanded: bool) -> Computed:
    """Data source and interfaces of samples.

    The format of an interface (upper 2 bits) says what the value is: 0 ifIndex, 1 reason of a drop,
    2 number of interfaces (0: several, unknown how many).
    """
    columns = _source(head, expanded=expanded)
    for name, field in (("ingressInterface", "input"), ("egressInterface", "output")):
        if expanded:
            columns[name] = partial(head.__getitem__, f"{field}Value")
            columns[f"{name}Format"] = partial(head.__getitem__, f"{field}Format")
        else:
            columns[name] = partial(_lower_30_bits, head, field)
            columns[f"{name}Format"] = partial(_upper_2_bits, head, field)
    return columns


def _lower_30_bits(head: Columns, field: str) -> NDArray[Any]:
    return head[field] & 0x3FFF_FFFF


def _upper_2_bits(head: Columns, field: str) -> NDArray[Any]:
    return head[field] >> 30
