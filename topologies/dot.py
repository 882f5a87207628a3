"""A topology in the language of Graphviz, which lays it out and draws it.

Source: https://graphviz.org/doc/info/lang.html. The numbers at the ends of lines are OpenFlow port
numbers, as exporters report them; a dashed line is one that what is sent to all does not take.
Lines have the ids ``link-0``, ``link-1``, … in the order of the topology's links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from topologies.model import Link, Topology


def dot(topology: Topology) -> str:
    """The drawing as text, for ``dot -Tsvg``; node names need no quotes, but get them."""
    return "\n".join(("graph flowlab {", *_lines(topology), "}")) + "\n"


def _lines(topology: Topology) -> Iterator[str]:
    yield '  node [fontname="sans-serif", fontsize=11]'
    yield '  edge [fontname="sans-serif", fontsize=8]'
    for switch in topology.switches:
        yield f'  "{switch.name}" [shape=box, style=filled, fillcolor="#dbe9f6"]'
    for host in topology.hosts:
        vlan = "" if host.vlan is None else f"\\nVLAN {host.vlan}"
        yield f'  "{host.name}" [shape=ellipse, label="{host.name}\\n{host.ipv4}{vlan}"]'
    switches = {switch.name for switch in topology.switches}
    for number, link in enumerate(topology.links):
        yield _edge(topology, link, switches, number)


def _edge(topology: Topology, link: Link, switches: set[str], number: int) -> str:
    tail, head = (str(p.number) if p.node in switches else "" for p in (link.a, link.b))
    told = {"id": f"link-{number}", "taillabel": tail, "headlabel": head, "label": _quality(link)}
    if {link.a, link.b} & topology.blocked:
        told["style"] = "dashed"
    attributes = ", ".join(f'{name}="{value}"' for name, value in told.items() if value)
    return f'  "{link.a.node}" -- "{link.b.node}" [{attributes}]'


def _quality(link: Link) -> str:
    quality = link.quality
    said = (
        (quality.bandwidth_mbps, "Mbit/s"),
        (quality.delay_ms, "ms"),
        (quality.loss_percent, "% lost"),
    )
    return "\\n".join(f"{value:g} {unit}" for value, unit in said if value is not None)
