"""Traffic: what a scenario's steps send, planned to the packet, and the programs that send it.

To add a kind, write a module with a class derived from `Conversation` (protocol stacks talk) or
`Scheduled` (packets known beforehand), and list it here.
"""

from __future__ import annotations

from lab.traffic.arp import Arp
from lab.traffic.base import Conversation, Ends, Line, PlannedFlow, Report, Scheduled, Traffic
from lab.traffic.ping import Ping
from lab.traffic.tcp import Tcp
from lab.traffic.udp import Udp

KINDS: dict[str, type[Traffic]] = {kind.kind: kind for kind in (Ping, Udp, Tcp, Arp)}
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
