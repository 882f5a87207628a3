"""Other collectors that listen on a UDP port: started, fed, ended when they have read all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from collector.decode import Datagrams
from collector.sending import send

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_READY_S = 10.0
_DRAINED_S = 30.0
_END_S = 30.0
_TICK_S = 0.001
_AT_ONCE = 8
"""Datagrams: even long ones find room in any receive buffer."""
_ONE_MORE = Datagrams.of([b"\0"], 0)
"""When it has been taken, all before has been worked on. Collectors throw away what they have just
taken when the signal comes: then it is this one."""


class Failed(Exception):
    """A program did not do its work; the text says what it said."""


def free_port() -> int:
    """A UDP port of the loopback that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until_bound(port: int, started: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens on a UDP port of this machine.

    Raises:
        Failed: nobody does.
    """
    until_s = time.monotonic() + _READY_S
    while time.monotonic() < until_s and started.poll() is None:
        if _queues(port):
            return
        time.sleep(_TICK_S)
    message = f"nobody listens on UDP port {port}"
    raise Failed(message)


def wait_until_said(words: str, said: Path, started: subprocess.Popen[bytes]) -> None:
    """Wait until a program has written these words.

    Raises:
        Failed: it has not.
    """
    until_s = time.monotonic() + _READY_S
    while time.monotonic() < until_s and started.poll() is None:
        if words in said.read_text(encoding="utf-8", errors="replace"):
            return
        time.sleep(_TICK_S)
    message = f"it has not said {words!r}"
    raise Failed(message)


def wait_until_drained(port: int, started: subprocess.Popen[bytes]) -> None:
    """Wait until nothing waits in the receive buffers of a UDP port.

    Raises:
        Failed: it stays there.
        ConnectionRefusedError: the program has ended.
    """
    until_s = time.monotonic() + _DRAINED_S
    while time.monotonic() < until_s and started.poll() is None:
        if not any(_queues(port)):
            return
        time.sleep(_TICK_S)
    if started.poll() is not None:
        raise ConnectionRefusedError
    message = f"UDP port {port} is not read"
    raise Failed(message)


def _queues(port: int) -> list[int]:
    """Octets that wait in each socket that is bound to a UDP port."""
    return [int(row[4].partition(":")[2], 16) for row in _sockets(port)]


def _drops(port: int) -> int:
    """Datagrams to a UDP port that the kernel dropped."""
    return sum(int(row[-1]) for row in _sockets(port))


def _sockets(port: int) -> list[list[str]]:
    """The kernel's lines about sockets that are bound to a UDP port."""
    found = []
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with suppress(FileNotFoundError), Path(table).open(encoding="ascii") as lines:
            rows = (line.split() for line in lines)
            found += [row for row in rows if row[1].endswith(f":{port:04X}")]
    return found


def fed(
    command: Sequence[str],
    port: int,
    sources: Sequence[tuple[str, Datagrams]],
    said: Path,
    *,
    ready: str = "",
    until: str = "",
    end: signal.Signals = signal.SIGTERM,
) -> int:
    """Run a collector on some datagrams; its exit status, negative for a signal.

    Args:
        command: the program; it stays in the foreground.
        port: where it listens.
        sources: datagrams, and from which address of the loopback they are sent.
        said: a file for what it writes.
        ready: words that it writes when it is ready; "": when it listens.
        until: words for which is waited in the end; "": datagrams are sent as they are read, and it
            is waited until all are.
        end: the signal that ends it.

    Raises:
        Failed: it never was ready, or lost what came.
    """
    with _running(command, said) as started:
        wait_until_bound(port, started)
        if ready:
            wait_until_said(ready, said, started)
        # Whoever has ended refuses: its exit status tells.
        with suppress(ConnectionRefusedError):
            for address, found in (*sources, ("127.0.0.1", _ONE_MORE)):
                for _ in _sending(address, port, found):
                    if not until:
                        wait_until_drained(port, started)
            if until:
                wait_until_said(until, said, started)
        if started.poll() is None and not until and _drops(port):
            message = f"{_drops(port)} datagrams were lost on the way"
            raise Failed(message)
        with suppress(ProcessLookupError):
            started.send_signal(end)
        return started.wait(_END_S)


def _sending(address: str, port: int, found: Datagrams) -> Iterator[None]:
    """Send datagrams, a few at a time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((address, 0))
        out.connect(("127.0.0.1", port))
        for first in range(0, len(found), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            send(out, found.buffer, found.offset[some], found.length[some])
            yield


@contextmanager
def _running(command: Sequence[str], said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program of a session of its own, all of which is ended in any case."""
    with said.open("wb") as out:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    except Failed as failed:
        text = said.read_text(encoding="utf-8", errors="replace").strip()[-500:]
        message = f"{Path(command[0]).name}: {failed}: {text}"
        raise Failed(message) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(_END_S)
