"""Recorded export datagrams sent again, without root.

Exporters stay apart: each address and port of a recording gets a socket of its own, so a port of
its own, and an address of its own where the system has one to give: all of 127.0.0.0/8 is this
machine's, and an address of an interface is whoever's asks for it.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector.senders import runs
from collector.sending import send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.decode import Datagrams
    from collector.senders import Run

KEEP: Final = "keep"
"""For the source: insist on the exporters' own addresses."""
_TICK_S: Final = 0.000_25
_AHEAD_S: Final = 0.001
"""What is due in this time leaves at once: a system call costs as much as many datagrams."""
_PER_NET: Final = 250


class WrongSourceError(ValueError):
    """The machine does not have an address that is asked for; the text says which."""


class Target(NamedTuple):
    """Where datagrams are sent."""

    host: str
    """An address, not a name."""
    port: int


@dataclass(frozen=True)
class Sent:
    """What was sent.

    Attributes:
        datagrams: how many.
        octets: of their payloads.
        took_s: from the first to the last.
        senders: the address and port that each exporter's datagrams came from.
        refused: targets where nobody listened, as the machine there said.
    """

    datagrams: int
    octets: int
    took_s: float
    senders: Mapping[tuple[str, int], tuple[str, int]]
    refused: frozenset[Target]


def at_rate(count: int, rate_dps: float) -> Callable[[float], int]:
    """So many datagrams a second."""
    return lambda elapsed_s: min(count, int((elapsed_s + _AHEAD_S) * rate_dps) + 1)


def as_recorded(datagrams: Datagrams, speed: float = 1.0) -> Callable[[float], int]:
    """As they came, or so many times as fast."""
    after_s = (datagrams.timestamp_ns - datagrams.timestamp_ns[:1]) / 1e9 / speed
    after_s = np.maximum.accumulate(after_s)
    return lambda elapsed_s: int(np.searchsorted(after_s, elapsed_s + _AHEAD_S, "right"))


def replay(
    datagrams: Datagrams,
    targets: Mapping[str, Target],
    due: Callable[[float], int],
    source: str = "",
) -> Sent:
    """Send datagrams in their order.

    Args:
        datagrams: what was recorded.
        targets: where to, by kind of datagram (`collector.senders.FAMILIES`).
        due: from seconds since the start to how many have to have been sent.
        source: `KEEP`; or an address that all are sent from; "": own addresses where the machine
            has them, on the loopback others of it.

    Raises:
        WrongSourceError: an address is not this machine's.
        OSError: something cannot be sent.
    """
    with ExitStack() as stack:
        sockets = _Sockets(targets, source, stack)
        through = [(run, sockets.of(run)) for run in runs(datagrams)]
        began_s, sent, number = time.perf_counter(), 0, 0
        while sent < len(datagrams):
            until = due(time.perf_counter() - began_s)
            if until <= sent:
                time.sleep(_TICK_S)
                continue
            while sent < until:
                run, out = through[number]
                some = slice(sent, min(until, run.last))
                send(out, datagrams.buffer, datagrams.offset[some], datagrams.length[some])
                sent = some.stop
                number += sent == run.last
        took_s = time.perf_counter() - began_s
        return Sent(
            len(datagrams),
            int(datagrams.length.sum()),
            took_s,
            {place[:2]: out.getsockname()[:2] for place, out in sockets.open.items()},
            sockets.refused(),
        )


class _Sockets:
    """A socket for each exporter and kind of datagram."""

    def __init__(self, targets: Mapping[str, Target], source: str, stack: ExitStack) -> None:
        self._targets = targets
        self._source = source
        self._stack = stack
        self._instead: dict[str, str] = {}
        self.open: dict[tuple[str, int, str], socket.socket] = {}

    def of(self, run: Run) -> socket.socket:
        """The socket of the exporter of a run.

        Raises:
            WrongSourceError: it cannot have the address that is asked for.
        """
        place = run.exporter, run.port, run.family
        if place not in self.open:
            target = self._targets[run.family]
            version = ip_address(target.host).version
            kind = socket.AF_INET6 if version == 6 else socket.AF_INET
            out = self._stack.enter_context(socket.socket(kind, socket.SOCK_DGRAM))
            self._bind(out, run.exporter, target)
            out.connect((target.host, target.port))
            self.open[place] = out
        return self.open[place]

    def refused(self) -> frozenset[Target]:
        """The targets of which an answer came that nobody listens."""
        return frozenset(
            self._targets[family]
            for (_, _, family), out in self.open.items()
            if out.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        )

    def _bind(self, out: socket.socket, exporter: str, target: Target) -> None:
        """Give a socket its address; the port is any free one."""
        asked = {"": exporter, KEEP: exporter}.get(self._source, self._source)
        if _bound(out, asked, target):
            return
        if self._source:
            raise WrongSourceError(
                f"{asked} cannot be sent from: it is no address of this machine that leads to "
                f"{target.host}; leave out --source, or add the address to an interface"
            )
        if ip_address(target.host).is_loopback and out.family == socket.AF_INET:
            number = len(self._instead)
            other = f"127.1.{number // _PER_NET}.{1 + number % _PER_NET}"
            _bound(out, self._instead.setdefault(exporter, other), target)


def _bound(out: socket.socket, address: str, target: Target) -> bool:
    """Whether a socket could be bound to an address from which the target can be reached."""
    own, there = ip_address(address), ip_address(target.host)
    if own.version != there.version or (own.is_loopback and not there.is_loopback):
        return False
    try:
        out.bind((address, 0))
    except OSError:
        return False
    return True
