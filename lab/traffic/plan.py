"""From a scenario's steps to flows: source ports chosen, windows shared, ends looked up.

Pure: the same scenario gives the same plan, so what must be seen is known before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab.traffic.base import FIRST_SOURCE_PORT, LAST_PORT, Ends, PlannedFlow, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from topologies import Topology

WINDOW_PACKETS: Final = 48
"""Packets under way at once, over all steps of a stage: half of what a switch port's receive
queue holds by default (net.core.rmem_default, at 2304 octets of kernel memory for a full frame)."""


@dataclass(frozen=True)
class Planned:
    """One step, ready to run.

    Attributes:
        label: what messages call it: ``step 2``, ``step 2.1`` in a parallel stage.
        traffic: what was declared.
        ends: the hosts and ports it uses.
        flows: what it makes.
    """

    label: str
    traffic: Traffic
    ends: Ends
    flows: tuple[PlannedFlow, ...]


def plan(
    stages: Sequence[Sequence[Traffic]], topology: Topology
) -> tuple[tuple[Planned, ...], ...]:
    """Plan all stages; the steps of a stage run in parallel, the stages one after the other."""
    next_port = FIRST_SOURCE_PORT
    planned: list[tuple[Planned, ...]] = []
    for number, stage in enumerate(stages, 1):
        window = max(2, WINDOW_PACKETS // len(stage))
        steps: list[Planned] = []
        for index, traffic in enumerate(stage, 1):
            label = f"step {number}" if len(stage) == 1 else f"step {number}.{index}"
            given = getattr(traffic, "source_port", None)
            if given is None and next_port + traffic.source_ports > LAST_PORT:
                next_port = FIRST_SOURCE_PORT
            ends = Ends(
                topology.host(traffic.source),
                topology.host(traffic.destination),
                next_port if given is None else given,
                window,
            )
            next_port += traffic.source_ports if given is None else 0
            steps.append(Planned(label, traffic, ends, traffic.plan(ends)))
        planned.append(tuple(steps))
    return tuple(planned)


def flows(planned: Iterable[Iterable[Planned]]) -> tuple[PlannedFlow, ...]:
    """All flows of a plan; those with one key are one flow, their counts added up."""
    together: dict[object, PlannedFlow] = {}
    for step in (step for stage in planned for step in stage):
        for flow in step.flows:
            known = together.get(flow.key)
            together[flow.key] = flow if known is None else _add(known, flow)
    return tuple(together.values())


def _add(one: PlannedFlow, other: PlannedFlow) -> PlannedFlow:
    return PlannedFlow(
        one.key,
        one.source,
        one.destination,
        _sum(one.packets, other.packets),
        _sum(one.octets_l3, other.octets_l3),
        _sum(one.payload_octets, other.payload_octets),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
