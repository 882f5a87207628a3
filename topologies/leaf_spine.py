"""A data centre of two layers: every leaf switch is joined to every spine switch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How wide each layer is."""

    spines: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Switches of the upper layer: as many ways between two leaves."
    )
    leaves: Annotated[int, Field(ge=1, le=199)] = Field(
        default=3, description="Switches of the lower layer, the ones with hosts."
    )
    hosts_per_leaf: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2, description="Hosts on each leaf."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(self.spines + self.leaves, self.leaves * self.hosts_per_leaf)
        return self


def build(parameters: Parameters) -> Topology:
    """Spines come first: s1, s2, …; then the leaves. A leaf has its hosts first, then spines."""
    spines, leaves, each = parameters.spines, parameters.leaves, parameters.hosts_per_leaf
    links: list[tuple[str, str]] = []
    for leaf in range(leaves):
        name = f"s{spines + leaf + 1}"
        links += [(f"h{leaf * each + number}", name) for number in range(1, each + 1)]
        links += [(name, f"s{spine}") for spine in range(1, spines + 1)]
    return wire(
        "leaf-spine",
        dict(parameters),
        hosts=leaves * each,
        switches=spines + leaves,
        links=links,
    )
