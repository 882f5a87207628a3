"""Where exporters of a case get their addresses from, and what if there is nowhere to feed it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from collector.conform import Result
from lab.capsule.outside import Way
from lab.conform.run import Collector, conform, way_in
from lab.conform.session import Network
from lab.corpus import find_cases

LIMIT_S = 60
ROOT = Path(__file__).resolve().parents[2]
SLOW = """
import socket, sys, time
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("127.0.0.1", int(sys.argv[1])))
open("started", "w").write("")
time.sleep(60)
"""
DESCRIPTION = """
name: slow
command: [./slow, "{netflow}"]
takes: [netflow]
ready: never said
output: {format: jsonl, file: stdout}
columns: {source: s, destination: d, packets: p}
"""


def test_a_stand_in_has_an_address_that_no_exporter_of_the_case_has():
    network = Network(own=True)
    senders = network.senders(["::1", "127.1.0.1", "127.1.0.3", "2001:db8::7"])
    assert senders == {
        "::1": "127.1.0.2",
        "127.1.0.1": "127.1.0.1",
        "127.1.0.3": "127.1.0.3",
        "2001:db8::7": "127.1.0.4",
    }


def test_outside_a_capsule_all_are_addresses_of_the_loopback():
    senders = Network(own=False).senders(["192.0.2.1", "127.1.0.1", "192.0.2.1"])
    assert senders == {"192.0.2.1": "127.1.0.1", "127.1.0.1": "127.1.0.2"}


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (("no-such-program",), "FileNotFoundError"),
        (("sh", "-c", "read -r it; echo nonsense", "--"), "JSONDecodeError"),
        (("sh", "-c", "read -r it; echo '{}'", "--"), "TypeError"),
        (
            ("sh", "-c", "read -r it; printf '{\"num'; echo gone >&2", "--"),
            "its capsule ended: gone",
        ),
    ],
)
def test_a_capsule_that_cannot_be_or_tells_nonsense_keeps_nobody_waiting(way, told):
    outcomes = []

    def work():
        cases = find_cases(["softflowd-ipfix"])
        outcomes.extend(conform(cases, [Collector("flowlab")], Way(way), 1, lambda _: None))

    waiting = threading.Thread(target=work, daemon=True)
    waiting.start()
    waiting.join(LIMIT_S)
    (outcome,) = outcomes
    assert outcome.result is Result.NO_RESULT
    assert told in outcome.why


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_runs_ends_at_once_with_all_that_it_started(tmp_path, number, own):
    """And the program of a description is looked for where the user is, in a capsule, too."""
    if own and way_in()[0] is None:
        pytest.skip(way_in()[1])
    program = tmp_path / "slow"
    program.write_text(f"#!{sys.executable}{SLOW}", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "slow.yaml").write_text(DESCRIPTION, encoding="utf-8")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    path = {} if own else {"PATH": str(tmp_path)}  # there is no `unshare`
    command = [sys.executable, "-m", "lab", "conform", "--collector", "slow.yaml"]
    with subprocess.Popen(
        [*command, "--cases", "one-datagram"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), **path},
        stderr=subprocess.PIPE,
    ) as started:
        until_s = time.monotonic() + LIMIT_S
        while not (tmp_path / "started").exists() and time.monotonic() < until_s:
            time.sleep(0.01)
        assert (tmp_path / "started").exists()
        started.send_signal(number)
        began_s = time.monotonic()
        assert started.wait(LIMIT_S) == 130
    assert time.monotonic() - began_s < 10  # its patience is 30 s
    assert list(scratch.iterdir()) == []
    assert not [one for one in Path("/proc").glob("[0-9]*/cwd") if is_at(one, tmp_path)]


def is_at(link, folder):
    try:
        return link.readlink() == folder
    except OSError:  # it has ended, or is somebody else's
        return False
