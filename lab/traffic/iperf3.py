"""A measurement with iperf3, the real program at both ends."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from collector.key import TCP, FlowKey
from lab.scenario.units import Octets, Rate
from lab.traffic.base import PATIENCE_S, Conversation, Ends, Line, PlannedFlow, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM: Final = "iperf3"
_LIMIT_S: Final = 60.0
_POLL_S: Final = 0.005
_WINDOW: Final = "32K"
"""Of the sockets: what is under way fits into a switch port's receive queue."""
_BLOCK: Final = "8K"
_FREE_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LISTEN, _TIME_WAIT = "0A", "06"  # net/tcp_states.h


class Iperf3(Conversation):
    """A TCP measurement by iperf3: a connection for control, and one for the data.

    How much it sends is iperf3's affair, at least ``send_octets``; so packets and octets are
    expected as they crossed the wire.
    """

    kind: ClassVar[str] = "iperf3"
    title: ClassVar[str] = "a measurement with iperf3"
    protocol: ClassVar[str] = "tcp"
    programs: ClassVar[tuple[str, ...]] = (PROGRAM,)

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=5201, description="The port of the iperf3 server."
    )
    send_octets: Annotated[Octets, Field(ge=1, le=2**30)] = Field(
        default=500_000, description="What the client sends, at least."
    )
    rate_bps: Annotated[Rate, Field(ge=10_000, le=1_000_000_000)] = Field(
        default=50_000_000, description="How fast, bits per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`: one for control, one for the data."""
        return 2

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: iperf3 sends at least {self.send_octets} octets "
            f"to port {self.port}"
        )

    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """See `Conversation.plan`."""
        client = address(ends.source, self.ip_version)
        server = address(ends.destination, self.ip_version)
        return tuple(
            flow
            for port in (ends.source_port, ends.source_port + 1)
            for flow in (
                PlannedFlow(
                    FlowKey(self.ip_version, client, server, TCP, port, self.port),
                    self.source,
                    self.destination,
                ),
                PlannedFlow(
                    FlowKey(self.ip_version, server, client, TCP, self.port, port),
                    self.destination,
                    self.source,
                ),
            )
        )

    def declared(self, role: str) -> dict[str, int]:  # noqa: ARG002 (both count the same)
        """See `Conversation.declared`."""
        return {"measurements": 1}

    def send(self, ends: Ends, line: Line) -> dict[str, int]:  # noqa: ARG002 (iperf3 has its own)
        """See `Conversation.send`.

        The control connection takes whatever port is free: there shall be only one.
        """
        before = _FREE_PORTS.read_text(encoding="ascii")
        _FREE_PORTS.write_text(f"{ends.source_port} {ends.source_port}", encoding="ascii")
        try:
            said = self._run(
                self._limit_s(ends),
                *("-c", address(ends.destination, self.ip_version)),
                *("-B", address(ends.source, self.ip_version)),
                *("--cport", str(ends.source_port + 1), "-n", str(self.send_octets)),
                *("-l", _BLOCK, "-w", _WINDOW, "-b", str(int(self.rate_bps)), "-J"),
            )
        finally:
            _FREE_PORTS.write_text(before, encoding="ascii")
        sent = json.loads(said)["end"]["sum_sent"]["bytes"]
        if sent < self.send_octets:
            raise RuntimeError(f"iperf3 sent {sent} octets of {self.send_octets}")
        _await_closed(self.port)
        return {"measurements": 1}

    def receive(self, ends: Ends, line: Line, ready: Callable[[], None]) -> dict[str, int]:
        """See `Conversation.receive`."""
        command = self._command("-s", "-1", "-B", address(ends.destination, self.ip_version))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                _await(lambda: _LISTEN in _states(self.port), "iperf3 did not listen")
                ready()
                until_s = time.monotonic() + self.at_s + self._limit_s(ends)
                while server.poll() is None and time.monotonic() < until_s:
                    if line.sender_done:  # it serves one client, and then ends
                        until_s = min(until_s, time.monotonic() + PATIENCE_S)
                    time.sleep(_POLL_S)
            finally:
                server.kill()
        if server.returncode:
            raise RuntimeError(f"iperf3 ended with status {server.returncode}")
        _await_closed(self.port)
        return {"measurements": 1}

    def _limit_s(self, ends: Ends) -> float:
        """How long a measurement may take."""
        return _LIMIT_S + ends.patience_s(self.send_octets, self.rate_bps)

    def _run(self, limit_s: float, *arguments: str) -> str:
        command = self._command(*arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode:
            raise RuntimeError(f"iperf3: {(done.stdout + done.stderr).strip()[:200]}")
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        return [PROGRAM, f"-{self.ip_version}", "-p", str(self.port), *arguments]


def _await_closed(port: int) -> None:
    """Wait until the last acknowledgement has come: no connection of the port is half closed."""
    _await(lambda: set(_states(port)) <= {_LISTEN, _TIME_WAIT}, "iperf3 left connections open")


def _await(condition: Callable[[], bool], failure: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(failure)
        time.sleep(_POLL_S)


def _states(port: int) -> Iterator[str]:
    """The states of this network namespace's TCP sockets at either end's port."""
    ending = f":{port:04X}"
    for file in ("tcp", "tcp6"):
        path = Path("/proc/thread-self/net") / file
        lines = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        for line in lines:
            _, local, remote, state = line.split()[:4]
            if local.endswith(ending) or remote.endswith(ending):
                yield state
