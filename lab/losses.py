"""Where packets may be missing because links lose them; pure, chance is not thrown here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def _after(crossings: Iterable[Crossing], topology: Topology) -> frozenset[str]:
    """The same of a way, whatever its packets are: the nearest switches come first."""
    after: set[str] = set()
    for crossing in crossings:
        before = topology.before(crossing)
        if before.node in after or before in topology.losing:
            after.add(crossing.switch)
    return frozenset(after)
