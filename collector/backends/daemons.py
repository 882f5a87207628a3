"""Programs that listen on UDP ports: started, fed, ended when they have read all.

Every wait is for a condition, with a limit: that a port is bound, that words were written, that the
kernel's queue is empty (/proc/net/udp). A program that dies says so by its exit status; one that
does not read or does not end is hung, and is killed with all that it started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from collector.decode import Datagrams
from collector.senders import runs
from collector.sending import send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOOPBACK: Final = "127.0.0.1"
PATIENCE_S: Final = 30.0
_TICK_S: Final = 0.001
_LEAVING_S: Final = 1.0
"""From a program's last socket to its exit status."""
_IDLE_S: Final = 2.0
"""For some always have something to do."""
_LOOKS: Final = 3
"""A program sleeps if it does so at each of them."""
_AT_ONCE: Final = 8
"""Datagrams: even long ones find room in any receive buffer."""
_ONE_MORE: Final = Datagrams.of([b"\0"], 0)
"""When it has been taken, all before has been worked on. Collectors throw away what they have just
taken when the signal comes: then it is this one."""


_RUNNING: Final[set[subprocess.Popen[bytes]]] = set()
"""Programs that threads of this process wait for."""


class Failed(Exception):
    """A program did not do its work; the text says what it said."""


class Crashed(Failed):
    """It ended by itself, or with an error."""


class Hung(Failed):
    """It was not ready, did not read, or did not end, within its time."""


class Settling(Protocol):
    """Says whether all that a program read has come out; `why`: why not."""

    why: str

    def __call__(self) -> bool:
        """Whether it has, as far as is known now."""
        ...


@dataclass(frozen=True)
class Daemon:
    """A program that listens, and stays in the foreground.

    Attributes:
        command: the program and its arguments.
        ports: where it listens, by what is sent there (`collector.senders.FAMILIES`).
        said: a file for what it writes.
        ready: words that it writes when it is ready; "": when it has bound its ports.
        settled: says whether all that it read has come out; asked until it does, before the end.
        end: the signal that ends it.
        one_more: whether it loses what it has just taken when it is ended, and survives a datagram
            that says nothing, which is then the last one that it gets.
        exporters: whose datagrams it gets; None: everybody's.
        environment: variables that it gets besides.
        patience_s: so long it may take to be ready, to read what came, to settle, and to end.
        called: what it is called where something is said of it; "": by its program.
    """

    command: Sequence[str]
    ports: Mapping[str, int]
    said: Path
    ready: str = ""
    settled: Settling | None = None
    end: signal.Signals = signal.SIGTERM
    one_more: bool = True
    exporters: frozenset[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = PATIENCE_S
    called: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.called or Path(self.command[0]).name


class Burst(NamedTuple):
    """Datagrams that one sender sends to ports of one kind, one after the other."""

    source: str
    """Address to send from."""
    source_port: int
    """0: any."""
    family: str
    datagrams: Datagrams
    exporter: str = ""
    """The sender's address in the capture."""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of the loopback that nobody listens on."""
    return free_ports(1, kind)[0]


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> list[int]:
    """So many different ports of the loopback that nobody listens on."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def bursts(
    datagrams: Datagrams, senders: Mapping[str, str], *, keep_ports: bool = True
) -> Iterator[Burst]:
    """A capture's datagrams in order, in runs of one sender and one kind.

    Args:
        datagrams: what was captured.
        senders: the address to send from, by the one in the capture.
        keep_ports: whether the ports are those of the capture.
    """
    for run in runs(datagrams):
        some = datagrams.take(np.arange(run.first, run.last))
        port = run.port if keep_ports else 0
        yield Burst(senders[run.exporter], port, run.family, some, run.exporter)


def wait_until_bound(
    port: int, started: subprocess.Popen[bytes], patience_s: float = PATIENCE_S
) -> None:
    """Wait until somebody listens on a UDP port of this machine.

    Raises:
        Crashed: the program has ended.
        Hung: nobody does.
    """
    _wait(lambda: bool(_sockets(port)), patience_s, started, "nobody listens on its UDP port")


def wait_until_said(
    words: str, said: Path, started: subprocess.Popen[bytes], patience_s: float = PATIENCE_S
) -> None:
    """Wait until a program has written these words.

    Raises:
        Crashed: the program has ended.
        Hung: it has not.
    """
    _wait(_Heard(words, said), patience_s, started, f"it has not said {words!r}")


