"""A network on paper: hosts, switches, links and the paths between hosts.

Knows only itself. Must not know: Mininet (`Topology.fill` fills anything with its methods),
exporters, flows, traffic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MTU_OCTETS = 1500
"""The longest layer 3 packet that crosses any link in one piece."""

IPV4_NETWORK = IPv4Address("10.0.0.0")
IPV4_PREFIX = 8
IPV6_NETWORK = IPv6Address("2001:db8::")
IPV6_PREFIX = 64
MAC_PREFIX = 0x02_00_00_00_00_00
"""A locally administered unicast address (IEEE 802, second lowest bit of the first octet)."""


@dataclass(frozen=True)
class Host:
    """An end system, with its addresses on its only interface."""

    name: str
    mac: str
    ipv4: IPv4Address
    ipv6: IPv6Address


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
class Link:
    """A cable between two ports."""

    a: Port
    b: Port


@dataclass(frozen=True)
class Hop:
    """A packet's way through one switch: the OpenFlow ports where it enters and leaves."""

    switch: str
    in_port: int
    out_port: int


@dataclass(frozen=True)
class Crossing:
    """A packet's way through one switch that may send it on by several ports.

    Attributes:
        switch: its name.
        in_port: the OpenFlow port where it enters.
        out_ports: those where it leaves, in the order of their numbers.
    """

    switch: str
    in_port: int
    out_ports: tuple[int, ...]


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
    """Hosts and switches and how they are joined. Hosts have one link each.

    Attributes:
        kind: the shape's name, ``linear``.
        parameters: what was chosen of the shape.
        hosts: in the order of their numbers.
        switches: in the order of their numbers.
        links: in the order in which they are made.
    """

    kind: str
    parameters: Mapping[str, int] = field(hash=False)
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
        self.host(host)
        ways: dict[str, Port] = {}
        frontier = deque([host])
        while frontier:
            for port in self.ports(frontier.popleft()):
                towards = self.peer(port)
                if towards.node in self._switches and towards.node not in ways:
                    ways[towards.node] = towards
                    frontier.append(towards.node)
        return ways

    def path(self, source: str, destination: str) -> tuple[Hop, ...]:
        """The way of a packet between two hosts, switch by switch, as `ways_to` sends it.

        Raises:
            KeyError: one of the hosts does not exist.
            ValueError: they are the same, or nothing joins them.
        """
        self.host(source)
        ways = self.ways_to(destination)
        if source == destination:
            raise ValueError(f"there is no path from {source} to itself")
        hops: list[Hop] = []
        entering = self.peer(self.ports(source)[0])
        while entering.node != destination:
            if entering.node not in ways:
                raise ValueError(f"nothing joins {source} and {destination}")
            leaving = ways[entering.node]
            hops.append(Hop(entering.node, entering.number, leaving.number))
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
        if destination is None:
            return self._flooded(source)
        path = self.path(source, destination)
        return tuple(Crossing(hop.switch, hop.in_port, (hop.out_port,)) for hop in path)

    def _flooded(self, source: str) -> tuple[Crossing, ...]:
        """By all ports but the one where it came in; each switch takes part once."""
        self.host(source)
        crossings: dict[str, Crossing] = {}
        arriving = deque([self.peer(self.ports(source)[0])])
        while arriving:
            port = arriving.popleft()
            leaving = [other for other in self.ports(port.node) if other != port]
            numbers = tuple(other.number for other in leaving)
            crossings[port.node] = Crossing(port.node, port.number, numbers)
            ahead = [self.peer(other) for other in leaving]
            arriving += [other for other in ahead if other.node in self._switches]
        return tuple(crossings.values())

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
    parameters: Mapping[str, int],
    *,
    hosts: int,
    switches: int,
    links: Sequence[tuple[str, str]],
) -> Topology:
    """A topology out of pairs of node names; ports are numbered in the order of the links.

    Args:
        kind: the shape's name.
        parameters: what was chosen of it.
        hosts: how many hosts there are, h1 to h<hosts>.
        switches: how many switches there are, s1 to s<switches>.
        links: the names of the two nodes of each link.
    """
    used = {f"h{number}": -1 for number in range(1, hosts + 1)}
    used |= {f"s{number}": 0 for number in range(1, switches + 1)}

    def next_port(node: str) -> Port:
        used[node] += 1
        return Port(node, f"{node}-eth{used[node]}", used[node])

    return Topology(
        kind=kind,
        parameters=dict(parameters),
        hosts=tuple(numbered_host(number) for number in range(1, hosts + 1)),
        switches=tuple(Switch(f"s{number}", number) for number in range(1, switches + 1)),
        links=tuple(Link(next_port(a), next_port(b)) for a, b in links),
    )
