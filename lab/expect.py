"""From a scenario to all that its exporters must report; pure, nothing is run.

Scenario + topology + what each exporter observes → the expected flows of ``expected.json``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.check.model import Expected, ExpectedFlow, Explicit, Point
from exporters import Bridge, Probe
from lab.scenario.check import cannot_report
from lab.traffic.plan import flows, plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporters import Exporter
    from lab.scenario.model import Expectation, Scenario
    from lab.traffic import PlannedFlow
    from topologies import Topology

ETHERNET_HEADER_OCTETS: Final = 14


def expected(scenario: Scenario) -> Expected:
    """All that a run of a scenario is judged by."""
    topology = scenario.build_topology()
    stages = plan(scenario.traffic, topology)
    steps = [step for stage in stages for step in stage]
    planned = flows(stages)
    return Expected(
        scenario=scenario.name,
        points=tuple(_points(scenario.exporters, topology)),
        flows=tuple(_flow(flow, topology) for flow in planned),
        explicit=tuple(_explicit(scenario, planned, topology)),
        tolerances=scenario.tolerances.by_measure(),
        programs=tuple(f"{step.label} {role}" for step in steps for role in step.traffic.roles),
        look_for=scenario.look_for,
    )


def _points(exporters: Iterable[Exporter], topology: Topology) -> Iterable[Point]:
    for exporter in exporters:
        observes = exporter.observes()
        for switch in filter(lambda switch: exporter.is_on(switch.name), topology.switches):
            bridge = Bridge(switch.name, switch.number)
            identity = exporter.identity(bridge)
            yield Point(
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
                address=identity.address,
                habits=observes.habits,
                marker=observes.marker,
                tells_egress=observes.tells_egress and observes.sampling == 1,
            )


def _flow(flow: PlannedFlow, topology: Topology) -> ExpectedFlow:
    octets_l2 = None
    if flow.octets_l3 is not None and flow.packets is not None:
        octets_l2 = flow.octets_l3 + ETHERNET_HEADER_OCTETS * flow.packets
    path = topology.path(flow.source, flow.destination)
    return ExpectedFlow(
        key=flow.key,
        path=tuple(hop.switch for hop in path),
        ports=tuple(
            Bridge(hop.switch, 0).port(number)
            for hop in path
            for number in (hop.in_port, hop.out_port)
        ),
        packets=flow.packets,
        octets_l2=octets_l2,
        octets_l3=flow.octets_l3,
        payload_octets=flow.payload_octets,
    )


def _explicit(
    scenario: Scenario, planned: Iterable[PlannedFlow], topology: Topology
) -> Iterable[Explicit]:
    """The author's expectations, measure by measure, since not every exporter has every one."""
    for number, written in enumerate(scenario.expect, 1):
        path = topology.path(written.flow.source, written.flow.destination)
        for measure, region in written.measures.items():
            only = written.only(measure)
            reasons = {
                exporter.name: _why_not_asked(exporter, only) for exporter in scenario.exporters
            }
            able = tuple(name for name, reason in reasons.items() if reason is None)
            yield Explicit(
                label=f"expectation {number}",
                keys=tuple(flow.key for flow in planned if written.flow.fits(flow)),
                exporters=written.exporter or able,
                points=written.at or tuple(hop.switch for hop in path),
                measures={measure: region},
                not_asked={}
                if written.exporter
                else {name: reason for name, reason in reasons.items() if reason is not None},
            )


def _why_not_asked(exporter: Exporter, expectation: Expectation) -> str | None:
    """Why an expectation that names no exporter does not hold for this one; None if it does."""
    sampling = exporter.observes().sampling
    if sampling > 1:
        return f"it samples 1 in {sampling}"
    return cannot_report(exporter, expectation)
