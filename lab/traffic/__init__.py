"""Traffic: what a scenario's steps send, planned to the packet, and the programs that send it.

To add a kind, write a module with a class derived from `Conversation` (protocol stacks talk) or
`Scheduled` (packets known beforehand), and list it here.
"""

from __future__ import annotations

from lab.traffic.arp import Arp
from lab.traffic.base import Conversation, Ends, Line, PlannedFlow, Report, Scheduled, Traffic
from lab.traffic.dns import Dns
from lab.traffic.flood import Flood
from lab.traffic.groups import Broadcast, Multicast
from lab.traffic.http import Http
from lab.traffic.icmp_error import IcmpError
from lab.traffic.iperf3 import Iperf3
from lab.traffic.mix import Mix
from lab.traffic.odd import ExtensionHeaders, Fragments, Vlan
from lab.traffic.packets import Packets
from lab.traffic.ping import Ping
from lab.traffic.replay import Replay
from lab.traffic.rtp import Video, Voip
from lab.traffic.scan import Scan
from lab.traffic.tcp import Tcp
from lab.traffic.tunnel import Tunnel
from lab.traffic.udp import Udp

_KINDS: tuple[type[Traffic], ...] = (
    *(Ping, Udp, Tcp, Http, Dns, Iperf3),
    *(Multicast, Broadcast, Arp, Voip, Video, Mix),
    *(Scan, Flood),
    *(Fragments, Vlan, ExtensionHeaders, IcmpError, Tunnel, Packets, Replay),
)
KINDS: dict[str, type[Traffic]] = {kind.kind: kind for kind in _KINDS}
"""Every traffic kind by the name that a scenario calls it."""

__all__ = [
    "KINDS",
    "Conversation",
    "Ends",
    "Line",
    "PlannedFlow",
    "Report",
    "Scheduled",
    "Traffic",
]
