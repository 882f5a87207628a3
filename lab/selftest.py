"""``flowlab test``: formatting, lint, types, import rules, then the tests.

Knows: the project's tools and in which order they speak. Must not know: what they check. Each
step is one line with a tick; a step that fails shows all that its tool said; the later steps
run all the same, so that one call tells everything.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT: Final = Path(__file__).resolve().parents[1]
TESTS: Final = "tests"
"""The name of the last step, the one that takes pytest's arguments."""

_ON_ALL_CORES: Final = ("--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder")
"""Of pytest-xdist: the tests of a file stay together, since they share what was run for them. The
order of the files is that of tests/conftest.py."""
_SHELL_SCRIPTS: Final = ("flowlab", ".ci/run")
_LINT_IMPORTS: Final = (
    "import sys; from importlinter.cli import lint_imports_command; "
    "sys.argv[0] = 'lint-imports'; lint_imports_command()"
)


@dataclass(frozen=True)
class Step:
    """One tool and what it is asked.

    Attributes:
        name: what the step is called, on the line and in ``--only``.
        command: the program and its arguments; run in the checkout.
        meaning: what a tick says.
    """

    name: str
    command: tuple[str, ...]
    meaning: str


STEPS: Final = (
    Step(
        "formatting",
        (sys.executable, "-m", "ruff", "format", "--check", "."),
        "every Python file is as the formatter leaves it",
    ),
    Step(
        "lint",
        (sys.executable, "-m", "ruff", "check", "."),
        "ruff finds nothing",
    ),
    Step(
        "shell",
        ("shellcheck", *_SHELL_SCRIPTS),
        "shellcheck finds nothing",
    ),
    Step(
        "types",
        (sys.executable, "-m", "mypy"),
        "mypy, strict, finds nothing",
    ),
    Step(
        "imports",
        (sys.executable, "-c", _LINT_IMPORTS),
        "every module imports only what it may know",
    ),
)
"""The steps before the tests: they read, and run nothing of ours."""


def run(arguments: Sequence[str] = ()) -> int:
    """Run the steps and say how each went; pytest's own summary comes last.

    Args:
        arguments: ``--only STEP`` (as often as wanted) chooses steps; all others go to pytest,
            and without an ``--only`` they mean that the tests alone are run.

    Returns:
        0 if all went well, 1 if a step failed, 2 if there is no such step, 4 if this is no
        checkout and so has no tests.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--only", action="append", default=[], metavar="STEP")
    options, pytest_arguments = parser.parse_known_args(arguments)
    names = (*(step.name for step in STEPS), TESTS)
    unknown = [name for name in options.only if name not in names]
    if unknown:
        _say(f"no such step: {', '.join(unknown)}; there are: {', '.join(names)}")
        return 2
    if not (CHECKOUT / "pyproject.toml").is_file():
        _say("the tests are in flowlab's repository; an installed flowlab does not have them")
        return 4
    chosen = tuple(options.only) or ((TESTS,) if pytest_arguments else names)
    passed = [_passes(step) for step in STEPS if step.name in chosen]
    if TESTS in chosen:
        passed.append(_tests_pass(pytest_arguments))
    return 0 if all(passed) else 1


def _passes(step: Step) -> bool:
    if shutil.which(step.command[0]) is None:
        _say(f"✗ {step.name}: the program {step.command[0]} is missing; ./flowlab test fetches it")
        return False
    began = time.monotonic()
    done = subprocess.run(
        step.command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    took = f"({time.monotonic() - began:.1f} s)"
    if done.returncode == 0:
        _say(f"✓ {step.name}: {step.meaning} {took}")
        return True
    _say(f"✗ {step.name} {took}\n{done.stdout.rstrip()}\n")
    return False


def _tests_pass(pytest_arguments: Sequence[str]) -> bool:
    """Hand the terminal to pytest, which shows its own progress; all tests run on all cores."""
    chosen = pytest_arguments or _ON_ALL_CORES
    command = (sys.executable, "-m", "pytest", *chosen)
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode == 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
