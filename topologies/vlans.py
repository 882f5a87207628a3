"""Switches in a row whose hosts are in VLANs, with trunks between the switches.

A host's port is an access port: it takes and gives untagged frames of one VLAN. On a trunk every
frame has a tag (IEEE 802.1Q), so it is four octets longer there.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from topologies.model import Topology, wire
from topologies.shapes import ShapeParameters, within_limits

FIRST_VLAN = 10


class Parameters(ShapeParameters):
    """How many switches and VLANs there are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"hosts_per_vlan": 2}]})

    switches: Annotated[int, Field(ge=1, le=200)] = Field(
        default=2, description="Switches in the row: s1, s2, …"
    )
    vlans: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="VLANs: 10, 20, …; every switch has hosts in each of them."
    )
    hosts_per_vlan: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Hosts in each VLAN at each switch."
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        within_limits(self.switches, self.switches * self.vlans * self.hosts_per_vlan)
        return self


def build(parameters: Parameters) -> Topology:
    """The first hosts of each switch are in VLAN 10, the next ones in VLAN 20, and so on."""
    links: list[tuple[str, str]] = []
    vlans: dict[str, int] = {}
    for switch in range(1, parameters.switches + 1):
        for vlan in range(1, parameters.vlans + 1):
            for _ in range(parameters.hosts_per_vlan):
                host = f"h{len(vlans) + 1}"
                vlans[host] = vlan * FIRST_VLAN
                links.append((host, f"s{switch}"))
        if switch > 1:
            links.append((f"s{switch}", f"s{switch - 1}"))
    return wire(
        "vlans",
        dict(parameters),
        hosts=len(vlans),
        switches=parameters.switches,
        links=links,
        vlans=vlans,
    )
