"""From a scenario to all that its exporters must report; pure, nothing is run.

Scenario + topology + what each exporter observes → the expected flows of ``expected.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.check.model import (
    Asked,
    Expected,
    ExpectedFlow,
    Explicit,
    Point,
    kinds_of,
    why_unseen,
)
from exporters import Bridge, Probe
from lab.controllers.settings import NoController, Poller
from lab.disturbances import CollectorRestart, LateCollector, OfDatagrams
from lab.losses import after_loss, at_losing_ports
from lab.scenario.check import cannot_report
from lab.traffic.plan import flows, plan
from topologies import VLAN_TAG_OCTETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from collector.check.pattern import Pattern
    from collector.key import FlowKey
    from exporters import Exporter
    from lab.controllers.settings import Controller, Way
    from lab.scenario.expectation import Expectation
    from lab.scenario.model import Scenario
    from lab.traffic import PlannedFlow
    from lab.traffic.plan import Planned
    from topologies import Crossing, Topology

_OWN_PORT: Final = 1
"""What is flooded leaves by the bridge's own port (LOCAL) as well, to the machine that it is on."""


def expected(scenario: Scenario) -> Expected:
    """All that a run of a scenario is judged by."""
    topology = scenario.build_topology()
    stages = planned_stages(scenario)
    steps = [step for stage in stages for step in stage]
    planned = flows(stages)
    points = tuple(_points(scenario.exporters, topology))
    losing = {port.name for port in topology.losing} & {point.port for _, point in points}
    seen = tuple(
        part
        for flow in _flows(planned, topology, scenario.controller)
        for part in at_losing_ports(flow, losing)
    )
    return Expected(
        scenario=scenario.name,
        points=tuple(point for _, point in points),
        flows=seen,
        explicit=tuple(_explicit(scenario, seen, points, topology)),
        tolerances=scenario.tolerances.by_measure(),
        polls=tuple(_polls(scenario)),
        faults=tuple(
            fault.kind
            for fault in scenario.fault
            if isinstance(fault, OfDatagrams | LateCollector | CollectorRestart)
        ),
        programs=tuple(program for step in steps for program in step.programs),
        look_for=scenario.look_for,
        background=tuple(flow.pattern(topology) for flow in scenario.background),
    )


def _polls(scenario: Scenario) -> Iterator[str]:
    """How counters of ports have to be polled."""
    if isinstance(scenario.controller, Poller):
        yield "OpenFlow"
    if scenario.snmp is not None:
        yield "SNMP"


def planned_stages(scenario: Scenario) -> tuple[tuple[Planned, ...], ...]:
    """What is sent; where all of a step is dropped, nobody waits for it."""
    stages = plan(scenario.traffic, scenario.build_topology())
    controller = scenario.controller or NoController()
    topology = scenario.build_topology()

    def truly(step: Planned) -> Planned:
        if scenario.controller is not None and all(map(controller.drops, step.flows)):
            return step.unheard()
        ways = controller.ways(step.flows, topology) if topology.losing else ()
        loses = any(after_loss(way, controller, topology) for way in ways)
        return step.losing() if loses else step

    return tuple(tuple(map(truly, stage)) for stage in stages)


def _with_losses(ways: Iterable[Way], controller: Controller, topology: Topology) -> Iterator[Way]:
    """The ways, apart from what may be lost: there the wire tells."""
    for way in ways:
        after = after_loss(way, controller, topology)
        if not after:
            yield way
            continue
        sure = tuple(one for one in way.crossings if one.switch not in after)
        rest = tuple(one for one in way.crossings if one.switch in after)
        flow = replace(way.flow, packets=None, octets_l2=None, octets_l3=None, payload_octets=None)
        if sure:
            yield way._replace(crossings=sure)
        yield way._replace(flow=flow, crossings=rest, perhaps=True)


def _with_tags(ways: Iterable[Way], topology: Topology) -> Iterator[Way]:
    """The ways, those in VLANs switch by switch: with a tag a frame is longer."""
    for way in ways:
        if topology.host(way.flow.source).vlan is None:
            yield way
            continue
        for crossing in way.crossings:
            octets = way.flow.whole_frames
            if octets is not None and way.flow.packets is not None and crossing.tag is not None:
                octets += VLAN_TAG_OCTETS * way.flow.packets
            yield way._replace(flow=replace(way.flow, octets_l2=octets), crossings=(crossing,))


def _retag_octets(way: Way, topology: Topology) -> int:
    """See `ExpectedFlow.retag_octets`."""
    if topology.host(way.flow.source).vlan is None:
        return 0
    (crossing,) = way.crossings
    ports = {port.number: port for port in topology.ports(crossing.switch)}
    own = _OWN_PORT if way.everybody else 0  # a trunk, too
    trunks = own + sum(topology.vlan_of(ports[number]) is None for number in crossing.out_ports)
    tagged = own + len(crossing.out_ports) if crossing.tag is not None else 0
    return VLAN_TAG_OCTETS * (trunks - tagged)


