"""Packets to columns: Ethernet frames, captured or sampled, taken apart together.

One column per header field, one row per frame. A header that is cut short, or that contradicts
itself, ends the dissection of its frame there: `depth` says how far it went, and columns of what
was not reached are 0. Sources: IEEE 802.3 and 802.1Q, RFC 3032 (MPLS), RFC 791 (IPv4), RFC 8200
(IPv6 and its extension headers), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and 4443 (ICMP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collector import kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from collector.decode.octets import Octets

IPV4, IPV6 = 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NOTHING, ETHERNET, NETWORK, TRANSPORT = range(4)
"""Depths: nothing; the Ethernet header; the IP header; the ports (ICMP: type and code) too."""

MPLS = np.array([0x8847, 0x8848], np.uint16)
_MAX_LABELS = 8
_LABEL_OCTETS = 4
_VLAN_TAGS = np.array([0x8100, 0x88A8, 0x9100], np.uint16)
_NOWHERE = -1
_MAX_VLAN_TAGS = 4
WITH_PORTS = np.array([TCP, UDP, 33, 132, 136], np.uint8)
"""TCP, UDP, DCCP, SCTP, UDP-Lite: they begin with two port numbers."""
_ETHERNET_OCTETS, _IPV4_OCTETS, _IPV6_OCTETS, _TCP_OCTETS = 14, 20, 40, 20
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = np.array([_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION], np.uint8)
_MAX_EXTENSIONS = 8


@dataclass(frozen=True, slots=True)
class Packets:
    """Frames taken apart; every column has one value per frame."""

    depth: NDArray[np.uint8]
    """NOTHING, ETHERNET, NETWORK or TRANSPORT."""
    source_mac: NDArray[np.uint64]
    destination_mac: NDArray[np.uint64]
    ethernet_type: NDArray[np.uint16]
    """Of the payload, behind VLAN tags and, before an IP packet, MPLS labels."""
    vlan_id: NDArray[np.uint16]
    """Of the outermost tag; 0 without one."""
    ip_version: NDArray[np.uint8]
    """4, 6, or 0 where no IP header was read."""
    source: NDArray[np.uint64]
    """Address column, shape (n, 2)."""
    destination: NDArray[np.uint64]
    """Address column, shape (n, 2)."""
    protocol: NDArray[np.uint8]
    """protocolIdentifier: of IPv6, the header behind the extension headers."""
    source_port: NDArray[np.uint16]
    """0 for protocols without ports and for later fragments."""
    destination_port: NDArray[np.uint16]
    """Likewise; for ICMP type << 8 | code."""
    tcp_flags: NDArray[np.uint16]
    """tcpControlBits, 12 bits."""
    tcp_sequence: NDArray[np.uint32]
    has_tcp: NDArray[np.bool_]
    """The TCP header was there: its columns are true."""
    fragment: NDArray[np.bool_]
    """One of several IP fragments, the first included."""
    ip_octets: NDArray[np.int64]
    """Length of the IP packet with its header, as the header declares it."""
    network: NDArray[np.int64]
    """Where the IP header begins (index into the buffer); only with `ip_version`."""
    transport: NDArray[np.int64]
    """Where the header behind IP begins (index into the buffer); 0: nowhere."""
    payload: NDArray[np.int64]
    """Where the transport payload of TCP and UDP begins (index into the buffer)."""
    payload_octets: NDArray[np.int64]
    """Its length, as the headers declare it: perhaps longer than what was captured."""

    def take(self, rows: NDArray[np.int64]) -> Packets:
        """Some of them, in the order of `rows`."""
        return Packets(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def put(self, rows: NDArray[np.int64], packets: Packets) -> None:
        """Replace some rows by those of `packets`."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[rows] = getattr(packets, name)

    @classmethod
    def joined(cls, parts: Sequence[Packets]) -> Packets:
        """The packets of all parts, one behind the other."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def undissected(cls, count: int) -> Packets:
        """`count` rows of which nothing is known yet."""
        u8, u16, i64 = (np.zeros((6, count), kind) for kind in (np.uint8, np.uint16, np.int64))
        addresses = np.zeros((2, count, 2), np.uint64)
        macs = np.zeros((2, count), np.uint64)
        flags = np.zeros((2, count), np.bool_)
        return cls(
            depth=u8[0],
            source_mac=macs[0],
            destination_mac=macs[1],
            ethernet_type=u16[0],
            vlan_id=u16[1],
            ip_version=u8[1],
            source=addresses[0],
            destination=addresses[1],
            protocol=u8[2],
            source_port=u16[2],
            destination_port=u16[3],
            tcp_flags=u16[4],
            tcp_sequence=np.zeros(count, np.uint32),
            has_tcp=flags[0],
            fragment=flags[1],
            ip_octets=i64[0],
            network=i64[1],
            transport=i64[2],
            payload=i64[3],
            payload_octets=i64[4],
        )


def dissect(octets: Octets, start: NDArray[np.int64], captured: NDArray[np.int64]) -> Packets:
    """Take Ethernet frames apart.

    Args:
        octets: the buffer the frames are in.
        start: index of each frame's first octet.
        captured: octets of each frame that are there; `start + captured` is inside the buffer.
    """
    packets = Packets.undissected(len(start))
    plain = kernel.dissect(octets.buffer, start, captured, packets)
    if plain is None:
        return _dissect(octets, start, captured)
    rest = np.flatnonzero(~plain)
    if len(rest):
        packets.put(rest, _dissect(octets, start[rest], captured[rest]))
    return packets


def _dissect(octets: Octets, start: NDArray[np.int64], captured: NDArray[np.int64]) -> Packets:
    """The same, of frames of any kind."""
    packets = Packets.undissected(len(start))
    end = start + captured
    rows = np.flatnonzero(captured >= _ETHERNET_OCTETS)
    at = start[rows]
    packets.destination_mac[rows] = octets.mac(at)
    packets.source_mac[rows] = octets.mac(at + 6)
    packets.depth[rows] = ETHERNET
    network = _ethernet_type(octets, packets, rows, at + 12, end)
    _network(octets, packets, network, end)
    return packets


def dissect_network(
    octets: Octets,
    start: NDArray[np.int64],
    captured: NDArray[np.int64],
    ethernet_type: NDArray[np.uint16],
) -> Packets:
    """Take packets apart that have no Ethernet header; `ethernet_type` says what they begin with.

    Such a packet has no MAC addresses: they are 0.
    """
    packets = Packets.undissected(len(start))
    packets.ethernet_type[:] = ethernet_type
    packets.depth[:] = ETHERNET
    end = start + captured
    network = start.copy()
    tagged = np.flatnonzero(np.isin(ethernet_type, _VLAN_TAGS) & (captured >= 4))
    network[np.isin(ethernet_type, _VLAN_TAGS)] = _NOWHERE
    if len(tagged):
        # A tag here is what is behind the type: the type of what follows is its second half.
        packets.vlan_id[tagged] = octets.u16(start[tagged]) & 0x0FFF
        behind = _ethernet_type(octets, packets, tagged, start[tagged] + 2, end, outermost=False)
        network[tagged] = behind[tagged]
    _network(octets, packets, network, end)
    return packets


def _network(
    octets: Octets, packets: Packets, network: NDArray[np.int64], end: NDArray[np.int64]
) -> None:
    """Take apart what begins at `network` (_NOWHERE: nothing) and ends at `end`."""
    _labels(octets, packets, network, end)
    transport = packets.transport
    for read, kind, size in ((_ipv4, IPV4, _IPV4_OCTETS), (_ipv6, IPV6, _IPV6_OCTETS)):
        rows = np.flatnonzero((packets.ethernet_type == kind) & (network != _NOWHERE))
        rows = rows[network[rows] + size <= end[rows]]
        if len(rows):
            rows, transport_at = read(octets, packets, rows, network[rows], end[rows])
            transport[rows] = transport_at
    _transport(octets, packets, transport, end)


def _labels(
    octets: Octets, packets: Packets, network: NDArray[np.int64], end: NDArray[np.int64]
) -> None:
    """Step over MPLS labels (RFC 3032 section 2.1) in front of IP packets."""
    rows = np.flatnonzero(np.isin(packets.ethernet_type, MPLS) & (network != _NOWHERE))
    at = network[rows]
    for _ in range(_MAX_LABELS):
        there = at + _LABEL_OCTETS + 1 <= end[rows]
        rows, at = rows[there], at[there]
        if not len(rows):
            return
        bottom = (octets.u8(at + 2) & 1) == 1
        at = at + _LABEL_OCTETS
        version = octets.u8(at) >> 4
        for number, kind in ((4, IPV4), (6, IPV6)):
            ip = bottom & (version == number)
            packets.ethernet_type[rows[ip]] = kind
            network[rows[ip]] = at[ip]
        rows, at = rows[~bottom], at[~bottom]


def _ethernet_type(
    octets: Octets,
    packets: Packets,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    outermost: bool = True,
) -> NDArray[np.int64]:
    """Read EtherTypes behind VLAN tags; return where each frame's payload begins (_NOWHERE)."""
    network = np.full(len(end), _NOWHERE, np.int64)
    for tags in range(_MAX_VLAN_TAGS + 1):
        kind = octets.u16(at)
        packets.ethernet_type[rows] = kind
        network[rows] = at + 2
        tagged = np.isin(kind, _VLAN_TAGS) & (at + 6 <= end[rows])
        if tags == _MAX_VLAN_TAGS or not tagged.any():
            break
        network[rows[tagged]] = _NOWHERE
        rows, at = rows[tagged], at[tagged] + 4
        if not tags and outermost:
            packets.vlan_id[rows] = octets.u16(at - 2) & 0x0FFF
    return network


