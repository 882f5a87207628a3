"""After a run, however it ended, nothing of it is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import children, find, gone

if TYPE_CHECKING:
    from collections.abc import Iterable

LONG = """
title: A stream that is cut short
topology: {linear: {switches: 2}}
exporters: [netflow, sflow, ipfix]
traffic:
  - udp: {from: h1, to: h2, datagrams: 3000, rate_pps: 1000}
"""
KINDS = ("net", "mnt", "pid", "user")
MOMENTS_S = [random.Random(seed).uniform(0.05, 2.5) for seed in range(10)]


def machine() -> dict[str, object]:
    """What a run could leave behind on the machine."""
    links = subprocess.run(
        ["ip", "-o", "link"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return {
        "interfaces": sorted(line.split(":")[1].strip() for line in links),
        "mounts": [line for line in mounts if line.startswith("flowlab ")],
        "openvswitch": sorted(Path("/run/openvswitch").glob("*")),
    }


def namespaces(processes: Iterable[Path]) -> set[str]:
    """The namespaces that processes are in."""
    found = set()
    for process in processes:
        for kind in KINDS:
            try:
                found.add(str((process / "ns" / kind).readlink()))
            except OSError:  # it has ended, or it is none of ours
                continue
    return found


@dataclass(frozen=True)
class Held:
    """What a run holds while it lives.

    Its namespaces are kept open until they have been looked for: the kernel gives the number of one
    that is gone to the next, which may be another test's.
    """

    pids: list[int]
    opened: ExitStack
    namespaces: set[str]

    @classmethod
    def by(cls, process: subprocess.Popen[str]) -> Held:
        pids, opened, names = children(process.pid), ExitStack(), set()
        for pid, kind in product(pids, KINDS):
            with suppress(OSError):  # it has ended
                number = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
                opened.callback(os.close, number)
                names.add(str(Path(f"/proc/self/fd/{number}").readlink()))
        return cls(pids, opened, names - namespaces([Path("/proc/self")]))

    def assert_gone(self) -> None:
        with self.opened:
            assert gone(self.pids) == []
            assert not self.namespaces & namespaces(Path("/proc").glob("[0-9]*"))


@pytest.mark.parametrize("moment_s", MOMENTS_S)
def test_killed_at_a_random_moment_it_leaves_nothing_and_the_next_run_passes(flowlab, moment_s):
    before = machine()
    process = flowlab.start("run", flowlab.scenario(LONG))
    time.sleep(moment_s)  # the moment is what is being tried, not waited for
    held = Held.by(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    held.assert_gone()
    assert machine() == before
    flowlab("run", "one-ping")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_leaves_nothing(flowlab, number):
    before = machine()
    process = flowlab.start("run", flowlab.scenario(LONG))
    find(process, "h1:send")
    held = Held.by(process)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == (130 if number is signal.SIGINT else -number)
    held.assert_gone()
    assert machine() == before


def test_a_run_that_ends_by_itself_leaves_nothing(flowlab):
    before = machine()
    flowlab("run", "one-ping")
    assert machine() == before
