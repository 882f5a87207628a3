"""A fat tree of switches with k ports each: k pods, (k/2)² ways between two of them.

Source: Al-Fares, Loukissas, Vahdat, "A Scalable, Commodity Data Center Network Architecture",
SIGCOMM 2008, section 3.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How many ports the switches have."""

    k: Annotated[int, Field(ge=2, le=12, multiple_of=2)] = Field(
        default=4, description="Ports of each switch, an even number; there are as many pods."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(5 * self.k**2 // 4, self.k**3 // 4)
        return self


def build(parameters: Parameters) -> Topology:
    """The core comes first, then each pod: its aggregation switches, then its edge switches.

    An aggregation switch has the core on its first ports, in a pod all of them different ones;
    an edge switch has its hosts on its first ports.
    """
    half = parameters.k // 2
    core = half**2
    links: list[tuple[str, str]] = []
    for pod in range(parameters.k):
        first = core + pod * parameters.k + 1
        aggregation = [f"s{first + number}" for number in range(half)]
        edge = [f"s{first + half + number}" for number in range(half)]
        for row, upper in enumerate(aggregation):
            links += [(upper, f"s{row * half + column + 1}") for column in range(half)]
        for row, lower in enumerate(edge):
            host = pod * core + row * half + 1
            links += [(f"h{host + number}", lower) for number in range(half)]
            links += [(lower, upper) for upper in aggregation]
    return wire(
        "fat-tree",
        dict(parameters),
        hosts=parameters.k * core,
        switches=core + parameters.k**2,
        links=links,
    )
