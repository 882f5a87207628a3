"""What is where in a sampled Ethernet frame: only as much as predictions about peers need."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAGS: Final = (0x8100, 0x88A8)
_IPV4, _IPV6 = 0x0800, 0x86DD
_ICMP, _ICMPV6 = 1, 58
_ERRORS: Final[Mapping[int, frozenset[int]]] = {
    _ICMP: frozenset({3, 4, 5, 11, 12}),
    _ICMPV6: frozenset({1, 2, 3, 4}),
}
"""Types of ICMP messages that quote a packet (RFC 792, RFC 4443)."""
_QUOTED_AT: Final = 8
_WITH_PORTS: Final = (6, 17, 132)
_EXTENSIONS: Final = (0, 43, 44, 51, 60)
_IPV6_OCTETS: Final = 40


def u16(octets: bytes, at: int) -> int:
    """Two octets as a number."""
    return int.from_bytes(octets[at : at + 2], "big")


def network(frame: bytes) -> bytes:
    """The IP packet in a frame, behind VLAN tags; empty if there is none."""
    at = 12
    while u16(frame, at) in _TAGS:
        at += 4
    return frame[at + 2 :] if u16(frame, at) in (_IPV4, _IPV6) else b""


def icmp(packet: bytes) -> bytes:
    """The ICMP message in an IP packet without extension headers; empty if there is none."""
    if packet[:1] and packet[0] >> 4 == 4 and packet[9] == _ICMP and not u16(packet, 6) & 0x1FFF:
        return packet[4 * (packet[0] & 0xF) :]
    if packet[:1] and packet[0] >> 4 == 6 and packet[6] == _ICMPV6:
        return packet[_IPV6_OCTETS:]
    return b""


def quoted(packet: bytes) -> bytes:
    """The packet that an ICMP error quotes; empty if it is none."""
    message = icmp(packet)
    kinds = _ERRORS[_ICMP if packet[:1] and packet[0] >> 4 == 4 else _ICMPV6]
    return message[_QUOTED_AT:] if message and message[0] in kinds else b""


def described(packet: bytes) -> dict[str, Any]:
    """An IP packet without extension headers in the names of IANA."""
    six = packet[0] >> 4 == 6
    size, at, protocol = (16, 8, packet[6]) if six else (4, 12, packet[9])
    version, header = (6, _IPV6_OCTETS) if six else (4, 4 * (packet[0] & 0xF))
    row: dict[str, Any] = {
        "ipVersion": version,
        f"sourceIPv{version}Address": str(ip_address(packet[at : at + size])),
        f"destinationIPv{version}Address": str(ip_address(packet[at + size : at + 2 * size])),
        "ipTotalLength": u16(packet, 4) + _IPV6_OCTETS if six else u16(packet, 2),
        "protocolIdentifier": protocol,
    }
    if protocol in _WITH_PORTS:
        row["sourceTransportPort"] = u16(packet, header)
        row["destinationTransportPort"] = u16(packet, header + 2)
    return row


def has_extensions(packet: bytes) -> bool:
    """Whether it is an IPv6 packet with extension headers."""
    return bool(packet) and packet[0] >> 4 == 6 and packet[6] in _EXTENSIONS


def two_octets_early(packet: bytes) -> tuple[int, int, int]:
    """Protocol and ports as who steps two octets too short over each IPv6 extension header.

    What is not found is 0.
    """
    kind, at = packet[6], _IPV6_OCTETS
    while kind in _EXTENSIONS:
        kind, length = packet[at], packet[at + 1]
        at += 8 * (length + 1) - 2
        if at > len(packet) - 2:
            return 0, 0, 0
    if kind in _WITH_PORTS[:2] and at <= len(packet) - 8:
        return kind, u16(packet, at), u16(packet, at + 2)
    return kind, 0, 0
