"""IPFIX messages (RFC 7011 section 3.1): the other way of `collector.decode.ipfix`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from collector import headers
from collector.decode.ipfix import VERSION
from collector.encode.division import AS_FITS
from collector.encode.pieces import Joined, render
from collector.encode.records import pack
from collector.encode.session import ROOM, WRAP, Sent, of_items, running
from collector.encode.sets import in_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from collector.encode.division import Division
    from collector.encode.session import Session
    from collector.encode.sets import Items


def messages(
    parts: Sequence[Items],
    session: Session,
    export_time_ns: NDArray[np.int64] | int,
    *,
    order: NDArray[np.integer] | None = None,
    fresh: NDArray[np.bool_] | None = None,
    division: Division = AS_FITS,
    align: int = 1,
) -> tuple[Sent, Session]:
    """Messages with these items; the sequence number counts data records.

    Args:
        parts: items of several kinds, see `collector.encode.sets`.
        session: the observation domain, and the number of its next data record.
        export_time_ns: of every item, or of all, since 1970; a message has that of its last item,
        in whole seconds.
        order: item n is the next one of part `order[n]`; None: one part behind the other.
        fresh: whether an item begins a message in any case.
        division: how much is in a message.
        align: sets are padded to multiples of so many octets, unless padding could be a record.

    Raises:
        NotEncodableError: an item is longer than a datagram can be.
    """
    header_octets = headers.IPFIX.minimum_octets
    body = in_messages(
        parts, order, division, header_octets=header_octets, align=align, fresh=fresh
    )
    times = of_items(export_time_ns, body.first + body.items - 1)
    sequence, following = running(session.sequence, body.records)
    header = {
        "version": VERSION,
        "length": body.pieces.length + header_octets,
        "exportTime": times // 1_000_000_000 % WRAP,
        "sequenceNumber": sequence,
        "observationDomainId": session.domain,
    }
    rendered = render(Joined([pack(headers.IPFIX, header), body.pieces]), ROOM)
    return Sent(*rendered, body.records, times, ROOM), replace(session, sequence=following)
