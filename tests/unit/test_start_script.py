"""The start script ./flowlab, in a checkout of its own, with stand-ins for what it calls.

The stand-ins (apt-get, sudo, id, Python) come first in PATH and write down how they are called:
so nothing is installed, no network is needed, and any machine can be pretended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).resolve().parents[2]
ENOUGH_S = 20
OVERHEAD_LIMIT_S = 0.050

PYTHON = """
case "$*" in
"-m venv "*)
    for venv in "$@"; do :; done
    echo "venv $venv" >>"$LOG"
    mkdir -p "$venv/bin" "$venv/site"
    : >"$venv/pyvenv.cfg"
    cp "$STAND_INS/venv-python" "$venv/bin/python"
    ;;
"-c import ensurepip"*) [ -z "${NO_VENV:-}" ] || [ -e "$INSTALLED/python3-venv" ] ;;
*version_info*) exit "${TOO_OLD:-0}" ;;
-V) echo "Python 3.9.0" ;;
*lab.doctor*) echo "bare doctor" ;;
esac
"""

VENV_PYTHON = """
case "$*" in
"-m pip "*)
    echo "pip" >>"$LOG"
    [ -z "${PIP_TAKES_S:-}" ] || sleep "$PIP_TAKES_S"
    [ -z "${PIP_FAILS:-}" ] || { echo "no network" >&2; exit 1; }
    ;;
-c*) echo "${0%/bin/python}/site" ;;
"-W ignore -m compileall "* | "-P -c "*"import vega"*) ;;
"-P -m lab"*)
    shift 3
    for argument in "$@"; do echo "<$argument>"; done
    ;;
*) exit 99 ;;
esac
"""

APT_GET = """
case "$*" in
*--simulate*) [ -z "${NO_LISTS:-}" ] || [ -e "$INSTALLED/lists" ] ;;
*update*)
    echo "apt-get update" >>"$LOG"
    : >"$INSTALLED/lists"
    ;;
*)
    [ -z "${OLD_LISTS:-}" ] || [ -e "$INSTALLED/lists" ] || { echo "404" >&2; exit 100; }
    for package in "$@"; do :; done
    while [ "$1" != --no-install-recommends ]; do shift; done
    shift
    echo "apt-get install $*" >>"$LOG"
    [ -z "${APT_FAILS:-}" ] || { echo "no space" >&2; exit 100; }
    for package in "$@"; do
        : >"$INSTALLED/$package"
        printf '#!/bin/sh\\n' >"$STAND_INS/a-$package"
        chmod +x "$STAND_INS/a-$package"
    done
    ;;
