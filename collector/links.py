"""Frames of a capture to packets, whatever link they were captured on.

Link types are those of draft-ietf-opsawg-pcaplinktype: Ethernet, Linux cooked v1 and v2, raw IP,
BSD loopback. Of other links nothing is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from collector.decode.packet import IPV4, IPV6, Packets, dissect, dissect_network
from collector.recording import ETHERNET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.octets import Octets

LINUX_COOKED: Final = 113
LINUX_COOKED_2: Final = 276
RAW_IP: Final = (12, 14, 101)
IPV4_ONLY: Final = 228
IPV6_ONLY: Final = 229
NULL: Final = 0
LOOP: Final = 108
_FAMILIES: Final = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}
"""AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD and macOS."""
_HEADERS: Final = {LINUX_COOKED: 16, LINUX_COOKED_2: 20, NULL: 4, LOOP: 4}
"""Octets in front of the network header."""


def dissect_frames(
    octets: Octets,
    start: NDArray[np.int64],
    captured: NDArray[np.int64],
    linktypes: NDArray[np.int64] | int,
) -> Packets:
    """Take frames apart that were captured on links of these types (one, or one per frame)."""
    if not len(start):
        return Packets.undissected(0)
    if isinstance(linktypes, int):
        return _of_one_link(octets, start, captured, linktypes)
    kinds = np.unique(linktypes).tolist()
    rows = [np.flatnonzero(linktypes == kind) for kind in kinds]
    parts = [
        _of_one_link(octets, start[chosen], captured[chosen], kind)
        for kind, chosen in zip(kinds, rows, strict=True)
    ]
    return Packets.joined(parts).take(np.argsort(np.concatenate(rows), kind="stable"))


def _of_one_link(
    octets: Octets, start: NDArray[np.int64], captured: NDArray[np.int64], linktype: int
) -> Packets:
    """Frames of one link."""
    if linktype == ETHERNET:
        return dissect(octets, start, captured)
    header = _HEADERS.get(linktype, 0)
    kind = np.zeros(len(start), np.uint16)
    # What is too short for its header and the first octet behind it has no type.
    there = np.flatnonzero(captured > header)
    at = start[there]
    if linktype == LINUX_COOKED:
        kind[there] = octets.u16(at + 14)
    elif linktype == LINUX_COOKED_2:
        kind[there] = octets.u16(at)
    elif linktype in (NULL, LOOP):
        kind[there] = _of_family(octets.u32(at))
    elif linktype in RAW_IP:
        version = octets.u8(at) >> 4
        kind[there] = np.where(version == 4, IPV4, np.where(version == 6, IPV6, 0))
    elif linktype in (IPV4_ONLY, IPV6_ONLY):
        kind[there] = IPV4 if linktype == IPV4_ONLY else IPV6
    else:
        return Packets.undissected(len(start))
    packets = dissect_network(octets, start + header, np.maximum(captured - header, 0), kind)
    packets.depth[captured <= header] = 0
    return packets


def _of_family(words: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """The EtherType of an address family, which is in the byte order of the host that captured."""
    kind = np.zeros(len(words), np.uint16)
    swapped = words.byteswap()
    for family, ethernet_type in _FAMILIES.items():
        kind[(words == family) | (swapped == family)] = ethernet_type
    return kind
