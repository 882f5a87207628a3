"""A run, from outside the capsule: folder made, capsule watched, verdict reached.

Knows: the run folder and the capsule's events. What happens inside is `lab.run.session`.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lab.capsule.outside import Capsule
from lab.expect import expected
from lab.jsonfile import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.check import Verdict
    from lab.capsule.outside import Way
    from lab.scenario.model import Scenario

    Watch = Callable[[dict[str, Any]], None]

_RUN: Final = "lab.run.session:run"
_SHELL: Final = "lab.run.session:shell"
_WITNESSES: Final = "witnesses.json"
_LOG_LINES: Final = 12


@dataclass(frozen=True)
class Ran:
    """A finished run.

    Attributes:
        folder: its run folder.
        verdict: what came out.
        duration_s: from the command to the verdict.
        traffic_s: how long its traffic lasted; None if there was none.
        verdict_after_s: from the end of its traffic to the verdict; None likewise.
    """

    folder: Path
    verdict: Verdict
    duration_s: float
    traffic_s: float | None
    verdict_after_s: float | None


class Prepared:
    """A run whose capsule is started ahead: it loads what it needs and waits."""

    def __init__(self, scenario: Scenario, runs: Path, way: Way) -> None:
        """Make its folder, and start its capsule.

        Args:
            scenario: what to run.
            runs: the folder of all runs.
            way: how to get a capsule here.
        """
        self.scenario = scenario
        self._folder = _new_folder(runs, scenario)
        self._request = _request(scenario, self._folder, way)
        self._capsule = Capsule(way, _RUN, self._folder / "logs" / "capsule.log")
        threading.Thread(target=_load, daemon=True).start()

    def run(self, watch: Watch) -> Ran:
        """Run the scenario and judge it; `watch` sees each event as it comes."""
        started_s = time.monotonic()
        folder = self._folder
        with self._capsule as capsule:
            _follow(capsule.events(self._request), folder, watch)
            from lab.judge import judge_folder

            verdict = judge_folder(folder)
            finished_s = time.monotonic()
            traffic_s, verdict_after_s = _timings(folder)
        write_page(folder)
        _point_latest(folder)
        return Ran(folder, verdict, finished_s - started_s, traffic_s, verdict_after_s)

    def drop(self) -> None:
        """Do not run it: nothing is left."""
        self._capsule.leave()
        shutil.rmtree(self._folder)


def _load() -> None:
    """Load what judges and draws, while the network is being built."""
    for module in ("lab.judge", "lab.report.page.write"):
        importlib.import_module(module)


def write_page(folder: Path) -> None:
    """Write a run's page, where there is a verdict and what it was reached by.

    A folder that takes no page has its verdict all the same; that says what was not written. Nor
    does a page that cannot be made cost the verdict, or a batch its other runs.
    """
    from lab.judge import NotARun
    from lab.report.page.follow import PAGE
    from lab.report.page.write import write

    try:
        with suppress(NotARun, OSError):
            write([folder], folder / PAGE)
    except Exception:  # noqa: BLE001 (whatever it is, the verdict is there)
        with suppress(OSError):
            (folder / "logs" / "page.log").write_text(traceback.format_exc(), encoding="utf-8")


def shell(scenario: Scenario, runs: Path, way: Way, commands: str | None, watch: Watch) -> Path:
    """Let the user work in a scenario's network; return the run folder.

    ``latest`` keeps pointing to the newest run: a conversation has no verdict.

    Args:
        scenario: whose network and exporters.
        runs: the folder of all runs.
        way: how to get a capsule here.
        commands: what to execute; None: the user's terminal.
        watch: sees each event as it comes.

    Raises:
        ShellFailed: there was no network to work in.
    """
    folder = _new_folder(runs, scenario)
    request = {**_request(scenario, folder, way), "commands": commands}
    log = folder / "logs" / "capsule.log"
    # On a terminal Control-C is for what runs in the shell, not for the lab.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if commands is None else None
    try:
        with Capsule(way, _SHELL, log, own_session=commands is not None) as capsule:
            _follow(capsule.events(request), folder, watch)
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
    failed = _witnessed(folder).get("failed")
    if failed is not None:
        raise ShellFailed(f"{failed} (more in {log})")
    return folder


class ShellFailed(Exception):
    """The network did not come up, or broke; the text says how."""


def _request(scenario: Scenario, folder: Path, way: Way) -> dict[str, Any]:
    return {
        "scenario": scenario.to_json(),
        "folder": str(folder.resolve()),
        "datapath": "userspace" if way.own_network else "kernel",
        "copies": list(way.descriptors),
        "owner": (os.getuid(), os.getgid()) if way.through_sudo else None,
    }


def _new_folder(runs: Path, scenario: Scenario) -> Path:
    """Make ``runs/<scenario>/<time>`` with all that is known before the run."""
    (runs / scenario.name).mkdir(parents=True, exist_ok=True)
    while True:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        folder = runs / scenario.name / moment
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        break
    for part in ("wire", "logs"):
        (folder / part).mkdir()
    write_json(folder / "scenario.json", scenario.to_json())
    write_json(folder / "expected.json", expected(scenario).to_json())
    return folder


def _follow(events: Any, folder: Path, watch: Watch) -> None:
    """Pass events on until the run is done; note it if the capsule ended before that."""
    for event in events:
        watch(event)
        if event["event"] == "done":
            return
    told = _witnessed(folder)
    if "failed" not in told:
        log = (folder / "logs" / "capsule.log").read_text(encoding="utf-8", errors="replace")
        last = "\n".join(log.strip().splitlines()[-_LOG_LINES:]) or "it said nothing"
        told["failed"] = f"the capsule ended: {last}"
        write_json(folder / _WITNESSES, told)


def _witnessed(folder: Path) -> dict[str, Any]:
    """What the capsule wrote down; nothing if it died before that, or meanwhile."""
    with suppress(OSError, ValueError):
        told = json.loads((folder / _WITNESSES).read_text(encoding="utf-8"))
        if isinstance(told, dict):
            return told
    return {}


def _timings(folder: Path) -> tuple[float | None, float | None]:
    witnesses = _witnessed(folder)
    started, finished = (witnesses.get(f"traffic_{end}_ns") for end in ("started", "finished"))
    if started is None or finished is None:
        return None, None
    return (finished - started) / 1e9, (time.time_ns() - finished) / 1e9


def _point_latest(folder: Path) -> None:
    """Let ``latest`` beside the run folder point to it; of several at once, one wins."""
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest-{os.getpid()}-{folder.name}"
    with suppress(OSError):
        fresh.symlink_to(folder.name)
        fresh.replace(link)
