"""One switch in the middle, others around it, and hosts on those."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How many points the star has."""

    points: Annotated[int, Field(ge=1, le=199)] = Field(
        default=4, description="Switches around the one in the middle."
    )
    hosts_per_switch: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Hosts on each switch but the one in the middle."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(self.points + 1, self.points * self.hosts_per_switch)
        return self


def build(parameters: Parameters) -> Topology:
    """S1 is in the middle; hosts come first among the ports of s2, s3, …, then s1."""
    each = parameters.hosts_per_switch
    links: list[tuple[str, str]] = []
    for point in range(parameters.points):
        switch = f"s{point + 2}"
        links += [(f"h{point * each + number}", switch) for number in range(1, each + 1)]
        links.append((switch, "s1"))
    return wire(
        "star",
        dict(parameters),
        hosts=parameters.points * each,
        switches=parameters.points + 1,
        links=links,
    )
