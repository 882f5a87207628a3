"""What `flowlab test` says and with which status it ends, with steps that are made up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lab import selftest
from lab.selftest import STEPS, Step, run

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Step("good", (sys.executable, "-c", "print('all its talk')"), "nothing is wrong")
BAD = Step("bad", (sys.executable, "-c", "print('line 7 is wrong'); raise SystemExit(1)"), "")
ABSENT = Step("absent", ("no-such-program-anywhere",), "")
OF_PYTEST = {
    "test_passes.py": "def test_passes(): pass\n",
    "test_fails.py": "def test_fails(): assert False\n",
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one test that passes and one that fails."""
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = ['-q']\n")
    for name, text in OF_PYTEST.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(selftest, "CHECKOUT", tmp_path)
    monkeypatch.setattr(selftest, "STEPS", (GOOD, BAD, ABSENT))
    return tmp_path


def test_good_step_is_one_line(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--only", "good"]) == 0
    said = capfd.readouterr().out
    assert said.startswith("✓ good: nothing is wrong (")
    assert said.count("\n") == 1
    assert checkout.exists()


@pytest.mark.usefixtures("checkout")
def test_bad_step_shows_everything_and_the_next_runs(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--only", "bad", "--only", "absent"]) == 1
    said = capfd.readouterr().out
    assert "✗ bad" in said
    assert "line 7 is wrong" in said
    assert "✗ absent: the program no-such-program-anywhere is missing" in said


@pytest.mark.usefixtures("checkout")
def test_pytest_arguments_alone_run_the_tests_alone(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["-k", "passes"]) == 0
    said = capfd.readouterr().out
    assert "1 passed" in said.rstrip().splitlines()[-1]
    assert "good" not in said


@pytest.mark.usefixtures("checkout")
def test_failed_test_is_a_failure() -> None:
    assert run(["--only", "good", "--only", "tests"]) == 1


@pytest.mark.usefixtures("checkout")
def test_no_test_found_is_a_failure() -> None:
    assert run(["-k", "no such test"]) == 1


def test_all_steps(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (checkout / "test_fails.py").unlink()
    assert run() == 1
    said = capfd.readouterr().out
    order = [said.index(text) for text in ("✓ good", "✗ bad", "✗ absent", "1 passed")]
    assert order == sorted(order)


@pytest.mark.usefixtures("checkout")
def test_unknown_step(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--only", "better"]) == 2
    assert "there are: good, bad, absent, tests" in capfd.readouterr().out


def test_no_checkout(checkout: Path) -> None:
    (checkout / "pyproject.toml").unlink()
    assert run() == 4


def test_real_steps_have_names_of_their_own() -> None:
    names = [step.name for step in STEPS]
    assert len({*names, selftest.TESTS}) == len(names) + 1
