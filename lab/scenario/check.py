"""What is wrong with a scenario although each of its keys is right.

Hosts that the topology does not have, packets that do not fit, steps that get into each other's
way, expectations that nobody could meet. Only what cannot work is a fault; what is merely odd
is a warning, for a wrong expectation is a useful experiment too.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from collector.check.model import kinds_of, why_unseen
from collector.key import TCP, UDP
from exporters import Probe
from exporters.sflow import LONGEST_HEADER_OCTETS, SFlow
from lab.controllers.settings import OwnApp
from lab.scenario.expectation import ANY, MEASURES, Expectation, is_address, nothing_expected
from lab.scenario.faults import any_of, closest, quote
from lab.scenario.keys import keys_of
from lab.scenario.parts import can_be_planned
from lab.traffic.base import FIRST_SOURCE_PORT, IP_HEADER_OCTETS, LAST_PORT, Conversation
from lab.traffic.iperf3 import Iperf3
from topologies import MTU_OCTETS, VLAN_TAG_OCTETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporters import Exporter
    from lab.controllers.settings import Controller
    from lab.scenario.document import Document
    from lab.scenario.faults import Fault, Path
    from lab.scenario.parts import Part, Parts
    from lab.traffic import Traffic
    from lab.traffic.plan import Planned
    from topologies import Topology

TRANSPORT_HEADER_OCTETS: Final[Mapping[str, int]] = {"udp": 8, "icmp": 8}
_TRANSPORTS: Final[Mapping[int, str]] = {TCP: "tcp", UDP: "udp"}


def faults(document: Document, parts: Parts) -> Iterator[Fault]:
    """Everything that cannot work, in no particular order."""
    yield from _exporters_once(document, parts)
    for exporter in parts.exporters:
        yield from _switches(document, parts.topology, exporter)
        yield from _probed_port(document, parts.topology, exporter)
        if exporter.value is not None and (wrong := exporter.value.wrong()):
            key, message, hint = wrong
            yield document.fault((*exporter.path, key), message, hint, at_key=True)
    for step in parts.steps:
        yield from _hosts(document, parts.topology, step.path, step.raw)
        if step.value is not None:
            yield from _size(document, step, step.value)
            yield from _source_ports(document, step, step.value)
            yield from _reconnected(document, step, step.value)
            yield from _tagged(document, parts.topology, step, step.value)
            yield from _apart(document, parts.topology, step)
    yield from _controlled(document, parts)
    yield from _empty(document, parts)
    yield from _clashes(document, parts)
    yield from _joined_fragments(document, parts)
    yield from _chosen_fragments(document, parts)
    yield from _cut_headers(document, parts)
    yield from _sampled_by_nobody(document, parts)
    yield from _struck(document, parts)
    exporters = [part.value for part in parts.exporters if part.value]
    listed = {part.kind for part in parts.exporters}
    for expectation in parts.expectations:
        for key in ("flow", "not"):
            flow = expectation.raw.get(key)
            if isinstance(flow, dict):
                yield from _ends(document, parts.topology, (*expectation.path, key), flow)
        if expectation.value is None:
            yield from _says_nothing(document, expectation)
        yield from _switches(document, parts.topology, expectation)
        yield from _listed(document, listed, expectation)
        if expectation.value is not None:
            yield from _protocol(document, expectation, expectation.value)
            yield from _can_see(document, exporters, expectation, expectation.value)
            yield from _is_there(document, exporters, expectation, expectation.value)


def cannot_report(exporter: Exporter, expectation: Expectation) -> str | None:
    """Why an exporter cannot report a flow, or a measure of it; None if it can."""
    observes = exporter.observes()
    flow = expectation.pattern
    if ANY not in (flow.protocol, flow.source, flow.destination) and flow.version:
        common = {f"ipv{flow.version}", "ip", str(flow.protocol)}
        ports = _told_apart(observes.not_seen, flow.port)
        reasons = [
            why_unseen(observes.not_seen, common | {f"{flow.protocol}/{port}"}) for port in ports
        ]
        if all(reasons):
            return reasons[0]
    reported = {*observes.measures, "records"}
    # The flush moves the switch's clock: times of records before and after it do not compare.
    steady = "times" in observes.measures and not observes.on_switch_clock
    reported |= {"duration_s", "gap_s"} if steady else set()
    reported |= {"in_port", "out_port"} if observes.tells_ports else set()
    keys = [key for key, measure in MEASURES.items() if measure in expectation.measures]
    missing = [key for key in keys if MEASURES[key] not in reported]
    if not missing:
        return None
    only_ports = {MEASURES[key] for key in missing} <= {"in_port", "out_port"}
    since = f" while {observes.no_ports_since}" if only_ports and observes.no_ports_since else ""
    return f"it does not report {any_of(missing)}{since}"


def _told_apart(not_seen: Mapping[str, str], ports: tuple[int, int] | None) -> Sequence[int | None]:
    """So many ports of a range that all that is reported of it is reported of one of these.

    Args:
        not_seen: as `Observes.not_seen`: the ports that are not reported, or alone are.
        ports: the first and the last.
    """
    if ports is None:
        return [None]
    first, last = ports
    named = {int(end) for kind in not_seen if (end := kind.rpartition("/")[2]).isdigit()}
    other = next((port for port in range(first, last + 1) if port not in named), None)
    ends = [] if other is None else [other]
    return [*ends, *sorted(port for port in named if first <= port <= last)]


# ------------------------------------------------------------------ exporters and hosts


def _exporters_once(document: Document, parts: Parts) -> Iterator[Fault]:
    """A kind may be listed again for other switches; the first one decides what is told of it."""
    seen: dict[str, list[Part[Exporter]]] = {}
    for part in parts.exporters:
        before = seen.setdefault(part.kind, [])
        if any(_share_a_switch(one.value, part.value) for one in before):
            hint = "a switch has one of each kind; keep one of the two, or say 'at' which switches"
            yield document.fault(part.path, f"{part.kind} is listed twice", hint, at_key=True)
        before.append(part)


def _struck(document: Document, parts: Parts) -> Iterator[Fault]:
    """A fault strikes exporters that are switched on."""
    listed = sorted({part.kind for part in parts.exporters})
    for part in parts.disturbances:
        yield from _listed(document, listed, part)
        step = getattr(part.value, "after_step", 0)
        if step > len(parts.stages):
            message = f"there is no step {step} that it could come after"
            yield document.fault(
                (*part.path, "after_step"), message, f"write 1 to {len(parts.stages)}"
            )
        link = getattr(part.value, "link", None)
        if link and parts.topology is not None and not _joined(parts.topology, *link):
            message = f"no link joins {' and '.join(link)}"
            yield document.fault((*part.path, "link"), message, "name the two ends of one")


def _joined(topology: Topology, one: str, other: str) -> bool:
    return any({link.a.node, link.b.node} == {one, other} for link in topology.links)


def _probed_port(
    document: Document, topology: Topology | None, part: Part[Exporter]
) -> Iterator[Fault]:
    """The port of a probe is there at every switch that has the probe."""
    if topology is None or not isinstance(part.value, Probe):
        return
    for switch in topology.switches:
        numbers = [port.number for port in topology.ports(switch.name)]
        if part.value.is_on(switch.name) and part.value.port not in numbers:
            message = f"{switch.name} has no port {part.value.port}"
            hint = f"its ports are {', '.join(map(str, numbers))}; 'at' chooses switches"
            yield document.fault((*part.path, "port"), message, hint)
            return


def _share_a_switch(one: Exporter | None, other: Exporter | None) -> bool:
    at = [None if exporter is None else exporter.at for exporter in (one, other)]
    return None in at or bool(set(at[0] or ()) & set(at[1] or ()))


def _hosts(
    document: Document, topology: Topology | None, path: Path, raw: Mapping[str, object]
) -> Iterator[Fault]:
    """``from`` and ``to`` are two hosts of the topology."""
    hosts = [host.name for host in topology.hosts] if topology else []
    for place, name in _host_names(path, raw):
        if topology and name not in hosts:
            yield document.fault(
                place,
                f"there is no host {quote(name)} in this topology",
                _instead(name, topology, host=True),
            )
    if isinstance(raw.get("from"), str) and raw.get("from") == raw.get("to"):
        message = f"'from' and 'to' are both {raw['from']}"
        yield document.fault((*path, "to"), message, "name two different hosts")
    else:
        yield from _named_twice(document, path, raw)


def _named_twice(document: Document, path: Path, raw: Mapping[str, object]) -> Iterator[Fault]:
    """A host has one part in a step; but it may play several addresses of a capture."""
    seen: set[str] = set()
    for place, name in _host_names(path, raw):
        if isinstance(raw.get(str(place[len(path)])), dict):
            continue
        if name in seen:
            message = f"{quote(name)} is named twice"
            yield document.fault(place, message, "name each host once")
        seen.add(name)


def _apart(document: Document, topology: Topology | None, part: Part[Traffic]) -> Iterator[Fault]:
    """All hosts of a step can reach each other."""
    names = [host.name for host in topology.hosts] if topology else []
    if topology is None or part.value is None or not can_be_planned(part, {*names}):
        return
    first, *others = part.value.hosts or names
    for other in others:
        try:
            topology.path(first, other)
        except ValueError as apart:
            hint = "name hosts that can reach each other"
            yield document.fault(part.path, str(apart), hint, at_key=True)
            return


def _host_names(path: Path, raw: Mapping[str, object]) -> Iterator[tuple[Path, str]]:
    """Every word that names a host: at ``from``, ``to`` and ``hosts``, alone, listed or mapped."""
    for key in ("from", "to", "hosts"):
        below = raw.get(key)
        if isinstance(below, str):
            yield (*path, key), below
        elif isinstance(below, list):
            yield from (
                ((*path, key, at), name) for at, name in enumerate(below) if isinstance(name, str)
            )
        elif isinstance(below, dict):
            yield from (
                ((*path, key, at), name) for at, name in below.items() if isinstance(name, str)
            )


def _instead(name: str, topology: Topology, *, host: bool) -> str:
    """What could have been meant by the name of a host (or switch) that does not exist."""
    hosts = [host.name for host in topology.hosts]
    switches = [switch.name for switch in topology.switches]
    right, wrong = (hosts, switches) if host else (switches, hosts)
    plural, other = ("hosts", "a switch") if host else ("switches", "a host")
    span = f"{right[0]} to {right[-1]}" if len(right) > 1 else right[0]
    near = closest(name, right) if not name[1:].isdigit() else None
    if name in wrong:
        return f"{name} is {other}; the {plural} are {span}"
    return f"did you mean {near!r}?" if near else f"the {plural} are {span}"


# ------------------------------------------------------------------ the controller


def _controlled(document: Document, parts: Parts) -> Iterator[Fault]:
    """A controller suits the topology, the exporters and the traffic."""
    part = parts.controller
    if part is None or part.value is None or parts.topology is None:
        return
    if any(host.vlan for host in parts.topology.hosts) and not part.value.knows_vlans:
        message = f"{part.kind} knows nothing of VLANs"
        yield document.fault(part.path, message, "choose a topology without", at_key=True)
        return
    if wrong := part.value.wrong(parts.topology):
        key, message, hint = wrong
        yield document.fault((*part.path, key), message, hint, at_key=True)
        return
    # Not the model's affair: a run is judged where its application need not be any more.
    if isinstance(part.value, OwnApp) and not FilePath(part.value.file).is_file():
        message = f"there is no file {quote(str(part.raw['file']))}"
        hint = "give its path, as seen from where you run flowlab"
        yield document.fault((*part.path, "file"), message, hint)
    yield from _sampled_flows(document, parts, part)
    for path, step in parts.planned.items():
        if reason := part.value.cannot(step, parts.topology):
            yield document.fault(path, *reason, at_key=True)


def _sampled_flows(document: Document, parts: Parts, part: Part[Controller]) -> Iterator[Fault]:
    """The controller that samples flows, and the exporter that it does so for, go together."""
    samplers = [one for one in parts.exporters if one.kind == "ipfix-flow"]
    if part.kind == "flow-sampler" and not samplers:
        message = "flow-sampler feeds the exporter ipfix-flow, which is not switched on"
        yield document.fault(part.path, message, "add ipfix-flow to exporters", at_key=True)
    for one in samplers:
        if getattr(one.value, "install_rules", False):
            samples = part.kind in ("flow-sampler", "app")
            hint = "write install_rules: false below it"
            hint = hint if samples else f"choose flow-sampler, and {hint}"
            yield document.fault(one.path, f"both it and {part.kind} install rules", hint)


# ------------------------------------------------------------------ what a step sends


def _size(document: Document, part: Part[Traffic], step: Traffic) -> Iterator[Fault]:
    """A packet fits into a frame: a fragmented one is no longer one packet of one flow."""
    payload = getattr(step, "payload_octets", None)
    if payload is None or not isinstance(step, Conversation):
        return
    if step.protocol not in TRANSPORT_HEADER_OCTETS:
        return
    headers = IP_HEADER_OCTETS[step.ip_version] + TRANSPORT_HEADER_OCTETS[step.protocol]
    if payload + headers > MTU_OCTETS:
        message = (
            f"{payload} octets of payload and {headers} of headers would be fragmented: "
            f"a packet holds {MTU_OCTETS}"
        )
        hint = f"write at most {MTU_OCTETS - headers}"
        yield document.fault((*part.path, "payload_octets"), message, hint)


def _source_ports(document: Document, part: Part[Traffic], step: Traffic) -> Iterator[Fault]:
    first = getattr(step, "source_port", None)
    if first is not None and first + step.source_ports - 1 > LAST_PORT:
        message = f"{step.source_ports} flows from source port {first} on end above {LAST_PORT}"
        hint = f"write at most {LAST_PORT + 1 - step.source_ports}"
        yield document.fault((*part.path, "source_port"), message, hint)
    there_are = LAST_PORT + 1 - FIRST_SOURCE_PORT
    if first is None and step.all_source_ports > there_are:
        message = (
            f"{step.source_ports} source ports, other ones each of {step.repeat} times, "
            f"are more than the {there_are} that there are"
        )
        hint = f"write at most {there_are // step.source_ports}, or repeat the step in the list"
        yield document.fault((*part.path, "repeat"), message, hint)


def _reconnected(document: Document, part: Part[Traffic], step: Traffic) -> Iterator[Fault]:
    """Between two ports there is one TCP connection a minute (RFC 9293, section 3.6.1)."""
    if not isinstance(step, Conversation) or step.protocol != "tcp" or step.repeat == 1:
        return
    if getattr(step, "source_port", None) is not None:
        message = "each time it would be the same TCP connection, from the same source_port"
        yield document.fault((*part.path, "repeat"), message, "leave out source_port, or repeat")


def _tagged(
    document: Document, topology: Topology | None, part: Part[Traffic], step: Traffic
) -> Iterator[Fault]:
    """A port that gives frames a VLAN takes none that has one already."""
    if topology is None or not step.vlans or not any(host.vlan for host in topology.hosts):
        return
    message = "its frames have a VLAN's tag, and switches drop those where hosts are in VLANs"
    yield document.fault(part.path, message, "choose a topology without VLANs", at_key=True)


def _empty(document: Document, parts: Parts) -> Iterator[Fault]:
    """A capture has packets between the addresses that hosts play."""
    for path, step in parts.planned.items():
        if step.schedule is not None and not len(step.schedule):
            message = "the capture has no packets between these addresses"
            hint = "name addresses of whole, untagged IP packets in it"
            yield document.fault((*path, "hosts"), message, hint, at_key=True)


# ------------------------------------------------------------------ steps and each other


class _Socket(NamedTuple):
    """Ports that a step occupies on a host."""

    host: str
    protocol: str
    ip_version: int
    ports: range
    key: str
    """The key of the step that says so."""


def _clashes(document: Document, parts: Parts) -> Iterator[Fault]:
    """Steps at the same time need ports of their own; TCP needs that even afterwards."""
    planned = parts.planned
    for stage in parts.stages:
        for one, other in combinations((step for step in stage if step.path in planned), 2):
            yield from _port_clash(document, one, other, planned)
            yield from _measured_twice(document, one, other)
    seen: set[object] = set()
    for path, step in planned.items():
        if step.schedule is not None:
            continue
        keys = [flow.key for flow in step.flows if flow.key.protocol == TCP]
        if seen.intersection(keys):
            message = "this is the same TCP connection as one before it"
            hint = "a closed connection's ports stay taken for a minute; "
            if _has(step.traffic, "source_port"):
                hint += "choose another source_port"
                yield document.fault((*path, "source_port"), message, hint)
            else:  # so many before it that the ports have begun again
                hint += "have fewer connections in all"
                yield document.fault(path, message, hint, at_key=True)
        seen.update(keys)


def _joined_fragments(document: Document, parts: Parts) -> Iterator[Fault]:
    """Who counts fragments in the flow of the first one is not asked about any."""
    joining = [one for one in parts.exporters if one.value and one.value.observes().joins_fragments]
    for path, step in parts.planned.items() if joining else ():
        if any(flow.later_fragments for flow in step.flows):
            message = (
                f"{joining[0].kind} counts later fragments in the flow of the first one, "
                "and what it tells of them cannot be judged"
            )
            yield document.fault(path, message, "choose another exporter", at_key=True)


def _chosen_fragments(document: Document, parts: Parts) -> Iterator[Fault]:
    """Whoever chooses packets by rules knows no ports of fragments; the flow's key has them."""
    for one in parts.exporters:
        if one.value is None or one.kind != "ipfix-flow":
            continue
        told = one.value.observes().not_seen.items()
        others = {kind: why for kind, why in told if kind.startswith("not ")}
        for path, step in parts.planned.items() if others else ():
            for flow in filter(lambda flow: flow.fragments, step.flows):
                keys = (flow.key, flow.rules_see)
                seen = {why_unseen(others, kinds_of(key)) is None for key in keys}
                if len(seen) > 1:
                    message = (
                        f"{one.kind} chooses packets by rules, which see no ports of fragments, "
                        "and of later IPv6 fragments no protocol either"
                    )
                    hint = "let it sample all packets: remove 'only' and 'port'"
                    yield document.fault(path, message, hint, at_key=True)
                    break


