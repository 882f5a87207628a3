"""Open vSwitch: started, asked, flushed and stopped here alone.

Knows: the daemons, their database and their clock. Must not know: Mininet, traffic, verdicts.

`PrivateSwitch` is the rule: its own directory, its own database, its own sockets; the machine's
Open vSwitch is never touched. ``--enable-dummy`` registers ``time/stop`` and ``time/warp``
(``lib/timeval.c``), and the ``dummy`` datapath type, which is the userspace datapath with
internal ports that need no /dev/net/tun (``lib/dpif-netdev.c``, ``dpif_netdev_port_open_type``).
`SystemSwitch` is the exception, for the kernel's datapath.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from exporters import SwitchExporter
from lab.run import openflow, unixctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from exporters import Bridge, Command, Exporter

SCHEMA: Final = "/usr/share/openvswitch/vswitch.ovsschema"
TAG: Final = "flowlab=run"
"""The external id that every bridge of a run carries."""

FLUSH_MS: Final = 3000
"""Past NetFlow's check (1 s), its active timeout as shortened for the flush (1 s), and sFlow's
tick (1 s)."""

_WARP_STEP_MS: Final = 500
_SYSTEM_DIRECTORY: Final = Path("/var/run/openvswitch")
_FIND_OURS: Final = ("find", "Bridge", f"external_ids:{TAG}")
_NUMBERS: Final = re.compile(r"([a-z][a-z0-9 ]*)=(\d+)")
_LOOKUPS: Final = re.compile(r"\b(?:hit|missed|lost):(\d+)")
_LIMIT_S: Final = 10
_POLL_S: Final = 0.002


class SwitchFailed(Exception):
    """An Open vSwitch program did not do what it was told; the text is its own."""


@dataclass(frozen=True)
class Counters:
    """What one bridge counted itself.

    Attributes:
        packets: packets that its OpenFlow table handled.
        octets_l2: their octets, frames without FCS.
        ipfix: what ``dump-ipfix-bridge`` says, by name; empty if IPFIX is off.
    """

    packets: int
    octets_l2: int
    ipfix: Mapping[str, int]


@dataclass(frozen=True)
class Room:
    """What the collector takes at once, for an exporter that does not wait for it.

    Attributes:
        datagrams: of a record each, that fit into its receive buffer.
        drain: returns when it has taken all that was sent.
    """

    datagrams: int
    drain: Callable[[], object]


@dataclass(frozen=True)
class PortPlan:
    """An interface that is to be a bridge's port.

    Attributes:
        name: of the interface.
        number: the OpenFlow port that it shall be.
        mac: its address.
        vlan: the VLAN whose untagged frames it takes and gives, 0 for those that are in none; None:
            a trunk of all.
        floods: whether what is sent to all may leave here.
    """

    name: str
    number: int
    mac: str
    vlan: int | None = None
    floods: bool = True


@dataclass(frozen=True)
class BridgePlan:
    """A bridge that is to be.

    Attributes:
        name: its name.
        number: its datapath id.
        ports: its ports.
    """

    name: str
    number: int
    ports: tuple[PortPlan, ...]


class OpenVSwitch(ABC):
    """A running ovs-vswitchd and its database.

    Attributes:
        datapath_type: what a bridge's ``datapath_type`` must be.
        private: whether nothing but the run is in it.
    """

    datapath_type: str
    private: bool

    def __init__(self, daemon: Path) -> None:
        """Inert until `start`.

        Args:
            daemon: the control socket of ovs-vswitchd.
        """
        self._daemon = daemon

    @abstractmethod
    def start(self, bridges: Sequence[str]) -> None:
        """Make it ready for these bridges.

        Raises:
            SwitchFailed: it cannot be.
        """

    @abstractmethod
    def handled_packets(self) -> int:
        """Packets that the run's bridges have taken from their ports so far."""

    @abstractmethod
    def pass_time(self) -> int:
        """Let `FLUSH_MS` pass for the switch; by how many ms its clock was moved for that."""

    def configure(self, commands: Iterable[Command]) -> None:
        """Change the database in one transaction and wait until the switch has followed."""
        given = [command for command in commands if command]
        if given:
            _run("ovs-vsctl", *(word for command in given for word in ("--", *command)))

    def build(self, plans: Iterable[BridgePlan], controller: str | None = None) -> None:
        """Make bridges, all of them in one transaction.

        Without a controller they forward by what they have learned or been taught; with one they
        do nothing that it does not tell them.

        Nothing is flooded out of a port that shall not: both NORMAL and FLOOD keep to the port's
        configuration (``ofproto/ofproto-dpif-xlate.c``, ``floodable``).
        """
        bridges = tuple(plans)
        self.configure(
            command for bridge in bridges for command in self._building(bridge, controller)
        )
        self._block(bridges)

    def _block(self, bridges: Iterable[BridgePlan]) -> None:
        """Close the ports that nothing shall be flooded out of."""
        for bridge in bridges:
            blocked = [openflow.no_flood(p.number, p.mac) for p in bridge.ports if not p.floods]
            if blocked:
                openflow.tell(self._daemon.parent / f"{bridge.name}.mgmt", blocked)

    def _building(self, bridge: BridgePlan, controller: str | None) -> Iterator[Command]:
        fail_mode = "standalone" if controller is None else "secure"
        yield ("add-br", bridge.name)
        yield (
            *("set", "Bridge", bridge.name, f"datapath_type={self.datapath_type}"),
            *(f"fail_mode={fail_mode}", f"other_config:datapath-id={bridge.number:016x}"),
            *("other_config:disable-in-band=true", f"external_ids:{TAG}"),
        )
        if controller is not None:
            yield ("set-controller", bridge.name, controller)
        for port in bridge.ports:
            yield ("add-port", bridge.name, port.name)
            yield ("set", "Interface", port.name, f"ofport_request={port.number}")
            if port.vlan is not None:
                yield ("set", "Port", port.name, f"tag={port.vlan}")

    def switch_on(self, exporters: Iterable[Exporter], bridges: Iterable[Bridge]) -> None:
        """Switch its own exporters on, in one transaction; then put their rules in."""
        pairs = _pairs(exporters, bridges)
        self.configure(
            one.switch_on(bridge, '","'.join(one.destinations(bridge))) for one, bridge in pairs
        )
        for one, bridge in pairs:
            for rule in one.rules(bridge):
                _run("ovs-ofctl", "add-flow", bridge.name, rule)

    def switch_off(self, bridges: Iterable[Bridge]) -> None:
        """Let bridges neither export nor forward anything any more; after `flush`."""
        names = [bridge.name for bridge in bridges]
        exports = ("netflow", "sflow", "ipfix")
        self.configure(("clear", "Bridge", name, *exports) for name in names)
        for name in names:
            _run("ovs-ofctl", "del-flows", name)

    def teach(
        self, stations: Iterable[tuple[str, str, int, str]], vlans: Iterable[int] = ()
    ) -> None:
        """Tell switches where stations are: ``(bridge, port, VLAN or 0, MAC)`` each.

        So the network is as it is after everybody has spoken once: no packet is flooded, and
        the switches on a flow's path are known beforehand. These entries stay: a switch learns
        nothing else of a station that it was told about (``lib/mac-learning.c``).

        Args:
            stations: where they are.
            vlans: in which VLANs those of VLAN 0 speak besides.
        """
        tags = [0, *vlans]
        commands = [
            ("fdb/add", bridge, port, str(vlan or tag), mac)
            for bridge, port, vlan, mac in stations
            for tag in (tags if not vlan else [vlan])
        ]
        unixctl.calls(self._daemon, commands)

    def wait_for_link(self, port: str, state: str) -> None:
        """Wait until the switch has seen that a port is ``up`` or ``down``.

        Raises:
            SwitchFailed: it has not within the limit.
        """
        until_s = time.monotonic() + _LIMIT_S
        while state not in _run("ovs-vsctl", "get", "Interface", port, "link_state"):
            if time.monotonic() > until_s:
                raise SwitchFailed(f"{port} was not seen to go {state} within {_LIMIT_S} s")
            time.sleep(_POLL_S)

    def push_statistics(self) -> None:
        """End all datapath flows, which makes their statistics reach tables and exporters.

        Raises:
            SwitchFailed: flows were still there after the limit.
        """
        until_s = time.monotonic() + _LIMIT_S
        while time.monotonic() < until_s:
            unixctl.call(self._daemon, "revalidator/purge")
            if set(re.findall(r"keys\s+(\d+)", unixctl.call(self._daemon, "upcall/show"))) <= {"0"}:
                return
            time.sleep(_POLL_S)
        message = f"the datapath's flows were not gone after {_LIMIT_S} s of purging"
        raise SwitchFailed(message)

    def flush(
        self,
        exporters: Sequence[Exporter],
        bridges: Sequence[Bridge],
        counted: Mapping[str, Counters],
        room: Room,
    ) -> int:
        """Make the exporters send all they hold; no traffic may be under way any more.

        Order matters: statistics first, then timeouts and ticks by the passing of time, then
        what only leaves on switching off. NetFlow and sFlow stay on: off, they lose what they
        hold.

        Args:
            exporters: of the scenario.
            bridges: all of them.
            counted: what each bridge has just counted.
            room: what the collector takes at once.

        Returns:
            By how many milliseconds the switch's clock was moved.
        """
        pairs = _pairs(exporters, bridges)
        self.push_statistics()
        self.configure(one.expire(bridge) for one, bridge in pairs)
        moved_ms = self.pass_time()
        self.settle()
        self._empty(pairs, counted, room)
        return moved_ms

    def _empty(
        self,
        pairs: Sequence[tuple[SwitchExporter, Bridge]],
        counted: Mapping[str, Counters],
        room: Room,
    ) -> None:
        """Empty all caches, never sending more at once than the collector has room for.

        A cache of a hundred thousand flows would else become as many datagrams in less than a
        second, and what does not fit into a socket's buffer is lost.
        """
        commands: list[Command] = []
        sent = 0
        for one, bridge in pairs:
            held = counted[bridge.name].ipfix.get("current flows", 0) if one.keep(bridge, 0) else 0
            rest = min(held, room.datagrams)
            if sent + rest > room.datagrams:
                self.configure(commands)
                room.drain()
                commands, sent = [], 0
            for flows in range(held - room.datagrams, 0, -room.datagrams):
                self.configure([one.keep(bridge, flows)])
                room.drain()
            commands.append(one.flush(bridge))
            sent += rest
        self.configure(commands)

    def settle(self) -> None:
        """Wait until the daemon has gone round its main loop with nothing left over.

        An answer is given from within the loop: the second one comes after a whole round.
        """
        for _ in range(2):
            unixctl.call(self._daemon, "version")

    def counters(self, bridge: str) -> Counters:
        """What a bridge counted; exact after `push_statistics`.

        Each packet begins in its table 0, and may be counted in others as well.
        """
        aggregate = _run("ovs-ofctl", "dump-aggregate", bridge, "table=0")
        numbers = dict(re.findall(r"(\w+)=(\d+)", aggregate))
        return Counters(
            packets=int(numbers["packet_count"]),
            octets_l2=int(numbers["byte_count"]),
            ipfix=self._ipfix_counters(bridge),
        )

    def _ipfix_counters(self, bridge: str) -> dict[str, int]:
        try:
            said = _run("ovs-ofctl", "dump-ipfix-bridge", bridge)
        except SwitchFailed:  # it answers with an error where IPFIX is off
            return {}
        counters = said.partition("bridge ipfix:")[2]
        return {name: int(value) for name, value in _NUMBERS.findall(counters)}


