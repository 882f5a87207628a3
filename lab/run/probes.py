"""Software probes: started beside the switch, waited for, flushed, and stopped.

Knows: their processes, and how each is asked. What they are set to is the exporters' business.

A probe's capture hands packets over by the block, so the last ones are stuck in a block that is
not full (`exporters.softflowd`). Filler frames, which are no IP and therefore nothing to a probe,
push them out. They are sent when all else is over: nothing forwards or counts any more.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporters import Probe
from exporters.pmacctd import MARKER, PART
from lab.run.links import SPARED_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporters import Bridge, Exporter

_LIMIT_S: Final = 10.0
_POLL_S: Final = 0.005
_NOBODY: Final = bytes.fromhex("02ffffffffff 02fffffffffe")
_FILLER: Final = _NOBODY + b"\x88\xb5" + bytes(1500)  # EtherType: IEEE 802, for experiments
_FILLERS: Final = 200
"""More than a block of 256 KiB holds of them."""


_SAMPLES: Final = 64
"""More packets than pmacctd's core keeps before it gives them to sfprobe."""


class ProbeFailed(Exception):
    """A probe did not start, answer or end; the text says which and how."""


def absent(exporters: Iterable[Exporter]) -> dict[str, str]:
    """The probes whose program this machine does not have, and why they are left out."""
    return {
        one.name: f"{one.program} is not installed (package {one.package})"
        for one in exporters
        if isinstance(one, Probe) and shutil.which(one.program) is None
    }


def start(pairs: Sequence[tuple[Probe, Bridge]], directory: Path, logs: Path) -> list[Running]:
    """Start probes at their switches and wait until all of them listen.

    Raises:
        ProbeFailed: one does not.
    """
    for probe, bridge in pairs:
        _ip("address", "add", f"{probe.address(bridge)}/32", "dev", "lo")
    running = [_KINDS[probe.program](probe, bridge, directory, logs) for probe, bridge in pairs]
    for one in running:
        one.wait("did not begin to listen", one.listens)
    return running


def flush(running: Sequence[Running]) -> list[dict[str, Any]]:
    """Make probes export all they hold, and end them; what each counted, for the witnesses.

    One kind after the other: the marker packet of one would be traffic to the other.

    Raises:
        ProbeFailed: one did not answer or end.
    """
    for kind in _KINDS.values():
        for one in running:
            if isinstance(one, kind):
                one.drain()
        for one in running:
            if isinstance(one, kind):
                one.finish()
    return [one.witness() for one in running]


