"""Your own: hosts, switches and links by name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topologies.model import QUALITIES, Quality, Topology, wire
from topologies.shapes import (
    MOST_HOSTS,
    MOST_SWITCHES,
    ShapeParameters,
    within_limits,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.config import JsonDict

MOST_LINKS = 4000
_MOST_INTERFACES_OF_A_HOST = 2

# An interface is called as the switch itself, and Linux has some (net/ipv6/addrconf.c).
_TAKEN = {
    **{name: f"Linux has a {name!r} of its own" for name in ("lo", "all", "default")},
    "any": "'any' stands for all hosts in patterns of flows",
}
# Linux gives an interface's name room for 15 characters; ours are <node>-eth<number>.
NODE_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,7}$"
NodeName = Annotated[str, Field(pattern=NODE_NAME)]


class LinkQuality(BaseModel):
    """What a link is like that is not perfect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ends: tuple[NodeName, NodeName] = Field(
        description="The two nodes that it joins.", examples=[["core", "edge"]]
    )
    bandwidth_mbps: Annotated[float, Field(ge=0.1, le=10_000)] | None = Field(
        default=None, description="How fast it is, in 10⁶ bits a second."
    )
    delay_ms: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="How long a packet is on it."
    )
    loss_percent: Annotated[float, Field(gt=0, le=50)] | None = Field(
        default=None, description="How many of 100 packets it loses."
    )


_EXAMPLE: JsonDict = {
    "hosts": ["h1", "h2"],
    "switches": ["core", "edge"],
    "links": [["h1", "core"], ["core", "edge"], ["edge", "h2"]],
}


class Parameters(ShapeParameters):
    """The nodes, and the links in the order in which ports are numbered."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    hosts: Annotated[tuple[NodeName, ...], Field(min_length=2, max_length=MOST_HOSTS)] = Field(
        description="The hosts' names; the first one gets 10.0.0.1."
    )
    switches: Annotated[tuple[NodeName, ...], Field(min_length=1, max_length=MOST_SWITCHES)] = (
        Field(description="The switches' names; the first one gets number 1.")
    )
    links: Annotated[
        tuple[tuple[NodeName, NodeName], ...], Field(min_length=1, max_length=MOST_LINKS)
    ] = Field(description="The links: the two nodes of each, [h1, s1].")
    qualities: Annotated[tuple[LinkQuality, ...], Field(max_length=MOST_LINKS)] = Field(
        default=(), description="What some links are like: {ends: [s1, s2], bandwidth_mbps: 10}."
    )
    vlans: tuple[tuple[NodeName, Annotated[int, Field(ge=1, le=4094)]], ...] = Field(
        default=(),
        description="VLANs of hosts: [[h1, 10], [h2, 20]]; none if left out.",
        examples=[[["h1", 10], ["h2", 10]]],
    )

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        within_limits(len(self.switches), len(self.hosts))
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        nodes = Counter((*self.hosts, *self.switches))
        yield from (f"two nodes are called {name}" for name, times in nodes.items() if times > 1)
        taken = (name for name in nodes if name in _TAKEN)
        yield from (f"{_TAKEN[name]}; give the node another name" for name in taken)
        interfaces: Counter[str] = Counter()
        for link in self.links:
            interfaces.update(link)
            unknown = [name for name in link if name not in nodes]
            if unknown:
                yield f"a link ends at {unknown[0]}, which is no host and no switch"
            elif link[0] == link[1]:
                yield f"a link joins {link[0]} to itself"
            elif set(link) <= set(self.hosts):
                yield f"a link joins the hosts {' and '.join(link)} directly"
        for one in self.qualities:
            if one.ends not in self.links and one.ends[::-1] not in self.links:
                yield f"qualities names a link of {' and '.join(one.ends)}, which is not there"
            elif not set(one.ends) <= set(self.switches):
                yield f"{' and '.join(one.ends)} are not two switches: other links stay perfect"
        for name in self.hosts:
            if not 1 <= interfaces[name] <= _MOST_INTERFACES_OF_A_HOST:
                yield f"the host {name} has {interfaces[name]} links; give it 1 or 2"
        strangers = (name for name, _ in self.vlans if name not in self.hosts)
        yield from (f"vlans names {name}, which is no host" for name in strangers)


def build(parameters: Parameters) -> Topology:
    """As written; ports are numbered in the order of the links."""
    told = {
        frozenset(one.ends): Quality(**{name: getattr(one, name) for name in QUALITIES})
        for one in parameters.qualities
    }
    return wire(
        "custom",
        {
            "hosts": len(parameters.hosts),
            "switches": len(parameters.switches),
            "links": len(parameters.links),
        }
        | {name: getattr(parameters, name) for name in QUALITIES},
        hosts=parameters.hosts,
        switches=parameters.switches,
        links=parameters.links,
        vlans=dict(parameters.vlans),
        qualities=told,
    )
