"""``python3 -m tests.vm``: flowlab in the machine that its Vagrantfile makes, from nothing.

A box out of Debian's packages, ``vagrant up`` through libvirt's session mode with QEMU's software
emulation, then runs with both datapaths and with netem in the machine, and ``vagrant destroy``.
Not a part of the ordinary tests: it takes many minutes, and 4 GB of disk for that time.

All but the making of the box runs as an ordinary user in a PID namespace of its own: when that
ends, however it ends, the emulator, libvirt and Vagrant end with it, and their files go with the
one folder that holds them all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from tests.vm import box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_PROGRAMS: Final = {
    **box.PROGRAMS,
    "vagrant": "vagrant vagrant-libvirt",
    "libvirtd": "libvirt-daemon libvirt-daemon-driver-qemu",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "rsync": "rsync",
    "setpriv": "util-linux",
}
_NOBODY: Final = 65534
_LIMIT_S: Final = 1200
_LAST_LINES: Final = 40
_INVALID: Final = 3
"""See `lab.exit`; the tests of the machine need nothing of flowlab's environment."""
_TRIES: Final = 3
_PROJECT: Final = "flowlab"
# Short names: sockets lie in these folders, and a socket's path has at most 107 octets.
_PLACES: Final = {
    "HOME": "h",
    "TMPDIR": "t",
    "VAGRANT_HOME": "v",
    "XDG_CACHE_HOME": "k",
    "XDG_CONFIG_HOME": "c",
    "XDG_DATA_HOME": "d",
    "XDG_RUNTIME_DIR": "r",
}
_MACHINES: Final = ("list", "--all", "--name")
_SOME_TESTS: Final = "tests/unit/test_doctor.py tests/lab/test_links.py"
_NETEM: Final = ("long-link", "lossy-link")


class Failed(Exception):
    """A stage did not do what it had to."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Say what, and which status its program ended with."""
        super().__init__(message)
        self.status = status


def main() -> int:
    """Run all stages.

    Returns:
        0 if all passed, 1 if one failed, 4 if a program is missing.
    """
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description=__doc__)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--box", type=Path, help="use this box, and do not make one")
    parser.add_argument("--make-box", type=Path, metavar="FILE", help="only make a box")
    options = parser.parse_args()
    if options.inside:
        return _inside(options.inside)
    missing = sorted({name for program, name in _PROGRAMS.items() if not shutil.which(program)})
    if missing:
        _say(f"missing; please run: apt-get install --no-install-recommends {' '.join(missing)}")
        return 4
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="fl", dir="/var/tmp") as name:
        began_s = time.monotonic()
        try:
            return _outside(Path(name), options.box, options.make_box)
        except Failed:
            return 1
        finally:
            _say(f"in all {time.monotonic() - began_s:.0f} s")


def _outside(folder: Path, ready: Path | None, wanted: Path | None) -> int:
    made = folder / box.NAME
    if ready is not None:
        made.symlink_to(ready.resolve())
    else:
        with _stage(folder, "the checkout is set up") as stage:
            stage.run(str(_CHECKOUT / "flowlab"), "setup")
        with _stage(folder, "a box out of Debian's packages") as stage:
            box.build(folder, _CHECKOUT, stage.run)
    if wanted is not None:
        shutil.move(made, wanted)
        return 0
    shutil.copytree(_CHECKOUT, folder / _PROJECT, symlinks=True, ignore=box.LEFT_OUT)
    for short in _PLACES.values():
        (folder / short).mkdir(mode=0o700)
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() == 0:
        nobody = f"{_NOBODY}:{_NOBODY}"
        subprocess.run(("chown", "-hR", nobody, str(folder)), check=True)
        command += ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        command += ["--pdeathsig", "KILL"]
    else:
        command += ["--user", "--map-current-user"]
    # The first process of a namespace has to wait for orphans, or libvirt takes them for alive. A
    # shell does.
    command += ["sh", "-c", '"$@"; exit $?', "sh"]
    command += ["/usr/bin/python3", "-m", "tests.vm", "--inside", str(folder)]
    done = subprocess.run(command, cwd=folder / _PROJECT, env=_environment(folder), check=False)
    return done.returncode


def _environment(folder: Path) -> dict[str, str]:
    """What has Vagrant and libvirt keep their files in the folder, and use our box."""
    return {
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        **{name: str(folder / short) for name, short in _PLACES.items()},
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_NO_COLOR": "1",
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "FLOWLAB_BOX": "flowlab-test",
        "FLOWLAB_CPUS": "1",
        "FLOWLAB_PORT": str(_free_port()),
        "FLOWLAB_TEST_PORT": str(_free_port()),
    }


# ── inside: as an ordinary user, in a PID namespace ───────────────────────────────────────────────


