"""Running the traffic programs: forked into a host's network namespace, heard to the end.

Knows: processes and network namespaces. Must not know: switches, exporters.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final

from lab.traffic.base import Line, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection

    from lab.traffic.plan import Planned

    Work = Callable[[Callable[[], None]], dict[str, int]]

_FORK: Final = multiprocessing.get_context("fork")
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NAME: Final = 15
_LIMIT_S: Final = 10.0
"""How long a program may take to start, or to end once its work must be over."""


class Program:
    """One forked program; what it reports comes through a pipe."""

    def __init__(self, name: str, work: Callable[[Connection], None], pid: int | None) -> None:
        """Fork it.

        Args:
            name: what ``ps`` shows, at most 15 octets.
            work: what it does.
            pid: a process in the network namespace that it shall enter; None: it stays here.
        """
        self.line, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=_enter, args=(name, work, theirs, pid), daemon=True)
        self._process.start()
        theirs.close()

    def hear(self, limit_s: float | None = None) -> Any:
        """The next thing it sends.

        Raises:
            EOFError: it ended without sending anything; the text says how.
            TimeoutError: nothing came within the limit.
        """
        if not wait([self.line, self._process.sentinel], limit_s):
            raise TimeoutError(f"did not answer within {limit_s:g} s")
        try:
            if self.line.poll():
                return self.line.recv()
        except (EOFError, ConnectionResetError):
            pass
        self._process.join(1)
        raise EOFError(_ending(self._process.exitcode))

    def end(self) -> None:
        """End it, whatever it does."""
        self.line.close()
        self._process.kill()
        self._process.join()


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was ended by signal {-status} ({signal.Signals(-status).name})"
    return f"ended with status {status} before it reported"


def _enter(
    name: str, work: Callable[[Connection], None], line: Connection, pid: int | None
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is for what runs in the user's shell
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand flows are as many sockets
    libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    if pid is not None:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        if libc.setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace of process {pid}")
        os.close(namespace)
    work(line)


def run_stage(stage: Iterable[Planned], pids: Callable[[str], int]) -> list[dict[str, Any]]:
    """Run the steps of a stage at once; return what each program declared and counted."""
    running = [_Step(step, pids) for step in stage]
    for step in running:
        step.listen()
    for step in running:
        step.send()
    return [report for step in running for report in step.reports()]


class _Step:
    """The two programs of one step."""

    def __init__(self, planned: Planned, pids: Callable[[str], int]) -> None:
        self._planned = planned
        self._pids = pids
        self._line = Line()
        self._programs: dict[str, Program] = {}
        self._errors: dict[str, str] = {}

    def listen(self) -> None:
        traffic, ends = self._planned.traffic, self._planned.ends
        if "receive" not in traffic.roles:
            return
        self._start(
            "receive", ends.destination.name, lambda ready: traffic.receive(ends, self._line, ready)
        )
        try:
            first = self._programs["receive"].hear(_LIMIT_S)
        except (EOFError, TimeoutError) as silent:
            self._errors["receive"] = str(silent)
            return
        if isinstance(first, Report):  # it failed before it listened
            self._errors["receive"] = first.error or "ended before it listened"

    def send(self) -> None:
        traffic, ends = self._planned.traffic, self._planned.ends
        if "receive" not in self._errors:
            self._start("send", ends.source.name, lambda _: traffic.send(ends, self._line))
        else:
            self._errors["send"] = "not started: there is no receiver"

    def reports(self) -> list[dict[str, Any]]:
        """Wait for both; the sender first, since its end is what the receiver waits for."""
        sent = self._report("send", None)
        self._line.hang_up()
        reports = [sent]
        if "receive" in self._planned.traffic.roles:
            reports.append(self._report("receive", _LIMIT_S))
        for program in self._programs.values():
            program.end()
        return reports

    def _start(self, role: str, host: str, work: Work) -> None:
        self._programs[role] = Program(f"{host}:{role}", _reporting(work), self._pids(host))

    def _report(self, role: str, limit_s: float | None) -> dict[str, Any]:
        report = Report(error=self._errors.get(role))
        if report.error is None:
            try:
                report = self._programs[role].hear(limit_s)
            except (EOFError, TimeoutError) as silent:
                report = Report(error=str(silent))
        traffic, ends = self._planned.traffic, self._planned.ends
        return {
            "step": self._planned.label,
            "kind": traffic.kind,
            "role": role,
            "host": (ends.source if role == "send" else ends.destination).name,
            "declared": traffic.declared(role),
            "counted": report.counts,
            "error": report.error,
            "started_ns": report.started_ns,
            "finished_ns": report.finished_ns,
        }


def _reporting(work: Work) -> Callable[[Connection], None]:
    """Make a program of some work: it says when it is ready, and at the end what it counted."""

    def program(line: Connection) -> None:
        started_ns = time.time_ns()
        try:
            counts, error = work(lambda: line.send("ready")), None
        except Exception as failure:  # noqa: BLE001 (whatever it was, it is a report)
            counts, error = {}, f"{type(failure).__name__}: {failure}"
        line.send(Report(counts, error, started_ns, time.time_ns()))

    return program
