"""Running the traffic programs: forked into a host's network namespace, heard to the end.

Knows: processes and network namespaces. Must not know: switches, exporters.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections import Counter
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final

from lab.traffic.base import Conversation, Line, Report
from lab.traffic.player import play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection

    from lab.traffic.plan import Planned
    from lab.traffic.player import Queued
    from lab.traffic.schedule import Schedule

    Links = Callable[[], Queued]
    Asked = Callable[[], int]
    Work = Callable[[Callable[[], None]], dict[str, int]]

_FORK: Final = multiprocessing.get_context("fork")
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NAME: Final = 15
_MOST_SENDERS_TOLD: Final = 4
_POLL_S: Final = 0.0005
_LIMIT_S: Final = 10.0
"""How long a program may take to start, or to end once its work must be over."""


class Lacking(Exception):
    """This machine has not a program that the traffic needs; the text says which."""


def look_for(programs: Iterable[str]) -> None:
    """Make sure that programs are there.

    Raises:
        Lacking: one is not.
    """
    absent = [name for name in dict.fromkeys(programs) if shutil.which(name) is None]
    if absent:
        raise Lacking(f"{' and '.join(absent)} not installed; run ./flowlab setup")


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is for what runs in the user's shell
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand flows are as many sockets
    _libc().prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    if pid is not None:
        _enter_namespace(pid)
    work(line)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _enter_namespace(pid: int) -> None:
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if _libc().setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace of process {pid}")
    finally:
        os.close(namespace)


def run_stage(
    stage: Iterable[Planned],
    pids: Callable[[str], int],
    links: Callable[[], Links],
    controller: Callable[[], Asked],
) -> list[dict[str, Any]]:
    """Run the steps of a stage at once; return what each program declared and counted.

    Args:
        stage: the steps.
        pids: a process in the network namespace of each host.
        links: opens, in this process's namespace, what tells how much the links hold back.
        controller: opens there what tells how many packets it has handled.
    """
    running = [_running(step, pids, links, controller) for step in stage]
    for step in running:
        step.listen()
    for step in running:
        step.send()
    return [report for step in running for report in step.reports()]


def _running(
    planned: Planned,
    pids: Callable[[str], int],
    links: Callable[[], Links],
    controller: Callable[[], Asked],
) -> _Conversation | _Played:
    traffic = planned.traffic
    if planned.schedule is not None:
        return _Played(planned, planned.schedule, pids, links, controller)
    assert isinstance(traffic, Conversation), "a step is scheduled or a conversation"
    return _Conversation(planned, traffic, pids)


class _Played:
    """A schedule and the one program that plays it, whoever sends."""

    def __init__(
        self,
        planned: Planned,
        schedule: Schedule,
        pids: Callable[[str], int],
        links: Callable[[], Links],
        controller: Callable[[], Asked],
    ) -> None:
        self._planned, self._schedule, self._pids = planned, schedule, pids
        self._links, self._controller = links, controller
        self._line = Line()

    def listen(self) -> None:
        """Have every socket opened: what arrives early finds its sinks there."""

        def work(ready: Callable[[], None]) -> dict[str, int]:
            def started() -> None:
                ready()
                _wait_for(self._line)

            def enter(host: str) -> None:
                _enter_namespace(self._pids(host))

            step, links, asked = self._planned, self._links(), self._controller()
            at_s = step.traffic.at_s
            return play(self._schedule, at_s, enter, started, links, asked, step.at_once)

        self._program = Program("player", _reporting(work), None)
        self._early = _first_word(self._program)

    def send(self) -> None:
        """Let it begin: all others of the stage listen."""
        self._line.listen()

    def reports(self) -> list[dict[str, Any]]:
        """Wait until all is sent."""
        report = Report(error=self._early) if self._early else _heard(self._program, None)
        self._program.end()
        declared = {"packets": len(self._schedule), "octets_l2": self._schedule.octets}
        senders = ", ".join(self._schedule.senders[:_MOST_SENDERS_TOLD])
        return [_told(self._planned, "send", senders, declared, report)]


class _Conversation:
    """The two programs of one conversation."""

    def __init__(self, planned: Planned, traffic: Conversation, pids: Callable[[str], int]) -> None:
        self._planned = planned
        self._traffic = traffic
        self._pids = pids
        self._lines = [Line() for _ in planned.rounds]
        self._programs: dict[str, Program] = {}
        self._errors: dict[str, str] = {}

    def listen(self) -> None:
        """Have the receiver listen for the first round."""
        if "receive" not in self._planned.roles:
            return
        self._start("receive", self._receive_all)
        early = _first_word(self._programs["receive"])
        if early is not None:
            self._errors["receive"] = early

    def send(self) -> None:
        """Let the sender begin."""
        if "receive" not in self._errors:
            self._start("send", self._send_all)
        else:
            self._errors["send"] = "not started: there is no receiver"

    def reports(self) -> list[dict[str, Any]]:
        """Wait for both; the sender first, since its end is what the receiver waits for."""
        sent = self._report("send", None)
        for line in self._lines:
            line.hang_up()
        reports = [sent]
        if "receive" in self._planned.roles:
            reports.append(self._report("receive", _LIMIT_S))
        for program in self._programs.values():
            program.end()
        return reports

    def _receive_all(self, ready: Callable[[], None]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for number, (ends, line) in enumerate(zip(self._planned.rounds, self._lines, strict=True)):

            def listening(line: Line = line, number: int = number) -> None:
                line.listen()
                if not number:
                    ready()

            counts.update(self._traffic.receive(ends, line, listening))
        return dict(counts)

    def _send_all(self, _: Callable[[], None]) -> dict[str, int]:
        time.sleep(self._traffic.at_s)
        counts: Counter[str] = Counter()
        for ends, line in zip(self._planned.rounds, self._lines, strict=True):
            if "receive" in self._planned.roles:
                _wait_for(line)
            counts.update(self._traffic.send(ends, line))
            line.hang_up()
        return dict(counts)

    def _start(self, role: str, work: Work) -> None:
        host = self._host(role)
        self._programs[role] = Program(f"{host}:{role}", _reporting(work), self._pids(host))

    def _host(self, role: str) -> str:
        return self._traffic.source if role == "send" else self._traffic.destination

    def _report(self, role: str, limit_s: float | None) -> dict[str, Any]:
        report = Report(error=self._errors.get(role))
        if report.error is None:
            report = _heard(self._programs[role], limit_s)
        declared = held_to(self._traffic, role, lossy=self._planned.lossy)
        return _told(self._planned, role, self._host(role), declared, report)


def held_to(traffic: Conversation, role: str, *, lossy: bool) -> dict[str, int]:
    """What a program must have counted; of what may be lost nobody knows how much came."""
    if lossy and role == "receive":
        return {}
    unknown = traffic.answered if lossy else ()
    return {
        name: count * traffic.repeat
        for name, count in traffic.declared(role).items()
        if name not in unknown
    }


def _first_word(program: Program) -> str | None:
    """Wait until a program is ready; why it will not be, or None."""
    try:
        first = program.hear(_LIMIT_S)
    except (EOFError, TimeoutError) as silent:
        return str(silent)
    if isinstance(first, Report):
        return first.error or "ended before it listened"
    return None


def _wait_for(line: Line) -> None:
    """Wait until the other side says that it listens."""
    until_s = time.monotonic() + _LIMIT_S
    while not line.listening:
        if time.monotonic() > until_s:
            raise TimeoutError(f"nobody listened within {_LIMIT_S:g} s")
        time.sleep(_POLL_S)


def _heard(program: Program, limit_s: float | None) -> Report:
    try:
        report: Report = program.hear(limit_s)
    except (EOFError, TimeoutError) as silent:
        return Report(error=str(silent))
    return report


def _told(
    planned: Planned, role: str, host: str, declared: dict[str, int], report: Report
) -> dict[str, Any]:
    return {
        "step": planned.label,
        "kind": planned.traffic.kind,
        "role": role,
        "host": host,
        "declared": declared,
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
