"""A network on paper: hosts, switches, links and the paths between hosts.

Knows only itself. Must not know: Mininet (`Topology.fill` fills anything with its methods),
exporters, flows, traffic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MTU_OCTETS = 1500
VLAN_TAG_OCTETS = 4
"""The longest layer 3 packet that crosses any link in one piece."""

IPV4_NETWORK = IPv4Address("10.0.0.0")
IPV4_PREFIX = 8
IPV4_BROADCAST = IPv4Address("10.255.255.255")
IPV6_NETWORK = IPv6Address("2001:db8::")
IPV6_PREFIX = 64
MAC_PREFIX = 0x02_00_00_00_00_00
"""A locally administered unicast address (IEEE 802, second lowest bit of the first octet)."""


@dataclass(frozen=True)
class Host:
    """An end system. Its addresses are on its first interface; a second one only stands by.

    Attributes:
        name: ``h1``, or what the user called it.
        mac: of its first interface.
        ipv4: its address.
        ipv6: its other address.
        vlan: the VLAN of the port that it is at, 1 to 4094; None where there are no VLANs.
    """

    name: str
    mac: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    vlan: int | None = None


@dataclass(frozen=True)
class Switch:
    """A switch.

    Attributes:
        name: its bridge's name, ``s1``.
        number: 1 to 65535: its datapath id, and its observation domain.
    """

    name: str
    number: int


@dataclass(frozen=True)
class Port:
    """Where a link ends.

    Attributes:
        node: the host or switch.
        name: the interface, ``s1-eth1``.
        number: the OpenFlow port of a switch, from 1; a host's interfaces count from 0.
    """

    node: str
    name: str
    number: int


@dataclass(frozen=True)
class Quality:
    """What a link does to packets, each way by itself; None: nothing that would be felt.

    Attributes:
        bandwidth_mbps: how fast it is, in 10⁶ bits of frames a second.
        delay_ms: how long each packet is under way.
        loss_percent: how many of a hundred packets it loses, by chance.
    """

    bandwidth_mbps: float | None = None
    delay_ms: float | None = None
    loss_percent: float | None = None


PERFECT = Quality()


@dataclass(frozen=True)
class Link:
    """A cable between two ports."""

    a: Port
    b: Port
    quality: Quality = PERFECT


@dataclass(frozen=True)
class Hop:
    """A packet's way through one switch.

    Attributes:
        switch: its name.
        in_port: the OpenFlow port where the packet enters.
        out_port: the one where it leaves.
        tag: the VLAN in the tag (IEEE 802.1Q) that it has when it enters; None without a tag.
    """

    switch: str
    in_port: int
    out_port: int
    tag: int | None = None


@dataclass(frozen=True)
class Crossing:
    """A packet's way through one switch that may send it on by several ports.

    Attributes:
        switch: its name.
        in_port: the OpenFlow port where it enters.
        out_ports: those where it leaves, in the order of their numbers.
        tag: as of `Hop`.
    """

    switch: str
    in_port: int
    out_ports: tuple[int, ...]
    tag: int | None = None


class Fillable(Protocol):
    """What `Topology.fill` needs of a ``mininet.topo.Topo``; the names are Mininet's."""

    def addHost(self, name: str, *, mac: str, ip: str) -> object:  # noqa: N802 (Mininet's name)
        """Add a host."""

    def addSwitch(self, name: str, *, dpid: str) -> object:  # noqa: N802 (Mininet's name)
        """Add a switch; ``dpid`` is 16 hexadecimal digits."""

    def addLink(  # noqa: N802 (Mininet's name)
        self, node1: str, node2: str, *, port1: int, port2: int
    ) -> object:
        """Join two nodes at these ports."""


