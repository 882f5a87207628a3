"""The headers of export datagrams as layouts, for all who do more with them than decode.

`collector.encode` writes them, `collector.explain` shows them. Sources: Cisco, NetFlow Export
Datagram Format, table B-3; RFC 3954 sections 5.1 and 5.2; RFC 7011 sections 3.1 and 3.3.2; sFlow
Version 5 section 5. The names are those of the texts.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from collector.decode.elements import kinds
from collector.decode.layout import Layout, layout_of

_KINDS: Final = dict(kinds())

NETFLOW5: Final = layout_of(
    (
        ("version", 2),
        ("count", 2),
        ("sysUptime", 4),
        ("unix_secs", 4),
        ("unix_nsecs", 4),
        ("flow_sequence", 4),
        ("engine_type", 1),
        ("engine_id", 1),
        ("sampling", 2),
    ),
    {},
)
NETFLOW9: Final = layout_of(
    (
        ("version", 2),
        ("count", 2),
        ("sysUptime", 4),
        ("unix_secs", 4),
        ("sequenceNumber", 4),
        ("source_id", 4),
    ),
    {},
)
NETFLOW9_SET: Final = layout_of((("flowSetId", 2), ("length", 2)), {})
IPFIX: Final = layout_of(
    (
        ("version", 2),
        ("length", 2),
        ("exportTime", 4),
        ("sequenceNumber", 4),
        ("observationDomainId", 4),
    ),
    {},
)
IPFIX_SET: Final = layout_of((("setId", 2), ("length", 2)), {})
_SFLOW_REST: Final = (
    ("subAgentId", 4),
    ("sequenceNumber", 4),
    ("uptime", 4),
    ("samples", 4),
)
SFLOW: Final = {
    kind: layout_of(
        (("version", 4), ("addressType", 4), (f"agentIPv{version}Address", width), *_SFLOW_REST),
        _KINDS | {"agentIPv4Address": "ipv4Address", "agentIPv6Address": "ipv6Address"},
    )
    for kind, version, width in ((1, 4, 4), (2, 6, 16))
}
"""addressType to the header of an sFlow datagram."""
SFLOW_ITEM: Final = layout_of((("format", 4), ("length", 4)), {})
"""In front of every sample and of every record in a sample."""

ETHERNET: Final = layout_of(
    (("destinationMacAddress", 6), ("sourceMacAddress", 6), ("ethernetType", 2)), _KINDS
)
VLAN_TAG: Final = layout_of((("tagControl", 2), ("ethernetType", 2)), _KINDS)
IPV4: Final = layout_of(
    (
        ("versionAndHeaderLength", 1),
        ("ipClassOfService", 1),
        ("ipTotalLength", 2),
        ("fragmentIdentification", 2),
        ("flagsAndFragmentOffset", 2),
        ("ipTTL", 1),
        ("protocolIdentifier", 1),
        ("headerChecksum", 2),
        ("sourceIPv4Address", 4),
        ("destinationIPv4Address", 4),
    ),
    _KINDS,
)
IPV6: Final = layout_of(
    (
        ("versionClassAndFlowLabel", 4),
        ("payloadLengthIPv6", 2),
        ("nextHeaderIPv6", 1),
        ("ipTTL", 1),
        ("sourceIPv6Address", 16),
        ("destinationIPv6Address", 16),
    ),
    _KINDS,
)
TCP: Final = layout_of(
    (
        ("sourceTransportPort", 2),
        ("destinationTransportPort", 2),
        ("tcpSequenceNumber", 4),
        ("tcpAcknowledgementNumber", 4),
        ("headerLengthAndControlBits", 2),
        ("tcpWindowSize", 2),
        ("checksum", 2),
        ("tcpUrgentPointer", 2),
    ),
    _KINDS,
)
UDP: Final = layout_of(
    (
        ("sourceTransportPort", 2),
        ("destinationTransportPort", 2),
        ("udpMessageLength", 2),
        ("checksum", 2),
    ),
    _KINDS,
)
PORTS: Final = layout_of((("sourceTransportPort", 2), ("destinationTransportPort", 2)), _KINDS)
"""How SCTP, DCCP and UDP-Lite begin, as far as it is the same."""
ICMP: Final = layout_of((("icmpType", 1), ("icmpCode", 1), ("checksum", 2)), _KINDS)
"""The headers of a sampled packet: IEEE 802.3 and 802.1Q, RFC 791, 8200, 9293, 768, 792, 4443."""


@cache
def stacked(*layouts: Layout) -> Layout:
    """Headers one behind the other; a field whose name an earlier one has is `name#2`."""
    return Layout(tuple(field for one in layouts for field in one.fields))
