"""An access list: some packets are dropped, by rules without actions.

A dropped packet has come in, so exporters that look at what comes in report it, and nothing in
their counters says that it went nowhere: NetFlow's output port does, and sFlow's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls

from lab.controllers.shortest_path import ShortestPath

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        for rule in self.settings["deny"]:
            ends: dict[str, Any] = {}
            if rule["from"]:
                ends["eth_src"] = self.hosts[rule["from"]]["mac"]
            if rule["to"]:
                ends["eth_dst"] = self.hosts[rule["to"]]["mac"]
            for kind in kinds(rule["protocol"], rule["port"]):
                self.add_rule(switch, 100, {**ends, **kind}, [])


def kinds(protocol: str | None, port: int | None) -> Iterator[dict[str, Any]]:
    """What is dropped, as matches: everything (ARP too), or a protocol in both versions of IP."""
    if protocol is None:
        yield {}
        return
    for ethertype, ip in IP_VERSIONS.items():
        match = {"eth_type": ethertype, "ip_proto": PROTOCOLS[protocol, ip]}
        yield match if port is None else {**match, f"{protocol}_dst": port}