def _port_octets(way: Way, topology: Topology) -> tuple[tuple[str, int], ...]:
    """See `ExpectedFlow.port_octets`: trunks have tags on them, hosts' ports have none."""
    if topology.host(way.flow.source).vlan is None:
        return ()
    (crossing,) = way.crossings
    tagged = crossing.tag is not None
    return tuple(
        (port.name, VLAN_TAG_OCTETS if trunk else -VLAN_TAG_OCTETS)
        for port in topology.ports(crossing.switch)
        if port.number in crossing.out_ports and (trunk := topology.vlan_of(port) is None) != tagged
    )


def _points(exporters: Iterable[Exporter], topology: Topology) -> Iterator[tuple[Exporter, Point]]:
    for exporter in exporters:
        observes = exporter.observes()
        for switch in filter(lambda switch: exporter.is_on(switch.name), topology.switches):
            bridge = Bridge(switch.name, switch.number)
            identity = exporter.identity(bridge)
            yield (
                exporter,
                Point(
                    exporter=exporter.name,
                    title=exporter.title,
                    protocol=exporter.protocol,
                    observation_point=switch.name,
                    observation_domain=identity.observation_domain,
                    agent=identity.agent,
                    flow_direction=observes.flow_direction,
                    measures=observes.measures,
                    sampling=observes.sampling,
                    not_seen=observes.not_seen,
                    on_switch_clock=observes.on_switch_clock,
                    early_ms=observes.early_ms,
                    port=exporter.interface(bridge) if isinstance(exporter, Probe) else None,
                    address=exporter.addresses(bridge)[0],
                    also_to=next(iter(exporter.addresses(bridge)[1:]), None),
                    habits=observes.habits,
                    later_fragments_as=observes.later_fragments_as,
                    marker=observes.marker,
                    tells_egress=observes.tells_egress and observes.sampling == 1,
                    after_actions=observes.after_actions,
                ),
            )


def _flows(
    planned: Sequence[PlannedFlow], topology: Topology, controller: Controller | None
) -> Iterator[ExpectedFlow]:
    """Where each flow is seen; what several ways have in common is one flow there."""
    by_key: dict[FlowKey, list[ExpectedFlow]] = {}
    place = cache(_place)
    controller = controller or NoController()
    ways = controller.ways(planned, topology)
    for way in _with_tags(_with_losses(ways, controller, topology), topology):
        where = place(way.crossings, everybody=way.everybody, besides=way.besides)
        flow = _flow(way, where, reactive=controller.reactive)
        if longer := _retag_octets(way, topology):
            flow = replace(flow, retag_octets=longer)
        if at_ports := _port_octets(way, topology):
            flow = replace(flow, port_octets=at_ports)
        for part in _as_it_came_and_as_it_leaves(flow, way):
            by_key.setdefault(part.key, []).append(part)
    for same in by_key.values():
        switches = [switch for flow in same for switch in flow.path]
        if len(set(switches)) == len(switches):
            yield from same
        else:
            yield from _overlapping(same)


def _as_it_came_and_as_it_leaves(flow: ExpectedFlow, way: Way) -> Iterator[ExpectedFlow]:
    """Where a switch rewrites a flow, the ports by which it leaves see another one."""
    if way.leaves_as is None:
        yield flow
        return
    (crossing,) = way.crossings
    came_in = Bridge(crossing.switch, 0).port(crossing.in_port)
    yield replace(flow, ports=(came_in,), leaves_as=way.leaves_as)
    out = tuple(port for port in flow.ports if port != came_in)
    yield replace(flow, key=way.leaves_as, path=(), ports=out, copies=None)


class _Place(NamedTuple):
    """Where packets come by; as `ExpectedFlow` has it."""

    path: tuple[str, ...]
    ports: tuple[str, ...]
    copies: tuple[int, ...] | None


def _place(crossings: tuple[Crossing, ...], *, everybody: bool, besides: bool) -> _Place:
    if besides:  # the switches are those of another way, which tells how packets come in
        leaving = (
            Bridge(crossing.switch, 0).port(number)
            for crossing in crossings
            for number in crossing.out_ports
        )
        return _Place((), tuple(leaving), None)
    own = _OWN_PORT if everybody else 0
    copies = tuple(len(crossing.out_ports) + own for crossing in crossings)
    ports = (
        Bridge(crossing.switch, 0).port(number)
        for crossing in crossings
        for number in (crossing.in_port, *crossing.out_ports)
    )
    path = tuple(crossing.switch for crossing in crossings)
    return _Place(path, tuple(ports), None if set(copies) == {1} else copies)


def _flow(way: Way, place: _Place, *, reactive: bool) -> ExpectedFlow:
    flow = way.flow
    return ExpectedFlow(
        key=flow.key,
        path=place.path,
        ports=place.ports,
        packets=flow.packets,
        octets_l2=flow.whole_frames,
        octets_l3=flow.octets_l3,
        payload_octets=flow.payload_octets,
        later_fragments=flow.later_fragments,
        copies=place.copies,
        reactive=reactive,
        perhaps=way.perhaps,
    )


