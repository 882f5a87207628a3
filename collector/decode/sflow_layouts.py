"""The structures of sFlow that have fixed fields, as layouts.

Sources: sFlow Version 5 (samples, sampled packets, extended data, raw packet header, interface,
Ethernet, VLAN and processor counters), sFlow LAG Port Statistics (7), sFlow OpenFlow Structures
(1004, 1005), sFlow Application Structures (2203), Open vSwitch's lib/sflow.h (2207). Fields that
have an IANA element carry its name; the others the name that the structure's text gives them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from collector.decode.layout import Layout, layout_of


class Sample(NamedTuple):
    """A kind of sample: its head, and what follows."""

    kind: str
    layout: Layout
    expanded: bool
    """Type and index of source and interfaces are numbers of their own, not parts of one."""


def _layout(*fields: tuple[str, int]) -> Layout:
    """A layout; all fields are unsigned numbers."""
    return layout_of(fields, {})


def _u32s(names: str) -> list[tuple[str, int]]:
    """Fields of four octets."""
    return [(name, 4) for name in names.split()]


_FLOW: Final = _layout(
    *_u32s("sequenceNumber sourceId samplingInterval samplePool drops input output records")
)
_EXPANDED_FLOW: Final = _layout(
    *_u32s(
        "sequenceNumber sourceIdType sourceIdIndex samplingInterval samplePool drops inputFormat"
        " inputValue outputFormat outputValue records"
    )
)
_COUNTERS: Final = _layout(*_u32s("sequenceNumber sourceId records"))
_EXPANDED_COUNTERS: Final = _layout(*_u32s("sequenceNumber sourceIdType sourceIdIndex records"))

SAMPLES: Final = {
    1: Sample("flow sample", _FLOW, expanded=False),
    2: Sample("counters", _COUNTERS, expanded=False),
    3: Sample("flow sample", _EXPANDED_FLOW, expanded=True),
    4: Sample("counters", _EXPANDED_COUNTERS, expanded=True),
}
"""Format of a sample (enterprise 0) to what is in it."""

RAW_HEADER: Final = 1
"""Format of the flow record that holds the first octets of the sampled packet."""
HEADER: Final = _layout(*_u32s("headerProtocol frameLength stripped headerLength"))
"""What is in front of these octets."""
ETHERNET_HEADER: Final = 1
"""headerProtocol: they begin with an Ethernet header."""
NETWORK_HEADERS: Final = {11: 0x0800, 12: 0x86DD, 13: 0x8847}
"""Other headerProtocols that are taken apart, with the EtherType they stand for."""

SAMPLED: Final = {
    2: layout_of(
        [
            ("frameLength", 4),
            ("sourceMacAddress", 6),
            ("padding", 2),
            ("destinationMacAddress", 6),
            ("padding#2", 2),
            ("ethernetType", 4),
        ],
        {"sourceMacAddress": "macAddress", "destinationMacAddress": "macAddress"},
    ),
    3: layout_of(
        [
            *_u32s("ipTotalLength protocolIdentifier sourceIPv4Address destinationIPv4Address"),
            *_u32s("sourceTransportPort destinationTransportPort tcpControlBits ipClassOfService"),
        ],
        {"sourceIPv4Address": "ipv4Address", "destinationIPv4Address": "ipv4Address"},
    ),
    4: layout_of(
        [
            *_u32s("ipTotalLength protocolIdentifier"),
            ("sourceIPv6Address", 16),
            ("destinationIPv6Address", 16),
            *_u32s("sourceTransportPort destinationTransportPort tcpControlBits ipClassOfService"),
        ],
        {"sourceIPv6Address": "ipv6Address", "destinationIPv6Address": "ipv6Address"},
    ),
}
"""Format of a flow record in which the agent says itself what the packet was."""

EXTENDED: Final = {
    1001: _layout(*_u32s("vlanId dot1qPriority postVlanId postDot1qPriority")),
    1020: _layout(
        *_u32s("postNAPTSourceTransportPort postNAPTDestinationTransportPort"),
    ),
    1029: _layout(*_u32s("egressLayer2SegmentId")),
    1030: _layout(*_u32s("ingressLayer2SegmentId")),
}
"""Format of a flow record of fixed fields (enterprise 0) to what the agent says besides: VLANs,
NAT ports, and the VNI with which the packet left and came."""

COUNTERS: Final = {
    1: _layout(
        *_u32s("ifIndex ifType"),
        ("ifSpeed", 8),
        *_u32s("ifDirection ifStatus"),
        ("ifInOctets", 8),
        *_u32s("ifInUcastPkts ifInMulticastPkts ifInBroadcastPkts ifInDiscards ifInErrors"),
        *_u32s("ifInUnknownProtos"),
        ("ifOutOctets", 8),
        *_u32s("ifOutUcastPkts ifOutMulticastPkts ifOutBroadcastPkts ifOutDiscards ifOutErrors"),
        *_u32s("ifPromiscuousMode"),
    ),
    2: _layout(
        *_u32s("dot3StatsAlignmentErrors dot3StatsFCSErrors dot3StatsSingleCollisionFrames"),
        *_u32s("dot3StatsMultipleCollisionFrames dot3StatsSQETestErrors"),
        *_u32s("dot3StatsDeferredTransmissions dot3StatsLateCollisions"),
        *_u32s("dot3StatsExcessiveCollisions dot3StatsInternalMacTransmitErrors"),
        *_u32s("dot3StatsCarrierSenseErrors dot3StatsFrameTooLongs"),
        *_u32s("dot3StatsInternalMacReceiveErrors dot3StatsSymbolErrors"),
    ),
    5: _layout(
        ("vlan_id", 4),
        ("octets", 8),
        *_u32s("ucastPkts multicastPkts broadcastPkts discards"),
    ),
    7: layout_of(
        [
            ("dot3adAggPortActorSystemID", 6),
            ("padding", 2),
            ("dot3adAggPortPartnerOperSystemID", 6),
            ("padding#2", 2),
            *_u32s("dot3adAggPortAttachedAggID"),
            ("dot3adAggPortActorAdminState", 1),
            ("dot3adAggPortActorOperState", 1),
            ("dot3adAggPortPartnerAdminState", 1),
            ("dot3adAggPortPartnerOperState", 1),
            *_u32s("dot3adAggPortStatsLACPDUsRx dot3adAggPortStatsMarkerPDUsRx"),
            *_u32s("dot3adAggPortStatsMarkerResponsePDUsRx dot3adAggPortStatsUnknownRx"),
            *_u32s("dot3adAggPortStatsIllegalRx dot3adAggPortStatsLACPDUsTx"),
            *_u32s("dot3adAggPortStatsMarkerPDUsTx dot3adAggPortStatsMarkerResponsePDUsTx"),
        ],
        {
            "dot3adAggPortActorSystemID": "macAddress",
            "dot3adAggPortPartnerOperSystemID": "macAddress",
        },
    ),
    1001: _layout(*_u32s("5s_cpu 1m_cpu 5m_cpu"), ("total_memory", 8), ("free_memory", 8)),
    1004: _layout(("datapath_id", 8), ("port_no", 4)),
    1005: _layout(*_u32s("portNameLength")),
    2203: _layout(
        *_u32s("user_time system_time"),
        ("mem_used", 8),
        ("mem_max", 8),
        *_u32s("fd_open fd_max conn_open conn_max"),
    ),
    2207: _layout(*_u32s("hits misses lost mask_hits flows masks")),
}
"""Format of a counter record (enterprise 0) to its fields."""
PORT_NAME: Final = 1005
"""A counter record of a length and so many octets: interfaceName."""
