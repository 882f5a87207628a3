"""The lab of networking books: five routers with redundant links, a host at each.

The routers are plain switches here, joined as the book's routers are. They forward within one
network, so what crosses them keeps its MAC addresses and its TTL.
"""

from __future__ import annotations

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters

ROUTERS = 5
LINKS = ((1, 2), (1, 3), (2, 3), (2, 4), (3, 5), (4, 5))


class Parameters(ShapeParameters):
    """Nothing to choose but what the links are like."""


def build(parameters: Parameters) -> Topology:
    r"""A triangle s1, s2, s3, with s4 behind s2, s5 behind s3, and a link between those two.

    ::

              s1
             /  \
           s2 ── s3
           |      |
           s4 ── s5

    So there are rings of three and of four. Each switch's host is on its port 1.
    """
    links = [(f"h{number}", f"s{number}") for number in range(1, ROUTERS + 1)]
    links += [(f"s{a}", f"s{b}") for a, b in LINKS]
    return wire("five-routers", dict(parameters), hosts=ROUTERS, switches=ROUTERS, links=links)
