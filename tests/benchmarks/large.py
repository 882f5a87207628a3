"""The largest run: 20 switches, 64 hosts, 100 000 flows: `python -m tests.benchmarks.large`.

It tells how long the run took until its verdict, how much memory all of its processes had at once
and the largest one alone, how long judging the run folder again takes, and how long building the
network took beside plain Mininet. The exit status is that of the run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.capsule.outside import Capsule, find_way

SCENARIO = Path(__file__).with_name("data-centre.yaml")
CHECKOUT = Path(__file__).resolve().parents[2]
_EVERY_S = 0.2
_MIB = 1 << 10
"""In the unit of /proc, KiB."""


def main() -> int:
    """Run it, judge it again, build it plainly; a line each."""
    parser = argparse.ArgumentParser(description="Run a hundred thousand flows.")
    parser.add_argument("--scenario", type=Path, default=SCENARIO)
    parser.add_argument("--runs", type=Path, help="the folder that gets the run folder")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch:
        runs = options.runs or Path(scratch)
        ran = _measured("run", str(options.scenario), "--runs", str(runs))
        console.print(f"run:   {ran['line']}")
        console.print(f"       {_cost(ran)}")
        folder = max(runs.glob("*/latest"))
        checked = _measured("check", str(folder))
        console.print(f"check: {checked['line']}")
        console.print(f"       {_cost(checked)}")
        ours_s, plain_s = (built_s(how, options.scenario, scratch) for how in ("ours", "plain"))
        console.print(f"build: {ours_s:.1f} s, plain Mininet {plain_s:.1f} s")
    return int(ran["status"])


def built_s(how: str, scenario: Path, scratch: str) -> float:
    """How long it takes to build the network of a scenario, in a capsule of its own."""
    request = {"scenario": str(scenario.resolve()), "logs": scratch}
    entry, log = f"tests.benchmarks.networks:{how}", Path(scratch) / f"{how}.log"
    with Capsule(find_way(), entry, log) as capsule:
        for event in capsule.events(request):
            return float(event["took_s"])
    raise SystemExit(log.read_text(encoding="utf-8"))


def _cost(measured: dict[str, Any]) -> str:
    together, one = (measured[name] / _MIB for name in ("all_kib", "one_kib"))
    return (
        f"{measured['wall_s']:.1f} s; at most {together:.0f} MiB "
        f"in all processes together, {one:.0f} MiB in one"
    )


def _measured(*arguments: str) -> dict[str, Any]:
    """Run flowlab; what it said last, and what it took."""
    begun_s = time.monotonic()
    process = subprocess.Popen(
        (sys.executable, "-m", "lab", *arguments),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    most, largest = 0, 0
    while process.poll() is None:
        kib = _proportional_kib(process.pid)
        most, largest = max(most, sum(kib)), max(largest, *kib, 0)
        time.sleep(_EVERY_S)
    said = process.stdout.read() if process.stdout else ""
    return {
        "status": process.returncode,
        "line": said.strip().splitlines()[-1],
        "wall_s": time.monotonic() - begun_s,
        "all_kib": most,
        "one_kib": largest,
    }


def _proportional_kib(pid: int) -> list[int]:
    """The memory of a process and all that descend from it; shared pages are shared out (Pss)."""
    kib = []
    for one in (pid, *_descendants(pid)):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:  # gone meanwhile
            continue
        kib += [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return kib


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, new = [], [pid]
    while new:
        new = [child for one in new for child in children.get(one, ())]
        found += new
    return found


if __name__ == "__main__":
    sys.exit(main())
