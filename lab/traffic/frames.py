"""Frames in columns: headers for many packets at once, one row each.

Every function gives octets of shape (n, size); what a packet has behind them is zeros, up to the
length that its headers declare. Sources: IEEE 802.3 and 802.1Q, RFC 791 (IPv4), RFC 8200 (IPv6),
RFC 768 (UDP), RFC 9293 (TCP), RFC 1071 (checksums), RFC 826 (ARP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.key import TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Octets = NDArray[np.uint8]

IPV4, IPV6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
ETHERNET_OCTETS: Final = 14
IP_OCTETS: Final = {4: 20, 6: 40}
UDP_OCTETS: Final = 8
TCP_OCTETS: Final = 20
BROADCAST: Final = np.full(6, 0xFF, np.uint8)
_TTL: Final = 64
_TCP_WINDOW: Final = 64_240


def number(value: ArrayLike, octets: int) -> Octets:
    """Numbers as so many big-endian octets each, shape (n, octets)."""
    wide = np.atleast_1d(np.asarray(value, np.uint64)).astype(">u8")
    return wide.view(np.uint8).reshape(-1, 8)[:, 8 - octets :]


def text(octets: bytes) -> Octets:
    """The same octets for every packet, shape (1, size)."""
    return np.frombuffer(octets, np.uint8)[None]


def joined(*parts: Octets) -> Octets:
    """Headers one behind the other; a single row stands for all rows."""
    rows = max(len(part) for part in parts)
    whole = [np.broadcast_to(part, (rows, part.shape[1])) for part in parts]
    return np.ascontiguousarray(np.concatenate(whole, axis=1))


def ethernet(destination: Octets, source: Octets, kind: int, vlan: int | None = None) -> Octets:
    """Ethernet header; with a tag of IEEE 802.1Q if ``vlan`` is given."""
    tag = [] if vlan is None else [number(VLAN, 2), number(vlan, 2)]
    return joined(np.atleast_2d(destination), np.atleast_2d(source), *tag, number(kind, 2))


def ip(
    source: Octets,
    destination: Octets,
    protocol: int,
    payload_octets: ArrayLike,
    *,
    identification: ArrayLike = 0,
    fragment: ArrayLike = 0x4000,
    ttl: int = _TTL,
) -> Octets:
    """IP header, of the version that the addresses have.

    Args:
        source: shape (n, 4) or (n, 16).
        destination: likewise.
        protocol: what follows.
        payload_octets: behind this header.
        identification: IPv4's, which fragments share.
        fragment: IPv4's flags and fragment offset (in units of 8 octets); 0x4000: don't fragment.
        ttl: time to live, or hop limit.
    """
    payload = np.atleast_1d(np.asarray(payload_octets, np.uint64))
    if source.shape[-1] == 16:
        first = text(b"\x60\0\0\0")
        return joined(first, number(payload, 2), text(bytes([protocol, ttl])), source, destination)
    header = joined(
        text(b"\x45\0"),
        number(payload + 20, 2),
        number(identification, 2),
        number(fragment, 2),
        text(bytes([ttl, protocol, 0, 0])),
        source,
        destination,
    )
    header[:, 10:12] = number(~ones_sum(header) & 0xFFFF, 2)
    return header


def udp(
    source: Octets,
    destination: Octets,
    source_port: ArrayLike,
    destination_port: ArrayLike,
    payload_octets: ArrayLike,
    payload: Octets | None = None,
) -> Octets:
    """UDP header and what the payload begins with; its checksum is right if the rest is zeros."""
    octets = np.atleast_1d(np.asarray(payload_octets, np.uint64)) + UDP_OCTETS
    ports = (number(source_port, 2), number(destination_port, 2))
    begin = text(b"") if payload is None else payload
    datagram = joined(*ports, number(octets, 2), text(b"\0\0"), begin)
    checksum = checksummed(source, destination, UDP, octets, datagram)
    datagram[:, 6:8] = number(np.where(checksum == 0, 0xFFFF, checksum), 2)
    return datagram


def tcp(
    source: Octets,
    destination: Octets,
    source_port: ArrayLike,
    destination_port: ArrayLike,
    sequence: ArrayLike,
    flags: int,
) -> Octets:
    """TCP header without options and without anything behind it."""
    segment = joined(
        number(source_port, 2),
        number(destination_port, 2),
        number(sequence, 4),
        text(bytes([0, 0, 0, 0, TCP_OCTETS // 4 << 4, flags])),
        number(_TCP_WINDOW, 2),
        text(bytes(4)),
    )
    checksum = checksummed(source, destination, TCP, np.array([TCP_OCTETS]), segment)
    segment[:, 16:18] = number(checksum, 2)
    return segment


def checksummed(
    source: Octets, destination: Octets, protocol: int, octets: NDArray[Any], segment: Octets
) -> NDArray[np.int64]:
    """The checksum of segments whose own checksum field is 0, pseudo header included."""
    ends = ones_sum(joined(source, destination))
    total = ends + octets.astype(np.int64) + protocol + ones_sum(segment)
    return ~_folded(total) & 0xFFFF


def ones_sum(octets: Octets) -> NDArray[np.int64]:
    """The one's complement sum of each row's 16-bit words."""
    if octets.shape[1] % 2:
        octets = joined(octets, text(b"\0"))
    words = np.ascontiguousarray(octets).view(">u2")
    return _folded(words.sum(axis=1, dtype=np.int64))


def _folded(total: NDArray[np.int64]) -> NDArray[np.int64]:
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    return total
