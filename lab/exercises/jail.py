"""A stranger's program, shut in: what it is given, and what it cannot do.

It sees the system's programs and its own folder, both unchangeable, a small folder for scratch, and
the port that it listens on: no home, no network but its capsule's loopback, no processes but its
own, no rights. What it may use up is limited. bubblewrap does the shutting in; limits are the
kernel's (getrlimit(2)), set inside, where they count these processes alone.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lab

PROGRAM: Final = "bwrap"
_INSIDE: Final = "/submission"
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_MOST_SCRATCH_OCTETS: Final = 16 << 20
_LIMITS: Final = {
    "nproc": 8,
    "as": 512 << 20,
    "fsize": 8 << 20,
    "nofile": 32,
    "cpu": 10,
    "core": 0,
}
"""By the names of prlimit(1): processes, octets of memory and of a file, open files, seconds."""
_FIRST_USER: Final = 0x7000_0000
"""Users that no machine has. Limits do not bind root, so that a machine's root becomes one of them;
each jail another, so that they cannot meet."""
_CALLED: Final = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108 (inside)


@dataclass(frozen=True)
class Jail:
    """Where a program of a stranger runs.

    Attributes:
        number: tells jails apart that there are at the same time.
    """

    number: int

    def command(self, program: Path) -> list[str]:
        """What runs a Python program, with its folder and nothing else of the machine's users."""
        return [
            *self._nobody(),
            *_walls(program.parent),
            *("prlimit", *(f"--{name}={most}" for name, most in _LIMITS.items()), "--"),
            *(_python(), "-s", "-E", "-u", f"{_INSIDE}/{program.name}"),
        ]

    def _nobody(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        user = _FIRST_USER + self.number
        return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def missing() -> str:
    """Why there can be no jail here; empty if there can."""
    gone = [name for name in (PROGRAM, "prlimit", "setpriv") if shutil.which(name) is None]
    packages = {PROGRAM: "bubblewrap"}
    return "; ".join(
        f"the program {name} is missing (package {packages.get(name, 'util-linux')})"
        for name in gone
    )


def _walls(folder: Path) -> list[str]:
    system = [Path(place) for place in _SYSTEM if Path(place).exists()]
    system += [] if sys.base_prefix.startswith("/usr") else [Path(sys.base_prefix)]
    ours = Path(lab.__file__).parent
    return [
        PROGRAM,
        *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        "--clearenv",
        *(word for name, value in _CALLED.items() for word in ("--setenv", name, value)),
        *(word for place in system for word in _seen(place)),
        # Solutions are there, where flowlab is installed among the system's own.
        *(("--tmpfs", str(ours)) if any(map(ours.is_relative_to, system)) else ()),
        *("--proc", "/proc", "--dev", "/dev"),
        *_scratch("/dev/shm"),  # noqa: S108 (inside)
        *("--remount-ro", "/dev"),
        *_scratch("/tmp"),  # noqa: S108 (inside)
        *("--ro-bind", str(folder), _INSIDE, "--chdir", _INSIDE),
        *("--remount-ro", "/", "--"),
    ]


def _seen(place: Path) -> tuple[str, ...]:
    if place.is_symlink():
        return ("--symlink", str(place.readlink()), str(place))
    return ("--ro-bind", str(place), str(place))


def _scratch(place: str) -> tuple[str, ...]:
    return ("--size", str(_MOST_SCRATCH_OCTETS), "--tmpfs", place)


def _python() -> str:
    """Python without flowlab's own environment, whose folders are not there."""
    return str(getattr(sys, "_base_executable", sys.executable))
