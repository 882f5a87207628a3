"""The controllers as scenarios see them: settings, and what each does to the flows that it sees.

Pure; imports nothing of Ryu.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from collector.key import ICMP, ICMPV6, TCP, UDP
from topologies.model import IPV4_NETWORK, Crossing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from collector.key import FlowKey
    from lab.traffic import PlannedFlow
    from lab.traffic.plan import Planned
    from topologies import Host, Port, Topology


PROTOCOLS: Final = {"udp": (UDP,), "tcp": (TCP,), "icmp": (ICMP, ICMPV6)}
ASKED_PORT: Final = 6654
"""Where the witness beside every application is asked what has been handled, on loopback."""
BUCKETS: Final = 8
"""In how many parts ECMP divides the flows; a power of two, since rules match single bits."""
OUTSIDE: Final = IPv4Address("10.200.0.0")
"""From here on are the addresses that hosts inside have outside."""
NEEDS_ANSWERS: Final = ("tcp", "ping", "http", "dns", "iperf3")
"""Kinds of traffic that do not go on until they are answered."""


class Way(NamedTuple):
    """Where a flow goes.

    Attributes:
        flow: what is known of it there.
        crossings: the switches that it crosses.
        perhaps: whether it may be that none of its packets comes there.
        came_by: the switches that its packets have crossed before, under another key.
        leaves_as: the key that they leave the one switch with that rewrites them; None: it does
            not, and there may be several.
        dropped: whether the first switch lets them go nowhere.
        besides: whether it tells only of ports that they leave by besides those of another way.
    """

    flow: PlannedFlow
    crossings: tuple[Crossing, ...]
    perhaps: bool = False
    came_by: tuple[Crossing, ...] = ()
    leaves_as: FlowKey | None = None
    dropped: bool = False
    besides: bool = False

    @property
    def everybody(self) -> bool:
        """Whether the switches flood them."""
        return self.flow.destination is None and not self.dropped


class Controller(BaseModel, ABC):
    """A controller with its settings.

    Attributes:
        name: what scenarios call it.
        app: the module of its application.
        reactive: whether packets come to it that it sends on: each of these is counted again.
        knows_vlans: whether it works where hosts are in VLANs.
        floods_unknown: whether what is for stations that are not there is flooded; else dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: ClassVar[str]
    app: ClassVar[str]
    reactive: ClassVar[bool] = False
    knows_vlans: ClassVar[bool] = True
    floods_unknown: ClassVar[bool] = False

    def ways(self, flows: Sequence[PlannedFlow], topology: Topology) -> Iterator[Way]:
        """Which switches each flow crosses, and by which ports.

        Where a number is not known beforehand it is None in the flow: the wire tells. What is
        dropped nobody answers.
        """
        for flow in flows:
            if flow.answers is None or not self.drops(flow.answers):
                yield Way(flow, self.crossings(flow, topology), dropped=self.drops(flow))

    def crossings(self, flow: PlannedFlow, topology: Topology) -> tuple[Crossing, ...]:
        """Which switches a flow crosses, and by which ports: here the shortest way.

        A packet that is dropped enters the first switch, and leaves by no port.
        """
        way = topology.crossings(flow.source, flow.destination)
        return (replace(way[0], out_ports=()),) if self.drops(flow) else way

    def drops(self, flow: PlannedFlow) -> bool:
        """Whether it drops all packets of a flow; what its rules know no way for, too."""
        return flow.nobody and not self.floods_unknown

    def wrong(self, topology: Topology) -> tuple[str, str, str] | None:  # noqa: ARG002
        """What is wrong about it in this topology: the key, a message, and what to do."""
        return None

    def cannot(self, step: Planned, topology: Topology) -> tuple[str, str] | None:  # noqa: ARG002
        """Why a step cannot be done with it, and what to do instead."""
        return None

    def neighbours(self, topology: Topology) -> Mapping[str, str]:  # noqa: ARG002 (most: none)
        """Addresses that hosts send to besides each other's, and the MAC address of each."""
        return {}

    @property
    def application(self) -> str:
        """The module, or the file, of its application."""
        return self.app

    def told(self, exporters: Iterable[Any]) -> dict[str, Any]:  # noqa: ARG002 (most need none)
        """What its application is told besides the network: its settings."""
        return self.model_dump(mode="json", by_alias=True)


class NoController(Controller):
    """There is none: the switches have been told where all hosts are."""

    name: ClassVar[str] = "none"
    app: ClassVar[str] = ""
    floods_unknown: ClassVar[bool] = True