class Running(ABC):
    """A probe's process."""

    def __init__(self, probe: Probe, bridge: Bridge, directory: Path, logs: Path) -> None:
        """Start it."""
        self.probe = probe
        self.bridge = bridge
        self.interface = probe.interface(bridge)
        self.directory = directory / f"{probe.name}-{bridge.name}"
        self.directory.mkdir(parents=True)
        own = str(self.directory)
        configuration = self.directory / "configuration"
        configuration.write_text(probe.configuration(bridge, own), encoding="ascii")
        self.log = logs / f"{probe.name}-{bridge.name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                probe.command(bridge, own),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )

    @abstractmethod
    def listens(self) -> bool:
        """Whether it sees packets from now on."""

    @abstractmethod
    def drain(self) -> None:
        """Make sure that it has seen every packet of the traffic."""

    @abstractmethod
    def finish(self) -> None:
        """Make it export what it holds, and end it."""

    @abstractmethod
    def witness(self) -> dict[str, Any]:
        """What its capture counted."""

    def wait(self, complaint: str, condition: Callable[[], bool]) -> None:
        """Wait for something to become true while the process is there.

        Raises:
            ProbeFailed: it did not within the limit.
        """
        until_s = time.monotonic() + _LIMIT_S
        while not condition():
            if self.process.poll() is not None:
                raise ProbeFailed(
                    f"{self} ended with status {self.process.returncode}: {self._said()}"
                )
            if time.monotonic() > until_s:
                raise ProbeFailed(f"{self} {complaint} within {_LIMIT_S:g} s: {self._said()}")
            time.sleep(_POLL_S)

    def fill(self, *frames: bytes) -> None:
        """Send frames, and filler behind them, out of the port where it listens.

        They are no traffic: a link that loses packets does not lose these.
        """
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as port:
            port.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, SPARED_MARK)
            port.bind((self.interface, 0))
            for frame in (*frames, *[_FILLER] * _FILLERS):
                port.send(frame)

    def __str__(self) -> str:
        """It in a message."""
        return f"{self.probe.title} at {self.interface}"

    def _said(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return " ".join(text.split())[-300:] or "it said nothing"


class _Softflowd(Running):
    """softflowd, asked through its control socket."""

    _dropped = 0

    def listens(self) -> bool:
        try:
            return "Number of active flows" in self._ask("statistics")
        except OSError:
            return False

    def drain(self) -> None:
        """Packets are handled in the order of arrival, so the number tells."""
        arrived = self._number("Packets received by libpcap")
        self.fill()

        def handled() -> bool:
            told = self._ask("statistics")
            seen = _number("Packets processed", told) + _number("Ignored packets", told)
            self._dropped = _number("Packets dropped by libpcap", told)
            return seen >= arrived

        self.wait("did not handle its packets", handled)

    def finish(self) -> None:
        self._ask("expire-all")
        self._ask("shutdown")
        try:
            self.process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise ProbeFailed(f"{self} did not end within {_LIMIT_S:g} s") from None

    def witness(self) -> dict[str, Any]:
        return {
            "exporter": self.probe.name,
            "switch": self.bridge.name,
            "dropped": self._dropped,
        }

    def _number(self, name: str) -> int:
        return _number(name, self._ask("statistics"))

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(_LIMIT_S)
            control.connect(str(self.directory / "control"))
            control.sendall(command.encode() + b"\n")
            answer = bytearray()
            while chunk := control.recv(65536):
                answer += chunk
        return answer.decode("utf-8", "replace")


class _Pmacctd(Running):
    """pmacctd: a core that captures, and parts that get every packet from it."""

    _dropped = 0

    def listens(self) -> bool:
        said = self._log()
        return "link type is" in said and "waiting for data on" in said and "Exporting" in said

    def drain(self) -> None:
        """The marker is behind all packets: who has seen it has seen them."""
        if self.probe.protocol != "sflow5":
            self._mark(1)
        else:
            self._mark(_SAMPLES)
            second = int(time.time())
            self.wait("found its clock standing still", lambda: int(time.time()) > second)
            self._mark(_SAMPLES)
        asked = self._log().count("received_packets=")
        self.process.send_signal(signal.SIGUSR1)
        self.wait("did not count", lambda: self._log().count("received_packets=") > asked)
        self._dropped = int(re.findall(r"dropped_packets=(\d+)", self._log())[-1])

    def finish(self) -> None:
        """End the part that exports; the rest has nothing to give and needs no time to."""
        part = self._part()
        os.kill(part, signal.SIGINT)
        self.wait("did not end", lambda: not _is_there(part))
        self.process.kill()
        self.process.wait()

    def witness(self) -> dict[str, Any]:
        return {
            "exporter": self.probe.name,
            "switch": self.bridge.name,
            "dropped": self._dropped,
        }

    def _mark(self, count: int) -> None:
        """Send so many markers; wait until all processes are through with them."""
        wanted = self._marked() + count
        self.fill(*[_marker()] * count)
        self.wait("did not count the marker packets", lambda: self._marked() >= wanted)
        core, part = self.process.pid, self._part()
        self.wait("did not come to rest", lambda: _sleeps(core))
        self.wait("did not come to rest", lambda: _sleeps(part))

    def _marked(self) -> int:
        """How many markers its table in memory has."""
        asked = ("pmacct", "-p", str(self.directory / "table"), "-s")
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        found = re.search(rf"^{re.escape(MARKER)}\s+(\d+)", done.stdout, re.MULTILINE)
        return int(found[1]) if found else 0

    def _part(self) -> int:
        """The process that exports: pmacctd writes the part's name into its title."""
        for child in _children(self.process.pid):
            title = Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8", errors="replace")
            if f"[{PART}]" in title:
                return child
        raise ProbeFailed(f"{self} has no process that exports: {self._said()}")

    def _log(self) -> str:
        try:
            return (self.directory / "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _said(self) -> str:
        return " ".join(self._log().split())[-300:] or super()._said()


_KINDS: Final[dict[str, type[Running]]] = {"softflowd": _Softflowd, "pmacctd": _Pmacctd}
"""In the order in which they are flushed: what the second one sends would count with the first."""


def _number(name: str, told: str) -> int:
    """A number of softflowd's statistics; what it does not say is 0."""
    found = re.search(rf"{name}: (\d+)", told)
    return int(found[1]) if found else 0


def _marker() -> bytes:
    """An IPv4 packet to `MARKER`, UDP without payload."""
    source, destination = socket.inet_aton("192.0.2.1"), socket.inet_aton(MARKER)
    udp = struct.pack("!HHHH", 9, 9, 8, 0)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0)
    words = struct.unpack("!10H", header + source + destination)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return _NOBODY + b"\x08\x00" + header[:10] + checksum + source + destination + udp


def _children(pid: int) -> list[int]:
    return [
        int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    ]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _sleeps(pid: int) -> bool:
    """Whether a process waits for something to happen (``proc(5)``)."""
    return _state(pid) == "S"


def _is_there(pid: int) -> bool:
    return _state(pid) not in "XZ"


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, timeout=_LIMIT_S)