esac
"""

SUDO = """
[ -z "${SUDO_REFUSES:-}" ] || { echo "not in the sudoers file" >&2; exit 1; }
[ "$1" != -n ] || shift
[ "$1" != true ] || exit 0
echo "sudo" >>"$LOG"
exec "$@"
"""

LAB_PROGRAMS = "a-mininet:mininet a-ethtool:ethtool"
TEST_PROGRAMS = "a-tshark:tshark"


@dataclass(frozen=True)
class Checkout:
    """A checkout with the real script, in which programs of the test's own are looked for."""

    root: Path
    stand_ins: Path
    home: Path

    @property
    def script(self) -> Path:
        return self.root / "flowlab"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def log(self) -> list[str]:
        file = self.stand_ins / "log"
        return file.read_text().splitlines() if file.exists() else []

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": f"{self.stand_ins}:/usr/bin:/bin",
            "HOME": str(self.home),
            "LOG": str(self.stand_ins / "log"),
            "STAND_INS": str(self.stand_ins),
            "INSTALLED": str(self.stand_ins / "installed"),
            "USER_ID": "1000",
        } | more

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.script, *arguments],
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(
        self, *arguments: str, script: str | Path = "", cwd: str | Path = "/", **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script or self.script, *arguments],
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            timeout=ENOUGH_S,
        )

    def add(self, name: str, text: str) -> None:
        file = self.stand_ins / name
        file.write_text(f"#!/bin/sh\n{text}")
        file.chmod(0o755)

    def install(self, *packages: str) -> None:
        for package in packages:
            self.add(f"a-{package}", "")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout with nothing set up, on a machine with no packages."""
    made = Checkout(tmp_path / "my lab" / "flow lab", tmp_path / "stand-ins", tmp_path / "home")
    for folder in (made.root, made.stand_ins / "installed", made.home):
        folder.mkdir(parents=True)
    for name, text in (("apt-get", APT_GET), ("sudo", SUDO), ("id", 'echo "$USER_ID"')):
        made.add(name, text)
    made.add("python3", PYTHON)
    made.add("venv-python", VENV_PYTHON)
    text = (CHECKOUT / "flowlab").read_text()
    tables = dict.fromkeys(
        ("probe_programs", "graph_programs", "grade_programs", "browser_programs"), ""
    )
    tables |= {"lab_programs": LAB_PROGRAMS, "test_programs": TEST_PROGRAMS}
    for table, programs in tables.items():
        begin = text.index(f"\n{table}='") + len(f"\n{table}='")
        text = text[:begin] + programs + text[text.index("'", begin) :]
    text = text.replace(":-/usr/bin/python3}", f":-{made.stand_ins}/python3}}")
    made.script.write_text(text)
    made.script.chmod(0o755)
    (made.root / "requirements.lock").write_text("click==1 \\\n    --hash=sha256:0\n")
    return made


def handed_over(*arguments: str) -> str:
    """What the stand-in for our Python prints when it is called with these arguments."""
    return "".join(f"<{argument}>\n" for argument in arguments)


# ── the environment ───────────────────────────────────────────────────────────────────────────


def test_first_call_makes_the_environment_then_runs_the_command(checkout: Checkout) -> None:
    first = checkout.call("list", "two words", "*")
    assert (first.returncode, first.stdout) == (0, handed_over("list", "two words", "*"))
    assert f"making the Python environment {checkout.venv}" in first.stderr
    assert checkout.log == [f"venv {checkout.venv}", "pip", "pip"]
    assert (checkout.venv / "site" / "flowlab.pth").read_text() == f"{checkout.root}\n"


def test_second_call_does_nothing_but_run_the_command(checkout: Checkout) -> None:
    checkout.call("list")
    done = len(checkout.log)
    second = checkout.call("list")
    assert (second.stdout, second.stderr) == (handed_over("list"), "")
    assert len(checkout.log) == done


def test_other_lock_file_other_environment(checkout: Checkout) -> None:
    checkout.call("list")
    (checkout.venv / "left over").touch()
    (checkout.root / "requirements.lock").write_text("click==2\n")
    assert checkout.call("list").stdout == handed_over("list")
    assert checkout.log.count(f"venv {checkout.venv}") == 2
    assert not (checkout.venv / "left over").exists()


def test_failed_set_up_says_why_and_is_not_taken_for_whole(checkout: Checkout) -> None:
    failed = checkout.call("list", PIP_FAILS="yes")
    assert (failed.returncode, failed.stdout) == (4, "")
    assert "no network" in failed.stderr
    assert f"{checkout.root}/flowlab setup" in failed.stderr
    assert checkout.call("list").stdout == handed_over("list")


def test_killed_set_up_is_not_taken_for_whole(checkout: Checkout) -> None:
    killed = checkout.start("list", PIP_TAKES_S="30")
    _wait_until(lambda: "pip" in checkout.log)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    again = checkout.call("list")
    assert again.stdout == handed_over("list")
    assert checkout.log.count(f"venv {checkout.venv}") == 2


def test_first_calls_at_the_same_time_set_up_once(checkout: Checkout) -> None:
    calls = [checkout.start("list", str(number), PIP_TAKES_S="0.2") for number in range(4)]
    answers = [call.communicate(timeout=ENOUGH_S) for call in calls]
    assert [answer[0] for answer in answers] == [handed_over("list", str(n)) for n in range(4)]
    assert sum("waiting for another" in answer[1] for answer in answers) == 3
    assert checkout.log.count(f"venv {checkout.venv}") == 1


def test_environment_of_another_machine_is_left_alone(checkout: Checkout) -> None:
    checkout.call("list")
    made_for = checkout.venv / "flowlab.made-for"
    recipe, _, rest = made_for.read_text().split("|", 2)
    made_for.write_text(foreign := f"{recipe}|another machine|{rest}")
    assert checkout.call("list").stdout == handed_over("list")
    assert made_for.read_text() == foreign
    (own,) = (checkout.home / ".cache" / "flowlab").iterdir()
    assert checkout.log[-3:] == [f"venv {own}", "pip", "pip"]


def test_environment_made_by_another_python_is_made_anew(checkout: Checkout) -> None:
    checkout.call("list")
    made_for = checkout.venv / "flowlab.made-for"
    made_for.write_text(made_for.read_text().replace("/python3|", "/python3.9|"))
    checkout.call("list")
    assert checkout.log.count(f"venv {checkout.venv}") == 2


def test_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.call("list")
    (checkout.venv / "bin" / "python").unlink()
    assert checkout.call("list").stdout == handed_over("list")
    assert checkout.log.count(f"venv {checkout.venv}") == 2


def test_checkout_that_cannot_be_written(checkout: Checkout) -> None:
    checkout.add("ln", "exit 1")
    assert checkout.call("list").stdout == handed_over("list")
    assert not checkout.venv.exists()
    assert checkout.call("list").stderr == ""


def test_checkout_that_cannot_be_written_but_is_set_up(checkout: Checkout) -> None:
    checkout.call("list")
    checkout.add("ln", "exit 1")
    assert checkout.call("list").stderr == ""


def test_folder_of_the_users_choice(checkout: Checkout, tmp_path: Path) -> None:
    chosen = tmp_path / "else where"
    assert checkout.call("list", FLOWLAB_VENV=str(chosen)).stdout == handed_over("list")
    assert (chosen / "flowlab.lock").exists()
    assert not checkout.venv.exists()


def test_folder_that_is_no_environment_is_never_removed(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    refused = checkout.call("list", FLOWLAB_VENV=str(tmp_path / "precious"))
    assert refused.returncode == 4
    assert "stays as it is" in refused.stderr
    assert (tmp_path / "precious" / "file").exists()


def test_python_that_is_too_old(checkout: Checkout) -> None:
    refused = checkout.call("list", TOO_OLD="1")
    assert refused.returncode == 4
    assert "Python 3.11 or later is needed" in refused.stderr
    assert "3.9.0" in refused.stderr


def test_users_other_pythons_stay_out(checkout: Checkout) -> None:
    checkout.call("list")
    python = checkout.venv / "bin" / "python"
    python.write_text("#!/bin/sh\nenv\n")
    seen = checkout.call("list", PYTHONPATH="/x", PYTHONHOME="/y").stdout.splitlines()
    assert "PYTHONNOUSERSITE=1" in seen
    assert not [line for line in seen if line.startswith(("PYTHONPATH=", "PYTHONHOME="))]


# ── where it is called from ───────────────────────────────────────────────────────────────────


def test_called_in_every_way(checkout: Checkout, tmp_path: Path) -> None:
    checkout.call("list")
    (tmp_path / "first").symlink_to(checkout.script)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "second").symlink_to("../first")
    for script, cwd in (
        ("./flowlab", checkout.root),
        ("../flow lab/flowlab", checkout.root),
        (tmp_path / "first", "/"),
        ("sub/second", tmp_path),
    ):
        assert checkout.call("list", script=script, cwd=cwd).stdout == handed_over("list")
    by_sh = subprocess.run(
        ["sh", "flowlab", "list"],
        cwd=checkout.root,
        env=checkout.environment(CDPATH="/:/tmp"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (by_sh.stdout, by_sh.stderr) == (handed_over("list"), "")


def test_cdpath_leads_nowhere_else(checkout: Checkout, tmp_path: Path) -> None:
    checkout.call("list")
    (tmp_path / "decoy" / checkout.root.name).mkdir(parents=True)
    called = checkout.call(
        "list",
        script=f"{checkout.root.name}/flowlab",
        cwd=checkout.root.parent,
        CDPATH=str(tmp_path / "decoy"),
    )
    assert (called.stdout, called.stderr) == (handed_over("list"), "")


def test_status_of_the_command_is_passed_on(checkout: Checkout) -> None:
    checkout.call("list")
    (checkout.venv / "bin" / "python").write_text("#!/bin/sh\nexit 3\n")
    assert checkout.call("list").returncode == 3


def test_empty_environment(checkout: Checkout) -> None:
    checkout.call("list")
    done = subprocess.run(
        [checkout.script, "list"], env={}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (handed_over("list"), "")


# ── packages ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["demo", "run", "record", "shell", "setup"])
def test_lab_commands_install_the_labs_packages(checkout: Checkout, command: str) -> None:
    done = checkout.call(command, USER_ID="0")
    assert done.returncode == 0
    assert "installing packages: apt-get install" in done.stderr
    assert checkout.log[0] == "apt-get install mininet ethtool"


def test_test_command_installs_what_only_tests_need_too(checkout: Checkout) -> None:
    checkout.call("test", "-k", "name", USER_ID="0")
    assert checkout.log[0] == "apt-get install mininet ethtool tshark"


def test_test_command_fetches_the_engine_once_and_does_without_it(checkout: Checkout) -> None:
    checkout.call("test", USER_ID="0")
    (checkout.root / "tests").mkdir()
    (checkout.root / "tests" / "engine.lock").write_text("chdb==1\n")
    failed = checkout.call("test", USER_ID="0", PIP_FAILS="1")
    assert (failed.returncode, failed.stdout) == (0, handed_over("test"))
    assert "no network" in failed.stderr
    assert "it could not be had" in failed.stderr
    fetched = checkout.call("test", USER_ID="0")
    assert "fetching what only the tests need" in fetched.stderr
    done = len(checkout.log)
    assert checkout.call("test", USER_ID="0").stderr == ""
    assert checkout.call("list", USER_ID="0").stderr == ""
    assert len(checkout.log) == done


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--help",),
        ("--version",),
        ("list",),
        ("show", "demo"),
        ("lint",),
        ("check", "run"),
        ("decode",),
        ("run", "--help"),
        ("shell", "-h"),
    ],
)
def test_other_commands_need_none(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    done = checkout.call(*arguments, SUDO_REFUSES="yes")
    assert (done.returncode, done.stdout) == (0, handed_over(*arguments))


def test_options_before_the_command(checkout: Checkout) -> None:
    checkout.call("--verbose", "run", USER_ID="0")
    assert checkout.log[0] == "apt-get install mininet ethtool"


def test_only_what_is_missing_is_installed(checkout: Checkout) -> None:
    checkout.install("mininet")
    checkout.call("run", USER_ID="0")
    assert checkout.log[0] == "apt-get install ethtool"


def test_through_sudo(checkout: Checkout) -> None:
    done = checkout.call("run")
    assert done.stdout == handed_over("run")
    assert "installing packages: sudo apt-get install" in done.stderr
    assert checkout.log[:2] == ["sudo", "apt-get install mininet ethtool"]


def test_user_whom_sudo_refuses_gets_the_command(checkout: Checkout) -> None:
    refused = checkout.call("run", SUDO_REFUSES="yes")
    assert (refused.returncode, refused.stdout) == (4, "")
    command = "    sudo apt-get install --yes --no-install-recommends mininet ethtool\n"
    assert command in refused.stderr
    assert checkout.log == []


def test_user_without_sudo_gets_the_command(checkout: Checkout) -> None:
    (checkout.stand_ins / "sudo").unlink()
    text = checkout.script.read_text().replace("command -v sudo", "command -v no-sudo-here")
    checkout.script.write_text(text)
    refused = checkout.call("run", NO_LISTS="yes")
    assert refused.returncode == 4
    command = "apt-get install --yes --no-install-recommends mininet ethtool"
    assert f"    su -c 'apt-get update && {command}'\n" in refused.stderr


def test_users_with_the_packages_need_no_sudo(checkout: Checkout) -> None:
    checkout.install("mininet", "ethtool")
    done = checkout.call("run", SUDO_REFUSES="yes")
    assert (done.returncode, done.stdout) == (0, handed_over("run"))


def test_lists_are_fetched_where_there_are_none(checkout: Checkout) -> None:
    done = checkout.call("run", USER_ID="0", NO_LISTS="yes")
    assert "fetching the lists of packages" in done.stderr
    assert checkout.log[:2] == ["apt-get update", "apt-get install mininet ethtool"]


def test_lists_are_fetched_where_they_are_too_old(checkout: Checkout) -> None:
    done = checkout.call("run", USER_ID="0", OLD_LISTS="yes")
    assert done.returncode == 0
    assert checkout.log[:2] == ["apt-get update", "apt-get install mininet ethtool"]


def test_apt_that_fails_is_quoted(checkout: Checkout) -> None:
    failed = checkout.call("run", USER_ID="0", APT_FAILS="yes")
    assert failed.returncode == 4
    assert "no space" in failed.stderr
    assert "    apt-get install" in failed.stderr


def test_module_that_makes_environments_is_a_package_too(checkout: Checkout) -> None:
    checkout.call("list", NO_VENV="yes", USER_ID="0")
    assert checkout.log[0] == "apt-get install python3-venv"


def test_setup_says_what_it_did(checkout: Checkout) -> None:
    first = checkout.call("setup", USER_ID="0")
    assert "packages: installed mininet ethtool\n" in first.stderr
    assert f"Python environment: made in {checkout.venv}\n" in first.stderr
    second = checkout.call("setup", USER_ID="0")
    assert second.returncode == 0
    assert "packages: nothing was missing\n" in second.stderr
    assert f"Python environment: ready in {checkout.venv}\n" in second.stderr


def test_identity_is_taken_after_the_packages(checkout: Checkout) -> None:
    """The packages may bring Python itself: what was read before says nothing."""
    real, shown = checkout.stand_ins / "python3", checkout.stand_ins / "python3.11"
    shutil.move(real, shown)
    text = (checkout.stand_ins / "apt-get").read_text()
    checkout.add("apt-get", f'{text}\n[ -e "{real}" ] || ln -s "{shown}" "{real}"\n')
    checkout.call("setup", USER_ID="0")
    again = checkout.call("setup", USER_ID="0")
    assert "Python environment: ready" in again.stderr


# ── the doctor, and the cost ──────────────────────────────────────────────────────────────────


def test_doctor_changes_nothing(checkout: Checkout) -> None:
    assert checkout.call("doctor", SUDO_REFUSES="yes").stdout == "bare doctor\n"
    assert checkout.log == []
    assert not checkout.venv.exists()


def test_doctor_with_the_bare_python(tmp_path: Path) -> None:
    """The real one: it needs no library that is not Python's own."""
    done = subprocess.run(
        [CHECKOUT / "flowlab", "doctor"],
        env={"FLOWLAB_VENV": str(tmp_path / "none"), "FLOWLAB_PYTHON": sys._base_executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 4}
    assert done.stdout.startswith(("ok", "warning", "missing"))
    assert done.stdout.rstrip().splitlines()[-1].startswith("This machine can")


def test_costs_little_when_nothing_is_missing(checkout: Checkout) -> None:
    checkout.install("mininet", "ethtool")
    checkout.call("run")

    def once() -> float:
        began = time.perf_counter()
        checkout.call("run")
        return time.perf_counter() - began

    assert min(once() for _ in range(10)) < OVERHEAD_LIMIT_S


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
