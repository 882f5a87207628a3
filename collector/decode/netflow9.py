"""NetFlow version 9 export packets (RFC 3954 section 5.1).

    packet   version 2, count 2, sysUptime 4 (ms), unix_secs 4, sequence number 4, source id 4,
             FlowSets

The FlowSets are IPFIX's sets but for the ids of template sets and the options templates; the source
id is an observation domain. The header has no length: the datagram's end is the packet's. Its count
of records is not used: exporters count FlowSets, or records without templates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from collector.decode.sets import Messages, SetDecoder
from collector.decode.streams import Sequenced
from collector.decode.templates import NETFLOW9

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.batch import Batch
    from collector.decode.block import Block

VERSION: Final = NETFLOW9
_HEADER: Final = np.dtype(
    [
        ("version", ">u2"),
        ("count", ">u2"),
        ("uptime", ">u4"),
        ("time", ">u4"),
        ("sequence", ">u4"),
        ("domain", ">u4"),
    ]
)
HEADER_OCTETS: Final = _HEADER.itemsize


def decode(block: Block, rows: NDArray[np.int64]) -> tuple[list[Batch], list[Sequenced]]:
    """Decode the datagrams `rows`, of which it is known that they are of version 9.

    Records that tell their times as uptimes get `flowStartMilliseconds` and `flowEndMilliseconds`,
    computed from the header's two clocks.
    """
    messages = _read_headers(block, rows)
    if not len(messages.row):
        return [], []
    decoder = SetDecoder(block, VERSION, messages, HEADER_OCTETS)
    batches = decoder.decode()
    in_records = block.habits.netflow9_sequence == "data records"
    per_exporter = block.habits.netflow9_sequence_runs == "per exporter"
    sequenced = Sequenced(
        protocol="netflow9",
        unit="data records" if in_records else "datagrams",
        rows=messages.row,
        first=messages.sequence,
        units=decoder.units if in_records else np.ones(len(messages.row), np.int64),
        observation_domain=None if per_exporter else messages.domain,
    )
    return batches, [sequenced]


def _read_headers(block: Block, rows: NDArray[np.int64]) -> Messages:
    """Read the headers of the packets."""
    octets, faults, datagrams = block.octets, block.faults, block.datagrams
    start, available = datagrams.offset[rows], datagrams.length[rows]
    short = available < HEADER_OCTETS
    faults.add(rows, start, HEADER_OCTETS, available, "no NetFlow v9 header", where=short)
    rows, start, available = rows[~short], start[~short], available[~short]
    header = octets.numbers(start, _HEADER)
    return Messages(
        row=rows,
        datagram=rows + 1,
        start=start,
        end=start + available,
        complete=datagrams.missing[rows] == 0,
        source=datagrams.source[rows],
        socket=datagrams.source_port[rows].astype(np.int64),
        sequence=header["sequence"],
        domain=header["domain"],
        export_time_ns=header["time"] * 1_000_000_000,
        uptime_ms=header["uptime"],
        arrived_ns=datagrams.timestamp_ns[rows],
    )