def _ipv4(
    octets: Octets,
    packets: Packets,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read IPv4 headers; return the rows whose transport header can follow, and where it begins."""
    first = octets.u8(at)
    header_octets = (first & 0x0F).astype(np.int64) * 4
    total = octets.u16(at + 2).astype(np.int64)
    sound = (first >> 4 == 4) & (header_octets >= _IPV4_OCTETS) & (total >= header_octets)
    rows, at, end = rows[sound], at[sound], end[sound]
    header_octets, total = header_octets[sound], total[sound]
    packets.ip_version[rows] = 4
    packets.network[rows] = at
    packets.depth[rows] = NETWORK
    packets.protocol[rows] = octets.u8(at + 9)
    packets.source[rows] = octets.ipv4(at + 12)
    packets.destination[rows] = octets.ipv4(at + 16)
    packets.ip_octets[rows] = total
    fragment = octets.u16(at + 6) & 0x3FFF
    packets.fragment[rows] = fragment != 0
    packets.payload_octets[rows] = total - header_octets
    # Only the first fragment has the transport header.
    leads = ((fragment & 0x1FFF) == 0) & (at + header_octets <= end)
    return rows[leads], (at + header_octets)[leads]


def _ipv6(
    octets: Octets,
    packets: Packets,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read IPv6 headers; return the rows whose transport header can follow, and where it begins."""
    sound = octets.u8(at) >> 4 == 6
    rows, at, end = rows[sound], at[sound], end[sound]
    packets.ip_version[rows] = 6
    packets.network[rows] = at
    packets.depth[rows] = NETWORK
    packets.protocol[rows] = octets.u8(at + 6)
    packets.source[rows] = octets.ipv6(at + 8)
    packets.destination[rows] = octets.ipv6(at + 24)
    rest = octets.u16(at + 4).astype(np.int64)
    packets.ip_octets[rows] = rest + _IPV6_OCTETS
    packets.payload_octets[rows] = rest
    return _ipv6_extensions(octets, packets, rows, at + _IPV6_OCTETS, end)


def _ipv6_extensions(
    octets: Octets,
    packets: Packets,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Step over extension headers (RFC 8200 section 4), all frames one header at a time."""
    done_rows, done_at = [], []
    for _ in range(_MAX_EXTENSIONS):
        extended = np.isin(packets.protocol[rows], _EXTENSIONS)
        done_rows.append(rows[~extended])
        done_at.append(at[~extended])
        follows = extended & (at + 8 <= end)
        rows, at, end = rows[follows], at[follows], end[follows]
        if not len(rows):
            break
        kind, length = packets.protocol[rows], octets.u8(at + 1).astype(np.int64)
        size = np.where(kind == _AUTHENTICATION, (length + 2) * 4, (length + 1) * 8)
        size[kind == _FRAGMENT] = 8
        place = np.where(kind == _FRAGMENT, octets.u16(at + 2) & 0xFFF9, 0)
        packets.fragment[rows] |= place != 0
        packets.protocol[rows] = octets.u8(at)
        packets.payload_octets[rows] -= size
        leads = ((place & 0xFFF8) == 0) & (packets.payload_octets[rows] >= 0)
        rows, at, end = rows[leads], (at + size)[leads], end[leads]
    packets.payload_octets[:] = np.maximum(packets.payload_octets, 0)
    return np.concatenate(done_rows), np.concatenate(done_at)


def _transport(
    octets: Octets, packets: Packets, transport: NDArray[np.int64], end: NDArray[np.int64]
) -> None:
    """Read the transport headers; find the payload of TCP and UDP."""
    there = (transport > 0) & (transport + 4 <= end) & (packets.payload_octets >= 4)
    rows = np.flatnonzero(there & np.isin(packets.protocol, WITH_PORTS))
    at = transport[rows]
    packets.source_port[rows] = octets.u16(at)
    packets.destination_port[rows] = octets.u16(at + 2)
    packets.depth[rows] = TRANSPORT
    icmp = (packets.protocol == ICMP) & (packets.ip_version == 4)
    icmp |= (packets.protocol == ICMPV6) & (packets.ip_version == 6)
    rows = np.flatnonzero(there & icmp)
    packets.destination_port[rows] = octets.u16(transport[rows])
    packets.depth[rows] = TRANSPORT
    rows = np.flatnonzero(there & (packets.protocol == UDP) & (transport + 8 <= end))
    packets.payload[rows] = transport[rows] + 8
    # What the UDP header says, but never more than the IP packet has (fragments have less).
    declared = np.minimum(octets.u16(transport[rows] + 4), packets.payload_octets[rows])
    packets.payload_octets[rows] = declared - 8
    rows = np.flatnonzero(there & (packets.protocol == TCP) & (transport + _TCP_OCTETS <= end))
    at = transport[rows]
    offset_and_flags = octets.u16(at + 12)
    header_octets = (offset_and_flags >> 12).astype(np.int64) * 4
    sound = (header_octets >= _TCP_OCTETS) & (packets.payload_octets[rows] >= header_octets)
    rows, at, header_octets = rows[sound], at[sound], header_octets[sound]
    packets.has_tcp[rows] = True
    packets.tcp_flags[rows] = offset_and_flags[sound] & 0x0FFF
    packets.tcp_sequence[rows] = octets.u32(at + 4)
    packets.payload[rows] = at + header_octets
    packets.payload_octets[rows] -= header_octets
