"""What fields are for, in a few words, and what some of their values stand for."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from collector.decode.elements import elements

_NAMES: Final = Counter(element.name for element in elements().values())
ELEMENT_OF: Final = {
    element.name: number for number, element in elements().items() if _NAMES[element.name] == 1
}
"""Name to (private enterprise number, id), if no other enterprise has an element of that name."""

_DESCRIPTIONS: Final = """
version: of the export format
count: records in this datagram
sysUptime: ms since the exporter started
uptime: ms since the agent started
unix_secs: exporter's clock, s since 1970
unix_nsecs: and the nanoseconds
flow_sequence: records exported before this datagram
engine_type: kind of the part that switched
engine_id: which of them; here it tells exporters apart
sampling: 2 bits mode, 14 bits interval; 0: every packet counted
exportTime: when the message left the exporter, s since 1970
observationDomainId: template ids and sequence numbers mean something within it
source_id: template ids and sequence numbers mean something within it
flowSetId: 0 templates, 1 options templates, from 256 on records of that template
fieldCount: how many fields follow
fieldCount of 0: no fields: it is no longer valid
scopeFieldCount: how many of the fields say what the record is about
optionScopeLength: octets of the fields below that say what the record is about
optionLength: octets of the fields behind them
setId: 2 templates, 3 options templates, from 256 on records of that template
addressType: 1 IPv4, 2 IPv6
subAgentId: which part of the agent
samples: how many follow
format: 20 bits enterprise, 12 bits number
sourceId: 8 bits kind of the data source, 24 bits which
samplingInterval: one of so many packets was sampled
samplePool: packets that could have been sampled so far
drops: samples lost for want of resources
input: interface it came in by
output: interface it left by; upper 2 bits: 0 ifIndex, 1 dropped, 2 several
records: how many follow
headerProtocol: 1: Ethernet
frameLength: octets of the frame on the wire, with FCS
stripped: octets taken off its end before sampling
headerLength: octets of the packet that follow
sourceIPv4Address: who sent the packets
destinationIPv4Address: to whom
sourceIPv6Address: who sent the packets
destinationIPv6Address: to whom
ipNextHopIPv4Address: the next router
ingressInterface: came in here
egressInterface: left here; of Open vSwitch 65535 flooded, 65534 several, 65533 dropped
packetDeltaCount: packets since the flow's last record
octetDeltaCount: octets since the flow's last record: IP packets (Open vSwitch v5: whole frames)
layer2OctetDeltaCount: likewise, of whole frames
flowStartSysUpTime: first packet, ms of uptime
flowEndSysUpTime: last packet, ms of uptime
flowStartDeltaMicroseconds: first packet, µs before the export time
flowEndDeltaMicroseconds: last packet, µs before the export time
sourceTransportPort: sender's port
destinationTransportPort: receiver's port; v5 has ICMP's type and code here
tcpControlBits: all flags that the flow had
protocolIdentifier: what the IP packets carry
nextHeaderIPv6: what the IP packet carries
ipClassOfService: type of service or traffic class
bgpSourceAsNumber: network that the source belongs to
bgpDestinationAsNumber: network that the destination belongs to
sourceIPv4PrefixLength: bits of the source's prefix
destinationIPv4PrefixLength: bits of the destination's prefix
paddingOctets: no meaning
flowDirection: where in the switch it was seen
flowEndReason: why it was exported
ethernetType: what the frame carries
sourceMacAddress: sender of the frame
destinationMacAddress: receiver of the frame
observationPointId: where packets were seen
exportingProcessId: which exporting process
ipTTL: hops that were left
ipVersion: of the packets
"""
_DESCRIBED: Final = dict(line.split(": ", 1) for line in _DESCRIPTIONS.strip().split("\n"))

_PROTOCOLS: Final = {
    1: "ICMP",
    2: "IGMP",
    6: "TCP",
    17: "UDP",
    47: "GRE",
    58: "ICMPv6",
    132: "SCTP",
}
_ETHERTYPES: Final = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x8100: "VLAN tag"}
_VALUES: Final[dict[str, dict[Any, str]]] = {
    "protocolIdentifier": _PROTOCOLS,
    "nextHeaderIPv6": _PROTOCOLS,
    "ethernetType": _ETHERTYPES,
    "flowDirection": {0: "ingress", 1: "egress"},
    "flowEndReason": {
        1: "idle timeout",
        2: "active timeout",
        3: "end of flow detected",
        4: "forced end",
        5: "lack of resources",
    },
    "version": {5: "version 5", 9: "version 9", 10: "IPFIX, which is version 10"},
    "addressType": {1: "IPv4", 2: "IPv6"},
    "headerProtocol": {1: "Ethernet"},
}
_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")


def described(name: str) -> str:
    """What a field is for; empty if its name says it."""
    return _DESCRIBED.get(name, "")


def meaning(name: str, value: Any) -> str:
    """What this value of a field means, and what the field is for."""
    special = _VALUES.get(name, {}).get(value, "")
    if name == "tcpControlBits" and value:
        special = " ".join(flag for bit, flag in enumerate(_FLAGS) if value >> bit & 1)
    return "; ".join(part for part in (special, described(name)) if part)
