"""Many runs: side by side, watched, stopped at the first bad one unless told otherwise."""

from __future__ import annotations

import functools
import json
import queue
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.check.model import Outcome
from lab import runner
from lab.report import terminal
from lab.runner import Prepared, Ran

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lab.capsule.outside import Way
    from lab.scenario.model import Scenario

_NOTICE_S = 0.1
_BAD = (Outcome.FAIL, Outcome.INVALID)


@dataclass(frozen=True)
class Plan:
    """What is to be run, and how.

    Attributes:
        scenarios: each as often as it shall run.
        runs: the folder of all runs.
        jobs: how many side by side.
        keep_going: whether to go on after one that does not pass.
    """

    scenarios: tuple[Scenario, ...]
    runs: Path
    jobs: int
    keep_going: bool


def run(plan: Plan, way: Way, form: str) -> list[Ran]:
    """Run all, print each as it finishes (text) or all at the end (json)."""
    console = terminal.console()
    single = len(plan.scenarios) == 1
    finished: list[Ran] = []
    with _progress(plan, form) as progress:
        for ran in _Crew(plan, way, progress).finished():
            finished.append(ran)
            if form == "text":
                _print(console, ran, with_table=single)
    if form == "json":
        _print_json(finished)
    elif not single:
        good, skipped = (
            sum(ran.verdict.outcome is outcome for ran in finished)
            for outcome in (Outcome.PASS, Outcome.SKIPPED)
        )
        left = len(plan.scenarios) - len(finished)
        console.print(
            f"{good} of {len(finished)} runs passed"
            + (f", {skipped} skipped" if skipped else "")
            + (f"; {left} not started (--keep-going would have)" if left else "")
        )
    return finished


def check(folders: Sequence[Path], form: str) -> list[Ran]:
    """Judge run folders again and print them.

    Raises:
        NotARun: one of them is none.
    """
    from lab.judge import judge_folder

    finished: list[Ran] = []
    for folder in folders:
        started_s = time.monotonic()
        verdict = judge_folder(folder)
        finished.append(Ran(folder, verdict, time.monotonic() - started_s, None, None))
        runner.write_page(folder)
    if form == "json":
        _print_json(finished)
    else:
        for ran in finished:
            _print(terminal.console(), ran, with_table=len(finished) == 1)
    return finished


def shell(scenario: Scenario, runs: Path, way: Way) -> None:
    """Let the user work in the network, then show what was reported."""
    console = terminal.console()
    commands = None
    if sys.stdin is None or not sys.stdin.isatty():
        commands = "" if sys.stdin is None else sys.stdin.read()
    folder = runner.shell(scenario, runs, way, commands, lambda _: None)
    from lab.judge import observed_rows

    for line in (folder / "logs" / "capsule.log").read_text(errors="replace").splitlines():
        if commands is not None:
            console.print(line, markup=False)
    console.print(terminal.observed_table(observed_rows(folder)))
    console.print(f"All of it is in {folder}")


class _Crew:
    """Threads that run scenarios.

    They are daemons: when the user interrupts, nobody waits for them, and their capsules end
    with this process.
    """

    def __init__(self, plan: Plan, way: Way, progress: Progress) -> None:
        """Start working."""
        self._plan, self._way, self._progress = plan, way, progress
        self._enough = False
        """One was bad: those that run come to their end, and no others are started."""
        self._waiting: queue.SimpleQueue[Scenario] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Ran | Exception | None] = queue.SimpleQueue()
        for scenario in plan.scenarios:
            self._waiting.put(scenario)
        for _ in range(plan.jobs):
            threading.Thread(target=self._work, daemon=True).start()

    def finished(self) -> Iterator[Ran]:
        """The runs as they finish, until all workers have gone home."""
        working = self._plan.jobs
        while working:
            with suppress(queue.Empty):
                # Not for ever: polars' handler of SIGINT lets the kernel resume a wait, and
                # Control-C would go unnoticed until the run is over.
                ran = self._done.get(timeout=_NOTICE_S)
                if isinstance(ran, Exception):
                    raise ran
                if ran is None:
                    working -= 1
                else:
                    yield ran

    def _work(self) -> None:
        """Run one after the other; while one runs, the capsule of the next is started."""
        prepared = self._prepare()
        while prepared is not None and not self._enough:
            current = prepared
            prepared = self._prepare()
            ran = self._one(current)
            bad = not isinstance(ran, Ran) or ran.verdict.outcome in _BAD
            self._enough |= bad and not self._plan.keep_going
            self._done.put(ran)
        if isinstance(prepared, Prepared):
            prepared.drop()
        self._done.put(None)

    def _prepare(self) -> Prepared | Exception | None:
        """Start the capsule of the next one; None if there is none."""
        try:
            scenario = self._waiting.get_nowait()
        except queue.Empty:
            return None
        try:
            return Prepared(scenario, self._plan.runs, self._way)
        except Exception as failure:  # noqa: BLE001 (raised again by `finished`)
            return failure

    def _one(self, prepared: Prepared | Exception) -> Ran | Exception:
        if isinstance(prepared, Exception):
            return prepared
        watch = functools.partial(self._progress, prepared.scenario.name)
        try:
            return prepared.run(watch)
        except Exception as failure:  # noqa: BLE001 (raised again by `finished`)
            return failure
        finally:
            watch({"event": "finished"})


class Progress:
    """Which scenario is at what, in one changing line of a terminal; nothing elsewhere."""

    def __init__(self, status: Any) -> None:
        """Show it in a rich status, or None."""
        self._status = status
        self._now: dict[str, str] = {}

    def __call__(self, scenario: str, event: dict[str, Any]) -> None:
        """Take note of an event."""
        if event["event"] == "stage":
            self._now[scenario] = event["name"]
        elif event["event"] == "step":
            self._now[scenario] = event["text"]
        elif event["event"] == "finished":
            self._now.pop(scenario, None)
        if self._status is not None:
            line = "   ".join(f"{name}: {what}" for name, what in sorted(self._now.items()))
            self._status.update(line[:180])


@contextmanager
def _progress(plan: Plan, form: str) -> Iterator[Progress]:
    console = terminal.console(stderr=True)
    if form == "json" or not console.is_terminal:
        yield Progress(None)
        return
    with console.status(f"{len(plan.scenarios)} runs") as status:
        yield Progress(status)


def _print(console: Any, ran: Ran, *, with_table: bool) -> None:
    if with_table:
        console.print(terminal.table(ran.verdict))
        console.print()
    for line in terminal.complaints(ran.verdict):
        console.print(line, soft_wrap=True)
    for note in ran.verdict.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if with_table:
        terminal.print_looked_for(console, ran.verdict)
    console.print(f"{terminal.summary(ran)}  {ran.folder}", soft_wrap=True)


def _print_json(finished: Sequence[Ran]) -> None:
    runs = [
        {
            **ran.verdict.to_json(),
            "folder": str(ran.folder),
            "duration_s": ran.duration_s,
            "traffic_s": ran.traffic_s,
            "verdict_after_s": ran.verdict_after_s,
        }
        for ran in finished
    ]
    json.dump({"runs": runs}, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
