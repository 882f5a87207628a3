"""What the tests of real labs share: starting flowlab, finding its processes, waiting for them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from lab.capsule.outside import CannotEnter, find_way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
FLOWLAB = (sys.executable, "-m", "lab")
AHEAD_S: Final = 400
"""For all scenarios of the library on a busy machine; a quiet one takes 60."""


def why_no_lab() -> str | None:
    """Why no lab can run here; None if one can."""
    missing = [name for name in ("mnexec", "ovs-vswitchd", "ethtool") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed; run ./flowlab setup"
    try:
        find_way()
    except CannotEnter as refused:
        return str(refused)
    return None


def need(program: str) -> str:
    """The path of a program of the tests' own; skip, or fail where a lab is demanded."""
    path = shutil.which(program)
    if path is None:
        lacking(f"{program} is not installed")
    return path


def lacking(reason: str) -> NoReturn:
    """Skip a test that cannot run here; fail where everything is demanded."""
    if os.environ.get("FLOWLAB_REQUIRE_LAB") == "1":
        pytest.fail(f"FLOWLAB_REQUIRE_LAB=1, but {reason}")
    pytest.skip(reason)


@dataclass(frozen=True)
class Flowlab:
    """The command, run in a folder of the test's own.

    Attributes:
        folder: the test's own.
        library: where runs of the library's scenarios are kept, for all tests of a session.
        started: what was started.
    """

    folder: Path
    library: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start it and do not wait."""
        process = subprocess.Popen(
            [*FLOWLAB, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test has left running."""
        for process in self.started:
            process.kill()
            process.communicate()

    def __call__(self, *arguments: str, code: int = 0, within_s: float = 120) -> str:
        """Run it, insist on its exit code, return what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=within_s)
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        return out + err

    def ran(self, name: str) -> Path:
        """A run of a scenario of the library, with the verdict that it has to have.

        It is run once in a session, whoever asks first; each test gets a copy, to do with as it
        likes.
        """
        with self._alone(name):
            if not self._there(name):
                self("run", name, "--runs", str(self.library))
        shutil.copytree(
            self.library / name, self.folder / "runs" / name, symlinks=True, dirs_exist_ok=True
        )
        assert self.verdict(name)["verdict"] in ("PASS", "SKIPPED"), self.latest(name)
        return self.latest(name)

    def run_ahead(self, names: Iterable[str]) -> None:
        """Run what `ran` will be asked for, at one go: that takes half the time."""
        with ExitStack() as locks:
            for name in sorted(names):
                locks.enter_context(self._alone(name))
            left = [name for name in names if not self._there(name)]
            if left:
                options = ("--jobs", "2", "--keep-going", "--runs", str(self.library))
                self.start("run", *left, *options).communicate(timeout=AHEAD_S)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Nobody else runs this scenario for the library meanwhile."""
        with (self.library / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _there(self, name: str) -> bool:
        return (self.library / name / "latest").exists()

    def scenario(self, text: str, name: str = "case") -> str:
        """Write a scenario file; its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def latest(self, name: str = "case") -> Path:
        """The newest run folder of a scenario."""
        return (self.folder / "runs" / name / "latest").resolve()

    def verdict(self, name: str = "case") -> dict[str, Any]:
        """The verdict of the newest run of a scenario."""
        text = (self.latest(name) / "verdict.json").read_text(encoding="utf-8")
        verdict: dict[str, Any] = json.loads(text)
        return verdict


def children(pid: int) -> list[int]:
    """All processes below one, as far as they still are there."""
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        direct = [int(child) for file in files for child in file.read_text("ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return direct + [below for child in direct for below in children(child)]


def find(process: subprocess.Popen[str], what: str, limit_s: float = 20) -> int:
    """Wait for a process of the run whose name or command line has these words."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        for pid in children(process.pid):
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if what == name or what in line:
                return pid
        time.sleep(0.01)
    pytest.fail(f"no process {what!r} appeared")


def wait_for_packets(pid: int, count: int, limit_s: float = 20) -> None:
    """Wait until a network namespace has sent this many UDP datagrams."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        lines = Path(f"/proc/{pid}/net/snmp").read_text().splitlines()
        udp = [line.split() for line in lines if line.startswith("Udp:")]
        if int(dict(zip(*udp, strict=True))["OutDatagrams"]) >= count:
            return
        time.sleep(0.005)
    pytest.fail("the traffic did not begin")


def gone(pids: list[int], limit_s: float = 5) -> list[int]:
    """Wait until these processes are no more; those that still are."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        pids = [pid for pid in pids if _alive(pid)]
        if not pids:
            return []
        time.sleep(0.02)
    return pids


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
