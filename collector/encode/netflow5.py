"""NetFlow version 5 datagrams: the other way of `collector.decode.netflow5`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import headers
from collector.decode.habits import STANDARD
from collector.decode.netflow5 import VERSION, layout
from collector.encode.division import Division, divide
from collector.encode.pieces import Grouped, Joined, render
from collector.encode.records import pack, rows_of
from collector.encode.session import ROOM, WRAP, Sent, of_items, running
from collector.encode.times import uptime_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from collector.decode.habits import Habits
    from collector.encode.session import Session

FULL: Final = Division(most_records=30)
"""A datagram, as the format's text says."""


def datagrams(
    columns: Mapping[str, Any],
    session: Session,
    export_time_ns: NDArray[np.int64] | int,
    *,
    fresh: NDArray[np.bool_] | None = None,
    division: Division = FULL,
    sampling_interval: int = 0,
    sampling_algorithm: int = 0,
    habits: Habits = STANDARD,
) -> tuple[Sent, Session]:
    """Datagrams with these records; the sequence number counts records.

    Args:
        columns: fields of the format's layout; those that are not there are 0. For the uptimes
        there may be `flowStartMilliseconds` and `flowEndMilliseconds`, since 1970.
        session: the engine, when the uptime was 0, and the number of its next record.
        export_time_ns: of every record, or of all, since 1970; a datagram has that of its last one.
        fresh: whether a record begins a datagram in any case.
        division: how much is in a datagram.
        sampling_interval: one packet in how many is counted (14 bits); 0: all.
        sampling_algorithm: how they are chosen: 1 every n-th, 2 at random; 0 not said.
        habits: what the exporter does differently.

    Raises:
        NotEncodableError: a value does not fit its field.
    """
    count = rows_of(columns)
    given = dict(columns)
    for end in ("flowStart", "flowEnd"):
        if f"{end}SysUpTime" not in given and f"{end}Milliseconds" in given:
            given[f"{end}SysUpTime"] = uptime_ms(given[f"{end}Milliseconds"], session.boot_ms)
    nothing = {name: 0 for name in layout().places if not name.startswith("padding")}
    records = pack(layout(), nothing | given, count)
    header_octets = headers.NETFLOW5.minimum_octets
    counted = np.ones(count, np.bool_)
    first = divide(division, records.length, records.length + header_octets, counted, fresh)
    counts = np.diff(np.append(first, count))
    times = of_items(export_time_ns, first + counts - 1)
    sequence, following = running(session.sequence, counts)
    if habits.netflow5_sequence == "last record":
        sequence = (sequence + counts - 1) % WRAP
    header = {
        "version": VERSION,
        "count": counts,
        "sysUptime": (times // 1_000_000 - session.boot_ms) % WRAP,
        "unix_secs": times // 1_000_000_000 % WRAP,
        "unix_nsecs": times % 1_000_000_000,
        "flow_sequence": sequence,
        "engine_type": session.domain >> 8,
        "engine_id": session.domain & 0xFF,
        "sampling": sampling_algorithm << 14 | sampling_interval,
    }
    packed = Joined([pack(headers.NETFLOW5, header), Grouped(records, counts)])
    return Sent(*render(packed, ROOM), counts, times, ROOM), replace(session, sequence=following)
