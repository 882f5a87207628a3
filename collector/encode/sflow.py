"""sFlow version 5 datagrams: the other way of `collector.decode.sflow`.

Numbers are XDR (RFC 4506). A sample is given as a head and records; samples of several kinds are
cut into datagrams.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import headers
from collector.decode.address import IPV4_MAPPED, halves
from collector.decode.groups import split
from collector.decode.sflow import VERSION
from collector.decode.sflow_layouts import (
    COUNTERS,
    ETHERNET_HEADER,
    EXTENDED,
    HEADER,
    PORT_NAME,
    RAW_HEADER,
    SAMPLED,
    SAMPLES,
)
from collector.encode.division import Division, divide
from collector.encode.errors import NotEncodableError
from collector.encode.pieces import Grouped, Joined, Merged, Padded, Pieces, render, slices, up_to
from collector.encode.records import pack, rows_of
from collector.encode.session import ROOM, WRAP, Sent, of_items, running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FLOW, COUNTER, EXPANDED_FLOW, EXPANDED_COUNTER = 1, 2, 3, 4
"""Formats of samples."""
FULL: Final = Division(most_octets=1_400)
"""A datagram, as the format's text has it (section 4.1)."""
_XDR_OCTETS: Final = 4
_MOST_INTERFACE: Final = 0x3FFF_FFFF
_MOST_SOURCE: Final = 0xFF_FFFF


@dataclass(frozen=True, slots=True)
class Agent:
    """One sequence of datagrams, and those of its samples."""

    address: str = "192.0.2.1"
    sub_agent: int = 0
    sequence: int = 1
    """Of the next datagram."""
    boot_ms: int = 0
    """When the uptime was 0, in milliseconds since 1970."""
    counted: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """("flow sample" or "counters", data source) to the number of its last sample, and its pool."""


class Record(NamedTuple):
    """A record in every one of some samples."""

    format: int
    pieces: Pieces


class Samples(NamedTuple):
    """Samples of one format."""

    format: int
    pieces: Pieces


def raw_header(
    octets: Pieces, frame_octets: Any, *, stripped: int = 4, protocol: int = ETHERNET_HEADER
) -> Record:
    """The first octets of the packets that were sampled.

    Args:
        octets: of each packet; `collector.encode.packet` makes them.
        frame_octets: length of each packet's frame, with what was stripped (the FCS).
        stripped: octets taken off its end.
        protocol: what the octets begin with.
    """
    described = {
        "headerProtocol": protocol,
        "frameLength": frame_octets,
        "stripped": stripped,
        "headerLength": octets.length,
    }
    return Record(RAW_HEADER, Joined([pack(HEADER, described), _filled(octets)]))


def flow_record(number: int, columns: Mapping[str, Any], count: int | None = None) -> Record:
    """A record of fixed fields in flow samples: a sampled packet's (2 to 4), or extended data.

    Raises:
        NotEncodableError: it is of no such format, or a value does not fit its field.
    """
    return _record({**SAMPLED, **EXTENDED}, "flow record", number, columns, count)


def counter_record(number: int, columns: Mapping[str, Any], count: int | None = None) -> Record:
    """A record in counter samples.

    Raises:
        NotEncodableError: it is of no format that is known, or a value does not fit its field.
    """
    if number == PORT_NAME:
        names = slices(list(columns["interfaceName"]))
        length = pack(COUNTERS[number], {"portNameLength": names.length})
        return Record(number, Joined([length, _filled(names)]))
    return _record(COUNTERS, "counter record", number, columns, count)


def _record(
    layouts: Mapping[int, Any],
    noun: str,
    number: int,
    columns: Mapping[str, Any],
    count: int | None,
) -> Record:
    """A record of a layout."""
    if number not in layouts:
        message = f"sFlow has no {noun} 0/{number} of fixed fields"
        raise NotEncodableError(message)
    return Record(number, pack(layouts[number], columns, count))


def samples(number: int, columns: Mapping[str, Any], records: Sequence[Record]) -> Samples:
    """Samples of one format, each with these records.

    Args:
        number: format of the samples, 1 to 4.
        columns: sequenceNumber (see `numbered`), sourceIdType and sourceIdIndex; of flow samples
        also samplingInterval, samplePool, drops, and ingressInterface and egressInterface, each
        with its format in `…InterfaceFormat`. What is not there is 0.
        records: of each sample, in order.

    Raises:
        NotEncodableError: a value does not fit its field.
    """
    count = rows_of(columns)
    sample = SAMPLES[number]
    nothing = dict.fromkeys(sample.layout.places, 0)
    known = {name: columns[name] for name in nothing if name in columns}
    folded = _unfolded(columns) if sample.expanded else _folded(columns)
    head = pack(sample.layout, {**nothing, **known, **folded, "records": len(records)}, count)
    return Samples(number, Joined([head, *(_item(one.format, one.pieces) for one in records)]))


