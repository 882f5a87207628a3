"""The real network: a topology built at one go, quiet and with truthful packets.

The only module that imports Mininet, whose nodes and command line users get. Mininet itself would
start a shell for every node and several programs for every link; here a node gets its shell when
it is first spoken to, and each kind of thing is made by one program for all of them. Must not
know: exporters, traffic, verdicts.
"""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any, Final

from mininet.cli import CLI
from mininet.link import Intf, Link
from mininet.log import lg
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch

from lab.run import hosts
from lab.run.openvswitch import BridgePlan, PortPlan
from topologies.model import IPV4_BROADCAST, IPV4_PREFIX, IPV6_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from topologies import Port, Topology

# Mininet would set limits of the machine, which are not ours to set; a capsule need not have them.
Mininet.inited = True

_SWITCH_MAC: Final = 0x0A_00_00_00_00_00
"""Of switch ports: locally administered, and unlike those of hosts."""


class NetworkFailed(Exception):
    """The network could not be set up; the text is that of the program that failed."""


class _Sleeper:
    """A node of Mininet's whose shell starts when it is first spoken to."""

    built = False

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: N802 (Mininet's own)
        """Mininet's constructor calls it: nobody has spoken yet."""

    def cmd(self, *words: Any, **options: Any) -> str:
        """What its shell answers; while Mininet builds the node there is nothing to be done."""
        if not self.built:
            return ""
        self._wake()
        return str(super().cmd(*words, **options))  # type: ignore[misc]

    def sendCmd(self, *words: Any, **options: Any) -> None:  # noqa: N802 (Mininet's own)
        """Speak to its shell and do not wait."""
        self._wake()
        super().sendCmd(*words, **options)  # type: ignore[misc]

    def _wake(self) -> None:
        """Start the shell if need be, in the namespace that is there already."""
        node: Any = self
        if node.shell is None:
            within, node.inNamespace = node.inNamespace, False  # which is: make none
            super().startShell(f"-cda{node.pid}" if within else None)  # type: ignore[misc]
            node.inNamespace = within


class _Host(_Sleeper, Host):
    """A host; the process that holds its namespace is not Mininet's."""


class _Switch(_Sleeper, OVSSwitch):
    """A bridge that is there already."""

    @classmethod
    def setup(cls) -> None:
        """Mininet would ask Open vSwitch for its version, give it a second, and leave."""


class _Interface(Intf):
    """An interface that is configured already."""

    def config(self, **_: Any) -> dict[str, Any]:
        return {}


class _Link(Link):
    """A link that is there already."""

    @classmethod
    def makeIntfPair(cls, *_: Any, **__: Any) -> None:  # noqa: N802 (Mininet's own)
        """`Network` makes all pairs at once."""


class Network:
    """A running network."""

    def __init__(self, topology: Topology, scratch: Path, *, private: bool) -> None:
        """Make hosts, links and switch ports; `bridges` tells what is to become of the ports.

        Args:
            topology: what to build.
            scratch: a folder of the run's own.
            private: whether the network namespace is the run's own.
        """
        self.topology = topology
        self._scratch = scratch
        if private:  # before there are any interfaces but loopback, so that they never say a word
            hosts.silence(("default",))
        self._hosts = hosts.start(host.name for host in topology.hosts)
        _program("\n".join(self._make_links()), "ip", "-batch", "-")
        if not private:
            hosts.silence(self.switch_ports().values())
        self.mininet = Mininet(
            build=False,
            host=_Host,
            switch=_Switch,
            link=_Link,
            intf=_Interface,
            controller=None,
            waitConnected=False,
        )
        topology.fill(self.mininet)
        for host in topology.hosts:
            node = self.mininet.get(host.name)
            node.pid = self._hosts[host.name].pid
            first = node.intfs[0]
            first.ip, first.prefixLen, first.mac = str(host.ipv4), IPV4_PREFIX, host.mac
        for node in self.mininet.values():
            node.built = True

    def start(self, neighbours: Mapping[str, str], *, ipv6: bool) -> None:
        """Let all hosts set themselves up: addresses, neighbours, offloads off, silence.

        Args:
            neighbours: addresses that they know besides each other's, and the MAC address of each.
            ipv6: whether the hosts shall have IPv6 at all.
        """
        # Linux would send broadcasts of an interface without ARP to that interface's own address.
        known = [f"{IPV4_BROADCAST} lladdr ff:ff:ff:ff:ff:ff"]
        known += [
            f"{address} lladdr {host.mac}"
            for host in self.topology.hosts
            for address in ((host.ipv4, host.ipv6) if ipv6 else (host.ipv4,))
        ]
        known += [f"{address} lladdr {mac}" for address, mac in neighbours.items()]
        for name, process in self._hosts.items():
            process.order(self._orders(name, known, ipv6=ipv6))
        for process in self._hosts.values():
            process.wait()

    def bridges(self) -> Iterator[BridgePlan]:
        """What Open vSwitch is to make of the switch ports."""
        for switch in self.topology.switches:
            ports = tuple(
                PortPlan(
                    port.name,
                    port.number,
                    self._mac(port),
                    self._vlan_of(port),
                    floods=port not in self.topology.blocked,
                )
                for port in self.topology.ports(switch.name)
            )
            yield BridgePlan(switch.name, switch.number, ports)

    def _vlan_of(self, port: Port) -> int | None:
        """See `PortPlan`; a host without a VLAN among others with one gets none of their frames."""
        vlans = any(host.vlan for host in self.topology.hosts)
        untagged = 0 if vlans and self.topology.peer(port).node in self._hosts else None
        return self.topology.vlan_of(port) or untagged

    def pid(self, host: str) -> int:
        """The process that holds a host's network namespace."""
        return self._hosts[host].pid

    def switch_ports(self) -> dict[int, str]:
        """The switch ports' names by interface index."""
        switches = self.topology.switches
        names = {port.name for switch in switches for port in self.topology.ports(switch.name)}
        return {index: name for index, name in socket.if_nameindex() if name in names}

    def stations(self) -> Iterator[tuple[str, str, int, str]]:
        """Where each host is, seen from each switch: ``(switch, port, VLAN or 0, MAC)``."""
        for host in self.topology.hosts:
            for switch, port in self.topology.ways_to(host.name).items():
                yield switch, port.name, host.vlan or 0, host.mac

    def converse(self, commands: str | None) -> None:
        """Run Mininet's command line.

        Args:
            commands: lines to execute; None: the user's terminal.
        """
        lg.setLogLevel("output")
        if commands is not None:
            script = self._scratch / "commands"
            script.write_text(commands, encoding="utf-8")
            CLI(self.mininet, script=str(script))
            return
        terminal = os.open("/dev/tty", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(terminal, descriptor)
        CLI(self.mininet)

    def _make_links(self) -> Iterator[str]:
        """Commands for ip(8): every link, and every switch port up."""
        for link in self.topology.links:
            one, other = self._end(link.a), self._end(link.b)
            yield f"link add name {one} type veth peer name {other}"
        for switch in self.topology.switches:
            for port in self.topology.ports(switch.name):
                yield f"link set {port.name} up"

    def _end(self, port: Port) -> str:
        host = self._hosts.get(port.node)
        place = f" netns {host.pid}" if host else ""
        return f"{port.name} address {self._mac(port)}{place}"

    def _mac(self, port: Port) -> str:
        if port.node in self._hosts:
            host = self.topology.host(port.node)
            if port == self.topology.attachment(host.name):
                return host.mac
            number = int(host.mac.replace(":", ""), 16) | 1 << 32
        else:
            number = _SWITCH_MAC | self.topology.switch(port.node).number << 16 | port.number
        return number.to_bytes(6, "big").hex(":")

    def _orders(self, name: str, known: list[str], *, ipv6: bool) -> hosts.Orders:
        """What makes a host say nothing of its own accord.

        With ARP off on the interface and permanent neighbours, there are no neighbour
        solicitations, no duplicate address detection and no multicast listener reports.
        """
        host, first = self.topology.host(name), self.topology.attachment(name).name
        every = [port.name for port in self.topology.ports(name)]
        commands = [f"link set {interface} arp off up" for interface in every]
        commands.append(f"address add {host.ipv4}/{IPV4_PREFIX} broadcast + dev {first}")
        if ipv6:
            commands.append(f"address add {host.ipv6}/{IPV6_PREFIX} dev {first} nodad")
        commands += [
            f"neighbour replace {neighbour} dev {first} nud permanent"
            for neighbour in known
            if not neighbour.endswith(host.mac)
        ]
        return hosts.Orders(every, [first] if ipv6 else [], commands)


def _program(lines: str, *command: str) -> None:
    """Give a program lines to work through.

    Raises:
        NetworkFailed: it could not.
    """
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkFailed(f"{' '.join(command)}: {done.stderr.strip()}")