def _cut_headers(document: Document, parts: Parts) -> Iterator[Fault]:
    """Of a packet that is cut within its headers nobody can tell the flow."""
    tagged = parts.topology is not None and any(host.vlan for host in parts.topology.hosts)
    values = [one.value for one in parts.exporters]
    room = min((value.header_octets for value in values if isinstance(value, SFlow)), default=None)
    for path, step in parts.planned.items() if room is not None else ():
        if step.schedule is None:
            continue  # its headers fit into the least that can be asked for
        octets = step.schedule.header_octets + VLAN_TAG_OCTETS * tagged
        if room is not None and octets > room:
            message = f"sflow carries {room} octets of a packet, these headers have {octets}"
            hint = f"write header_octets: {octets} or more below sflow"
            if octets > LONGEST_HEADER_OCTETS:
                hint = "send shorter headers"
            yield document.fault(path, message, hint, at_key=True)


def _sampled_by_nobody(document: Document, parts: Parts) -> Iterator[Fault]:
    """Where ipfix-flow does not install the action, a controller's application has to."""
    controller = parts.controller.kind if parts.controller else None
    if controller in ("flow-sampler", "app"):
        return
    for one in parts.exporters:
        if one.kind == "ipfix-flow" and not getattr(one.value, "install_rules", True):
            why = f"{controller} does not" if controller else "there is no controller"
            message = f"nobody samples: {why}, and there are no rules that do"
            hint = "choose flow-sampler" if controller else "remove it, or choose flow-sampler"
            yield document.fault((*one.path, "install_rules"), message, hint, at_key=True)