class LearningSwitch(Controller):
    """Learns where hosts are from what they send, and floods what is for hosts not seen yet."""

    name: ClassVar[str] = "learning-switch"
    app: ClassVar[str] = "lab.controllers.learning_switch"
    reactive: ClassVar[bool] = True
    knows_vlans: ClassVar[bool] = False
    floods_unknown: ClassVar[bool] = True

    def ways(self, flows: Sequence[PlannedFlow], topology: Topology) -> Iterator[Way]:
        """A flow to a host that never speaks is flooded; one to a host that does, at first only.

        How many of its packets are flooded is a matter of time, so the wire tells.
        """
        speak = {flow.source for flow in flows}
        for flow in flows:
            flood = topology.flood(flow.source)
            if flow.destination is None or flow.destination not in speak:
                yield Way(flow, flood)
                continue
            path = self.crossings(flow, topology)
            yield Way(flow, path)
            crossed = {crossing.switch: crossing for crossing in path}
            unknown = replace(
                flow, packets=None, octets_l2=None, octets_l3=None, payload_octets=None
            )
            for crossing in flood:
                known = crossed.get(crossing.switch)
                if known is None:
                    yield Way(unknown, (crossing,), perhaps=True)
                elif besides := _without(crossing, known.out_ports):
                    yield Way(unknown, besides, perhaps=True, besides=True)

    def crossings(self, flow: PlannedFlow, topology: Topology) -> tuple[Crossing, ...]:
        """Switches learn from what was flooded, so they find the ways of the spanning tree."""
        if flow.destination is None:
            return topology.flood(flow.source)
        return topology.tree_path(flow.source, flow.destination)


def _without(crossing: Crossing, ports: Sequence[int]) -> tuple[Crossing, ...]:
    """A crossing without some of the ports by which packets leave; none if there are no others."""
    others = tuple(port for port in crossing.out_ports if port not in ports)
    return (replace(crossing, out_ports=others),) if others else ()


class ShortestPath(Controller):
    """Installs, before any packet comes, a rule for every host at every switch."""

    name: ClassVar[str] = "shortest-path"
    app: ClassVar[str] = "lab.controllers.shortest_path"


class Ecmp(Controller):
    """As shortest-path, but where several ways are equally short, flows are spread over them."""

    name: ClassVar[str] = "ecmp"
    app: ClassVar[str] = "lab.controllers.ecmp"

    def crossings(self, flow: PlannedFlow, topology: Topology) -> tuple[Crossing, ...]:
        """Each flow keeps to one way: the one that its source port chooses at each switch."""
        if flow.destination is None:
            return super().crossings(flow, topology)
        ways = {
            switch: choose(ports, flow.rules_see)
            for switch, ports in topology.equal_ways_to(flow.destination).items()
        }
        hops = topology.follow(flow.source, flow.destination, ways)
        return tuple(Crossing(h.switch, h.in_port, (h.out_port,), h.tag) for h in hops)


def choose(ports: Sequence[Port], key: FlowKey) -> Port:
    """ECMP's choice: the flow's bucket, and the way of that bucket.

    The bucket is the source port modulo `BUCKETS`; what has no ports is in bucket 0. Buckets are
    dealt to the ways in turn, as a switch's hash table does it.
    """
    bucket = key.source_port % BUCKETS if key.protocol in (TCP, UDP) else 0
    return ports[bucket % len(ports)]


