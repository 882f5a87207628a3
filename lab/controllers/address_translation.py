"""Address translation: hosts inside have other addresses outside (RFC 3022 section 2, basic NAT).

One switch rewrites. What its own hosts send out gets the address that they have outside, what comes
back gets the one that they have inside; checksums follow. Rules alone do that, since each host has
an address outside of its own: a router that shares one among many has to note ports as well.

An exporter at that switch tells a packet as it came, or as it left: it depends on when it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.controllers.settings import outside_address
from lab.controllers.shortest_path import ShortestPath

if TYPE_CHECKING:
    from collections.abc import Sequence

IPV4 = 0x0800


class AddressTranslation(ShortestPath):
    """Rules that rewrite before they forward."""

    def rules_to(self, switch: Any, host: str, ports: Sequence[int]) -> None:
        """As always, and above that at the translating switch, for both directions."""
        super().rules_to(switch, host, ports)
        here = self.settings["at"]
        if self.switches[switch.id]["name"] != here:
            return
        there, rewrite = self.hosts[host], switch.ofproto_parser.OFPActionSetField
        to_it, output = {**self.to(host), "eth_type": IPV4}, self.out(switch, ports[0])
        if there["at"] == here:
            match = {**to_it, "ipv4_dst": outside_address(there["ipv4"])}
            self.add_rule(switch, 20, match, [rewrite(ipv4_dst=there["ipv4"]), *output])
            return
        for one in (one for one in self.hosts.values() if one["at"] == here):
            match = {**to_it, "eth_src": one["mac"], "ipv4_src": one["ipv4"]}
            outside = rewrite(ipv4_src=outside_address(one["ipv4"]))
            self.add_rule(switch, 20, match, [outside, *output])
