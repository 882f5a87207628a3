"""The plugin for pytest in a project of somebody else: what passes, what fails, and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.corpus import CORPUS

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
