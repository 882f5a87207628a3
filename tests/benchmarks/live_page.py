"""What it costs a run to be watched: `python -m tests.benchmarks.live_page`.

A run of 1000 flows a second, by turns with nobody looking, with the live page served and nobody at
it, and with a real Chromium at it. For each: how long the traffic took (it is paced, so it gets
longer only if it is held up),
how long after the traffic the verdict came, and how often the page changed in a second.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.browser import browser

CHECKOUT = Path(__file__).resolve().parents[2]
SCENARIO = """
title: A thousand flows a second
topology: {{linear: {{switches: 2, hosts_per_switch: 4}}}}
exporters: [netflow, sflow, ipfix]
traffic:
  - mix: {{flows: {flows}, flows_per_s: 1000, mean_packets: 2, most_packets: 20, seed: 7}}
"""
WAYS = ("nobody", "served", "watched")


def main() -> int:
    """Run them by turns; the medians, a line for each."""
    parser = argparse.ArgumentParser(description="A run, watched and not.")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        scenario = Path(scratch) / "thousand.yaml"
        scenario.write_text(SCENARIO.format(flows=1000 * options.seconds), encoding="utf-8")
        for _ in range(options.times):
            for way in WAYS:
                found[way].append(_ran(scenario, way, Path(scratch)))
    for way, runs in found.items():
        middle = {
            name: statistics.median(run[name] for run in runs)
            for name in ("traffic_s", "verdict_after_s", "states_per_s")
        }
        verdicts = ", ".join(run["verdict"] for run in runs)
        console.print(
            f"{way:<8} traffic {middle['traffic_s']:.3f} s, verdict "
            f"{middle['verdict_after_s']:.2f} s after it, page changed "
            f"{middle['states_per_s']:.1f} times a second; {verdicts}"
        )
    return 0


def _ran(scenario: Path, way: str, scratch: Path) -> dict[str, Any]:
    runs = scratch / "runs"
    live = [] if way == "nobody" else ["--live"]
    command = (sys.executable, "-m", "lab", "run", str(scenario), "--runs", str(runs), *live)
    states = 0.0
    with ExitStack() as stack:
        process = subprocess.Popen(
            (*command, "--format", "json"),
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert process.stdout is not None
        if live:
            address = re.search(r"watch it at (\S+)", process.stderr.readline())
            assert address is not None
            if way == "watched":
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                page = stack.enter_context(browser(folder))
                page.go(address[1])
                page.until("document.getElementById('stage').textContent.includes('running')")
                begun_s = time.monotonic()
                count = "Number(document.body.dataset.states ?? 0)"
                before = page.says(count)
                # It is the page that is asked, once a second, so asking costs next to nothing.
                while "running" in page.says("document.getElementById('stage').textContent"):
                    states = (page.says(count) - before) / (time.monotonic() - begun_s)
                    time.sleep(1)
            for line in process.stderr:
                if "until you press Control-C" in line:
                    break
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    (run,) = json.loads(out)["runs"]
    return {**run, "states_per_s": states}


if __name__ == "__main__":
    sys.exit(main())