def _overlapping(flows: Iterable[ExpectedFlow]) -> Iterator[ExpectedFlow]:
    """One key that several hosts send, or that goes several ways: switch by switch, summed.

    Raises:
        ValueError: packets of one flow leave a switch by different numbers of ports, or it cannot
            be known how many of them are retagged there, and how.
    """
    at_switch: dict[str, list[ExpectedFlow]] = {}
    at_port: dict[str, list[ExpectedFlow]] = {}
    for flow in flows:
        for switch in flow.path:
            at_switch.setdefault(switch, []).append(flow)
        for port in flow.ports:
            at_port.setdefault(port, []).append(flow)
    for switch, here in at_switch.items():
        copies = {flow.copies_at(switch) for flow in here}
        if len(copies) > 1:
            raise ValueError(
                f"{here[0].key} leaves {switch} by {' or '.join(map(str, copies))} ports"
            )
        whole = replace(_summed(here), path=(switch,), copies=None if copies == {1} else (*copies,))
        yield _retagged(whole, here)
    for port, here in at_port.items():
        yield replace(_summed([flow.at_port(port) for flow in here]), ports=(port,))


def _retagged(whole: ExpectedFlow, flows: Sequence[ExpectedFlow]) -> ExpectedFlow:
    """The sum of flows at one switch, with the octets that leave it."""
    if len(each := {flow.retag_octets for flow in flows}) == 1:
        return replace(whole, retag_octets=each.pop())
    (switch,) = whole.path
    octets = 0
    for flow in flows:
        if flow.packets is None or flow.octets_l2 is None:
            raise ValueError(f"{flow.key} comes to {switch} with and without a VLAN's tag")
        octets += flow.octets_l2 * flow.copies_at(switch) + flow.retag_octets * flow.packets
    return replace(whole, egress_octets_l2=octets)


def _summed(flows: Sequence[ExpectedFlow]) -> ExpectedFlow:
    """Their numbers, at no place yet."""
    return ExpectedFlow(
        flows[0].key,
        (),
        leaves_as=flows[0].leaves_as,
        reactive=flows[0].reactive,
        perhaps=all(flow.perhaps for flow in flows),
        packets=_sum(flow.packets for flow in flows),
        octets_l2=_sum(flow.octets_l2 for flow in flows),
        octets_l3=_sum(flow.octets_l3 for flow in flows),
        payload_octets=_sum(flow.payload_octets for flow in flows),
        later_fragments=flows[0].later_fragments,
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)


def _explicit(
    scenario: Scenario,
    flows: Sequence[ExpectedFlow],
    points: Sequence[tuple[Exporter, Point]],
    topology: Topology,
) -> Iterator[Explicit]:
    """The author's expectations, measure by measure, since not every exporter has every one."""
    for number, written in enumerate(scenario.expect, 1):
        label = f"expectation {number}"
        pattern = written.pattern.pattern(topology)
        places = [
            (exporter, point)
            for exporter, point in points
            if written.exporter is None or exporter.name in written.exporter
            if written.at is None or point.observation_point in written.at
        ]
        if written.absent is not None:
            asked = tuple(Asked(point.exporter, point.observation_point) for _, point in places)
            yield Explicit(label, (), asked, {}, absent=pattern)
            continue
        about = _About.of(pattern, flows)
        for measure, region in written.measures.items():
            only = written.only(measure)
            asked = tuple(
                Asked(
                    point.exporter,
                    point.observation_point,
                    "" if written.exporter else _why_not_asked(exporter, point, only, about),
                )
                for exporter, point in places
                if written.at is not None or about.is_shown(point)
            )
            yield Explicit(label, about.keys, asked, {measure: region})


@dataclass(frozen=True)
class _About:
    """The flows of a pattern.

    Attributes:
        keys: as they come.
        kinds: what their packets are called, see `kinds_of`.
        came: the switches and ports where those that come with such a key surely come by.
        left: likewise those that leave with one.
    """

    keys: tuple[FlowKey, ...]
    kinds: frozenset[frozenset[str]]
    came: frozenset[str]
    left: frozenset[str]

    @classmethod
    def of(cls, pattern: Pattern, flows: Iterable[ExpectedFlow]) -> _About:
        keys: dict[FlowKey, None] = {}
        came: set[str] = set()
        left: set[str] = set()
        for flow in flows:
            comes = pattern.fits(flow.key)
            leaves = flow.leaves_as is not None and pattern.fits(flow.leaves_as)
            if not comes and not leaves:
                continue
            keys[flow.key] = None
            if not flow.perhaps:
                (came if comes else left).update(flow.path, flow.ports)
        kinds = frozenset(frozenset(kinds_of(key)) for key in keys)
        return cls(tuple(keys), kinds, frozenset(came), frozenset(left))

    def is_shown(self, point: Point) -> bool:
        """Whether some of them surely come by."""
        return point.place in self.came or (point.after_actions and point.place in self.left)


def _why_not_asked(
    exporter: Exporter, point: Point, expectation: Expectation, about: _About
) -> str:
    """Why an expectation that names no exporter does not hold for this one; empty if it does."""
    if point.sampling > 1:
        return f"it samples 1 in {point.sampling}"
    blind = (why_unseen(point.not_seen, kinds) for kinds in about.kinds)
    return cannot_report(exporter, expectation) or next(filter(None, blind), "")
