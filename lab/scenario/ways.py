"""What is wrong with a scenario because of the flows that there are and the ways that they take.

Expectations of flows that nobody sends or at switches that they do not cross, links that lose what
is not sent again, packets that no exporter can be judged by. Looked for where all that decides on
ways is right.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from lab.controllers.settings import NoController
from lab.losses import after_loss
from lab.scenario.check import names_below
from lab.scenario.expectation import is_address
from lab.scenario.faults import path_text
from lab.traffic.plan import merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from collector.key import FlowKey
    from lab.controllers.settings import Controller, Way
    from lab.scenario.document import Document
    from lab.scenario.faults import Fault, Path
    from lab.scenario.parts import Parts
    from lab.traffic.plan import Planned
    from topologies import Topology

_MOST_FLOWS_TOLD: Final = 6


def unmet(document: Document, parts: Parts, known: Iterable[Fault]) -> Iterator[Fault]:
    """Expectations of flows that the traffic does not make.

    Args:
        document: the file.
        parts: its parts.
        known: faults already found; where they are, nothing more is looked for.
    """
    faulty = [fault.path for fault in known]
    if _no_ways(faulty) or not parts.expectations or parts.topology is None:
        return
    planned = parts.planned
    keys = [
        key
        for way in _ways(parts, parts.topology, planned)
        for key in (way.flow.key, way.leaves_as)
        if key is not None
    ]
    for part in parts.expectations:
        if part.value is None or any(path.startswith(path_text(part.path)) for path in faulty):
            continue
        pattern = part.value.pattern.pattern(parts.topology)
        if part.value.absent is None and not any(map(pattern.fits, keys)):
            message = "no traffic step makes such a flow"
            hint = f"there are {_flows_in_words(planned)}"
            yield document.fault((*part.path, "flow"), message, hint)


def on_their_ways(document: Document, parts: Parts, known: Iterable[Fault]) -> Iterator[Fault]:
    """What cannot work because of the ways that flows take; arguments as of `unmet`."""
    if parts.topology is None or _no_ways(fault.path for fault in known):
        return
    yield from _never_asked_again(document, parts, parts.topology)
    yield from _parted(document, parts, parts.topology)
    yield from _taken_by_nobody(document, parts)


def warnings(document: Document, parts: Parts) -> Iterator[Fault]:
    """Expectations of flows at switches that they do not cross."""
    if parts.topology is None:
        return
    for part in parts.expectations:
        if part.value is None:
            continue
        ends = part.value.pattern.source, part.value.pattern.destination
        if part.value.absent is not None or any(map(is_address, ends)):
            continue
        path = _crossed(parts, parts.topology, *ends)
        for place, switch in names_below(part, "at"):
            if switch not in path:
                message = f"the flow does not cross {switch}"
                yield document.fault(place, message, f"it crosses {', '.join(path)}")


def _no_ways(faulty: Iterable[str]) -> bool:
    """Whether it cannot be said what flows there are, or where they go."""
    return any(path.startswith(("topology", "traffic", "controller")) for path in faulty)


def _never_asked_again(document: Document, parts: Parts, topology: Topology) -> Iterator[Fault]:
    """A question of `dns` that is lost is not asked again, and the step would end with it."""
    if not topology.losing:
        return
    controller = _controller(parts)
    for path, step in parts.planned.items():
        if step.traffic.kind != "dns":
            continue
        for way in controller.ways(step.flows, topology):
            if after_loss(way, controller, topology):
                message = "links on its way lose packets, and a lost question is not asked again"
                yield document.fault(path, message, "send udp instead", at_key=True)
                break


def _taken_by_nobody(document: Document, parts: Parts) -> Iterator[Fault]:
    """Nothing can be open for IP protocol 0: kernels answer some of its packets with an error.

    How many they do not say: there is a limit to what they send a second (``icmp(7)``).
    """
    for path, step in parts.planned.items():
        for sink in step.schedule.sinks() if step.schedule is not None else ():
            if sink.protocol == 0:
                message = f"nothing can take IP protocol 0 at {sink.host}, which would answer it"
                hint = "give IP.proto (253 is for experiments), or a layer behind IP"
                yield document.fault(path, message, hint, at_key=True)
                break


def _parted(document: Document, parts: Parts, topology: Topology) -> Iterator[Fault]:
    """Packets of one flow all leave a switch by as many ports, or no number of them is right.

    Exporters count a packet once for each port that it leaves by: in a record of both kinds of
    packets nobody could say how many it must tell of. Nor how many octets, where some come with a
    VLAN's tag and others without, and it is not known how many of each.
    """
    planned = parts.planned
    flows = merged(flow for step in planned.values() for flow in step.flows)
    shared = {key for key, times in Counter(flow.key for flow in flows).items() if times > 1}
    unsure = {flow.key for flow in flows if topology.losing or flow.packets is None}
    known: dict[tuple[FlowKey, str], tuple[int, bool]] = {}
    for way in _ways(parts, topology, planned) if shared else ():
        for crossing in () if way.besides or way.flow.key not in shared else way.crossings:
            key, copies = way.flow.key, len(crossing.out_ports) + way.everybody
            tagged = crossing.tag is not None
            before = known.setdefault((key, crossing.switch), (copies, tagged))
            if copies != before[0]:
                odd = f"leave {crossing.switch} in {before[0]} and in {copies} copies"
            elif tagged != before[1] and key in unsure:
                odd = f"come to {crossing.switch} with a VLAN's tag and without"
            else:
                odd = ""
            if odd:
                message = f"packets of {key} {odd}, so what is right of this flow cannot be known"
                hint = "give them other addresses, ports or another seed, or another scenario"
                yield document.fault(_last_with(key, planned), message, hint, at_key=True)
                return


def _last_with(key: FlowKey, planned: Mapping[Path, Planned]) -> Path:
    """The last step that makes a flow."""
    return [path for path, step in planned.items() if key in {one.key for one in step.flows}][-1]


def _crossed(parts: Parts, topology: Topology, source: str, destination: str) -> list[str]:
    """The switches that what one host sends to another crosses."""
    crossed = (
        crossing.switch
        for way in _ways(parts, topology, parts.planned)
        if (way.flow.source, way.flow.destination) == (source, destination)
        for crossing in way.crossings
    )
    return list(dict.fromkeys(crossed)) or [h.switch for h in topology.path(source, destination)]


def _ways(parts: Parts, topology: Topology, planned: Mapping[Path, Planned]) -> Iterable[Way]:
    """Where the flows of all steps go, and as what."""
    flows = [flow for step in planned.values() for flow in step.flows]
    return _controller(parts).ways(flows, topology)


def _controller(parts: Parts) -> Controller:
    return (parts.controller.value if parts.controller else None) or NoController()


def _flows_in_words(planned: Mapping[Path, Planned]) -> str:
    """The first few flows: who sends what to whom."""
    words: dict[str, None] = {}
    for step in planned.values():
        for flow in step.flows:
            port = f" port {flow.key.destination_port}" if hasattr(step.traffic, "port") else ""
            version = " over IPv6" if flow.key.ip_version == 6 else ""
            ends = f"{flow.source} → {flow.destination}"
            words[f"{step.traffic.protocol} {ends}{port}{version}"] = None
    shown = list(words)[:_MOST_FLOWS_TOLD]
    return ", ".join(shown) + (", …" if len(words) > len(shown) else "")