class _Heard:
    """Whether words are in a file that grows; what was read is not read again."""

    def __init__(self, words: str, said: Path) -> None:
        self._words, self._said = words.encode(), said
        self._at, self._tail = 0, b""

    def __call__(self) -> bool:
        with self._said.open("rb") as text:
            text.seek(self._at)
            new = text.read()
        self._at += len(new)
        known = self._tail + new
        # Words may come in two parts.
        self._tail = known[-len(self._words) :]
        return self._words in known


def wait_until_drained(
    port: int, started: subprocess.Popen[bytes], patience_s: float = PATIENCE_S
) -> None:
    """Wait until nothing waits in the receive buffers of a UDP port.

    Raises:
        Crashed: the program has ended.
        Hung: it stays there, or nobody listens any more.
    """

    def drained() -> bool:
        waiting = queues(port)
        if not waiting:
            raise _closed(started)
        return not any(waiting)

    _wait(drained, patience_s, started, "its UDP port is not read")
    _still_there(started)


def _closed(started: subprocess.Popen[bytes]) -> Failed:
    """Why nobody listens: the program has ended, or does so, or has closed its port."""
    with suppress(subprocess.TimeoutExpired):
        return Crashed(ended(started.wait(_LEAVING_S)))
    return Hung("it has closed its UDP port")


def _still_there(started: subprocess.Popen[bytes]) -> None:
    """See that a program has not ended by itself.

    Raises:
        Crashed: it has.
    """
    if started.poll() is not None:
        raise Crashed(ended(started.returncode))


def wait_until_settled(daemon: Daemon, started: subprocess.Popen[bytes]) -> None:
    """Wait until all that a program has read has come out, where that can be known.

    Raises:
        Crashed: the program has ended.
        Hung: it does not, or cannot be asked.
    """
    settled = daemon.settled
    if settled is not None:
        _wait(settled, daemon.patience_s, started, lambda: settled.why)


def _wait(
    done: Callable[[], bool],
    limit_s: float,
    started: subprocess.Popen[bytes],
    otherwise: str | Callable[[], str],
) -> None:
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        _still_there(started)
        if done():
            return
        time.sleep(_TICK_S)
    raise Hung(otherwise if isinstance(otherwise, str) else otherwise())


def ended(status: int) -> str:
    """What an exit status says."""
    if status < 0:
        return f"ended with signal {-status} ({signal.strsignal(-status)})"
    return f"ended with status {status}"


def queues(port: int) -> list[int]:
    """Octets that wait in each socket that is bound to a UDP port."""
    return [int(row[4].partition(":")[2], 16) for row in _sockets(port)]


def drops(port: int) -> int:
    """Datagrams to a UDP port that the kernel dropped: the socket's queue was full."""
    return sum(int(row[-1]) for row in _sockets(port))


def _sockets(port: int) -> list[list[str]]:
    """The kernel's lines about sockets that are bound to a UDP port."""
    found = []
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with suppress(FileNotFoundError), Path(table).open(encoding="ascii") as lines:
            rows = (line.split() for line in lines)
            found += [row for row in rows if row[1].endswith(f":{port:04X}")]
    return found


def fed(daemon: Daemon, sent: Sequence[Burst], *, until: str = "") -> int:
    """Run a collector on some datagrams, each of which it has read before the next ones come.

    Args:
        daemon: the collector.
        sent: what is sent to it.
        until: words for which is waited in the end, instead of for all being read: what is sent is
            sent at once, and may be lost.

    Returns:
        Its exit status after the signal that ends it; negative if another signal did.

    Raises:
        Crashed: it ended while it was fed.
        Hung: it never was ready, did not read what came, or did not end.
        Failed: it lost what came.
    """
    own = [one for one in sent if daemon.exporters is None or one.exporter in daemon.exporters]
    with running(daemon) as started, ExitStack() as sockets:
        open_: dict[tuple[str, int, str], socket.socket] = {}
        for one in own:
            place = one.source, one.source_port, one.family
            if place not in open_:
                out = connected(one.source, one.source_port, daemon.ports[one.family])
                open_[place] = sockets.enter_context(out)
            _send(open_[place], one, daemon, started, wait=not until)
        if until:
            wait_until_said(until, daemon.said, started, daemon.patience_s)
        else:
            wait_until_worked_on(daemon, started)
        wait_until_settled(daemon, started)
        lost = 0 if until else sum(map(drops, daemon.ports.values()))
        if not until:
            _still_there(started)
        if lost:
            raise Failed(f"{lost} datagrams were lost on the way")
        return finished(started, daemon.end, daemon.patience_s)


