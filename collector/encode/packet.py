"""The first octets of packets, from their header fields: the other way of `decode.packet`.

As agents of sFlow sample them: Ethernet with or without an 802.1Q tag, then IPv4 or IPv6 without
options, then TCP, UDP, ICMP, or the ports of protocols that begin with them; zeros for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import headers
from collector.decode.groups import codes, split
from collector.decode.packet import ICMP, ICMPV6, IPV4, IPV6, TCP, UDP, WITH_PORTS
from collector.encode.checksum import checksums, word_sums
from collector.encode.pieces import Joined, Pieces, Slices, render
from collector.encode.records import pack, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

VLAN: Final = 0x8100
_TTL: Final = 64
_LONGEST_OCTETS: Final = 14 + 4 + 40 + 20
"""Of all headers."""
_TCP_WORDS: Final = headers.TCP.minimum_octets // 4
_WITH_PORTS: Final = WITH_PORTS.tolist()
_ABSENT: Final = (
    *("sourceMacAddress", "destinationMacAddress", "vlanId", "ipClassOfService", "ipTotalLength"),
    *("protocolIdentifier", "sourceTransportPort", "destinationTransportPort", "tcpControlBits"),
)
"""Columns that need not be there: then they are 0."""


def frame_octets(columns: Mapping[str, Any]) -> NDArray[np.int64]:
    """The length of each packet's Ethernet frame, without FCS."""
    tagged = np.asarray(columns.get("vlanId", 0)) > 0
    octets = headers.ETHERNET.minimum_octets + headers.VLAN_TAG.minimum_octets * tagged
    return octets + np.asarray(columns["ipTotalLength"], np.int64)


def sampled(columns: Mapping[str, Any], captured: NDArray[np.int64]) -> Slices:
    """The first octets of packets.

    Args:
        columns: named as in `decode.packet_columns`; `ipVersion`, `ethernetType` and the addresses
        must be there. `ipClassOfService` and `ipTTL` are used too.
        captured: how many octets of each.

    Raises:
        NotEncodableError: a value does not fit its field.
    """
    count = rows_of(columns)
    full = dict.fromkeys(_ABSENT, np.zeros(count, np.int64))
    full["ipTTL"] = np.full(count, _TTL)
    for name, column in columns.items():
        full[name] = np.asarray(column) if np.ndim(column) else np.full(count, column)
    width = max(int(captured.max(initial=0)), _LONGEST_OCTETS)
    octets = np.zeros((count, width), np.uint8)
    shape = codes(full["vlanId"] > 0, full["ipVersion"], full["protocolIdentifier"])
    for rows in split(shape):
        some = {name: column[rows] for name, column in full.items()}
        written = render(Joined(_headers(some)))
        octets[rows, : written.length[0]] = written.buffer.reshape(len(rows), -1)
    return Slices(octets.reshape(-1), np.arange(count) * width, captured)


def _headers(some: Mapping[str, NDArray[Any]]) -> list[Pieces]:
    """The headers of packets that have the same ones."""
    kind = some["ethernetType"]
    tagged = bool(some["vlanId"][0])
    parts = [pack(headers.ETHERNET, {**some, "ethernetType": VLAN if tagged else kind})]
    if tagged:
        parts.append(pack(headers.VLAN_TAG, {"tagControl": some["vlanId"], "ethernetType": kind}))
    version, protocol = int(some["ipVersion"][0]), int(some["protocolIdentifier"][0])
    if version == 4:
        parts.append(ipv4_headers(some))
    elif version == 6:
        parts.append(ipv6_headers(some))
    if version:
        header_octets = headers.IPV6.minimum_octets if version == 6 else 0
        parts += _transport(some, version, protocol, header_octets or headers.IPV4.minimum_octets)
    return parts


def ipv4_headers(some: Mapping[str, Any]) -> Pieces:
    """IPv4 headers (RFC 791 section 3.1), with their checksums; columns as for `sampled`."""
    fields: dict[str, Any] = {
        **some,
        "versionAndHeaderLength": 0x45,
        "fragmentIdentification": 0,
        "flagsAndFragmentOffset": 0,
        "headerChecksum": 0,
        "sourceIPv4Address": some["sourceIPAddress"][:, 1] & np.uint64(0xFFFF_FFFF),
        "destinationIPv4Address": some["destinationIPAddress"][:, 1] & np.uint64(0xFFFF_FFFF),
    }
    fields["headerChecksum"] = checksums(word_sums(pack(headers.IPV4, fields)))
    return pack(headers.IPV4, fields)


def ipv6_headers(some: Mapping[str, Any]) -> Pieces:
    """IPv6 headers (RFC 8200 section 3); columns as for `sampled`."""
    traffic_class = np.asarray(some["ipClassOfService"], np.int64)
    fields: dict[str, Any] = {
        **some,
        "versionClassAndFlowLabel": 6 << 28 | traffic_class << 20,
        "payloadLengthIPv6": some["ipTotalLength"] - headers.IPV6.minimum_octets,
        "nextHeaderIPv6": some["protocolIdentifier"],
        "sourceIPv6Address": some["sourceIPAddress"],
        "destinationIPv6Address": some["destinationIPAddress"],
    }
    return pack(headers.IPV6, fields)


def _transport(
    some: Mapping[str, NDArray[Any]], version: int, protocol: int, header_octets: int
) -> list[Pieces]:
    """Headers behind IP (RFC 9293, 768, 792 and 4443); their checksums are 0."""
    if protocol == TCP:
        fixed = dict.fromkeys(("tcpSequenceNumber", "tcpAcknowledgementNumber", "checksum"), 0)
        fixed |= {"tcpWindowSize": 0, "tcpUrgentPointer": 0}
        bits = _TCP_WORDS << 12 | some["tcpControlBits"].astype(np.int64)
        return [pack(headers.TCP, {**some, **fixed, "headerLengthAndControlBits": bits})]
    if protocol == UDP:
        length = some["ipTotalLength"] - header_octets
        return [pack(headers.UDP, {**some, "udpMessageLength": length, "checksum": 0})]
    if (version, protocol) in ((4, ICMP), (6, ICMPV6)):
        kind = some["destinationTransportPort"].astype(np.int64)
        fields = {"icmpType": kind >> 8, "icmpCode": kind & 0xFF, "checksum": 0}
        return [pack(headers.ICMP, fields)]
    return [pack(headers.PORTS, some)] if protocol in _WITH_PORTS else []


ETHERNET_TYPES: Final = {4: IPV4, 6: IPV6}
"""ipVersion to ethernetType."""
