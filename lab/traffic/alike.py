"""Which frames everybody reads alike: the switch, the probes, and flowlab as the judge.

What is expected of packets is read from their octets by the collector's own dissector. It looks
further than Open vSwitch 3.1 does (``lib/flow.c``, ``miniflow_extract``, with one VLAN tag looked
behind), and is more patient with headers that are cut or contradict themselves. Where the two
differ an exporter would be blamed for what the switch does not see, so such frames are refused.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from collector.key import ICMP, ICMPV6, TCP, UDP

_ETHERNET_OCTETS: Final = 14
_TAG_OCTETS: Final = 4
_TAGS: Final = (0x8100, 0x88A8)
_FOREIGN_TAG: Final = 0x9100
_MPLS: Final = (0x8847, 0x8848)
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_FIRST_ETHERTYPE: Final = 0x0600
_IP_OCTETS: Final = {_IPV4: 20, _IPV6: 40}
_VERSION: Final = {_IPV4: 4, _IPV6: 6}
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_EXTENSIONS: Final = (0, 43, _FRAGMENT, _AUTHENTICATION, 60)
_MOST_EXTENSIONS: Final = 7
_SCTP: Final = 132
_SHORTEST: Final = {UDP: 8, TCP: 20, _SCTP: 12, ICMP: 8, ICMPV6: 8}
_NAMES: Final = {UDP: "UDP", TCP: "TCP", _SCTP: "SCTP", ICMP: "ICMP", ICMPV6: "ICMPv6"}
_WITHOUT_PORTS: Final = {33: "DCCP", 136: "UDP-Lite"}
_RESERVED: Final = frozenset(
    bytes.fromhex(address)
    for address in (
        *(f"0180c20000{last:02x}" for last in range(16)),  # spanning tree and the like, IEEE 802.1D
        *("00e02b000000", "00e02b000004", "00e02b000006"),  # the same of Extreme
        *("01000c000000", "01000ccccccc", "01000ccccccd", "01000ccdcdcd"),  # and of Cisco
        *(f"01000cccccc{last:x}" for last in range(8)),
    )
)
"""Open vSwitch drops what is for these addresses (``lib/packets.c``, ``eth_addr_is_reserved``)."""


class Odd(NamedTuple):
    """What is odd about a frame.

    Attributes:
        message: what was found.
        hint: what to do.
    """

    message: str
    hint: str


def odd(frame: bytes) -> Odd | None:
    """Why not everybody would read a frame alike, or not every switch get it; None: it is fine.

    Args:
        frame: without FCS.
    """
    if frame[:6] in _RESERVED:
        message = f"switches drop what is for {frame[:6].hex(':')}, they keep it for themselves"
        return Odd(message, "write another Ether.dst, as 01:00:5e:00:00:05")
    at = _ETHERNET_OCTETS
    kind = _number(frame, at - 2)
    if kind in _TAGS:
        at += _TAG_OCTETS
        kind = _number(frame, at - 2)
        if at > len(frame):
            return Odd("the frame ends within its VLAN tag", "write what is behind it")
        if kind in (*_TAGS, _FOREIGN_TAG):
            return Odd("the switch looks behind one VLAN tag only", "leave out the second one")
    return _odd_type(kind) or (_odd_packet(frame[at:], kind) if kind in _VERSION else None)


def _odd_type(kind: int) -> Odd | None:
    """The same of an EtherType that is no tag's."""
    if kind == _FOREIGN_TAG:
        return Odd("the switch takes 0x9100 for no VLAN tag", "leave out Ether.type")
    if kind in _MPLS:
        return Odd("the switch does not look behind MPLS labels", "put MPLS into a tunnel, as GRE")
    if kind < _FIRST_ETHERTYPE:
        message = f"the EtherType {kind} is a length, the switch looks for one behind it"
        return Odd(message, f"write {_FIRST_ETHERTYPE} or more")
    return None


