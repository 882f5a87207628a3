"""Starting a capsule and reading what happens in it.

Knows: namespaces, and how to get them on this machine. Must not know: what runs inside.

The capsule holds the reading end of a pipe whose writing end only this process has. When this
process ends, however it ends, the pipe closes, the capsule's first process leaves, and the
kernel removes every process, interface, mount and namespace that it held.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROOT: Final = Path(__file__).resolve().parents[2]
_ENVIRONMENT: Final = {"SETUPTOOLS_USE_DISTUTILS": "stdlib"} if sys.version_info < (3, 12) else {}
"""Mininet asks distutils for one comparison of versions. Where Python still has a distutils of its
own, setuptools' would take a fifth of the time that a capsule takes to start."""
_PRIVATE: Final = ("--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
_OWN_NETWORK: Final = ("--net",)
_AS_ROOT_INSIDE: Final = ("--user", "--map-root-user")
_PROBE_LIMIT_S: Final = 10
_LEAVING_LIMIT_S: Final = 5


class CannotEnter(Exception):
    """This machine grants no capsule; the text says why and what to do about it."""


@dataclass(frozen=True)
class Way:
    """How to get into a capsule on this machine.

    Attributes:
        prefix: the arguments to put before the program that shall run inside.
        notice: what the user should know about this way; None if there is nothing to say.
        own_network: whether the capsule has a network namespace of its own.
        through_sudo: whether root inside is real root, by sudo's leave.
        descriptors: open files that stay open inside; sudo would close them.
    """

    prefix: tuple[str, ...]
    notice: str | None = None
    own_network: bool = True
    through_sudo: bool = False
    descriptors: tuple[int, ...] = ()


def find_way(*, own_network: bool = True, sudo: bool = True) -> Way:
    """Find how this user gets a capsule here, by trying.

    Args:
        own_network: False leaves out the network namespace: for what must work with the
            machine's own network. Needs root.
        sudo: False: rather none than one through sudo, which may ask for a password.

    Raises:
        CannotEnter: neither root, nor unprivileged namespaces, nor sudo.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        message = "the program `unshare` (package util-linux) is missing; run ./flowlab setup"
        raise CannotEnter(message)
    as_root = (unshare, *(_OWN_NETWORK if own_network else ()), *_PRIVATE)
    if os.geteuid() == 0:
        refusal = _try((*as_root, "true"))
        if refusal is None:
            return Way(as_root, own_network=own_network)
        message = f"root may not make namespaces here ({refusal}); is this a locked container?"
        raise CannotEnter(message)
    if not own_network:
        raise CannotEnter("working with the machine's own network needs root")
    as_user = (unshare, *_AS_ROOT_INSIDE, *_OWN_NETWORK, *_PRIVATE)
    refusal = _try((*as_user, "true"))
    if refusal is None:
        return Way(as_user)
    if not sudo:
        message = f"this machine forbids unprivileged user namespaces ({refusal}{_apparmor()})"
        raise CannotEnter(message)
    return _through_sudo(as_root, refusal)


def _through_sudo(as_root: tuple[str, ...], refusal: str) -> Way:
    why = f"this machine forbids unprivileged user namespaces ({refusal}{_apparmor()})"
    sudo = shutil.which("sudo")
    remedy = (
        "either allow them (sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 on "
        "Ubuntu, kernel.unprivileged_userns_clone=1 on older Debian) or run flowlab with sudo"
    )
    if sudo is None:
        message = f"{why}, and there is no sudo; {remedy}"
        raise CannotEnter(message)
    way = Way((sudo, *as_root), f"{why}: the same capsule is made through sudo", through_sudo=True)
    if _try((sudo, "-n", *as_root, "true")) is None:
        return way
    if not (sys.stdin and sys.stdin.isatty()):
        raise CannotEnter(f"{why}, and sudo would ask for a password; {remedy}")
    if subprocess.run((sudo, "-v"), check=False).returncode != 0:
        raise CannotEnter(f"{why}, and sudo did not let you; {remedy}")
    return way


def _apparmor() -> str:
    switch = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    restricted = switch.exists() and switch.read_text(encoding="ascii").strip() == "1"
    return "; AppArmor restricts them" if restricted else ""


def _try(command: tuple[str, ...]) -> str | None:
    """Run a harmless command; None if it worked, otherwise what it said."""
    try:
        done = _quietly(command)
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_LIMIT_S} s"
    return None if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")


def _quietly(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PROBE_LIMIT_S,
        check=False,
    )


class Capsule:
    """A new capsule, whose first process loads what it needs and then waits for its request."""

    def __init__(self, way: Way, entry: str, log: Path, *, own_session: bool = True) -> None:
        """Start it.

        Args:
            way: what `find_way` found.
            entry: ``module:function`` to call inside, with the request and a function that emits
                events.
            log: the file that takes what is said inside on standard error.
            own_session: False lets the capsule keep the terminal (for an interactive shell).
        """
        command = (
            *way.prefix,
            sys.executable,
            "-B",  # real root would leave compiled modules that the user cannot remove
            "-m",
            "lab.capsule.inside",
            entry,
            "own" if way.own_network else "shared",
        )
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=_ROOT,
                env=os.environ | _ENVIRONMENT,
                pass_fds=way.descriptors,
                # sudo's leave holds for a terminal, and a new session has none
                start_new_session=own_session and not way.through_sudo,
            )

    def events(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Hand over the request; the events as they come. The iterator ends when the capsule does.

        Args:
            request: what the entry function is given; anything JSON can hold.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return
        for line in self._process.stdout:
            if not line.endswith(b"\n"):  # it died in mid-word
                return
            yield json.loads(line)

    def __enter__(self) -> Self:
        """It is started already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it."""
        self.leave()

    def end(self) -> None:
        """Close its pipe, from any thread: it ends, and with it the events that another reads."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def leave(self) -> None:
        """Close its pipe, which ends it, and wait until it is gone."""
        _leave(self._process)


def _leave(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    try:
        process.wait(_LEAVING_LIMIT_S)
    except subprocess.TimeoutExpired:
        with suppress(PermissionError):  # it is sudo's, and its pipe is closed
            process.kill()
            process.wait()
