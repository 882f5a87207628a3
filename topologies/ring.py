"""Switches in a ring: two ways between any two, so one link has to stand by."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How long the ring is."""

    switches: Annotated[int, Field(ge=3, le=200)] = Field(
        default=4, description="Switches in the ring: s1, s2, … and s1 again."
    )
    hosts_per_switch: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Hosts on each switch; s1 has the first ones, s2 the next."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(self.switches, self.switches * self.hosts_per_switch)
        return self


def build(parameters: Parameters) -> Topology:
    """Hosts come first among a switch's ports; then the links s1-s2, s2-s3, … in this order."""
    each, switches = parameters.hosts_per_switch, parameters.switches
    links = [
        (f"h{(switch - 1) * each + number}", f"s{switch}")
        for switch in range(1, switches + 1)
        for number in range(1, each + 1)
    ]
    links += [(f"s{switch}", f"s{switch % switches + 1}") for switch in range(1, switches + 1)]
    return wire("ring", dict(parameters), hosts=switches * each, switches=switches, links=links)
