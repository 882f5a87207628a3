"""Per-flow IPFIX: Open vSwitch's action ``sample`` on chosen flows.

The action names a collector set, which the switch's database joins to a collector, and an
observation domain and point, which the records will carry (``ovs-actions(7)``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.controllers.shortest_path import ShortestPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IP_VERSIONS = (0x0800, 0x86DD)
PROTOCOLS = {"udp": (17, 17), "tcp": (6, 6), "icmp": (1, 58)}


class FlowSampler(ShortestPath):
    """Rules that sample before they forward."""

    def rules_to(self, switch: Any, host: str, ports: Sequence[int]) -> None:
        """As always, and above that a rule for each kind of packet that is to be sampled."""
        super().rules_to(switch, host, ports)
        parser = switch.ofproto_parser
        sample = parser.NXActionSample(
            probability=self.settings["probability"],
            collector_set_id=switch.id,
            obs_domain_id=self.settings["first_domain"] + switch.id,
            obs_point_id=switch.id,
        )
        for match in self.chosen():
            whole = {**self.to(host), **match}
            self.add_rule(switch, 20, whole, [sample, *self.out(switch, ports[0])])

    def chosen(self) -> Iterator[dict[str, Any]]:
        """What is to be sampled, as matches: everything, or one kind in both versions of IP."""
        only, port = self.settings["only"], self.settings["port"]
        if only is None:
            yield {}
            return
        for version, ethertype in enumerate(IP_VERSIONS):
            match: dict[str, Any] = {"eth_type": ethertype}
            if only != "ip":
                match["ip_proto"] = PROTOCOLS[only][version]
            if port is not None:
                match[f"{only}_dst"] = port
            yield match