@dataclass(frozen=True)
class Topology:
    """Hosts and switches and how they are joined.

    Links may close rings. A unicast packet takes the shortest way, as `path` says. What is sent
    to all follows a spanning tree, as `flood` says, and so crosses each switch once.

    Attributes:
        kind: the shape's name, ``linear``.
        parameters: what was chosen of the shape.
        hosts: in the order of their numbers.
        switches: in the order of their numbers.
        links: in the order in which they are made.
    """

    kind: str
    parameters: Mapping[str, object] = field(hash=False)
    hosts: tuple[Host, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]

    def host(self, name: str) -> Host:
        """The host called ``name``.

        Raises:
            KeyError: there is none.
        """
        return self._hosts[name]

    def switch(self, name: str) -> Switch:
        """The switch called ``name``.

        Raises:
            KeyError: there is none.
        """
        return self._switches[name]

    def ports(self, node: str) -> tuple[Port, ...]:
        """The ports of a switch (or host) in the order of their numbers.

        Raises:
            KeyError: there is no such node.
        """
        return tuple(sorted((port for port, _ in self._ends[node]), key=lambda port: port.number))

    def peer(self, port: Port) -> Port:
        """The port at the other end of the link at ``port``.

        Raises:
            KeyError: there is no such port.
        """
        return self._peers[port]

    def ways_to(self, host: str) -> Mapping[str, Port]:
        """For each switch from which ``host`` can be reached: the port that leads there.

        It is the shortest way; where several are equally short, the one that is found first
        when the ports around ``host`` are followed in the order of their numbers.

        Raises:
            KeyError: there is no such host.
        """
        return {switch: ports[0] for switch, ports in self.equal_ways_to(host).items()}

    @cached_property
    def _ways(self) -> dict[str, Mapping[str, tuple[Port, ...]]]:
        """What `equal_ways_to` has found so far."""
        return {}

    @cached_property
    def _crossings(self) -> dict[tuple[str, str | None], tuple[Crossing, ...]]:
        """What `crossings` has found so far: a hundred thousand flows have few pairs of hosts."""
        return {}

    def equal_ways_to(self, host: str) -> Mapping[str, tuple[Port, ...]]:
        """For each switch from which ``host`` can be reached: all ports on a shortest way there.

        That of `ways_to` is the first one, the others follow in the order of their numbers.

        Raises:
            KeyError: there is no such host.
        """
        if host not in self._ways:
            self._ways[host] = self._equal_ways_to(host)
        return self._ways[host]

    def _equal_ways_to(self, host: str) -> Mapping[str, tuple[Port, ...]]:
        nearest = self.peer(self.attachment(host))
        ways: dict[str, list[Port]] = {nearest.node: [nearest]}
        steps = {nearest.node: 1}
        frontier = deque([nearest.node])
        while frontier:
            here = frontier.popleft()
            for port in self.ports(here):
                towards = self.peer(port)
                if towards.node not in self._switches:
                    continue
                if steps.setdefault(towards.node, steps[here] + 1) != steps[here] + 1:
                    continue
                if towards.node not in ways:
                    frontier.append(towards.node)
                ways.setdefault(towards.node, []).append(towards)
        return {
            switch: (ports[0], *sorted(ports[1:], key=lambda port: port.number))
            for switch, ports in ways.items()
        }

    def attachment(self, host: str) -> Port:
        """The port of a host that carries its traffic: its first one.

        Raises:
            KeyError: there is no such host.
        """
        self.host(host)
        return self.ports(host)[0]

    def path(self, source: str, destination: str) -> tuple[Hop, ...]:
        """The way of a packet between two hosts, switch by switch, as `ways_to` sends it.

        Raises:
            KeyError: one of the hosts does not exist.
            ValueError: they are the same, or nothing joins them.
        """
        return self.follow(source, destination, self.ways_to(destination))

    def follow(self, source: str, destination: str, ways: Mapping[str, Port]) -> tuple[Hop, ...]:
        """The way of a packet between two hosts where each switch sends it as ``ways`` says.

        Raises:
            KeyError: one of the hosts does not exist.
            ValueError: they are the same, nothing joins them, or the ways go in a circle.
        """
        vlan = self.host(source).vlan
        if source == destination:
            raise ValueError(f"there is no path from {source} to itself")
        if vlan != self.host(destination).vlan:
            raise ValueError(f"{source} and {destination} are in different VLANs")
        hops: list[Hop] = []
        entering = self.peer(self.attachment(source))
        while entering.node != destination:
            if entering.node not in ways:
                raise ValueError(f"nothing joins {source} and {destination}")
            if len(hops) >= len(self.switches):
                raise ValueError(f"packets from {source} to {destination} go in a circle")
            leaving = ways[entering.node]
            hops.append(Hop(entering.node, entering.number, leaving.number, vlan if hops else None))
            entering = self.peer(leaving)
        return tuple(hops)

    def crossings(self, source: str, destination: str | None) -> tuple[Crossing, ...]:
        """Every switch that a packet crosses, and by which ports, nearest to ``source`` first.

        Args:
            source: the host that sends it.
            destination: the host that it is for; None: everybody, so each switch floods it.

        Raises:
            KeyError: one of the hosts does not exist.
            ValueError: they are the same, or nothing joins them.
        """
        if (source, destination) not in self._crossings:
            self._crossings[source, destination] = self._all_crossings(source, destination)
        return self._crossings[source, destination]

    def _all_crossings(self, source: str, destination: str | None) -> tuple[Crossing, ...]:
        if destination is None:
            return self.flood(source)
        path = self.path(source, destination)
        return tuple(Crossing(hop.switch, hop.in_port, (hop.out_port,), hop.tag) for hop in path)

    def flood(self, source: str) -> tuple[Crossing, ...]:
        """Where a frame from a host to all (broadcast, multicast) goes, switch by switch.

        It follows the spanning tree, so it crosses each switch once; the nearest come first. It
        leaves at the ports of the hosts in its VLAN, and not at a host's second one.

        Raises:
            KeyError: there is no such host.
        """
        vlan = self.host(source).vlan
        crossings: list[Crossing] = []
        arriving = deque([self.peer(self.attachment(source))])
        while arriving:
            entering = arriving.popleft()
            leaving = [
                port
                for port in self.ports(entering.node)
                if port != entering and port not in self.blocked and self._carries(port, vlan)
            ]
            tag = vlan if crossings else None
            out_ports = tuple(port.number for port in leaving)
            crossings.append(Crossing(entering.node, entering.number, out_ports, tag))
            far = (self.peer(port) for port in leaving)
            arriving += [port for port in far if port.node in self._switches]
        return tuple(crossings)

    def tree_path(self, source: str, destination: str) -> tuple[Crossing, ...]:
        """The way between two hosts along the spanning tree alone.

        It is where switches that learn find each other, since they learn from what was flooded.

        Raises:
            KeyError, ValueError: as for `path`.
        """
        ports = {(port.node, port.number): port for port in self._peers}
        ways = {one.switch: ports[one.switch, one.in_port] for one in self.flood(destination)}
        hops = self.follow(source, destination, ways)
        return tuple(Crossing(h.switch, h.in_port, (h.out_port,), h.tag) for h in hops)

    def reached(self, source: str) -> tuple[str, ...]:
        """The hosts that a frame from a host to all comes to: all others in its VLAN.

        Raises:
            KeyError: there is no such host.
        """
        ports = {(port.node, port.number): port for port in self._peers}
        far = {
            self.peer(ports[crossing.switch, number]).node
            for crossing in self.flood(source)
            for number in crossing.out_ports
        }
        return tuple(host.name for host in self.hosts if host.name in far)

    @cached_property
    def blocked(self) -> frozenset[Port]:
        """The switch ports where nothing that is sent to all may leave.

        They are both ends of every link that the spanning tree leaves out, and the ports at
        which a host has its second interface. The tree grows from the first switch of each
        part, nearest switches first, each one's ports in the order of their numbers: what
        IEEE 802.1D comes to if that switch is the root and all links cost the same.
        """
        in_tree: set[Port] = set()
        seen: set[str] = set()
        for root in self._switches:
            frontier = deque(() if root in seen else (root,))
            seen.add(root)
            while frontier:
                for port in self.ports(frontier.popleft()):
                    far = self.peer(port)
                    if far.node in self._switches and far.node not in seen:
                        seen.add(far.node)
                        in_tree |= {port, far}
                        frontier.append(far.node)
        first = {self.attachment(host.name) for host in self.hosts}
        return frozenset(
            port
            for port, far in self._peers.items()
            if port.node in self._switches and port not in in_tree and far not in first
        )

    @cached_property
    def losing(self) -> frozenset[Port]:
        """The ports at both ends of links that lose packets."""
        lossy = (link for link in self.links if link.quality.loss_percent is not None)
        return frozenset(port for link in lossy for port in (link.a, link.b))

    def before(self, crossing: Crossing) -> Port:
        """The port from which a packet came to a switch.

        Raises:
            KeyError: the switch has no such port.
        """
        ports = {port.number: port for port in self.ports(crossing.switch)}
        return self.peer(ports[crossing.in_port])

    def vlan_of(self, port: Port) -> int | None:
        """The VLAN whose untagged frames a switch port takes; None: all, tagged (a trunk)."""
        return self._hosts[node].vlan if (node := self.peer(port).node) in self._hosts else None

    def _carries(self, port: Port, vlan: int | None) -> bool:
        return self.peer(port).node in self._switches or self.vlan_of(port) == vlan

    def fill(self, topo: Fillable) -> None:
        """Add everything to an empty Mininet ``Topo``, with fixed addresses and port numbers."""
        for host in self.hosts:
            topo.addHost(host.name, mac=host.mac, ip=f"{host.ipv4}/{IPV4_PREFIX}")
        for switch in self.switches:
            topo.addSwitch(switch.name, dpid=f"{switch.number:016x}")
        for link in self.links:
            topo.addLink(link.a.node, link.b.node, port1=link.a.number, port2=link.b.number)

    @cached_property
    def _hosts(self) -> Mapping[str, Host]:
        return {host.name: host for host in self.hosts}

    @cached_property
    def _switches(self) -> Mapping[str, Switch]:
        return {switch.name: switch for switch in self.switches}

    @cached_property
    def _peers(self) -> Mapping[Port, Port]:
        ends = {link.a: link.b for link in self.links}
        return ends | {link.b: link.a for link in self.links}

    @cached_property
    def _ends(self) -> Mapping[str, Sequence[tuple[Port, Port]]]:
        """Each node's ports with the ports at the other ends of their links."""
        names = [*self._hosts, *self._switches]
        ends: dict[str, list[tuple[Port, Port]]] = {name: [] for name in names}
        for port, far in self._peers.items():
            ends[port.node].append((port, far))
        return ends


