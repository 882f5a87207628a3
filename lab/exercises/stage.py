"""What a learner wrote for the lab, run there: a scenario, or an application that one of ours runs.

A scenario handed in stands by itself: it names no files, is small, and has a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from lab.exercises.demands import Staged
from lab.exercises.work import own_scenario
from lab.expect import expected
from lab.scenario.document import read
from lab.scenario.load import inspect_octets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.exercises.work import Work
    from lab.scenario.model import Scenario

_MOST_S: Final = 60.0
_MOST_PACKETS: Final = 20_000
_MOST_PAYLOAD_OCTETS: Final = 20 << 20
_MOST_HOSTS: Final = 16
_MOST_OCTETS: Final = 1 << 16
_MOST_LINES: Final = 4
_NAME: Final = "mine"


def staged(work: Work, scratch: Path) -> Staged | tuple[str, ...]:
    """Run it.

    Args:
        work: the learner's.
        scratch: a folder for the run.

    Returns:
        What came out; or why there is no verdict, line by line.
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
    elif any(_files(read(octets, parts.staged).data)):
        return ("it names a file; a scenario that is handed in has to stand by itself",)
    inspection = inspect_octets(octets, parts.staged)
    if inspection.scenario is None:
        return tuple(map(str, inspection.faults[:_MOST_LINES]))
    if too_much := _too_much(inspection.scenario):
        return (too_much,)
    file = scratch / f"{_NAME}.yaml"
    file.write_bytes(octets)
    return _run(inspection.scenario, file, scratch / "runs")


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


def _too_much(scenario: Scenario) -> str:
    hosts = len(scenario.build_topology().hosts)
    if hosts > _MOST_HOSTS:
        return f"{hosts} hosts are too many; {_MOST_HOSTS} have to do"
    flows = expected(scenario).flows
    packets = sum(flow.packets or 0 for flow in flows)
    if packets > _MOST_PACKETS:
        return f"{packets} packets are too many; {_MOST_PACKETS} have to do"
    payload_octets = sum(flow.payload_octets or 0 for flow in flows)
    if payload_octets > _MOST_PAYLOAD_OCTETS:
        return f"TCP carries {payload_octets} octets; {_MOST_PAYLOAD_OCTETS} have to do"
    return ""


def _run(scenario: Scenario, file: Path, runs: Path) -> Staged | tuple[str, ...]:
    """A process of its own runs it, so that it can be ended whatever it does."""
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
        return ("the lab came to no verdict:", *said[-_MOST_LINES:])
    return Staged(scenario, json.loads(verdict.read_text(encoding="utf-8")))
