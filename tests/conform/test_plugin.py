"""The plugin for pytest in a project of somebody else: what passes, what fails, and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collector.check import Break, Check, Outcome, Verdict
from collector.key import FlowKey
from lab import pytest_plugin
from lab.capsule.outside import Way
from lab.corpus import CORPUS
from lab.runner import Ran

ROOT = Path(__file__).resolve().parents[2]
BROKEN = (ROOT / "tests" / "conform" / "broken.yaml").read_text(encoding="utf-8")
TEST = """
def test_one_of_the_bundled_cases(flowlab_replay, flowlab_collector):
    outcome = flowlab_replay("softflowd-ipfix")
    assert outcome.result == "pass"
    assert outcome.collector == flowlab_collector.label


def test_a_scenario(flowlab_run):
    assert flowlab_run("one-datagram").verdict.outcome == "PASS"
"""


KEY = FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40000, 5001)


def ran(outcome, *checks, notes=(), breaks=()):
    return Ran(Path("run/folder"), Verdict("case", outcome, checks, breaks, notes), 1.0, None, None)


def checked(outcome, why):
    return Check("netflow", "s1", KEY, "packets", 10, 9, outcome, why)


@pytest.fixture
def project(tmp_path):
    """Two cases and a test; a collector that doubles octets of version 4 of IP."""
    shutil.copytree(CORPUS / "recorded" / "one-datagram", tmp_path / "cases" / "one-datagram")
    (tmp_path / "test_mine.py").write_text(TEST, encoding="utf-8")
    mine = BROKEN.replace("PYTHON", sys.executable).replace("FAULT", "octets-doubled")
    environment = f"environment: {{PYTHONPATH: {ROOT}}}\n"
    (tmp_path / "mine.yaml").write_text(mine + environment, encoding="utf-8")

    def run(*arguments):
        command = [sys.executable, "-m", "pytest", "-p", "lab.pytest_plugin", "-q", *arguments]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_right_collector_passes_and_a_wrong_one_fails_with_its_evidence(project):
    arguments = ("--flowlab-collector", "flowlab", "--flowlab-collector", "mine.yaml")
    code, told = project(*arguments, "-k", "not scenario")
    assert code == 1, told
    assert "2 failed, 2 passed" in told
    assert "FAIL  broken, one-datagram" in told
    assert "octets_l2: expected 74, observed 148" in told
    assert "frameLength" in told or "octetDeltaCount" in told
    assert "Traceback" not in told


def test_bundled_cases_are_added_by_name(project):
    code, told = project(
        "--flowlab-collector",
        "flowlab",
        "--flowlab-cases",
        "softflowd-ipfix",
        "-k",
        "cases or softflowd",
    )
    assert code == 0, told
    assert "2 passed" in told


def test_without_a_collector_nothing_is_claimed(project):
    code, told = project("-k", "not scenario", "-rs")
    assert code == 0, told
    assert "1 skipped" in told
    assert "give --flowlab-collector" in told


def test_a_collector_that_does_not_exist_is_said(project):
    code, told = project("--flowlab-collector", "nobody")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "there is no collector 'nobody'" in told


@pytest.mark.parametrize(
    ("skipped", "told"),
    [
        (ran(Outcome.SKIPPED, notes=("iperf3 is not installed",)), "iperf3 is not installed"),
        (
            ran(
                Outcome.SKIPPED,
                checked(Outcome.SKIPPED, "softflowd is not there"),
                checked(Outcome.SKIPPED, "softflowd is not there"),
                notes=("of something else",),
            ),
            "softflowd is not there",
        ),
    ],
)
def test_a_run_that_is_skipped_is_a_test_that_is_skipped_and_says_why(
    tmp_path, monkeypatch, skipped, told
):
    class Prepared:
        def __init__(self, *_):
            pass

        def run(self, _):
            return skipped

    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("lab.capsule.outside.find_way", lambda **_: Way(()))
    monkeypatch.setattr("lab.runner.Prepared", Prepared)
    with pytest.raises(pytest.skip.Exception) as said:
        pytest_plugin.run("one-datagram", tmp_path)
    assert str(said.value) == told


def test_a_run_that_is_invalid_says_why_each_check_is_but_not_of_thousands():
    lost = checked(Outcome.INVALID, "lost on the way")
    passed = checked(Outcome.PASS, "all is well")
    broken = ran(Outcome.INVALID, lost, passed, breaks=(Break("sent → wire", "9 of 10"),))
    said = str(pytest_plugin.RunFailed(broken))
    assert "INVALID  case" in said
    assert "sent → wire: 9 of 10" in said
    assert "INVALID  netflow at s1" in said
    assert "expected 10, observed 9; lost on the way" in said
    assert "all is well" not in said
    many = str(pytest_plugin.RunFailed(ran(Outcome.INVALID, *[lost] * 1000)))
    assert "  and 960 checks more" in many
    assert many.count("lost on the way") == 40
