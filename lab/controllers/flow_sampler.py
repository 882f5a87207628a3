"""Per-flow IPFIX: Open vSwitch's action ``sample`` on chosen flows.

The action names a collector set, which the switch's database joins to a collector, and an
observation domain and point, which the records will carry (``ovs-actions(7)``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls

from lab.controllers.shortest_path import ShortestPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IP_VERSIONS = (0x0800, 0x86DD)
PROTOCOLS = {"udp": (17, 17), "tcp": (6, 6), "icmp": (1, 58)}


class FlowSampler(ShortestPath):
    """Rules that sample before they forward."""

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def sampler_came(self, event: Any) -> None:
        """What is for everybody is sampled too, and what is for nobody before it is dropped."""
        switch = event.msg.datapath
        for match, sample in self.samples(switch):
            self.add_rule(switch, 1, match, [sample])
            for all_of_them, actions in self.flood(switch):
                self.add_rule(switch, 6, {**all_of_them, **match}, [sample, *actions])

    def rules_to(self, switch: Any, host: str, ports: Sequence[int]) -> None:
        """As always, and above that a rule for each kind of packet that is to be sampled."""
        super().rules_to(switch, host, ports)
        for match, sample in self.samples(switch):
            whole = {**self.to(host), **match}
            self.add_rule(switch, 20, whole, [sample, *self.out(switch, ports[0])])

    def samples(self, switch: Any) -> Iterator[tuple[dict[str, Any], Any]]:
        """What ipfix-flow is set to at a switch, as matches, and the action for each."""
        for one in self.settings["samples"]:
            if one["at"] is not None and self.switches[switch.id]["name"] not in one["at"]:
                continue
            sample = switch.ofproto_parser.NXActionSample(
                probability=one["probability"],
                collector_set_id=switch.id,
                obs_domain_id=self.settings["first_domain"] + switch.id,
                obs_point_id=switch.id,
            )
            for match in chosen(one["only"], one["port"]):
                yield match, sample


def chosen(only: str | None, port: int | None) -> Iterator[dict[str, Any]]:
    """What is to be sampled, as matches: everything, or one kind in both versions of IP."""
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