class PrivateSwitch(OpenVSwitch):
    """One Open vSwitch of the run's own, with a clock that can be moved."""

    datapath_type = "dummy"
    private = True

    def __init__(self, directory: Path, logs: Path) -> None:
        """Inert until `start`.

        Args:
            directory: for its database and sockets; its path must be short (a Unix socket's
                name has room for 107 octets).
            logs: where its two log files go.
        """
        super().__init__(directory / "ovs-vswitchd.ctl")
        self._directory = directory
        self._logs = logs
        self._handled_before = 0

    def start(self, bridges: Sequence[str]) -> None:  # noqa: ARG002 (it has no others)
        """Start both daemons; returns when they are ready."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for variable in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
            os.environ[variable] = str(self._directory)
        database, remote = self._directory / "conf.db", f"unix:{self._directory}/db.sock"
        detached = ("--no-chdir", "--detach", "--pidfile")
        log = f"--log-file={self._logs}"
        _run("ovsdb-tool", "create", str(database), SCHEMA)
        _run(
            "ovsdb-server",
            str(database),
            f"--remote=p{remote}",
            *detached,
            f"{log}/ovsdb-server.log",
        )
        _run("ovs-vsctl", "--no-wait", "init")
        self._start_daemon()

    def _start_daemon(self) -> None:
        _run(
            "ovs-vswitchd",
            f"unix:{self._directory}/db.sock",
            *("--enable-dummy", "--no-chdir", "--detach", "--pidfile"),
            f"--unixctl={self._daemon}",
            f"--log-file={self._logs}/ovs-vswitchd.log",
        )

    def restart(self, bridges: Iterable[BridgePlan]) -> None:
        """End the daemon and start it again; what it had learned and counted is gone.

        Raises:
            SwitchFailed: it did not end within the limit.
        """
        self._handled_before = self.handled_packets()
        pid = self._directory / "ovs-vswitchd.pid"
        unixctl.call(self._daemon, "exit")
        until_s = time.monotonic() + _LIMIT_S
        while pid.exists():
            if time.monotonic() > until_s:
                raise SwitchFailed(f"ovs-vswitchd did not end within {_LIMIT_S} s")
            time.sleep(_POLL_S)
        self._start_daemon()
        self._block(bridges)

    def handled_packets(self) -> int:
        """See `OpenVSwitch.handled_packets`: all that the datapath handled is the run's.

        A packet for whose flow there was no room is forwarded and counted all the same, but the
        datapath calls it ``lost`` (``lib/dpif-netdev.c``, ``handle_packet_upcall``: ENOSPC).
        What was lost indeed is missing in the OpenFlow counters, and those are what is judged.
        """
        status = unixctl.call(self._daemon, "dpctl/show")
        return self._handled_before + sum(map(int, _LOOKUPS.findall(status)))

    def pass_time(self) -> int:
        """See `OpenVSwitch.pass_time`: nobody waits."""
        unixctl.call(self._daemon, "time/stop")
        unixctl.call(self._daemon, "time/warp", str(FLUSH_MS), str(_WARP_STEP_MS))
        return FLUSH_MS


class SystemSwitch(OpenVSwitch):
    """The machine's own Open vSwitch, with the kernel's datapath.

    Our bridges carry the tag `TAG`, and only what carries it is ever removed. One run at a time
    uses it, so whatever carries the tag when a run begins was left by one that was killed.
    """

    datapath_type = "system"
    private = False

    def __init__(self) -> None:
        """Inert until `start`."""
        super().__init__(_SYSTEM_DIRECTORY / "ovs-vswitchd.ctl")
        self._bridges: tuple[str, ...] = ()
        self._lock: IO[bytes] | None = None

    def start(self, bridges: Sequence[str]) -> None:
        """Find it, wait for one's turn, and remove what a killed run has left."""
        try:
            pid = (_SYSTEM_DIRECTORY / "ovs-vswitchd.pid").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise SwitchFailed("the system's Open vSwitch is not running") from None
        self._daemon = _SYSTEM_DIRECTORY / f"ovs-vswitchd.{pid}.ctl"
        self._lock = (_SYSTEM_DIRECTORY / "flowlab.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._remove(_words(_run("ovs-vsctl", "--bare", "--columns=name", *_FIND_OURS)))
        taken = sorted(set(bridges) & set(_words(_run("ovs-vsctl", "list-br"))))
        if taken:
            raise SwitchFailed(f"this machine has bridges called {', '.join(taken)} already")
        self._bridges = tuple(bridges)

    def stop(self) -> None:
        """Remove the run's bridges and their ports."""
        self._remove(self._bridges)

    def handled_packets(self) -> int:
        """See `OpenVSwitch.handled_packets`: what the run's own bridges handled."""
        self.push_statistics()
        return sum(self.counters(bridge).packets for bridge in self._bridges)

    def pass_time(self) -> int:
        """See `OpenVSwitch.pass_time`: this clock goes by itself, and there is none to ask."""
        time.sleep(FLUSH_MS / 1000)
        return 0

    def _remove(self, bridges: Iterable[str]) -> None:
        for bridge in bridges:
            ports = _words(_run("ovs-vsctl", "list-ports", bridge))
            _run("ovs-vsctl", "--if-exists", "del-br", bridge)
            for port in ports:
                subprocess.run(("ip", "link", "delete", port), capture_output=True, check=False)


def _pairs(
    exporters: Iterable[Exporter], bridges: Iterable[Bridge]
) -> list[tuple[SwitchExporter, Bridge]]:
    """The exporters that are a part of the switch, each with every bridge that has it."""
    own = [one for one in exporters if isinstance(one, SwitchExporter)]
    switches = list(bridges)
    return [(one, bridge) for one in own for bridge in switches if one.is_on(bridge.name)]


def _words(text: str) -> list[str]:
    return text.split()


def _run(*command: str) -> str:
    """Run one of Open vSwitch's programs and return what it printed.

    Raises:
        SwitchFailed: it is missing, failed, or took too long.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except FileNotFoundError as missing:
        message = f"the program {command[0]} is missing; run ./flowlab setup"
        raise SwitchFailed(message) from missing
    except subprocess.TimeoutExpired as slow:
        message = f"{' '.join(command)}: no answer within {_LIMIT_S} s"
        raise SwitchFailed(message) from slow
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise SwitchFailed(message)
    return done.stdout
