"""What a learner wrote for the lab, run there: a scenario, or an application that one of ours runs.

A scenario handed in stands by itself: it names no files, is small, and has a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from lab.doctor import can_run, examine
from lab.exercises.demands import Staged
from lab.exercises.work import own_scenario
from lab.exit import Exit
from lab.expect import expected
from lab.scenario.document import read
from lab.scenario.load import inspect_octets
from lab.scenario.model import PARALLEL
from lab.scenario.parts import take_apart
from lab.traffic.base import Scheduled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lab.exercises.work import Work
    from lab.scenario.model import Scenario
    from lab.traffic import Traffic

_MOST_S: Final = 60.0
_MOST_PACKETS: Final = 20_000
_MOST_PAYLOAD_OCTETS: Final = 20 << 20
_MOST_HOSTS: Final = 16
_MOST_SWITCHES: Final = 32
_MOST_OCTETS: Final = 1 << 16
_MOST_STEPS: Final = 50
_MOST_EXPECTATIONS: Final = 100
_MOST_PLANNED: Final = 5 * _MOST_PACKETS
"""Packets that steps may declare, as they reckon it themselves: some reckon with more than they
send, so what is a little more than enough is planned, and counted."""
_MOST_LINES: Final = 4
_NAME: Final = "mine"
_LAB: Final = "the lab itself"
"""The link of the chain that breaks where the machine cannot run what was to be run."""
_APPLICATION_FAILED: Final = "ControllerFailed:"


class CannotRun(Exception):
    """The lab cannot run this here, through no fault of the learner's; the text says why."""


def lacking() -> str:
    """Why there can be no lab here; empty if there can."""
    findings = examine()
    if can_run(findings):
        return ""
    return "; ".join(f"{one.name}: {one.found}" for one in findings if one.status == "missing")


def staged(work: Work, scratch: Path) -> Staged | tuple[str, ...]:
    """Run it.

    Args:
        work: the learner's.
        scratch: a folder for the run.

    Returns:
        What came out; or why there is no verdict, line by line.

    Raises:
        CannotRun: this machine cannot run it.
    """
    parts = work.exercise.parts
    assert parts.staged is not None
    mine = work.folder / parts.staged
    try:
        octets = mine.read_bytes()[:_MOST_OCTETS]
    except OSError:
        return (f"there is no {parts.staged}; flowlab exercise reset brings the starter back",)
    if parts.scenario is not None:
        text = own_scenario(work.exercise, work.learner)
        place = json.dumps(str(mine.resolve()))
        octets = text.replace(f"file: {parts.staged}", f"file: {place}").encode()
    document = read(octets, parts.staged)
    if parts.scenario is None and any(_files(document.data)):
        return ("it names a file; a scenario that is handed in has to stand by itself",)
    if too_much := _too_much_to_plan(document.data):
        return (too_much,)
    inspection = inspect_octets(octets, parts.staged)
    if inspection.scenario is None:
        return tuple(map(str, inspection.faults[:_MOST_LINES]))
    if too_much := _too_much(inspection.scenario):
        return (too_much,)
    file = scratch / f"{_NAME}.yaml"
    file.write_bytes(octets)
    application = parts.scenario is not None
    ran = _run(inspection.scenario, file, scratch / "runs")
    if isinstance(ran, Staged) and _may_come_out_otherwise(ran.verdict, application=application):
        ran = _run(inspection.scenario, file, scratch / "runs")
    if isinstance(ran, Staged) and (why := _not_run(ran.verdict, application=application)):
        raise CannotRun(why)
    return ran


def _may_come_out_otherwise(verdict: Mapping[str, Any], *, application: bool) -> bool:
    """Whether the experiment broke, as a busy machine breaks some: then it is run once more."""
    return verdict["verdict"] == "INVALID" and not (application and _application_failed(verdict))


