"""One run, from inside the capsule: network, exporters, traffic, flush, witnesses.

Knows all of this folder. Its result is what it leaves in the run folder: ``exports.pcap``,
``wire/*.pcap``, ``witnesses.json`` and ``logs/``. It judges nothing.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporters import Bridge, Probe
from lab.disturbances import Disturbance, LinkFlap, OfDatagrams, SwitchRestart, needs_private
from lab.expect import planned_stages
from lab.jsonfile import write_json
from lab.run import controller, links, probes, queued, snmp, wire
from lab.run.network import Network
from lab.run.openvswitch import Counters, OpenVSwitch, PrivateSwitch, Room, SystemSwitch
from lab.run.programs import Lacking, Program, look_for, run_stage
from lab.run.receiver import Receiver, ReceiverFailed
from lab.scenario.model import Scenario
from lab.traffic.player import nobody_asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.traffic.player import Queued

Emit = Callable[[dict[str, Any]], None]

_SWITCH_DIRECTORY: Final = Path("/run/flowlab")  # the capsule's own /run: short and nobody else's
_SETTLE_LIMIT_S: Final = 3.0
_HANDED_ON_LIMIT_S: Final = 30.0
_CAPTURE_LIMIT_S: Final = 10.0
_LIMIT_S: Final = 10.0
_POLL_S: Final = 0.002
_DATAGRAM_OCTETS: Final = 2048
"""Of a receive buffer, for a datagram of one record: the kernel reckons 1280, the rest is spare."""


def run(request: dict[str, Any], emit: Emit) -> None:
    """Run a scenario: the entry function of a run's capsule.

    Args:
        request: ``scenario`` (the resolved scenario), ``folder`` (the run folder) and
            ``datapath`` (``userspace`` or ``kernel``), ``owner`` (user and group id to give
            the folder to, or None) and ``copies`` (sockets to send a copy of the exports to).
        emit: takes an event for every stage begun.
    """
    with _session(request, emit) as session:
        session.traffic()
        session.flush()


def shell(request: dict[str, Any], emit: Emit) -> None:
    """Give the user Mininet's command line instead of the scenario's traffic.

    Args:
        request: as for `run`, and ``commands``: what to execute, or None to use the terminal.
        emit: as for `run`.
    """
    with _session(request, emit) as session:
        session.converse(request["commands"])
        session.flush()


@contextmanager
def _session(request: dict[str, Any], emit: Emit) -> Iterator[Session]:
    """A running network with its exporters on; all processes end with the capsule.

    What was witnessed is written down in any case, and what went wrong is told outside.
    """
    scenario, folder = Scenario.model_validate(request["scenario"]), Path(request["folder"])
    session = Session(scenario, folder, request["datapath"], request["owner"], emit)
    session.copies = tuple(request["copies"])
    try:
        session.start()
        yield session
    except BaseException as failure:  # Mininet leaves by SystemExit
        session.witnesses["failed"] = f"{type(failure).__name__}: {failure}"
        lacking = isinstance(failure, Lacking) and not _everything_demanded()
        if lacking or isinstance(failure, links.CannotShape):
            session.witnesses["skipped"] = str(failure)
        raise
    finally:
        session.finish()
        session.stop()
    emit({"event": "done"})  # last of all: who hears it reads what was written


class Session:
    """A run's parts and what they have witnessed."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        datapath: str,
        owner: tuple[int, int] | None,
        emit: Emit,
    ) -> None:
        """Inert until `start`.

        Args:
            scenario: what to run.
            folder: the run folder.
            datapath: ``userspace`` or ``kernel``.
            owner: user and group to give the folder to, where that is somebody else.
            emit: takes events.
        """
        self.scenario = scenario
        self.topology = scenario.build_topology()
        self.bridges = tuple(Bridge(s.name, s.number) for s in self.topology.switches)
        self.switch: OpenVSwitch = (
            SystemSwitch()
            if datapath == "kernel"
            else PrivateSwitch(_SWITCH_DIRECTORY, folder / "logs")
        )
        self._folder = folder
        self._owner = owner
        self._emit = emit
        self.controller: controller.Running | None = None
        self.snmp: snmp.Running | None = None
        self.copies: tuple[int, ...] = ()
        self.witnesses: dict[str, Any] = {"started_ns": time.time_ns()}

    def start(self) -> None:
        """Bring up receiver, switch, network, capture and exporters, each on the one before."""
        self._stage("network")
        needs_private(self.scenario.fault, private=self.switch.private)
        steps = [step for stage in self.scenario.traffic for step in stage]
        look_for(program for step in steps for program in step.programs)
        look_for([snmp.PROGRAM] if self.scenario.snmp is not None else [])
        self._receiver = Receiver(
            self._destinations(),
            self._folder / "exports.pcap",
            self._folder / "logs" / "receiver.log",
            self._faults(),
            self.copies,
        )
        if self.scenario.controller is not None:
            self.controller = controller.Running(
                self.scenario.controller, self.topology, self.scenario.exporters, self._folder
            )
        self.switch.start([bridge.name for bridge in self.bridges])
        self.network = Network(self.topology, self._folder / "logs", private=self.switch.private)
        if self.controller is None:
            self.switch.build(self.network.bridges())
            self._teach()
        else:
            self.controller.listen()
            self.switch.build(self.network.bridges(), controller.TARGET)
            self.controller.ready()
        told_by = self.scenario.controller
        neighbours = {} if told_by is None else told_by.neighbours(self.topology)
        self.network.start(neighbours, ipv6=self.scenario.uses_ipv6)
        links.shape(self.topology)
        self._queued, self._handled_there = self._links(), self._ask_controller()
        self._capture = self._start_capture()
        self.witnesses["receiver"] = self._receiver.ready()
        self._udp_before = _udp_counters()
        self._stage("exporters")
        self.switch.switch_on(self.scenario.exporters, self.bridges)
        self._probes = self._start_probes()
        self.snmp = self._start_snmp()

    def _destinations(self) -> list[str]:
        """Where exports go."""
        return sorted(
            {
                destination
                for exporter in self.scenario.exporters
                for bridge in self.bridges
                if exporter.is_on(bridge.name)
                for destination in exporter.destinations(bridge)
            }
        )

    def _teach(self) -> None:
        """Tell the switches where hosts are, in the VLANs that steps send in too."""
        vlans = {vlan for stage in self.scenario.traffic for step in stage for vlan in step.vlans}
        self.switch.teach(self.network.stations(), sorted(vlans))

    def traffic(self) -> None:
        """Run all steps; note what their programs declared and counted."""
        self._stage("traffic")
        self.witnesses["traffic_started_ns"] = time.time_ns()
        programs: list[dict[str, Any]] = []
        for number, stage in enumerate(planned_stages(self.scenario), 1):
            for step in stage:
                self._emit({"event": "step", "label": step.label, "text": step.traffic.in_words()})
            programs += run_stage(stage, self.network.pid, self._links, self._ask_controller)
            self._disturb(number)
        self.witnesses["programs"] = programs
        self.witnesses["traffic_finished_ns"] = time.time_ns()

    def _links(self) -> Callable[[], Queued]:
        """Open what tells how much slow links hold back."""
        return queued.opened(self.topology)

    def _ask_controller(self) -> Callable[[], int]:
        """Open what tells how many packets the controller has handled, where any come to it."""
        if self.controller is None or self.scenario.controller is None:
            return nobody_asked
        return self.controller.asked() if self.scenario.controller.reactive else nobody_asked

    def _disturb(self, step: int) -> None:
        """Let the faults of the network happen that come after a step."""
        for fault in self.scenario.fault:
            if isinstance(fault, LinkFlap) and fault.after_step == step:
                self._flap(fault.link)
            if isinstance(fault, SwitchRestart) and fault.after_step == step:
                self._restart()

    def _flap(self, link: tuple[str, str]) -> None:
        """Take a link down and up again; wait until the switches have seen that."""
        self._settled()
        switches = {switch.name for switch in self.topology.switches}
        one = next(end for end in self.topology.links if {end.a.node, end.b.node} == set(link))
        ports = [port for port in (one.a, one.b) if port.node in switches]
        for state in ("down", "up"):
            subprocess.run(
                ("ip", "link", "set", ports[0].name, state), check=True, timeout=_LIMIT_S
            )
            for port in ports:
                self.switch.wait_for_link(port.name, state)
        self._teach()

    def _restart(self) -> None:
        """Restart the switch program in good order: what it holds is exported before."""
        assert isinstance(self.switch, PrivateSwitch), "looked at before anything is started"
        self._settled()
        self.switch.flush(self.scenario.exporters, self.bridges, self._count(), self._room())
        self.switch.switch_off(self.bridges)
        self.witnesses.setdefault("restarted_ns", []).append(time.time_ns())
        self.switch.restart(self.network.bridges())
        if self.controller is None:
            self._teach()
        else:
            self.controller.ready()
        self.switch.switch_on(self.scenario.exporters, self.bridges)

    def _count(self) -> dict[str, Counters]:
        """Add what the switches have counted since they were started to the witnesses."""
        self.switch.push_statistics()
        counted = {bridge.name: self.switch.counters(bridge.name) for bridge in self.bridges}
        told = self.witnesses.setdefault("switches", {})
        for bridge, now in counted.items():
            counters, before = vars(now), told.get(bridge, {"packets": 0, "octets_l2": 0})
            summed = {name: counters[name] + before[name] for name in ("packets", "octets_l2")}
            told[bridge] = counters | summed
        return counted

    def _room(self) -> Room:
        """What the receiver takes at once; it has taken all when it has answered."""
        granted = self.witnesses["receiver"]["receive_buffer_octets"]
        return Room(granted // _DATAGRAM_OCTETS, lambda: self._receiver.ask("drain"))

    def converse(self, commands: str | None) -> None:
        """Hand the network over to Mininet's command line."""
        self._stage("shell")
        self.witnesses["traffic_started_ns"] = time.time_ns()
        self.network.converse(commands)
        self.witnesses["traffic_finished_ns"] = time.time_ns()

    def flush(self) -> None:
        """Make switch, exporters and capture give up all they hold."""
        self._stage("flush")
        self.witnesses["wire"], self.witnesses["datapath_packets"] = self._settled()
        self.switch.push_statistics()
        if self.controller is not None:
            self.controller.finish()
        if self.snmp is not None:
            self.witnesses["snmp_datagrams"] = self.snmp.finish()
        counted = self._count()
        moved_ms = self.switch.flush(self.scenario.exporters, self.bridges, counted, self._room())
        self.witnesses["clock_moved_ms"] = moved_ms
        self._flush_probes()
        self.witnesses["datagrams"] = self._stop_receiver()

    def finish(self) -> None:
        """Write down what was witnessed; give the run folder to whom it belongs."""
        self.witnesses["finished_ns"] = time.time_ns()
        write_json(self._folder / "witnesses.json", self.witnesses)
        if self._owner is not None:
            for path in (self._folder, *self._folder.rglob("*")):
                os.chown(path, *self._owner, follow_symlinks=False)

    def stop(self) -> None:
        """Take down what would not go with the capsule."""
        if isinstance(self.switch, SystemSwitch):
            self.switch.stop()

    def _stage(self, name: str) -> None:
        self._emit({"event": "stage", "name": name, "at_ns": time.time_ns()})

    def _faults(self) -> list[dict[str, Any]]:
        """The faults of datagrams, with where the exporters that they strike send from and to."""
        return [
            {**fault.model_dump(mode="json"), "kind": fault.kind, "targets": self._struck(fault)}
            for fault in self.scenario.fault
        ]

    def _struck(self, fault: Disturbance) -> list[tuple[str, str]] | None:
        """Addresses and ports, in hexadecimal; None: all."""
        names = fault.exporter if isinstance(fault, OfDatagrams) else None
        if names is None:
            return None
        return [
            (ip_address(address).packed.hex(), f"{one.collector_port:04x}")
            for one in self.scenario.exporters
            for bridge in self.bridges
            if one.name in names and one.is_on(bridge.name)
            for address in one.addresses(bridge)
        ]

    def _start_probes(self) -> list[probes.Running]:
        """Start the probes that this machine has; note those that it has not."""
        absent = probes.absent(self.scenario.exporters)
        if absent and _everything_demanded():
            raise probes.ProbeFailed(f"FLOWLAB_REQUIRE_LAB=1, but {'; '.join(absent.values())}")
        self.witnesses["absent"] = absent
        pairs = [
            (one, bridge)
            for one in self.scenario.exporters
            for bridge in self.bridges
            if isinstance(one, Probe) and one.is_on(bridge.name) and one.name not in absent
        ]
        if pairs and not self.switch.private:
            raise probes.ProbeFailed(
                "probes need the private switch: run without --datapath kernel"
            )
        return probes.start(pairs, _SWITCH_DIRECTORY / "probes", self._folder / "logs")

    def _start_snmp(self) -> snmp.Running | None:
        """Begin to poll by SNMP, if the scenario wants that."""
        if self.scenario.snmp is None:
            return None
        if not self.switch.private:
            raise snmp.PollingFailed(
                "polling by SNMP needs the private switch: run without --datapath kernel"
            )
        interval_s = self.scenario.snmp.interval_s
        return snmp.Running(interval_s, _SWITCH_DIRECTORY / "snmp", self._folder)

    def _flush_probes(self) -> None:
        """Last of all: what pushes out the probes' last packets must be seen by nobody else."""
        if self._probes:
            self._capture.line.send("stop")
            self._capture.hear(_CAPTURE_LIMIT_S)
            self.switch.switch_off(self.bridges)
        self.witnesses["probes"] = probes.flush(self._probes)

    def _start_capture(self) -> Program:
        ports, folder = self.network.switch_ports(), self._folder / "wire"
        program = Program("wire", lambda line: wire.serve(ports, folder, line), None)
        program.hear(_CAPTURE_LIMIT_S)
        return program

    def _settled(self) -> tuple[dict[str, int], int]:
        """Wait until the switch has handled every packet that came in; what both counted.

        What slow links hold back, and what the controller hands back, is still to come in.

        Raises:
            ControllerFailed: packets go back and forth between it and the switches.
        """
        limit_s = time.monotonic() + _HANDED_ON_LIMIT_S
        now = self._handled_there()
        while True:
            counted = self._quiet()
            before, now = now, self._handled_there()
            if now == before:
                return counted
            if time.monotonic() > limit_s:
                raise controller.ControllerFailed(
                    f"{_HANDED_ON_LIMIT_S:g} s after the traffic packets still came to the "
                    "controller: does its application send them in a circle?"
                )

    def _quiet(self) -> tuple[dict[str, int], int]:
        """Wait until nothing waits at switches and links; what switch and capture counted."""
        until_s, waiting = time.monotonic() + _SETTLE_LIMIT_S, 0
        while True:
            before, waiting = waiting, self._queued().packets
            if waiting != before:
                until_s = time.monotonic() + _SETTLE_LIMIT_S
            handled = self.switch.handled_packets()
            self._capture.line.send("flush")
            seen = self._capture.hear(_CAPTURE_LIMIT_S)
            quiet = not waiting and handled == seen["packets_in"]
            if quiet or time.monotonic() > until_s:
                return seen, handled
            time.sleep(_POLL_S)

    def _stop_receiver(self) -> dict[str, Any]:
        """Let the receiver take in the last datagram, and count what was sent and what came."""
        sent = None
        if self.switch.private:  # elsewhere others send datagrams too
            now = _udp_counters()
            sent = {name: value - self._udp_before[name] for name, value in now.items()}
            for name in ("OutDatagrams", "InDatagrams"):
                sent[name] -= self.witnesses.get("snmp_datagrams", 0)
        try:
            return {"sent": sent, "received": self._receiver.ask("stop"), "error": None}
        except ReceiverFailed as failed:
            return {"sent": sent, "received": None, "error": f"the collector {failed}"}


def _everything_demanded() -> bool:
    """Whether what this machine lacks is a fault: in continuous integration."""
    return os.environ.get("FLOWLAB_REQUIRE_LAB") == "1"


def _udp_counters() -> dict[str, int]:
    """This network namespace's own UDP counters: only the exporters send here.

    Source: Linux, ``/proc/net/snmp`` and ``/proc/net/snmp6`` (RFC 4113).
    """
    wanted = ("OutDatagrams", "InDatagrams", "NoPorts", "InErrors", "RcvbufErrors", "SndbufErrors")
    lines = Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
    counters = Counter(dict(zip(names, map(int, values), strict=True)))
    six = Path("/proc/net/snmp6")
    for line in six.read_text(encoding="ascii").splitlines() if six.exists() else ():
        name, value = line.split()
        counters[name.removeprefix("Udp6")] += int(value) if name.startswith("Udp6") else 0
    return {name: counters[name] for name in wanted}
