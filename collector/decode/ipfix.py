"""IPFIX messages (RFC 7011 section 3.1).

    message  version 2, length 2, export time 4 (s), sequence number 4, observation domain 4, sets

The sets are the business of `collector.decode.sets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from collector.decode.sets import Messages, SetDecoder
from collector.decode.streams import Sequenced
from collector.decode.templates import IPFIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.batch import Batch
    from collector.decode.block import Block

VERSION: Final = IPFIX
_HEADER: Final = np.dtype(
    [("version", ">u2"), ("length", ">u2"), ("time", ">u4"), ("sequence", ">u4"), ("domain", ">u4")]
)
HEADER_OCTETS: Final = _HEADER.itemsize


def decode(block: Block, rows: NDArray[np.int64]) -> tuple[list[Batch], list[Sequenced]]:
    """Decode the datagrams `rows`, of which it is known that they are of version 10."""
    messages = _read_headers(block, rows)
    if not len(messages.row):
        return [], []
    decoder = SetDecoder(block, VERSION, messages, HEADER_OCTETS)
    batches = decoder.decode()
    first = messages.sequence
    if block.habits.ipfix_sequence_counts != "what came before":
        first = first - np.maximum(decoder.units, 0)
    sequenced = Sequenced(
        protocol="ipfix",
        unit="data records",
        rows=messages.row,
        first=first,
        units=decoder.units,
        source_port=messages.socket,
        observation_domain=None if block.habits.ipfix_sequence == "per socket" else messages.domain,
    )
    return batches, [sequenced]


def _read_headers(block: Block, rows: NDArray[np.int64]) -> Messages:
    """Check the message headers."""
    octets, faults, datagrams = block.octets, block.faults, block.datagrams
    start, available = datagrams.offset[rows], datagrams.length[rows]
    short = available < HEADER_OCTETS
    faults.add(rows, start, HEADER_OCTETS, available, "no IPFIX message header", where=short)
    rows, start, available = rows[~short], start[~short], available[~short]
    header = octets.numbers(start, _HEADER)
    length = header["length"]
    for bad, reason in (
        (length < HEADER_OCTETS, "message length below the header's"),
        (length > available, "message longer than its datagram"),
        ((length < available) & (length >= HEADER_OCTETS), "octets behind the message"),
    ):
        faults.add(rows, start, length, available, reason, where=bad)
    return Messages(
        row=rows,
        datagram=rows + 1,
        start=start,
        end=start + np.clip(length, HEADER_OCTETS, available),
        complete=length == available,
        source=datagrams.source[rows],
        socket=datagrams.source_port[rows].astype(np.int64),
        sequence=header["sequence"],
        domain=header["domain"],
        export_time_ns=header["time"] * 1_000_000_000,
        uptime_ms=np.full(len(rows), -1, np.int64),
        arrived_ns=datagrams.timestamp_ns[rows],
    )
