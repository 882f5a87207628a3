"""The library of topologies: nodes, links, addresses and paths, known without running anything.

Must not know: exporters, flows, traffic.

To add a shape, put one module here that has

* a docstring whose first line says what the shape is,
* ``Parameters``, a frozen pydantic model of what a scenario may choose, and
* ``build(parameters)``, a pure function that returns the `Topology`.

The module's name, with ``-`` for ``_``, is the shape's name in scenario files; nothing has to
be registered.
"""

from __future__ import annotations

from topologies.model import (
    MTU_OCTETS,
    VLAN_TAG_OCTETS,
    Crossing,
    Hop,
    Host,
    Link,
    Port,
    Quality,
    Switch,
    Topology,
)
from topologies.shapes import Shape, discover

SHAPES: dict[str, Shape] = discover(__path__)
"""Every shape by the name that a scenario calls it."""

__all__ = [
    "MTU_OCTETS",
    "SHAPES",
    "VLAN_TAG_OCTETS",
    "Crossing",
    "Hop",
    "Host",
    "Link",
    "Port",
    "Quality",
    "Shape",
    "Switch",
    "Topology",
]
