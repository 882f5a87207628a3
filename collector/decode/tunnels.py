"""Packets inside packets: what GRE, VXLAN and IP in IP carry.

Sources: RFC 2784 and 2890 (GRE), RFC 7348 (VXLAN), RFC 2003 and 2473 (IP in IP).
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode.packet import (
    IPV4,
    IPV6,
    TRANSPORT,
    UDP,
    Packets,
    dissect,
    dissect_network,
)
from collector.decode.packet_columns import packet_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from collector.decode.octets import Octets

GRE: Final = 47
VXLAN_PORT: Final = 4_789
_IN_IP: Final = {4: IPV4, 41: IPV6}
_TRANSPARENT_ETHERNET: Final = 0x6558
_VXLAN_OCTETS: Final = 8


class Inner(NamedTuple):
    """The packets inside some packets."""

    rows: NDArray[np.int64]
    """Which of the outer packets have one, ascending."""
    packets: Packets
    """They, taken apart."""
    layer2_segment_id: NDArray[np.int64]
    """layer2SegmentId: VXLAN's VNI or GRE's key; 0 without one."""


def dissect_inner(octets: Octets, outer: Packets, end: NDArray[np.int64]) -> Inner:
    """Take apart what the packets carry that tunnel others; one level of tunnels.

    Args:
        octets: the buffer they are in.
        outer: the packets, taken apart.
        end: where what was captured of each ends.
    """
    count = len(end)
    at = np.zeros(count, np.int64)
    kind = np.zeros(count, np.uint16)
    segment = np.zeros(count, np.int64)
    for protocol, ethernet_type in _IN_IP.items():
        rows = np.flatnonzero((outer.protocol == protocol) & (outer.transport > 0))
        at[rows], kind[rows] = outer.transport[rows], ethernet_type
    _gre(octets, outer, end, (at, kind, segment))
    vxlan = (outer.protocol == UDP) & (outer.depth == TRANSPORT) & (outer.payload > 0)
    vxlan &= (outer.destination_port == VXLAN_PORT) & (outer.payload + _VXLAN_OCTETS <= end)
    rows = np.flatnonzero(vxlan)
    at[rows], kind[rows] = outer.payload[rows] + _VXLAN_OCTETS, _TRANSPARENT_ETHERNET
    segment[rows] = octets.u32(outer.payload[rows] + 4) >> 8
    ethernet = np.flatnonzero(kind == _TRANSPARENT_ETHERNET)
    ip = np.flatnonzero((kind == IPV4) | (kind == IPV6))
    rows = np.concatenate([ethernet, ip])
    packets = Packets.joined(
        [
            dissect(octets, at[ethernet], end[ethernet] - at[ethernet]),
            dissect_network(octets, at[ip], end[ip] - at[ip], kind[ip]),
        ]
    )
    order = np.argsort(rows, kind="stable")
    return Inner(rows[order], packets.take(order), segment[rows[order]])


def _gre(
    octets: Octets,
    outer: Packets,
    end: NDArray[np.int64],
    found: tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.int64]],
) -> None:
    """Step over GRE headers of version 0; fill in place, type and key of what follows."""
    at, kind, segment = found
    rows = np.flatnonzero(
        (outer.protocol == GRE) & (outer.transport > 0) & (outer.transport + 4 <= end)
    )
    start = outer.transport[rows]
    flags = octets.u16(start)
    checksum, key, sequence = ((flags >> bit & 1).astype(np.int64) for bit in (15, 13, 12))
    behind = start + 4 + 4 * (checksum + key + sequence)
    # No routing (RFC 1701), version 0.
    sound = (flags & 0x4007 == 0) & (behind <= end[rows])
    rows, start, behind = rows[sound], start[sound], behind[sound]
    at[rows], kind[rows] = behind, octets.u16(start + 2)
    keyed = key[sound] == 1
    segment[rows[keyed]] = octets.u32((start + 4 + 4 * checksum[sound])[keyed])


def inner_columns(
    octets: Octets, outer: Packets, end: NDArray[np.int64]
) -> dict[str, Callable[[], NDArray[Any]]]:
    """Columns of what packets carry, named `inner…`, and `layer2SegmentId`; 0 where there is none.

    Nothing is taken apart before the first of them is asked for. If no packet can be a tunnel's,
    there are no columns.
    """
    tunnelled = np.isin(outer.protocol, [*_IN_IP, GRE]) & (outer.transport > 0)
    tunnelled |= (outer.protocol == UDP) & (outer.destination_port == VXLAN_PORT)
    if not tunnelled.any():
        return {}
    dissected = cache(lambda: dissect_inner(octets, outer, end))

    def column(name: str) -> NDArray[Any]:
        inner = dissected()
        values = packet_columns(inner.packets)[name] if name else inner.layer2_segment_id
        spread = np.zeros((len(end), *values.shape[1:]), values.dtype)
        spread[inner.rows] = values
        return spread

    names = packet_columns(Packets.undissected(0))
    named = {f"inner{name[:1].upper()}{name[1:]}": partial(column, name) for name in names}
    return {**named, "layer2SegmentId": partial(column, "")}
