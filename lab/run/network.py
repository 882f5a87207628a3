"""The real network: a topology built with Mininet, quiet and with truthful packets.

The only module that imports Mininet. Must not know: exporters, traffic, verdicts.
"""

from __future__ import annotations

import os
import shlex
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mininet.cli import CLI
from mininet.log import lg
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch
from mininet.topo import Topo

from lab.run.openvswitch import TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from topologies import Topology

# Mininet would set limits of the machine, which are not ours to set; a capsule need not have them.
Mininet.inited = True

_IPV6: Final = "/proc/sys/net/ipv6/conf"
_SILENT: Final = {"disable_ipv6": "1", "accept_ra": "0"}
_DONE: Final = "flowlab-done"


class NetworkFailed(Exception):
    """The network could not be set up; the text says which host and what it answered."""


class _Switch(OVSSwitch):
    """A bridge that forwards by what it has learned or been taught."""

    def __init__(self, name: str, datapath_type: str, **parameters: Any) -> None:
        super().__init__(name, datapath="user", failMode="standalone", **parameters)
        self._datapath_type = datapath_type

    @classmethod
    def setup(cls) -> None:
        """Mininet would ask Open vSwitch for its version, give it a second, and leave.

        Who calls this module has started the switch and waited for it.
        """
        cls.OVSVersion = "3.1"  # only whether it is newer than 1.10 matters

    def bridgeOpts(self) -> str:  # noqa: N802 (Mininet's own)
        options = str(super().bridgeOpts()).replace("netdev", self._datapath_type)
        return f"{options} external_ids:{TAG}"  # in the transaction that makes the bridge


class _Host(Host):
    """A host that has no IPv6, and so nothing to say of its own accord, until it is given it."""

    def __init__(self, name: str, **parameters: Any) -> None:
        super().__init__(name, **parameters)
        commands = (
            f"echo {value} > {_IPV6}/{which}/{setting}"
            for which in ("all", "default")
            for setting, value in _SILENT.items()
        )
        self.cmd("; ".join(commands))


class Network:
    """A running Mininet network."""

    def __init__(
        self, topology: Topology, datapath_type: str, scratch: Path, *, private: bool
    ) -> None:
        """Build it; nothing forwards before `start`.

        Args:
            topology: what to build.
            datapath_type: of its bridges.
            scratch: a folder of the run's own.
            private: whether the network namespace is the run's own.
        """
        self.topology = topology
        self._scratch = scratch
        shape = Topo()
        topology.fill(shape)
        if private:  # before there are any, so that they never say a word
            _silence(("all", "default"))
        switch = partial(_Switch, datapath_type=datapath_type)
        self.mininet = Mininet(topo=shape, host=_Host, switch=switch, controller=None)
        _silence(self.switch_ports().values())

    def start(self, *, ipv6: bool) -> None:
        """Bring it up: addresses, neighbours, offloads off, silence.

        Args:
            ipv6: whether the hosts shall have IPv6 at all.
        """
        self.mininet.start()
        for host in self.topology.hosts:
            self._prepare(host.name, ipv6=ipv6)

    def pid(self, host: str) -> int:
        """The process that holds a host's network namespace."""
        return int(self.mininet.get(host).pid)

    def switch_ports(self) -> dict[int, str]:
        """The switch ports' names by interface index."""
        switches = self.topology.switches
        names = {port.name for switch in switches for port in self.topology.ports(switch.name)}
        return {index: name for index, name in socket.if_nameindex() if name in names}

    def stations(self) -> Iterator[tuple[str, str, str]]:
        """Where each host is, seen from each switch: ``(switch, port, MAC)``."""
        for host in self.topology.hosts:
            for switch, port in self.topology.ways_to(host.name).items():
                yield switch, port.name, host.mac

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

    def _prepare(self, name: str, *, ipv6: bool) -> None:
        """Make a host say nothing of its own accord, and what it says true to the octet.

        With ARP off on the interface and permanent neighbours, there are no neighbour
        solicitations, no duplicate address detection and no multicast listener reports.
        Without offloads, what the switch sees are packets as they would be on a cable.
        """
        host, interface = self.topology.host(name), f"{name}-eth0"
        commands = [
            f"ethtool -K {interface} tx off rx off tso off gso off gro off >/dev/null",
            f"ip link set {interface} arp off",
        ]
        if ipv6:
            commands.append(f"echo 0 > {_IPV6}/{interface}/disable_ipv6")
            commands.append(f"ip address add {host.ipv6}/64 dev {interface} nodad")
        # A file: the shell that Mininet talks to takes no line longer than a terminal's.
        batch = self._scratch / f"{name}.neighbours"
        batch.write_text("\n".join(self._neighbours(name, ipv6=ipv6)), encoding="ascii")
        commands += [f"ip -batch {shlex.quote(str(batch))}", f"echo {_DONE}"]
        said = self.mininet.get(name).cmd(" && ".join(commands))
        if _DONE not in said:
            message = f"{name} could not be set up: {said.strip()}"
            raise NetworkFailed(message)

    def _neighbours(self, name: str, *, ipv6: bool) -> Iterator[str]:
        """Commands for ip(8) that make every other host a permanent neighbour."""
        for other in self.topology.hosts:
            if other.name != name:
                for address in (other.ipv4, other.ipv6) if ipv6 else (other.ipv4,):
                    yield (
                        f"neighbour replace {address} lladdr {other.mac} dev {name}-eth0 "
                        "nud permanent"
                    )


def _silence(interfaces: Iterable[str]) -> None:
    """Interfaces of this namespace shall carry what they are sent, and say nothing themselves."""
    for interface in interfaces:
        for setting, value in _SILENT.items():
            path = Path(_IPV6) / interface / setting
            if path.exists():  # a kernel without IPv6 is silent as it is
                path.write_text(value, encoding="ascii")