def numbered_host(number: int) -> Host:
    """Host ``number`` (from 1): its number is the last part of each of its addresses."""
    octets = (MAC_PREFIX + number).to_bytes(6, "big")
    return Host(
        name=f"h{number}",
        mac=octets.hex(":"),
        ipv4=IPV4_NETWORK + number,
        ipv6=IPV6_NETWORK + number,
    )


def wire(
    kind: str,
    parameters: Mapping[str, object],
    *,
    hosts: int | Sequence[str],
    switches: int | Sequence[str],
    links: Sequence[tuple[str, str]],
    vlans: Mapping[str, int] | None = None,
    qualities: Mapping[frozenset[str], Quality] | None = None,
) -> Topology:
    """A topology out of pairs of node names; ports are numbered in the order of the links.

    Args:
        kind: the shape's name.
        parameters: what was chosen of it. What they say of links (as the fields of `Quality`)
            is true of every link between two switches.
        hosts: their names; or how many there are, h1 to h<hosts>.
        switches: their names; or how many there are, s1 to s<switches>.
        links: the names of the two nodes of each link.
        vlans: the VLAN of each host, if there are VLANs.
        qualities: of links that are not like the others, by the two names.
    """
    host_names = _names("h", hosts)
    switch_names = _names("s", switches)
    used = dict.fromkeys(host_names, -1) | dict.fromkeys(switch_names, 0)
    usual = Quality(**{name: parameters.get(name) for name in QUALITIES})  # type: ignore[arg-type]

    def next_port(node: str) -> Port:
        used[node] += 1
        return Port(node, f"{node}-eth{used[node]}", used[node])

    def link(a: str, b: str) -> Link:
        between_switches = a in switch_names and b in switch_names
        quality = (qualities or {}).get(frozenset((a, b)), usual if between_switches else PERFECT)
        return Link(next_port(a), next_port(b), quality)

    return Topology(
        kind=kind,
        parameters={name: value for name, value in parameters.items() if value is not None},
        hosts=tuple(
            replace(numbered_host(number), name=name, vlan=(vlans or {}).get(name))
            for number, name in enumerate(host_names, 1)
        ),
        switches=tuple(Switch(name, number) for number, name in enumerate(switch_names, 1)),
        links=tuple(link(a, b) for a, b in links),
    )


QUALITIES = tuple(field.name for field in fields(Quality))
"""What may be said of a link."""


def _names(letter: str, nodes: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(nodes, int):
        return tuple(f"{letter}{number}" for number in range(1, nodes + 1))
    return tuple(nodes)
