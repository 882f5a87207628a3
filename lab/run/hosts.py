"""The hosts as processes: a network namespace each, made and set up all at the same time.

Knows: processes, network namespaces, ip(8) and ethtool(8). Must not know: Mininet, switches.

A host is a process that holds a network namespace. First all are started; then who builds the
network puts the interfaces into the namespaces; then each process sets up its own, at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IPV6: Final = "/proc/sys/net/ipv6/conf"
SILENT: Final = {"disable_ipv6": "1", "accept_ra": "0"}
_OFFLOADS_OFF: Final = ("tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")
_CLONE_NEWNET: Final = 0x40000000
_ANSWER_OCTETS: Final = 4096
_READY: Final = b"ready"


class HostFailed(Exception):
    """A host could not be set up; the text says which one and why."""


@dataclass(frozen=True)
class Orders:
    """What a host does to set itself up.

    Attributes:
        interfaces: its interfaces; their offloads are switched off, so that what the switch
            sees are packets as they would be on a cable.
        ipv6: those of them that shall have IPv6.
        ip: commands for ip(8), a line each.
    """

    interfaces: Sequence[str]
    ipv6: Sequence[str]
    ip: Sequence[str]


class HostProcess:
    """One host; it lives as long as the capsule."""

    def __init__(self, name: str) -> None:
        """Start it; it has a namespace of its own when `wait` has returned."""
        self.name = name
        down, self._orders = os.pipe()
        self._answers, up = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._orders)
            os.close(self._answers)
            _live(name, down, up)
        os.close(down)
        os.close(up)

    def order(self, orders: Orders) -> None:
        """Let it set itself up; `wait` tells when it has."""
        lines = (" ".join(orders.interfaces), " ".join(orders.ipv6), *orders.ip)
        with os.fdopen(self._orders, "w", encoding="ascii") as line:
            line.write("\n".join(lines))

    def wait(self) -> None:
        """Wait until it has done what was to be done.

        Raises:
            HostFailed: it could not.
        """
        said = os.read(self._answers, _ANSWER_OCTETS)
        if said != _READY:
            why = said.decode(errors="replace").strip() or "it ended"
            raise HostFailed(f"{self.name} could not be set up: {why}")


def start(names: Iterable[str]) -> dict[str, HostProcess]:
    """Start hosts, each in a namespace that is silent and has nothing but a loopback."""
    hosts = {name: HostProcess(name) for name in names}
    for host in hosts.values():
        host.wait()
    return hosts


def silence(interfaces: Iterable[str]) -> None:
    """Interfaces of this namespace shall carry what they are sent, and say nothing themselves."""
    for interface in interfaces:
        for setting, value in SILENT.items():
            path = Path(IPV6) / interface / setting
            if path.exists():  # a kernel without IPv6 is silent as it is
                path.write_text(value, encoding="ascii")


def _live(name: str, orders: int, answers: int) -> NoReturn:
    """What the process does; it never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # that is for what runs in the user's shell
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace")  # noqa: TRY301
        silence(("all", "default"))
        os.write(answers, _READY)
        with os.fdopen(orders, encoding="ascii") as line:
            interfaces, ipv6, *commands = line.read().split("\n")
        _set_up(Orders(interfaces.split(), ipv6.split(), commands))
        os.write(answers, _READY)
        # Small, and called as Mininet calls the shells of its hosts, which its tools look for.
        os.execvp("sleep", (f"mininet:{name}", "infinity"))  # noqa: S606 (that is the point)
    except BaseException as failed:  # noqa: BLE001 (whatever it was, it must not return)
        said = getattr(failed, "stderr", None) or str(failed).encode()
        with suppress(OSError):
            os.write(answers, said[:_ANSWER_OCTETS])
    finally:
        os._exit(1)


def _set_up(orders: Orders) -> None:
    for interface in orders.interfaces:
        subprocess.run(
            ("ethtool", "-K", interface, *_OFFLOADS_OFF), capture_output=True, check=True
        )
    for interface in orders.ipv6:
        Path(IPV6, interface, "disable_ipv6").write_text("0", encoding="ascii")
    lines = "\n".join(("link set lo up", *orders.ip)).encode()
    subprocess.run(("ip", "-batch", "-"), input=lines, capture_output=True, check=True)
