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
from collector.encode.checksum import checksums
from collector.encode.pieces import Slices
from collector.encode.records import pack, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from collector.decode.layout import Layout

VLAN: Final = 0x8100
_TTL: Final = 64
_VERSION_AND_LENGTH: Final = 0x45
_LONGEST_OCTETS: Final = 14 + 4 + 40 + 20
"""Of all headers."""
_TCP_WORDS: Final = headers.TCP.minimum_octets // 4
_WITH_PORTS: Final = WITH_PORTS.tolist()
_ABSENT: Final = {
    **dict.fromkeys(("sourceMacAddress", "destinationMacAddress", "vlanId"), 0),
    **dict.fromkeys(("ipClassOfService", "ipTotalLength", "protocolIdentifier"), 0),
    **dict.fromkeys(("sourceTransportPort", "destinationTransportPort", "tcpControlBits"), 0),
    "ipTTL": _TTL,
}
"""Columns that need not be there, and what holds then."""
_DECIDING: Final = ("vlanId", "ipVersion", "protocolIdentifier")
"""They say which headers a packet has."""


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
    full = {name: np.asarray(column) for name, column in (_ABSENT | {**columns}).items()}
    tag, version, protocol = (np.broadcast_to(full[name], count) for name in _DECIDING)
    width = max(int(captured.max(initial=0)), _LONGEST_OCTETS)
    octets, place = np.zeros(count * width, np.uint8), np.arange(count) * width
    for rows in split(codes(tag > 0, version, protocol)):
        some = {
            name: column.take(rows, 0) if column.ndim else column for name, column in full.items()
        }
        some |= {"ipVersion": version[rows[0]], "protocolIdentifier": protocol[rows[0]]}
        layout, fields = _headers(some, tagged=bool(tag[rows[0]]))
        pack(layout, some | fields, len(rows)).write(octets, place[rows])
    return Slices(octets, place, captured)


def _headers(some: Mapping[str, NDArray[Any]], *, tagged: bool) -> tuple[Layout, dict[str, Any]]:
    """The headers of packets that have the same ones, and those fields that `some` has not."""
    layouts = [headers.ETHERNET]
    fields: dict[str, Any] = {}
    if tagged:
        layouts.append(headers.VLAN_TAG)
        fields |= {"tagControl": some["vlanId"], "ethernetType": VLAN}
        fields["ethernetType#2"] = some["ethernetType"]
    version, protocol = int(some["ipVersion"]), int(some["protocolIdentifier"])
    if version:
        layouts.append(IP_HEADERS[version])
        fields |= ipv4_fields(some) if version == 4 else ipv6_fields(some)
        for layout, own in _transport(some, version, protocol):
            layouts.append(layout)
            fields |= own
    return headers.stacked(*layouts), fields


IP_HEADERS: Final = {4: headers.IPV4, 6: headers.IPV6}


def ipv4_fields(some: Mapping[str, Any]) -> dict[str, Any]:
    """What IPv4 headers have (RFC 791 section 3.1) beside the columns for `sampled`."""
    ends = {
        f"{end}IPv4Address": some[f"{end}IPAddress"][:, 1] & np.uint64(0xFFFF_FFFF)
        for end in ("source", "destination")
    }
    # A number of 32 bits leaves what its two words leave, when divided by 65535.
    total = sum(column.astype(np.int64) for column in ends.values())
    total = total + (_VERSION_AND_LENGTH << 8 | np.asarray(some["ipClassOfService"], np.int64))
    total += np.asarray(some["ipTTL"], np.int64) << 8 | some["protocolIdentifier"]
    return {
        **ends,
        "versionAndHeaderLength": _VERSION_AND_LENGTH,
        "fragmentIdentification": 0,
        "flagsAndFragmentOffset": 0,
        "headerChecksum": checksums(total + some["ipTotalLength"]),
    }


def ipv6_fields(some: Mapping[str, Any]) -> dict[str, Any]:
    """What IPv6 headers have (RFC 8200 section 3) beside the columns for `sampled`."""
    traffic_class = np.asarray(some["ipClassOfService"], np.int64)
    return {
        "versionClassAndFlowLabel": 6 << 28 | traffic_class << 20,
        "payloadLengthIPv6": some["ipTotalLength"] - headers.IPV6.minimum_octets,
        "nextHeaderIPv6": some["protocolIdentifier"],
        "sourceIPv6Address": some["sourceIPAddress"],
        "destinationIPv6Address": some["destinationIPAddress"],
    }


def _transport(
    some: Mapping[str, NDArray[Any]], version: int, protocol: int
) -> Iterator[tuple[Layout, dict[str, Any]]]:
    """Headers behind IP (RFC 9293, 768, 792 and 4443), and their own fields; checksums are 0."""
    if protocol == TCP:
        fixed = dict.fromkeys(("tcpSequenceNumber", "tcpAcknowledgementNumber", "checksum"), 0)
        fixed |= {"tcpWindowSize": 0, "tcpUrgentPointer": 0}
        bits = _TCP_WORDS << 12 | some["tcpControlBits"].astype(np.int64)
        yield headers.TCP, {**fixed, "headerLengthAndControlBits": bits}
    elif protocol == UDP:
        length = some["ipTotalLength"] - IP_HEADERS[version].minimum_octets
        yield headers.UDP, {"udpMessageLength": length, "checksum": 0}
    elif (version, protocol) in ((4, ICMP), (6, ICMPV6)):
        kind = some["destinationTransportPort"].astype(np.int64)
        yield headers.ICMP, {"icmpType": kind >> 8, "icmpCode": kind & 0xFF, "checksum": 0}
    elif protocol in _WITH_PORTS:
        yield headers.PORTS, {}


ETHERNET_TYPES: Final = {4: IPV4, 6: IPV6}
"""ipVersion to ethernetType."""
