"""An access list: some packets are dropped, by rules without actions.

A dropped packet has come in, so exporters that look at what comes in report it, and nothing in
their counters says that it went nowhere: NetFlow's output port does, and sFlow's.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls

from lab.controllers.shortest_path import ShortestPath

IP_VERSIONS = {0x0800: "ipv4", 0x86DD: "ipv6"}
PROTOCOLS = {
    ("udp", "ipv4"): 17,
    ("udp", "ipv6"): 17,
    ("tcp", "ipv4"): 6,
    ("tcp", "ipv6"): 6,
    ("icmp", "ipv4"): 1,
    ("icmp", "ipv6"): 58,
}


class AccessList(ShortestPath):
    """Rules that drop, above those that forward."""

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def list_came(self, event: Any) -> None:
        """Install the list on every switch: the first one on the way drops."""
        switch = event.msg.datapath
        for rule, (ethertype, ip) in product(self.settings["deny"], IP_VERSIONS.items()):
            match: dict[str, Any] = {"eth_type": ethertype}
            if rule["from"]:
                match["eth_src"] = self.hosts[rule["from"]]["mac"]
            if rule["to"]:
                match["eth_dst"] = self.hosts[rule["to"]]["mac"]
            if rule["protocol"]:
                match["ip_proto"] = PROTOCOLS[rule["protocol"], ip]
            if rule["port"]:
                match[f"{rule['protocol']}_dst"] = rule["port"]
            self.add_rule(switch, 100, match, [])