def _has(step: Traffic | None, key: str) -> bool:
    """Whether a step can be told something."""
    return step is not None and key in type(step).model_fields


def _measured_twice(
    document: Document, one: Part[Traffic], other: Part[Traffic]
) -> Iterator[Fault]:
    """A client of iperf3 gets its port from the host's range, which is made so small for it."""
    clients = [part.value.source for part in (one, other) if isinstance(part.value, Iperf3)]
    if len(clients) == 2 and clients[0] == clients[1]:
        message = f"{clients[0]} measures with iperf3 in another step at the same time"
        hint = "let one step come after the other, or measure from another host"
        yield document.fault((*other.path, "from"), message, hint)


def _port_clash(
    document: Document, one: Part[Traffic], other: Part[Traffic], planned: Mapping[Path, Planned]
) -> Iterator[Fault]:
    """Two programs cannot have one port; what is only played ends in sinks that can share one."""
    if planned[one.path].schedule is not None and planned[other.path].schedule is not None:
        return
    for mine in _sockets(planned[other.path]):
        for theirs in _sockets(planned[one.path]):
            if mine[:3] == theirs[:3] and _overlap(mine.ports, theirs.ports):
                port = max(mine.ports[0], theirs.ports[0])
                message = (
                    f"{mine.protocol} port {port} of {mine.host} is also the {theirs.key} of "
                    "a step that runs at the same time"
                )
                if _has(other.value, mine.key):
                    hint = f"choose another {mine.key}"
                    yield document.fault((*other.path, mine.key), message, hint)
                else:
                    hint = "let one step come after the other"
                    yield document.fault(other.path, message, hint, at_key=True)
                return


