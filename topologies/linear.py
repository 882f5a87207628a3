"""Switches in a row, with the same number of hosts on each."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How long the row is."""

    switches: Annotated[int, Field(ge=1, le=200)] = Field(
        default=2, description="Switches in the row: s1, s2, …"
    )
    hosts_per_switch: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Hosts on each switch; s1 has the first ones, s2 the next."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(self.switches, self.switches * self.hosts_per_switch)
        return self


def build(parameters: Parameters) -> Topology:
    """Hosts come first among a switch's ports, then the switch before, then the one after.

    So the ports are those of ``mn --topo linear``; with several hosts on a switch, the hosts
    are h1, h2, … throughout, where Mininet would say h1s1, h2s1, ….
    """
    each = parameters.hosts_per_switch
    links: list[tuple[str, str]] = []
    for switch in range(1, parameters.switches + 1):
        first = (switch - 1) * each + 1
        links += [(f"h{host}", f"s{switch}") for host in range(first, first + each)]
        if switch > 1:
            links.append((f"s{switch}", f"s{switch - 1}"))
    return wire(
        "linear",
        dict(parameters),
        hosts=parameters.switches * each,
        switches=parameters.switches,
        links=links,
    )