def numbered(
    agent: Agent, columns: Mapping[str, Any], *, kind: str = "flow sample"
) -> tuple[dict[str, Any], Agent]:
    """Number samples, and count their pools: per data source, in order.

    Args:
        agent: what was counted before.
        columns: of samples; sourceIdType, sourceIdIndex, and of flow samples samplingInterval, by
        which the pool grows.
        kind: "flow sample" or "counters".
    """
    count = rows_of(columns)
    source = _source(columns, count)
    interval = np.broadcast_to(columns.get("samplingInterval", 0), count).astype(np.int64)
    sequence, pool = np.zeros(count, np.int64), np.zeros(count, np.int64)
    counted = dict(agent.counted)
    for rows in split(source):
        key = kind, int(source[rows[0]])
        last, last_pool = counted.get(key, (0, 0))
        sequence[rows] = last + 1 + np.arange(len(rows))
        pool[rows] = last_pool + np.cumsum(interval[rows])
        counted[key] = int(sequence[rows[-1]]) % WRAP, int(pool[rows[-1]]) % WRAP
    numbers = {"sequenceNumber": sequence % WRAP, "samplePool": pool % WRAP}
    return {**columns, **numbers}, replace(agent, counted=counted)


def datagrams(
    parts: Sequence[Samples],
    agent: Agent,
    export_time_ns: NDArray[np.int64] | int,
    *,
    order: NDArray[np.integer] | None = None,
    fresh: NDArray[np.bool_] | None = None,
    division: Division = FULL,
) -> tuple[Sent, Agent]:
    """Datagrams with these samples.

    Args:
        parts: samples of several kinds.
        agent: who sends them.
        export_time_ns: of every sample, or of all, since 1970; a datagram has that of its last one.
        order: sample n is the next one of part `order[n]`; None: one part behind the other.
        fresh: whether a sample begins a datagram in any case.
        division: how much is in a datagram.

    Raises:
        NotEncodableError: a sample is longer than a datagram can be.
    """
    items = [_item(part.format, part.pieces) for part in parts]
    if order is None:
        order = np.repeat(np.arange(len(items)), [len(item.length) for item in items])
    merged = Merged(items, order)
    upper, lower = halves(agent.address)
    mapped = not upper and lower >> 32 == IPV4_MAPPED >> 32
    header = headers.SFLOW[1 if mapped else 2]
    counted = np.ones(len(order), np.bool_)
    first_octets = merged.length + header.minimum_octets
    first = divide(division, merged.length, first_octets, counted, fresh)
    counts = np.diff(np.append(first, len(order)))
    times = of_items(export_time_ns, first + counts - 1)
    sequence, following = running(agent.sequence, np.ones(len(first), np.int64))
    fields = {
        "version": VERSION,
        "addressType": 1 if mapped else 2,
        "agentIPv4Address": lower & 0xFFFF_FFFF,
        "agentIPv6Address": np.full((len(first), 2), (upper, lower), np.uint64),
        "subAgentId": agent.sub_agent,
        "sequenceNumber": sequence,
        "uptime": (times // 1_000_000 - agent.boot_ms) % WRAP,
        "samples": counts,
    }
    rendered = render(Joined([pack(header, fields), Grouped(merged, counts)]), ROOM)
    return Sent(*rendered, counts, times, ROOM), replace(agent, sequence=following)


def _item(number: int, content: Pieces) -> Pieces:
    """A sample or record: format and length in front, zeros behind."""
    head = pack(headers.SFLOW_ITEM, {"format": number, "length": content.length})
    return Joined([head, _filled(content)])


def _filled(content: Pieces) -> Pieces:
    """XDR fills up to four octets (RFC 4506 section 3)."""
    return Padded(content, up_to(content.length, _XDR_OCTETS))


def _source(columns: Mapping[str, Any], count: int) -> NDArray[np.int64]:
    """Data sources, type and index, as one number."""
    kind, index = (np.asarray(columns.get(f"sourceId{part}", 0)) for part in ("Type", "Index"))
    return np.broadcast_to(kind.astype(np.int64) << 32 | index.astype(np.int64), count)


def _interface(columns: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """Format and value of an interface."""
    form, value = columns.get(f"{name}InterfaceFormat", 0), columns.get(f"{name}Interface", 0)
    return np.asarray(form).astype(np.int64), np.asarray(value).astype(np.int64)


def _unfolded(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Interfaces as expanded samples have them."""
    fields: dict[str, Any] = {}
    for name, direction in (("input", "ingress"), ("output", "egress")):
        fields[f"{name}Format"], fields[f"{name}Value"] = _interface(columns, direction)
    return fields


def _folded(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Data source and interfaces as compact samples have them: two numbers in one."""
    kind, index = (np.asarray(columns.get(f"sourceId{part}", 0)) for part in ("Type", "Index"))
    _check("sourceIdIndex", index, _MOST_SOURCE)
    fields: dict[str, Any] = {"sourceId": kind.astype(np.int64) << 24 | index.astype(np.int64)}
    for name, direction in (("input", "ingress"), ("output", "egress")):
        form, value = _interface(columns, direction)
        _check(f"{direction}Interface", value, _MOST_INTERFACE)
        fields[name] = form << 30 | value
    return fields


def _check(name: str, values: NDArray[Any], most: int) -> None:
    """Refuse what only expanded samples can say."""
    if values.size and int(values.max()) > most:
        message = f"{name} is {int(values.max())}, and compact samples end at {most}"
        raise NotEncodableError(message)
