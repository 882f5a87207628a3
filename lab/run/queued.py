"""How much the links' bandwidth and delay hold back at this network namespace's ports.

Knows: rtnetlink(7). Asked between two packets, so it is no program that is started each time.
Sources: Linux, ``linux/rtnetlink.h`` and ``linux/gen_stats.h``.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

from lab.traffic.player import NOTHING_QUEUED, Queued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from topologies import Topology

_NETLINK_ROUTE: Final = 0
_GET_QDISC, _DONE, _ERROR = 38, 3, 2
_REQUEST_DUMP: Final = 0x301
_HEADER: Final = struct.Struct("=IHHII")
_TRAFFIC_CONTROL: Final = struct.Struct("=BxxxiIII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_KIND, _STATISTICS, _QUEUE = 1, 7, 3
_MOST_OCTETS: Final = 1 << 16
_BUCKET: Final = b"tbf\0"


def opened(topology: Topology) -> Callable[[], Queued]:
    """What tells how many packets wait, in the namespace that this is called in."""
    qualities = [link.quality for link in topology.links]
    if all(one.bandwidth_mbps is None and one.delay_ms is None for one in qualities):
        return lambda: NOTHING_QUEUED
    own = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    return lambda: _queued(own)


def _queued(own: socket.socket) -> Queued:
    own.send(
        _HEADER.pack(_HEADER.size + _TRAFFIC_CONTROL.size, _GET_QDISC, _REQUEST_DUMP, 0, 0)
        + _TRAFFIC_CONTROL.pack(0, 0, 0, 0, 0)
    )
    lengths = list(_lengths(own))
    buckets = [packets for kind, packets in lengths if kind == _BUCKET]
    return Queued(sum(packets for _, packets in lengths), max(buckets, default=0))


def _lengths(own: socket.socket) -> Iterator[tuple[bytes, int]]:
    """The kind of each queueing discipline, and how many packets wait there."""
    while True:
        answer = own.recv(_MOST_OCTETS)
        at = 0
        while at < len(answer):
            octets, kind, *_ = _HEADER.unpack_from(answer, at)
            if kind == _ERROR:
                raise OSError("the kernel does not tell what waits at the links")
            if kind == _DONE:
                return
            told = dict(
                _attributes(answer[at + _HEADER.size + _TRAFFIC_CONTROL.size : at + octets])
            )
            queue = dict(_attributes(told.get(_STATISTICS, b""))).get(_QUEUE, bytes(4))
            yield told.get(_KIND, b""), int(struct.unpack_from("=I", queue)[0])
            at += _aligned(octets)


def _attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        yield kind, octets[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _aligned(octets: int) -> int:
    """Netlink puts each part at a multiple of four."""
    return (octets + 3) & ~3