def _not_run(verdict: Mapping[str, Any], *, application: bool) -> str:
    """What of the machine kept the lab from running this; empty if it ran."""
    if verdict["verdict"] == "SKIPPED":
        why = [*verdict["notes"], *(one["why"] for one in verdict["checks"])]
        return f"the run was SKIPPED: {why[0]}" if why else "the run was SKIPPED"
    if application and _application_failed(verdict):
        return ""
    return next((one["what"] for one in verdict["experiment"] if one["link"] == _LAB), "")


def _application_failed(verdict: Mapping[str, Any]) -> bool:
    """Whether it was the controller that did not start, or did not answer."""
    return any(
        one["link"] == _LAB and one["what"].startswith(_APPLICATION_FAILED)
        for one in verdict["experiment"]
    )


def _files(data: Any) -> Iterator[str]:
    """Whatever is called a file, anywhere in a document."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "file":
                yield str(value)
            yield from _files(value)
    elif isinstance(data, list):
        for one in data:
            yield from _files(one)


def _too_much_to_plan(data: Any) -> str:
    """Why a document is not even looked into: a line of it can declare a million packets.

    Whoever looks into one plans the steps that are well formed, whatever else is wrong. So this
    comes first, and goes by what each step says of itself.
    """
    steps, expectations = _steps(data), _listed(data, "expect")
    if steps > _MOST_STEPS:
        return f"{steps} steps are too many; {_MOST_STEPS} have to do"
    if len(expectations) > _MOST_EXPECTATIONS:
        return f"{len(expectations)} expectations are too many; {_MOST_EXPECTATIONS} have to do"
    parts = take_apart(data, None)
    if parts.topology is not None:
        hosts, switches = len(parts.topology.hosts), len(parts.topology.switches)
        if hosts > _MOST_HOSTS:
            return f"{hosts} hosts are too many; {_MOST_HOSTS} have to do"
        if switches > _MOST_SWITCHES:
            return f"{switches} switches are too many; {_MOST_SWITCHES} have to do"
    packets = sum(_sends(one.value) for one in parts.steps if one.value is not None)
    return _too_many_packets(packets, _MOST_PLANNED)


def _listed(data: Any, key: str) -> list[Any]:
    below = data.get(key) if isinstance(data, dict) else None
    return below if isinstance(below, list) else []


def _steps(data: Any) -> int:
    """How many steps a document has, well formed or not."""
    return sum(len(_listed(stage, PARALLEL)) or 1 for stage in _listed(data, "traffic"))


def _sends(step: Traffic) -> int:
    """Packets that a step declares; of a conversation its flows, each of which has one at least."""
    once = step.frames if isinstance(step, Scheduled) else max(1, step.source_ports)
    return once * step.repeat


def _too_many_packets(packets: int, most: int) -> str:
    if packets <= most:
        return ""
    return f"{packets} packets are too many; {_MOST_PACKETS} have to do"


def _too_much(scenario: Scenario) -> str:
    """Why what was planned is not run."""
    flows = expected(scenario).flows
    packets = sum(flow.packets or 0 for flow in flows)
    if too_many := _too_many_packets(packets, _MOST_PACKETS):
        return too_many
    payload_octets = sum(flow.payload_octets or 0 for flow in flows)
    if payload_octets > _MOST_PAYLOAD_OCTETS:
        return f"TCP carries {payload_octets} octets; {_MOST_PAYLOAD_OCTETS} have to do"
    return ""


def _run(scenario: Scenario, file: Path, runs: Path) -> Staged | tuple[str, ...]:
    """A process of its own runs it, so that it can be ended whatever it does.

    Raises:
        CannotRun: the command says so.
    """
    command = (sys.executable, "-m", "lab", "run", str(file), "--runs", str(runs))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (f"the run was not over after {_MOST_S:.0f} s",)
    verdict = runs / _NAME / "latest" / "verdict.json"
    if not verdict.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        if done.returncode == Exit.CANNOT_RUN:
            raise CannotRun(" ".join(said[-_MOST_LINES:]))
        return ("the lab came to no verdict:", *said[-_MOST_LINES:])
    return Staged(scenario, json.loads(verdict.read_text(encoding="utf-8")))
