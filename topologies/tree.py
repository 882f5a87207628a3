"""A tree of switches, with the hosts on its lowest ones."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits


class Parameters(ShapeParameters):
    """How high and how wide the tree is."""

    depth: Annotated[int, Field(ge=1, le=8)] = Field(
        default=2, description="Levels of switches; 1 is a single switch."
    )
    fanout: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2, description="How many switches, or hosts, are below each switch."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(_switches_of(self), self.fanout**self.depth)
        return self


def build(parameters: Parameters) -> Topology:
    """Numbers follow the tree downwards, leftmost first: s1 is the root, h1 and s2 are leftmost.

    Nodes and ports are those of ``mn --topo tree``: a switch has its own children on ports
    1, 2, … and its parent on the port after them.
    """
    links: list[tuple[str, str]] = []
    _grow(parameters.depth, parameters.fanout, _Count(), links)
    return wire(
        "tree",
        dict(parameters),
        hosts=parameters.fanout**parameters.depth,
        switches=_switches_of(parameters),
        links=links,
    )


def _switches_of(parameters: Parameters) -> int:
    return sum(parameters.fanout**level for level in range(parameters.depth))


class _Count:
    """How many nodes of each letter have been named so far."""

    def __init__(self) -> None:
        self._used = {"h": 0, "s": 0}

    def name(self, letter: str) -> str:
        self._used[letter] += 1
        return f"{letter}{self._used[letter]}"


def _grow(depth: int, fanout: int, count: _Count, links: list[tuple[str, str]]) -> str:
    """Add a subtree to ``links`` and return the name of its top."""
    if depth == 0:
        return count.name("h")
    top = count.name("s")
    for _ in range(fanout):
        links.append((top, _grow(depth - 1, fanout, count, links)))
    return top