def _odd_packet(packet: bytes, kind: int) -> Odd | None:
    """The same of an IP packet."""
    version, name = _VERSION[kind], "IP" if kind == _IPV4 else "IPv6"
    if len(packet) < _IP_OCTETS[kind]:
        return Odd(f"the {name} header has {len(packet)} octets", f"it has {_IP_OCTETS[kind]}")
    if packet[0] >> 4 != version:
        message = f"the EtherType says {name}, the version is {packet[0] >> 4}"
        return Odd(message, f"write version: {version}, or leave it out")
    if kind == _IPV4:
        return _odd_ipv4(packet)
    told = _number(packet, 4) + _IP_OCTETS[kind]
    if told != len(packet):
        message = f"IPv6.plen says {told - _IP_OCTETS[kind]} octets, there are "
        return Odd(f"{message}{len(packet) - _IP_OCTETS[kind]}", "leave out plen")
    return _odd_ipv6(packet)


def _odd_ipv4(packet: bytes) -> Odd | None:
    header, told = (packet[0] & 0x0F) * 4, _number(packet, 2)
    if not _IP_OCTETS[_IPV4] <= header <= len(packet):
        return Odd(f"IP.ihl says {header} octets of header", "leave out ihl")
    if told != len(packet):
        return Odd(f"IP.len says {told} octets, there are {len(packet)}", "leave out len")
    later = _number(packet, 6) & 0x1FFF
    return _odd_transport(packet[header:], packet[9], 4, later=bool(later))


def _odd_ipv6(packet: bytes) -> Odd | None:
    """Step over the extension headers."""
    protocol, at = packet[6], _IP_OCTETS[_IPV6]
    for _ in range(_MOST_EXTENSIONS + 1):
        if protocol not in _EXTENSIONS:
            return _odd_transport(packet[at:], protocol, 6, later=False)
        words = packet[at + 1] if at + 1 < len(packet) else 0
        size = (words + 2) * 4 if protocol == _AUTHENTICATION else (words + 1) * 8
        size = 8 if protocol == _FRAGMENT else size
        if at + size > len(packet):
            break
        if protocol == _FRAGMENT and _number(packet, at + 2) & 0xFFF8:
            return _odd_transport(packet[at + size :], packet[at], 6, later=True)
        protocol, at = packet[at], at + size
    else:
        message = f"nobody looks behind more than {_MOST_EXTENSIONS} extension headers"
        return Odd(message, "leave some out")
    return Odd("the packet ends within an extension header", "write what is behind it")


def _odd_transport(segment: bytes, protocol: int, version: int, *, later: bool) -> Odd | None:
    """The same of what is behind IP.

    Args:
        segment: all of it.
        protocol: what it is.
        version: of IP.
        later: whether it is a fragment, but not the first.
    """
    if protocol in _WITHOUT_PORTS:
        message = f"the switch knows no ports of protocol {protocol} ({_WITHOUT_PORTS[protocol]})"
        return Odd(message, "choose UDP, TCP or SCTP")
    if protocol == {4: ICMPV6, 6: ICMP}[version]:
        message = f"{_NAMES[protocol]} is not for IPv{version}"
        return Odd(message, f"choose {_NAMES[ICMP if version == 4 else ICMPV6]}")
    return None if later or protocol not in _SHORTEST else _odd_header(segment, protocol)


def _odd_header(segment: bytes, protocol: int) -> Odd | None:
    """The same of a header that begins there."""
    name, shortest = _NAMES[protocol], _SHORTEST[protocol]
    if len(segment) < shortest:
        message = f"{len(segment)} octets are too few for {name}, the switch does not look into it"
        return Odd(message, f"a header of {name} has {shortest}")
    if protocol == UDP and not _number(segment, 2):
        message = "UDP port 0 is nobody's: the host answers with an ICMP error"
        return Odd(message, "write a dport from 1 on")
    if protocol == TCP and not shortest <= (segment[12] >> 4) * 4 <= len(segment):
        message = f"TCP.dataofs says {(segment[12] >> 4) * 4} octets of header"
        return Odd(message, "leave out dataofs")
    return None


def _number(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "big")
