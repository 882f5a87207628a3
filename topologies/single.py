"""One switch with all the hosts on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters


class Parameters(ShapeParameters):
    """How many hosts there are."""

    hosts: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=2, description="Hosts on the switch: h1, h2, …"
    )


def build(parameters: Parameters) -> Topology:
    """Host i is on port i of s1, as in ``mn --topo single``."""
    return wire(
        "single",
        dict(parameters),
        hosts=parameters.hosts,
        switches=1,
        links=[(f"h{number}", "s1") for number in range(1, parameters.hosts + 1)],
    )
