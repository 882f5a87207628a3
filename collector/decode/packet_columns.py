"""A dissected packet under the names of the information elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.packet import Packets


def packet_columns(packets: Packets) -> dict[str, NDArray[Any]]:
    """The columns of packets; 0 where a packet does not have a field or the sample ended.

    `sourceIPAddress` and `destinationIPAddress` are address columns that hold IPv4 and IPv6 alike:
    rows of one batch have both. `ipTotalLength` is of the IP packet with its header.
    """
    return {
        "sourceMacAddress": packets.source_mac,
        "destinationMacAddress": packets.destination_mac,
        "ethernetType": packets.ethernet_type,
        "vlanId": packets.vlan_id,
        "ipVersion": packets.ip_version,
        "sourceIPAddress": packets.source,
        "destinationIPAddress": packets.destination,
        "protocolIdentifier": packets.protocol,
        "sourceTransportPort": packets.source_port,
        "destinationTransportPort": packets.destination_port,
        "tcpControlBits": packets.tcp_flags,
        "hasTcpHeader": packets.has_tcp,
        "ipTotalLength": packets.ip_octets,
    }
