"""NetFlow v9 packets (RFC 3954 section 5.1): the other way of `collector.decode.netflow9`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from collector import headers
from collector.decode.habits import STANDARD
from collector.decode.netflow9 import VERSION
from collector.encode.division import AS_FITS
from collector.encode.pieces import Joined, render
from collector.encode.records import pack
from collector.encode.session import ROOM, WRAP, Sent, of_items, running
from collector.encode.sets import in_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from collector.decode.habits import Habits
    from collector.encode.division import Division
    from collector.encode.session import Session
    from collector.encode.sets import Items


def packets(
    parts: Sequence[Items],
    session: Session,
    export_time_ns: NDArray[np.int64] | int,
    *,
    order: NDArray[np.integer] | None = None,
    fresh: NDArray[np.bool_] | None = None,
    division: Division = AS_FITS,
    align: int = 4,
    habits: Habits = STANDARD,
) -> tuple[Sent, Session]:
    """Packets with these items; the sequence number counts packets, or what the habits say.

    Args:
        parts: items of several kinds, see `collector.encode.sets`; templates of version 9.
        session: the source id, when the uptime was 0, and the number of its next packet.
        export_time_ns: of every item, or of all, since 1970; a packet has that of its last item, in
        whole seconds, and its uptime in milliseconds.
        order: item n is the next one of part `order[n]`; None: one part behind the other.
        fresh: whether an item begins a packet in any case.
        division: how much is in a packet.
        align: sets are padded to multiples of so many octets, unless padding could be a record.
        habits: what the exporter does differently.

    Raises:
        NotEncodableError: an item is longer than a datagram can be.
    """
    header_octets = headers.NETFLOW9.minimum_octets
    body = in_messages(
        parts, order, division, header_octets=header_octets, align=align, fresh=fresh
    )
    times = of_items(export_time_ns, body.first + body.items - 1)
    in_records = habits.netflow9_sequence == "data records"
    units = body.records if in_records else np.ones(len(times), np.int64)
    sequence, following = running(session.sequence, units)
    header = {
        "version": VERSION,
        "count": body.items,
        "sysUptime": (times // 1_000_000 - session.boot_ms) % WRAP,
        "unix_secs": times // 1_000_000_000 % WRAP,
        "sequenceNumber": sequence,
        "source_id": session.domain,
    }
    rendered = render(Joined([pack(headers.NETFLOW9, header), body.pieces]), ROOM)
    return Sent(*rendered, body.records, times, ROOM), replace(session, sequence=following)
