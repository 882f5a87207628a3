"""A campus: core, distribution and access switches, with two ways up from each."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits

CORE = 2
PAIR = 2


class Parameters(ShapeParameters):
    """How many buildings there are, and how large they are."""

    buildings: Annotated[int, Field(ge=1, le=40)] = Field(
        default=2, description="Buildings; each has two distribution switches."
    )
    access_per_building: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="Access switches in each building, the ones with hosts."
    )
    hosts_per_access: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Hosts on each access switch."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        access = self.buildings * self.access_per_building
        within_limits(CORE + self.buildings * PAIR + access, access * self.hosts_per_access)
        return self


def build(parameters: Parameters) -> Topology:
    """S1 and s2 are the core and joined; then come the buildings, distribution before access.

    Every distribution switch is joined to both of the core, every access switch to both
    distribution switches of its building, and those to each other.
    """
    access = parameters.access_per_building
    links: list[tuple[str, str]] = [("s1", "s2")]
    for building in range(parameters.buildings):
        first = CORE + building * (PAIR + access) + 1
        distribution = [f"s{first}", f"s{first + 1}"]
        links += [(upper, core) for upper in distribution for core in ("s1", "s2")]
        links.append((distribution[0], distribution[1]))
        for number in range(access):
            lower = f"s{first + PAIR + number}"
            host = (building * access + number) * parameters.hosts_per_access + 1
            links += [(f"h{host + more}", lower) for more in range(parameters.hosts_per_access)]
            links += [(lower, upper) for upper in distribution]
    return wire(
        "campus",
        dict(parameters),
        hosts=parameters.buildings * access * parameters.hosts_per_access,
        switches=CORE + parameters.buildings * (PAIR + access),
        links=links,
    )
