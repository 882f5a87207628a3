"""NetFlow version 5: one fixed layout, no templates.

Source: Cisco, NetFlow Export Datagram Format, tables B-3 and B-4. A datagram is a header and up to
30 records:

    header  version 2, count 2, sysUptime 4 (ms), unix_secs 4, unix_nsecs 4, flow_sequence 4,
            engine_type 1, engine_id 1, sampling 2 (2 bits mode, 14 bits interval)
    record  48 octets, `layout`
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.decode.batch import Batch
from collector.decode.elements import element
from collector.decode.layout import Columns, Field, Layout
from collector.decode.streams import Sequenced
from collector.decode.times import uptime_times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.block import Block
    from collector.decode.layout import Computed, Located

VERSION: Final = 5
HEADER_OCTETS: Final = 24
RECORD_OCTETS: Final = 48

_FIELDS: Final = (
    (8, 4),  # srcaddr
    (12, 4),  # dstaddr
    (15, 4),  # nexthop
    (10, 2),  # input
    (14, 2),  # output
    (2, 4),  # dPkts
    (1, 4),  # dOctets
    (22, 4),  # First: sysUptime in ms at the flow's first packet
    (21, 4),  # Last: likewise at its last
    (7, 2),  # srcport
    (11, 2),  # dstport
    (210, 1),  # pad1
    (6, 1),  # tcp_flags
    (4, 1),  # prot
    (5, 1),  # tos
    (16, 2),  # src_as
    (17, 2),  # dst_as
    (9, 1),  # src_mask
    (13, 1),  # dst_mask
    (210, 2),  # pad2
)


_CLOCKS_WITHIN_MS: Final = 50
"""The two clocks in a header are not read at the same moment."""


@cache
def layout() -> Layout:
    """The layout of a record."""
    return Layout(tuple(Field(*element(0, number, width)[:2], width) for number, width in _FIELDS))


def decode(block: Block, rows: NDArray[np.int64]) -> tuple[list[Batch], list[Sequenced]]:
    """Decode the datagrams `rows`, of which it is known that they are of version 5.

    Besides the fields of the record a batch has `flowStartMilliseconds` and `flowEndMilliseconds`,
    computed from the header's two clocks (milliseconds since 1970), and of the header's sampling
    field `samplingInterval` (0: not sampled) and `samplingAlgorithm`, its mode (IANA's numbers: 1
    every n-th packet, 2 at random; 0 not said).
    """
    octets, datagrams, faults = block.octets, block.datagrams, block.faults
    start, length = datagrams.offset[rows], datagrams.length[rows]
    short = length < HEADER_OCTETS
    faults.add(rows, start, HEADER_OCTETS, length, "no NetFlow v5 header", where=short)
    rows, start, length = rows[~short], start[~short], length[~short]
    if not len(rows):
        return [], []
    count = octets.u16(start + 2).astype(np.int64)
    body, end = start + HEADER_OCTETS, start + length
    declared = body + count * RECORD_OCTETS
    records_end = body + np.minimum(count, (end - body) // RECORD_OCTETS) * RECORD_OCTETS
    left = end - records_end
    reason = "fewer records than the NetFlow v5 header counts"
    faults.add(rows, records_end, RECORD_OCTETS, left, reason, where=declared > end)
    faults.add(rows, declared, 0, left, "octets behind the last record", where=declared < end)
    located = layout().locate(octets, body, records_end)
    sequence = octets.u32(start + 16).astype(np.int64)
    if block.habits.netflow5_sequence == "last record":
        sequence = sequence - count + 1
    domain = octets.u16(start + 20).astype(np.int64)
    sequenced = Sequenced(
        protocol="netflow5",
        unit="data records",
        rows=rows,
        first=sequence,
        units=count,
        observation_domain=domain,
        booted_ms=octets.u32(start + 8).astype(np.int64) * 1000
        + octets.u32(start + 12) // 1_000_000
        - octets.u32(start + 4),
        within_ms=_CLOCKS_WITHIN_MS,
    )
    if not len(located.owner):
        return [], [sequenced]
    return [_batch(block, rows, located, domain)], [sequenced]


def _batch(
    block: Block, rows: NDArray[np.int64], located: Located, domain: NDArray[np.int64]
) -> Batch:
    """The records that were located in the datagrams `rows`."""
    octets, datagrams = block.octets, block.datagrams
    start, owner = datagrams.offset[rows], located.owner
    uptime_ms = octets.u32(start + 4).astype(np.int64)
    export_time_ns = octets.u32(start + 8).astype(np.int64) * 1_000_000_000
    export_time_ns = (export_time_ns + octets.u32(start + 12).astype(np.int64))[owner]
    sampling = octets.u16(start + 22).astype(np.int64)
    header: Computed = {
        "samplingInterval": lambda: (sampling & 0x3FFF)[owner],
        "samplingAlgorithm": lambda: (sampling >> 14)[owner],
    }
    times = uptime_times(layout(), export_time_ns, uptime_ms[owner])
    return Batch(
        protocol="netflow5",
        kind="data",
        template=np.full(len(owner), VERSION, np.int64),
        columns=Columns(layout(), octets, located.segments, header, times),
        datagram=rows[owner] + 1,
        offset=located.segments[:, 0] - start[owner],
        exporter=datagrams.source[rows[owner]],
        export_time_ns=export_time_ns,
        observation_domain=domain[owner],
    )