def connected(source: str, source_port: int, port: int) -> socket.socket:
    """A socket from an address of this machine to a port of the loopback.

    The source port is only asked for: where somebody has it, it is another.
    """
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        out.bind((source, source_port))
    except OSError:
        try:
            out.bind((source, 0))
        except OSError:
            out.close()
            raise
    out.connect((LOOPBACK, port))
    return out


def finished(
    started: subprocess.Popen[bytes], end: signal.Signals, patience_s: float = PATIENCE_S
) -> int:
    """End a program; its exit status.

    Raises:
        Hung: it does not end.
    """
    with suppress(ProcessLookupError):
        started.send_signal(end)
    try:
        return started.wait(patience_s)
    except subprocess.TimeoutExpired:
        raise Hung(f"it has not ended {patience_s:.0f} s after {end.name}") from None


def _send(
    out: socket.socket, one: Burst, daemon: Daemon, started: subprocess.Popen[bytes], *, wait: bool
) -> None:
    """Send datagrams, a few at a time."""
    found = one.datagrams
    for first in range(0, len(found), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        send(out, found.buffer, found.offset[some], found.length[some])
        if wait:
            wait_until_drained(daemon.ports[one.family], started, daemon.patience_s)


def wait_until_worked_on(daemon: Daemon, started: subprocess.Popen[bytes]) -> None:
    """Wait until a program has worked on what it has taken last.

    Raises:
        Crashed: it has ended.
        Hung: it does not read.
    """
    if not daemon.one_more:
        _wait_until_idle(started)
        return
    for port in daemon.ports.values():
        with connected(LOOPBACK, 0, port) as out:
            send(out, _ONE_MORE.buffer, _ONE_MORE.offset, _ONE_MORE.length)
        wait_until_drained(port, started, daemon.patience_s)


def _wait_until_idle(started: subprocess.Popen[bytes]) -> None:
    """Wait until a program sleeps with all that it has started, but not for one that never does."""
    until_s = time.monotonic() + _IDLE_S
    looks = 0
    while looks < _LOOKS and time.monotonic() < until_s:
        _still_there(started)
        looks = looks + 1 if all(map(_sleeps, _family(started.pid))) else 0
        time.sleep(_TICK_S)


def _family(pid: int) -> list[Path]:
    """The threads of a process, and those of all below it, as far as they still are there."""
    threads = list(Path(f"/proc/{pid}/task").glob("*"))
    below: list[Path] = []
    for thread in threads:
        with suppress(OSError):
            for child in (thread / "children").read_text("ascii").split():
                below += _family(int(child))
    return threads + below


def _sleeps(thread: Path) -> bool:
    """Whether a thread waits for something (proc(5), /proc/pid/stat); so does one that is gone."""
    try:
        state = (thread / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state in "SIZX"


@contextmanager
def running(daemon: Daemon) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ready, in a session of its own, all of which is ended in any case.

    Raises:
        Crashed: it has ended before it was ready.
        Hung: it was not ready in time.
    """
    with daemon.said.open("wb") as out:
        try:
            started = subprocess.Popen(
                daemon.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **daemon.environment},
            )
        except OSError as refused:
            raise Crashed(f"{daemon.command[0]} cannot be started: {refused}") from None
    _RUNNING.add(started)
    try:
        for port in daemon.ports.values():
            wait_until_bound(port, started, daemon.patience_s)
        if daemon.ready:
            wait_until_said(daemon.ready, daemon.said, started, daemon.patience_s)
        yield started
    except Failed as failed:
        text = _text(daemon.said).strip()[-500:]
        said = f"{daemon.name}: {failed}"
        raise type(failed)(f"{said}: {text}" if text else said) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(daemon.patience_s)
        _RUNNING.discard(started)


def end_all() -> None:
    """Kill all programs that run, in whichever thread: nobody waits for them any more."""
    for started in list(_RUNNING):
        if started.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def _text(said: Path) -> str:
    return said.read_text(encoding="utf-8", errors="replace")
