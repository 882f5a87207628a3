"""Equal-cost multipath: flows are spread over all ways that are equally short.

Packets of one flow keep to one way, or they would overtake each other. So the way is chosen by
what all packets of a flow have in common: here the lowest three bits of the source port, which
put it into one of eight buckets. Hardware does the same with a hash over more fields. Where flows
meet two such choices, one after the other, the second one sees only half of the buckets, and may
use only half of the ways: that is called polarization, and is to be seen in a fat tree.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from lab.controllers.settings import BUCKETS
from lab.controllers.shortest_path import ShortestPath

if TYPE_CHECKING:
    from collections.abc import Sequence

IP_VERSIONS = (0x0800, 0x86DD)
PROTOCOLS = {"tcp_src": 6, "udp_src": 17}


class Ecmp(ShortestPath):
    """A rule for every bucket where there are several ways."""

    def rules_to(self, switch: Any, host: str, ports: Sequence[int]) -> None:
        """Deal the buckets to the ways in turn; what has no ports goes the first way."""
        super().rules_to(switch, host, ports)
        if len(ports) == 1:
            return
        for ip, (field, protocol), bucket in product(
            IP_VERSIONS, PROTOCOLS.items(), range(BUCKETS)
        ):
            match = {
                **self.to(host),
                "eth_type": ip,
                "ip_proto": protocol,
                field: (bucket, BUCKETS - 1),
            }
            self.add_rule(switch, 20, match, self.out(switch, ports[bucket % len(ports)]))
