"""Information elements: what a number in a template means.

One table, number to name and abstract data type, after the IANA registry "IPFIX Information
Elements" (RFC 7012) and, for enterprise 6876 (VMware), Open vSwitch's
ofproto/ipfix-enterprise-entities.def. Now it holds what NetFlow v5 has and Open vSwitch sends; an
element that is not here is kept as raw octets under "PEN/ID".
"""

from __future__ import annotations

from typing import Final, NamedTuple

IANA: Final = 0
VMWARE: Final = 6876


class Element(NamedTuple):
    """An information element."""

    name: str
    """Its IANA name; "PEN/ID" for one that is not in the table."""
    kind: str
    """Abstract data type of RFC 7012 section 3.1."""


_IANA: Final = """
1 octetDeltaCount unsigned64
2 packetDeltaCount unsigned64
4 protocolIdentifier unsigned8
5 ipClassOfService unsigned8
6 tcpControlBits unsigned16
7 sourceTransportPort unsigned16
8 sourceIPv4Address ipv4Address
9 sourceIPv4PrefixLength unsigned8
10 ingressInterface unsigned32
11 destinationTransportPort unsigned16
12 destinationIPv4Address ipv4Address
13 destinationIPv4PrefixLength unsigned8
14 egressInterface unsigned32
15 ipNextHopIPv4Address ipv4Address
16 bgpSourceAsNumber unsigned32
17 bgpDestinationAsNumber unsigned32
19 postMCastPacketDeltaCount unsigned64
20 postMCastOctetDeltaCount unsigned64
21 flowEndSysUpTime unsigned32
22 flowStartSysUpTime unsigned32
25 minimumIpTotalLength unsigned64
26 maximumIpTotalLength unsigned64
27 sourceIPv6Address ipv6Address
28 destinationIPv6Address ipv6Address
31 flowLabelIPv6 unsigned32
32 icmpTypeCodeIPv4 unsigned16
34 samplingInterval unsigned32
56 sourceMacAddress macAddress
58 vlanId unsigned16
60 ipVersion unsigned8
61 flowDirection unsigned8
80 destinationMacAddress macAddress
82 interfaceName string
83 interfaceDescription string
85 octetTotalCount unsigned64
86 packetTotalCount unsigned64
132 droppedOctetDeltaCount unsigned64
133 droppedPacketDeltaCount unsigned64
134 droppedOctetTotalCount unsigned64
135 droppedPacketTotalCount unsigned64
136 flowEndReason unsigned8
138 observationPointId unsigned64
139 icmpTypeCodeIPv6 unsigned16
144 exportingProcessId unsigned32
150 flowStartSeconds dateTimeSeconds
151 flowEndSeconds dateTimeSeconds
152 flowStartMilliseconds dateTimeMilliseconds
153 flowEndMilliseconds dateTimeMilliseconds
158 flowStartDeltaMicroseconds unsigned32
159 flowEndDeltaMicroseconds unsigned32
167 notSentPacketTotalCount unsigned64
174 postMCastPacketTotalCount unsigned64
175 postMCastOctetTotalCount unsigned64
176 icmpTypeIPv4 unsigned8
177 icmpCodeIPv4 unsigned8
178 icmpTypeIPv6 unsigned8
179 icmpCodeIPv6 unsigned8
192 ipTTL unsigned8
195 ipDiffServCodePoint unsigned8
196 ipPrecedence unsigned8
198 octetDeltaSumOfSquares unsigned64
199 octetTotalSumOfSquares unsigned64
210 paddingOctets octetArray
218 tcpSynTotalCount unsigned64
219 tcpFinTotalCount unsigned64
220 tcpRstTotalCount unsigned64
221 tcpPshTotalCount unsigned64
222 tcpAckTotalCount unsigned64
223 tcpUrgTotalCount unsigned64
240 ethernetHeaderLength unsigned8
243 dot1qVlanId unsigned16
244 dot1qPriority unsigned8
256 ethernetType unsigned16
351 layer2SegmentId unsigned64
352 layer2OctetDeltaCount unsigned64
353 layer2OctetTotalCount unsigned64
354 ingressUnicastPacketTotalCount unsigned64
355 ingressMulticastPacketTotalCount unsigned64
356 ingressBroadcastPacketTotalCount unsigned64
357 egressUnicastPacketTotalCount unsigned64
358 egressBroadcastPacketTotalCount unsigned64
368 ingressInterfaceType unsigned32
369 egressInterfaceType unsigned32
"""

_VMWARE: Final = """
891 tunnelType unsigned8
892 tunnelKey octetArray
893 tunnelSourceIPv4Address ipv4Address
894 tunnelDestinationIPv4Address ipv4Address
895 tunnelProtocolIdentifier unsigned8
896 tunnelSourceTransportPort unsigned16
897 tunnelDestinationTransportPort unsigned16
898 virtualObsID string
"""


def _table(enterprise: int, text: str) -> dict[tuple[int, int], Element]:
    """Read one enterprise's lines."""
    rows = (line.split() for line in text.split("\n") if line)
    return {(enterprise, int(number)): Element(name, kind) for number, name, kind in rows}


ELEMENTS: Final = _table(IANA, _IANA) | _table(VMWARE, _VMWARE)
"""(private enterprise number, element id) to element; IANA's own have number 0."""

KINDS: Final = {element.name: element.kind for element in ELEMENTS.values()}
"""Name to abstract data type."""


_WIDTHS: Final = {
    "macAddress": (6,),
    "ipv4Address": (4,),
    "ipv6Address": (16,),
    "float32": (4,),
    "float64": (4, 8),
    "dateTimeMicroseconds": (8,),
    "dateTimeNanoseconds": (8,),
}
"""Octets that a value of a type can have; numbers and the other types: 1 to 8 (RFC 7011 section
6.2, reduced-size encoding; some exporters also write them wider than their type)."""
_RAW: Final = ("octetArray", "string")


def element(enterprise: int, number: int, width: int) -> Element:
    """The element with this number, as a field of this width.

    An unknown element, or one whose type has no values of this width, is raw octets under "PEN/ID".
    """
    known = ELEMENTS.get((enterprise, number))
    if known and (known.kind in _RAW or width in _WIDTHS.get(known.kind, range(1, 9))):
        return known
    return Element(f"{enterprise}/{number}", "octetArray")