def _sockets(step: Planned) -> Iterator[_Socket]:
    traffic = step.traffic
    if step.schedule is not None:
        for end in step.schedule.ports():
            ports = range(end.port, end.port + 1)
            yield _Socket(end.host, _TRANSPORTS[end.protocol], end.ip_version, ports, "port")
        return
    port = getattr(traffic, "port", None)
    if port is None or not isinstance(traffic, Conversation):
        return
    version, protocol = traffic.ip_version, traffic.protocol
    yield _Socket(traffic.destination, protocol, version, range(port, port + 1), "port")
    first = step.source_port
    ports = range(first, first + traffic.all_source_ports)
    yield _Socket(traffic.source, protocol, version, ports, "source_port")


def _overlap(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


# ------------------------------------------------------------------ expectations


def _says_nothing(document: Document, part: Part[Expectation]) -> Iterator[Fault]:
    """As the schema says it, which looks for it only where nothing else is wrong."""
    if not any(key in MEASURES or key not in keys_of(Expectation) for key in part.raw):
        context = nothing_expected().context or {}
        yield document.fault(part.path, context["message"], context["hint"])


def names_below(part: Part[Any], key: str) -> Iterator[tuple[Path, str]]:
    """The words at a key that holds one word or a list of them, each with its place."""
    raw = part.raw.get(key)
    if isinstance(raw, str):
        yield (*part.path, key), raw
    elif isinstance(raw, list):
        for index, name in enumerate(raw):
            if isinstance(name, str):
                yield (*part.path, key, index), name


def _switches(document: Document, topology: Topology | None, part: Part[Any]) -> Iterator[Fault]:
    if topology is None:
        return
    switches = [switch.name for switch in topology.switches]
    for path, name in names_below(part, "at"):
        if name not in switches:
            message = f"there is no switch {quote(name)} in this topology"
            yield document.fault(path, message, _instead(name, topology, host=False))


def _listed(document: Document, listed: Iterable[str], part: Part[Any]) -> Iterator[Fault]:
    """An exporter that is to report something has to be switched on."""
    names = sorted(listed)
    for path, name in names_below(part, "exporter"):
        if names and name not in names:
            near = closest(name, names)
            hint = f"did you mean {near!r}?" if near else f"switched on are {', '.join(names)}"
            yield document.fault(path, f"the exporter {quote(name)} is not switched on", hint)


def _protocol(
    document: Document, part: Part[Expectation], expectation: Expectation
) -> Iterator[Fault]:
    """Ports and flags belong to protocols that have them."""
    protocol = expectation.pattern.protocol
    if protocol == "icmp":
        flow = part.raw.get("flow")
        for key in ("port", "source_port"):
            if isinstance(flow, dict) and flow.get(key) is not None:
                message = "ICMP has no ports"
                yield document.fault(
                    (*part.path, "flow", key), message, f"remove {key}", at_key=True
                )
    if protocol != "tcp" and expectation.tcp_flags is not None:
        message = f"a flow of protocol {protocol} has no TCP flags"
        path = (*part.path, "tcp_flags")
        yield document.fault(path, message, "remove tcp_flags", at_key=True)


def _ends(
    document: Document, topology: Topology | None, path: Path, raw: Mapping[str, object]
) -> Iterator[Fault]:
    """``from`` and ``to`` of a pattern are hosts, unless they are addresses or any."""
    hosts = {
        key: word
        for key, word in raw.items()
        if key not in ("from", "to") or not (isinstance(word, str) and is_address(word))
    }
    yield from _hosts(document, topology, path, hosts)


def _can_see(
    document: Document,
    exporters: Sequence[Exporter],
    part: Part[Expectation],
    expectation: Expectation,
) -> Iterator[Fault]:
    """Each exporter that is named can report what is expected; if none is, some exporter can."""
    reasons: dict[str, list[str | None]] = {}
    for exporter in exporters:
        reasons.setdefault(exporter.name, []).append(cannot_report(exporter, expectation))
    cannot = {name: why[0] for name, why in reasons.items() if all(why)}
    for path, name in names_below(part, "exporter"):
        if name in cannot:
            message = f"{name} cannot report this: {cannot[name]}"
            yield document.fault(path, message, "remove it")
    if expectation.exporter is None and reasons and reasons.keys() == cannot.keys():
        message = "none of the exporters can report this"
        told = "; ".join(f"{name}: {reason}" for name, reason in cannot.items())
        yield document.fault(part.path, f"{message} ({told})", "add an exporter that can")


def _is_there(
    document: Document,
    exporters: Sequence[Exporter],
    part: Part[Expectation],
    expectation: Expectation,
) -> Iterator[Fault]:
    """At each switch that is named there is an exporter that is asked."""
    asked = [
        exporter
        for exporter in exporters
        if expectation.exporter is None or exporter.name in expectation.exporter
    ]
    for path, switch in names_below(part, "at") if asked else ():
        if not any(exporter.is_on(switch) for exporter in asked):
            names = any_of(dict.fromkeys(exporter.name for exporter in asked))
            message = f"{names} is not switched on at {switch}"
            yield document.fault(path, message, f"have an exporter at {switch}, or remove it")
