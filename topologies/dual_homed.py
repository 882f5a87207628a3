"""Hosts with two interfaces, each to a switch of its own; the second one stands by.

A host speaks and listens on its first interface alone (active and backup, as a server's bond has
it). So the second link is there for a fault of the first one, and nothing is flooded to it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How many hosts there are."""

    hosts: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=4, description="Hosts; odd ones have their first interface at s1, even ones at s2."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(2, self.hosts)
        return self


def build(parameters: Parameters) -> Topology:
    """Two switches that are joined; host n is on port n+1 of both."""
    links = [("s1", "s2")]
    for host in range(1, parameters.hosts + 1):
        first, second = ("s1", "s2") if host % 2 else ("s2", "s1")
        links += [(f"h{host}", first), (f"h{host}", second)]
    return wire("dual-homed", dict(parameters), hosts=parameters.hosts, switches=2, links=links)