class Denied(BaseModel):
    """Packets that an access list drops: all that have what is given here."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={"examples": [{"protocol": "udp", "port": 53}]},
    )

    source: str | None = Field(
        default=None, alias="from", description="The host that sends them.", examples=["h1"]
    )
    destination: str | None = Field(
        default=None, alias="to", description="The host that they are for.", examples=["h2"]
    )
    protocol: Literal["udp", "tcp", "icmp"] | None = Field(
        default=None, description="udp, tcp or icmp."
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="With udp or tcp: their destination port."
    )

    def fits(self, flow: PlannedFlow) -> bool:
        """Whether it drops a flow."""
        key = flow.rules_see
        protocols = [name for name, numbers in PROTOCOLS.items() if key.protocol in numbers]
        return (
            self.source in (None, flow.source)
            and self.destination in (None, flow.destination)
            and (self.protocol is None or self.protocol in protocols)
            and self.port in (None, key.destination_port)
        )


class AccessList(Controller):
    """As shortest-path, and drops some packets at the first switch that they come to."""

    name: ClassVar[str] = "access-list"
    app: ClassVar[str] = "lab.controllers.access_list"

    deny: Annotated[tuple[Denied, ...], Field(min_length=1, max_length=100)] = Field(
        description="What is dropped.", examples=[[{"protocol": "udp", "port": 53}]]
    )

    def drops(self, flow: PlannedFlow) -> bool:
        """See `Controller.drops`."""
        return super().drops(flow) or any(rule.fits(flow) for rule in self.deny)

    def cannot(self, step: Planned, topology: Topology) -> tuple[str, str] | None:  # noqa: ARG002
        """See `Controller.cannot`."""
        kind = step.traffic.kind
        if kind in NEEDS_ANSWERS and any(map(self.drops, step.flows)):
            message = f"the access list drops this, and {kind} cannot do without answer"
            return message, "send udp instead"
        return None

    def wrong(self, topology: Topology) -> tuple[str, str, str] | None:
        """See `Controller.wrong`."""
        names = {host.name for host in topology.hosts}
        for rule in self.deny:
            for name in (rule.source, rule.destination):
                if name is not None and name not in names:
                    return "deny", f"there is no host {name!r} in this topology", _hosts(topology)
            if rule.port is not None and rule.protocol not in ("udp", "tcp"):
                return "deny", "only UDP and TCP have ports", "write protocol: udp, or tcp, too"
        return None


class AddressTranslation(Controller):
    """As shortest-path, and one switch gives its hosts other addresses outside (RFC 3022: NAT)."""

    name: ClassVar[str] = "address-translation"
    app: ClassVar[str] = "lab.controllers.address_translation"

    at: str = Field(
        description="The switch that translates; its own hosts are inside, all others outside.",
        examples=["s1"],
    )

    def ways(self, flows: Sequence[PlannedFlow], topology: Topology) -> Iterator[Way]:
        """What goes out leaves the switch under another key; what comes back gets its own again."""
        inside = {host.name: host for host in self._inside(topology)}
        for flow in flows:
            way, key = self.crossings(flow, topology), flow.key
            sender, receiver = inside.get(flow.source), inside.get(flow.destination or "")
            if flow.destination is None or (sender is None) == (receiver is None):
                yield Way(flow, way, dropped=self.drops(flow))
            elif sender is not None and key.source == str(sender.ipv4):
                outside = replace(flow, key=key._replace(source=outside_address(key.source)))
                yield Way(flow, way[:1], leaves_as=outside.key)
                yield Way(outside, way[1:], came_by=way[:1])
            elif receiver is not None and key.destination == str(receiver.ipv4):
                known_as = outside_address(key.destination)
                outside = replace(flow, key=key._replace(destination=known_as))
                yield Way(outside, way[:-1])
                yield Way(outside, way[-1:], came_by=way[:-1], leaves_as=key)
            else:
                yield Way(flow, way)

    def wrong(self, topology: Topology) -> tuple[str, str, str] | None:
        """See `Controller.wrong`."""
        if not self._inside(topology):
            message = f"no host is at {self.at}, so nobody would be inside"
            there = dict.fromkeys(_switch_of(host, topology) for host in topology.hosts)
            return "at", message, f"hosts are at {', '.join(there)}"
        return None

    def cannot(self, step: Planned, topology: Topology) -> tuple[str, str] | None:
        """Nobody outside knows an address inside; only what is answered has been told one."""
        inside = {host.name for host in self._inside(topology)}
        if any(ends.source.name in inside for ends in step.rounds):
            return None
        for flow in step.flows:
            if (
                flow.source not in inside
                and flow.destination in inside
                and flow.key.ip_version == 4
            ):
                message = f"{flow.source} is outside, and {flow.destination} has no address there"
                hint = f"let a host at {self.at} begin, with udp, tcp, ping, http, dns or iperf3"
                return message, hint
        return None

    def neighbours(self, topology: Topology) -> Mapping[str, str]:
        """See `Controller.neighbours`: hosts inside, as they are known outside."""
        return {outside_address(str(host.ipv4)): host.mac for host in self._inside(topology)}

    def _inside(self, topology: Topology) -> list[Host]:
        return [host for host in topology.hosts if _switch_of(host, topology) == self.at]


def outside_address(inside: str) -> str:
    """What a host inside is called outside: host number i is 10.200.0.i."""
    return str(OUTSIDE + (int(IPv4Address(inside)) - int(IPV4_NETWORK)))


class Mirror(Controller):
    """As shortest-path, and one switch sends a copy of all that crosses it to a host there."""

    name: ClassVar[str] = "mirror"
    app: ClassVar[str] = "lab.controllers.mirror"

    at: str = Field(description="The switch that copies.", examples=["s1"])
    to: str = Field(description="The host at that switch that gets the copies.", examples=["h2"])

    def crossings(self, flow: PlannedFlow, topology: Topology) -> tuple[Crossing, ...]:
        """At the mirroring switch packets leave by one port more: the exporters see them once."""
        port = topology.peer(topology.attachment(self.to)).number
        return tuple(
            replace(crossing, out_ports=tuple(sorted((*crossing.out_ports, port))))
            if crossing.switch == self.at
            and flow.destination is not None
            and port not in (crossing.in_port, *crossing.out_ports)
            else crossing
            for crossing in super().crossings(flow, topology)
        )

    def wrong(self, topology: Topology) -> tuple[str, str, str] | None:
        """See `Controller.wrong`."""
        if self.to not in {host.name for host in topology.hosts}:
            return "to", f"there is no host {self.to!r} in this topology", _hosts(topology)
        there = _switch_of(topology.host(self.to), topology)
        if there != self.at:
            return "at", f"{self.to} is at {there}, and copies do not travel", f"write at: {there}"
        return None


class FlowSampler(Controller):
    """As shortest-path, and puts the action ``sample`` on the flows that ipfix-flow is set to.

    Which flows, how many of their packets, and the numbers of collector set and observation
    domain follow from the exporter `ipfix-flow` of the same scenario.
    """

    name: ClassVar[str] = "flow-sampler"
    app: ClassVar[str] = "lab.controllers.flow_sampler"
    knows_vlans: ClassVar[bool] = False  # the action meets frames that have got their tag

    def told(self, exporters: Iterable[Any]) -> dict[str, Any]:
        """See `Controller.told`."""
        samples = [
            {
                "at": exporter.at,
                "only": exporter.only,
                "port": exporter.port,
                "probability": 65_535 // exporter.sampling,
            }
            for exporter in exporters
            if exporter.name == "ipfix-flow"
        ]
        return {"first_domain": 0x10000, "samples": samples}


class Poller(Controller):
    """As shortest-path, and asks the switches for their port and flow counters all the time."""

    name: ClassVar[str] = "poller"
    app: ClassVar[str] = "lab.controllers.poller"

    interval_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=0.5, description="How long it waits between two rounds of questions."
    )


class OwnApp(Controller):
    """Your own application for Ryu, a Python file; it runs inside the capsule alone.

    It has to send each flow the shortest way, as the picture of the topology has it.
    """

    name: ClassVar[str] = "app"
    app: ClassVar[str] = ""
    reactive: ClassVar[bool] = True
    knows_vlans: ClassVar[bool] = False

    file: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="The file, from where flowlab is called.", examples=["my_switch.py"]
    )

    @field_validator("file")
    @classmethod
    def _is_found_from_everywhere(cls, file: str) -> str:
        return str(Path(file).absolute())

    @property
    def application(self) -> str:
        """See `Controller.application`."""
        return self.file

    def cannot(self, step: Planned, topology: Topology) -> tuple[str, str] | None:  # noqa: ARG002
        """See `Controller.cannot`."""
        if any(flow.nobody for flow in step.flows):
            message = "what your application does with packets for a station that is not there"
            return f"{message} is not known", "send them to a host"
        return None


CONTROLLERS: Final[Mapping[str, type[Controller]]] = {
    kind.name: kind
    for kind in (
        LearningSwitch,
        ShortestPath,
        Ecmp,
        AccessList,
        AddressTranslation,
        Mirror,
        FlowSampler,
        Poller,
        OwnApp,
    )
}
"""Every controller by the name that a scenario calls it."""


def network(topology: Topology) -> dict[str, Any]:
    """What an application is told of the network; JSON can carry it.

    ``hosts``: name → its ``mac``, its ``ipv4``, its ``vlan`` or None, and the switch that it is
    ``at``. ``switches``: datapath id → its ``name``; ``ways``: host → the ports of all shortest
    ways to it, the usual one first; ``hosts``: port → the VLAN of the host there, or None;
    ``trunks``: ports to other switches that what is sent to all may take.
    """
    ways = {host.name: topology.equal_ways_to(host.name) for host in topology.hosts}
    return {
        "hosts": {
            host.name: {
                "mac": host.mac,
                "ipv4": str(host.ipv4),
                "vlan": host.vlan,
                "at": _switch_of(host, topology),
            }
            for host in topology.hosts
        },
        "switches": {
            str(switch.number): {
                "name": switch.name,
                "ways": {
                    host: [port.number for port in there[switch.name]]
                    for host, there in ways.items()
                    if switch.name in there
                },
                **_ports(switch.name, topology),
            }
            for switch in topology.switches
        },
    }


def _ports(switch: str, topology: Topology) -> dict[str, Any]:
    """A switch's ports, by what is at their other ends."""
    hosts = {host.name: host for host in topology.hosts}
    ends = [(port, topology.peer(port).node) for port in topology.ports(switch)]
    return {
        "hosts": {str(port.number): hosts[end].vlan for port, end in ends if end in hosts},
        "trunks": [
            port.number for port, end in ends if end not in hosts and port not in topology.blocked
        ],
    }


def _switch_of(host: Host, topology: Topology) -> str:
    """The switch that a host's traffic goes by first."""
    return topology.peer(topology.attachment(host.name)).node


def _hosts(topology: Topology) -> str:
    return f"the hosts are {topology.hosts[0].name} to {topology.hosts[-1].name}"
