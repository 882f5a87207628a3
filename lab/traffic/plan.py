"""From a scenario's steps to flows: source ports chosen, windows shared, ends looked up.

Pure: the same scenario gives the same plan, so what must be seen is known before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

from lab.traffic.base import (
    FIRST_SOURCE_PORT,
    LAST_PORT,
    Conversation,
    Ends,
    PlannedFlow,
    Scheduled,
    Traffic,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.traffic.schedule import Cast, Schedule
    from topologies import Topology

WINDOW_PACKETS: Final = 48
"""Packets under way at once, over all steps of a stage: half of what a switch port's receive
queue holds by default (net.core.rmem_default, at 2304 octets of kernel memory for a full frame)."""


_NO_WINDOW: Final = 1 << 62


@dataclass(frozen=True)
class Planned:
    """One step, ready to run.

    Attributes:
        label: what messages call it: ``step 2``, ``step 2.1`` in a parallel stage.
        traffic: what was declared.
        source_port: the first source port that it uses.
        conversed: the flows of a conversation.
        heard: whether anything of it arrives; else nobody waits for it.
        lossy: whether some of it may not arrive: then nobody waits for all of it.
        rounds: for a conversation the hosts and ports that it uses, each time that it is done.
        schedule: for scheduled packets all of them, from the beginning of the stage on.
        at_once: how many steps run at the same time, this one included.
    """

    label: str
    traffic: Traffic
    source_port: int
    conversed: tuple[PlannedFlow, ...] = ()
    rounds: tuple[Ends, ...] = ()
    heard: bool = True
    lossy: bool = False
    schedule: Schedule | None = None
    at_once: int = 1

    @property
    def flows(self) -> tuple[PlannedFlow, ...]:
        """What it makes; worked out when it is asked for."""
        return self.conversed if self.schedule is None else self.schedule.flows

    @property
    def programs(self) -> tuple[str, ...]:
        """The traffic programs that have to report, ``step 1 send``."""
        return tuple(f"{self.label} {role}" for role in self.roles)

    @property
    def roles(self) -> tuple[str, ...]:
        """The ends at which a program runs."""
        if isinstance(self.traffic, Conversation) and self.heard:
            return self.traffic.roles
        return ("send",)

    def unheard(self) -> Planned:
        """The same where all of it is dropped: nothing arrives that the sender could wait for."""
        return replace(self.losing(), heard=False)

    def losing(self) -> Planned:
        """The same where some of it is lost, so that the sender must not wait for each packet."""
        rounds = tuple(replace(ends, window=_NO_WINDOW) for ends in self.rounds)
        return replace(self, lossy=True, rounds=rounds)


def plan(
    stages: Sequence[Sequence[Traffic]], topology: Topology
) -> tuple[tuple[Planned, ...], ...]:
    """Plan all stages; the steps of a stage run in parallel, the stages one after the other."""
    next_port = FIRST_SOURCE_PORT
    planned: list[tuple[Planned, ...]] = []
    cast: Cast | None = None
    for number, stage in enumerate(stages, 1):
        window = max(2, WINDOW_PACKETS // len(stage))
        steps: list[Planned] = []
        for index, traffic in enumerate(stage, 1):
            label = f"step {number}" if len(stage) == 1 else f"step {number}.{index}"
            given = getattr(traffic, "source_port", None)
            ports = traffic.all_source_ports
            if given is None and next_port + ports > LAST_PORT:
                next_port = FIRST_SOURCE_PORT
            first = next_port if given is None else given
            next_port += ports if given is None else 0
            if isinstance(traffic, Scheduled):
                cast = cast or _cast(topology)
                steps.append(_scheduled(label, traffic, cast, first))
            elif isinstance(traffic, Conversation):
                step = 0 if given is not None else traffic.source_ports
                starts = (first + step * times for times in range(traffic.repeat))
                link_bps = _slowest_bps(topology) / len(stage)
                rounds = tuple(
                    _ends(traffic, topology, start, window, link_bps) for start in starts
                )
                steps.append(_conversation(label, traffic, rounds))
        planned.append(tuple(replace(step, at_once=len(stage)) for step in steps))
    return tuple(planned)


def _ends(
    traffic: Conversation, topology: Topology, source_port: int, window: int, link_bps: float
) -> Ends:
    source, destination = topology.host(traffic.source), topology.host(traffic.destination)
    return Ends(source, destination, source_port, window, link_bps)


def _slowest_bps(topology: Topology) -> float:
    """The bandwidth of the slowest link."""
    told = (link.quality.bandwidth_mbps for link in topology.links)
    return min((mbps * 1e6 for mbps in told if mbps is not None), default=inf)


def _conversation(label: str, traffic: Conversation, rounds: tuple[Ends, ...]) -> Planned:
    made = merged(flow for ends in rounds for flow in traffic.plan(ends))
    return Planned(label, traffic, rounds[0].source_port, made, rounds)


def _cast(topology: Topology) -> Cast:
    from lab.traffic.schedule import Cast

    return Cast(topology.hosts)


def _scheduled(label: str, traffic: Scheduled, cast: Cast, source_port: int) -> Planned:
    schedule = traffic.schedule(cast, source_port).repeated(traffic.repeat, traffic.pause_s)
    return Planned(label, traffic, source_port, schedule=schedule)


def flows(planned: Iterable[Iterable[Planned]]) -> tuple[PlannedFlow, ...]:
    """All flows of a plan; those with one key and the same ends are one, their counts added up."""
    return merged(flow for stage in planned for step in stage for flow in step.flows)


def merged(flows: Iterable[PlannedFlow]) -> tuple[PlannedFlow, ...]:
    """Flows with one key and the same ends as one, their counts added up.

    What switches may treat differently is kept apart.
    """
    together: dict[object, PlannedFlow] = {}
    for flow in flows:
        asked_by = None if flow.answers is None else flow.answers.source
        place = flow.key, flow.source, flow.destination, flow.fragments, flow.nobody, asked_by
        known = together.get(place)
        together[place] = flow if known is None else _add(known, flow)
    return tuple(together.values())


def _add(one: PlannedFlow, other: PlannedFlow) -> PlannedFlow:
    return replace(
        one,
        packets=_sum(one.packets, other.packets),
        octets_l2=_sum(one.whole_frames, other.whole_frames),
        octets_l3=_sum(one.octets_l3, other.octets_l3),
        payload_octets=_sum(one.payload_octets, other.payload_octets),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
