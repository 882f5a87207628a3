"""Where packets may be missing because links lose them; pure, chance is not thrown here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from collector.check.model import ExpectedFlow
    from lab.controllers.settings import Controller, Way
    from topologies import Crossing, Topology


def after_loss(way: Way, controller: Controller, topology: Topology) -> frozenset[str]:
    """Those of the switches where some of the packets may not come.

    An answer is after all that what it answers may lose on its way.
    """
    if not topology.losing:
        return frozenset()
    asked = way.flow.answers
    if asked is not None:
        there = controller.crossings(asked, topology)
        if there[-1].switch in _after(there, topology):  # links to hosts lose nothing
            return frozenset(crossing.switch for crossing in way.crossings)
    return _after((*way.came_by, *way.crossings), topology)


def at_losing_ports(flow: ExpectedFlow, losing: Container[str]) -> Iterator[ExpectedFlow]:
    """A flow as its switches have it, and apart from that as ports that lose packets let it out.

    What is lost is lost at the sending port, before anybody who listens there sees it. What has
    come through such a port is uncertain (`perhaps`) at all of its places already.

    Args:
        flow: the flow.
        losing: the ports that lose packets.
    """
    lost = () if flow.perhaps else tuple(port for port in flow.ports if port in losing)
    if not lost:
        yield flow
        return
    kept = tuple(port for port in flow.ports if port not in lost)
    if flow.path or kept:
        yield replace(flow, ports=kept)
    unknown = replace(flow, packets=None, octets_l2=None, octets_l3=None, payload_octets=None)
    yield replace(unknown, path=(), copies=None, ports=lost, perhaps=True)


def _after(crossings: Iterable[Crossing], topology: Topology) -> frozenset[str]:
    """The same of a way, whatever its packets are: the nearest switches come first."""
    after: set[str] = set()
    for crossing in crossings:
        before = topology.before(crossing)
        if before.node in after or before in topology.losing:
            after.add(crossing.switch)
    return frozenset(after)