def _inside(folder: Path) -> int:
    with (folder / "libvirtd.log").open("wb") as log:
        daemon = subprocess.Popen(("libvirtd",), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with _stage(folder, "vagrant box add") as stage:
            stage.run("vagrant", "box", "add", "--name", "flowlab-test", str(folder / box.NAME))
            (folder / box.NAME).unlink()
        try:
            _in_the_machine(folder)
        finally:
            with _stage(folder, "vagrant destroy") as stage:
                stage.run("vagrant", "destroy", "--force")
                left = stage.output("virsh", "--connect=qemu:///session", *_MACHINES).split()
                if left:
                    raise Failed(f"libvirt still has a machine: {left}")
    except Failed:
        return 1
    finally:
        daemon.terminate()
        daemon.wait()
    return 0


def _in_the_machine(folder: Path) -> None:
    with _stage(folder, "vagrant up, with ./flowlab setup in the machine") as stage:
        stage.run("vagrant", "up")
    failed = []
    for name, command in _COMMANDS.items():
        try:
            with _stage(folder, name) as stage:
                said = _until_valid(stage, ("vagrant", "ssh", "--command", command, "--", "-T"))
                if "--format json" in command:
                    _all_pass(said)
        except Failed:  # the others tell more about it
            failed.append(name)
    if failed:
        raise Failed(", ".join(failed))


def _until_valid(stage: Stage, command: Sequence[str]) -> str:
    """What it says; INVALID is the lab's word for a machine that was too slow, and is tried again.

    An emulated processor holds a switch up by half a second now and then. A FAIL stays one.
    """
    for _ in range(_TRIES - 1):
        try:
            return stage.output(*command)
        except Failed as failed:
            if failed.status != _INVALID:
                raise
    return stage.output(*command)


_RUN: Final = f"/vagrant/flowlab run {' '.join(_NETEM)} --format json"
_COMMANDS: Final = {
    "./flowlab demo": "/vagrant/flowlab demo",
    "./flowlab demo --datapath kernel": "sudo /vagrant/flowlab demo --datapath kernel",
    "netem's delay and loss": _RUN,
    "netem's delay and loss, kernel datapath": f"sudo {_RUN} --datapath kernel",
    "some tests": f"cd /vagrant && .venv/bin/python -m pytest -q -n 0 {_SOME_TESTS}",
}


def _all_pass(text: str) -> None:
    """A run that was SKIPPED has not passed."""
    runs = json.loads(text[text.index("{") :])["runs"]
    verdicts = {one["scenario"]: one["verdict"] for one in runs}
    if verdicts != dict.fromkeys(_NETEM, "PASS"):
        message = f"not all PASS: {verdicts}"
        raise Failed(message)


# ── stages ────────────────────────────────────────────────────────────────────────────────────────


class Stage:
    """What runs programs, and keeps what they say."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log

    def run(self, *command: str) -> None:
        """Run a program.

        Raises:
            Failed: it did not end well, or not within the limit.
        """
        self._call(command, self._log)

    def output(self, *command: str) -> str:
        """Run a program, and return what it wrote to its standard output; see `run`."""
        with tempfile.TemporaryFile() as written:
            try:
                self._call(command, written)
            finally:
                written.seek(0)
                text = written.read()
                self._log.write(text)
        return text.decode(errors="replace")

    def _call(self, command: Sequence[str], written: IO[bytes]) -> None:
        self._log.write(f"$ {shlex.join(command)}\n".encode())
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=self._log,
            start_new_session=True,  # mmdebstrap that fails sends a signal to its whole group
        )
        try:
            status = process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired as slow:
            raise Failed(f"{command[0]} took more than {_LIMIT_S} s") from slow
        finally:
            # Asked, not killed: mmdebstrap has to unmount and remove what it made.
            process.terminate()
            process.wait()
        if status:
            raise Failed(f"{command[0]} ended with {status}", status)


@contextlib.contextmanager
def _stage(folder: Path, name: str) -> Iterator[Stage]:
    """One line with a tick and a time; if it fails, the end of what its programs said."""
    began_s = time.monotonic()
    path = folder / "stage.log"
    path.unlink(missing_ok=True)
    with path.open("wb", buffering=0) as log:
        try:
            yield Stage(log)
        except (Failed, OSError, ValueError, subprocess.SubprocessError) as failed:
            text = path.read_text(encoding="utf-8", errors="replace")
            said = [line for line in text.splitlines() if "Progress: " not in line]
            took_s = time.monotonic() - began_s
            _say("\n".join((f"✗ {name}: {failed} ({took_s:.0f} s)", *said[-_LAST_LINES:])))
            raise Failed(name) from failed
    _say(f"✓ {name} ({time.monotonic() - began_s:.0f} s)")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
