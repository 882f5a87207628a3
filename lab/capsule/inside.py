"""The first process of a capsule.

Knows: namespaces, mounts, and that it must leave when the outside does. It forks the work and
stays behind as the init of its PID namespace: it reads the pipe from the outside, reaps, and
when the pipe closes or the work is done it leaves. The kernel then ends all the rest.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Emit = Callable[[dict[str, Any]], None]

_OUTSIDE: Final = 0
_EVENTS: Final = 1
_REQUEST_LIMIT_OCTETS: Final = 64 * 1024 * 1024

_PREPARE_OWN_NETWORK: Final = (
    # What the machine keeps there (Open vSwitch's own sockets, network namespaces) is not ours.
    ("mount", "-t", "tmpfs", "-o", "mode=755", "flowlab", "/run"),
    # The old one still shows the interfaces of the machine.
    ("mount", "-t", "sysfs", "flowlab", "/sys"),
    ("ip", "link", "set", "lo", "up"),
)


def main() -> None:
    """Prepare the namespaces, fork the work, stay as init until it or the outside ends.

    What the work needs is loaded before the request is read: a capsule may be started ahead.
    """
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.umask(0o022)
    module, _, function = sys.argv[1].partition(":")
    entry = getattr(importlib.import_module(module), function)
    request = json.loads(_read_request())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is for the work, if it has a terminal
    for command in _PREPARE_OWN_NETWORK if sys.argv[2] == "own" else ():
        subprocess.run(command, check=True)
    worker = os.fork()
    if worker == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _work(entry, request)
    os.close(_EVENTS)
    os._exit(_wait(worker, reader))


def _read_request() -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) < _REQUEST_LIMIT_OCTETS:
        chunk = os.read(_OUTSIDE, 65536)
        if not chunk:
            os._exit(1)
        data += chunk
    return bytes(data)


def _work(entry: Callable[[dict[str, Any], Emit], None], request: dict[str, Any]) -> None:
    """Call the entry function; never returns."""
    events = os.fdopen(os.dup(_EVENTS), "w", buffering=1, encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), _OUTSIDE)
    os.dup2(2, _EVENTS)  # whatever a library prints goes to the log, not among the events
    status = 1
    try:
        entry(request, lambda event: print(json.dumps(event), file=events))
        status = 0
    finally:
        events.flush()
        if status:
            sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(status)


def _wait(worker: int, reader: int) -> int:
    """Reap until the worker ends (its status) or the outside closes the pipe (1)."""
    poll = select.poll()
    poll.register(_OUTSIDE, select.POLLIN | select.POLLHUP)
    poll.register(reader, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == _OUTSIDE and not os.read(_OUTSIDE, 4096):
                return 1
            if fd == reader:
                os.read(reader, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == 0:
                break
            if pid == worker:
                return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    main()
