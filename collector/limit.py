"""The highest rate at which a collector loses nothing, and where it loses beyond.

A try has three phases: warm-up (the template and some datagrams, each read before the next),
flood (datagrams at a rate), recovery (until all that waits has been read). Then the collector is
ended, and what it has written is summed. What is lost is placed:

    kernel     found the socket's queue full (/proc/net/udp): the collector was too slow to read
    collector  was read, and is not among the records that the collector says it took
    storage    was taken, and is not in what the collector has written

Of a collector that does not say what it took the last two cannot be told apart.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector import flood
from collector.backends.base import Given
from collector.backends.daemons import (
    LOOPBACK,
    Crashed,
    Failed,
    connected,
    drops,
    finished,
    running,
    wait_until_drained,
    wait_until_settled,
    wait_until_worked_on,
)
from collector.decode import NETFLOW
from collector.sending import send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.backends.base import Backend

LOWEST_DPS: Final = 1_000.0
HIGHEST_DPS: Final = 2_000_000.0
WARM_UP: Final = 200
"""Datagrams of the warm-up."""
MOST: Final = 1_000_000
"""Datagrams of a flood at most: they are made before it, and each has its place in memory."""
_AT_ONCE: Final = 8
_REACHED: Final = 0.9
"""Of the rate that was asked for: less, and the sender is what limits."""


@dataclass(frozen=True)
class Try:
    """What came of a rate.

    Attributes:
        rate_dps: datagrams a second that were asked for.
        reached_dps: that were sent.
        sent: datagrams of the flood.
        kernel: datagrams that found the queue full.
        collector: records that were read and not taken; None: it does not say what it took.
        storage: records that were taken and not written (or, if it does not say, read and not
            written).
        recovery_s: how long what waited took to be read.
        why: what else went wrong, in words: then nothing of it counts, and all is lost.
    """

    rate_dps: float
    reached_dps: float
    sent: int
    kernel: int
    collector: int | None
    storage: int
    recovery_s: float
    why: str = ""

    @property
    def lost(self) -> float:
        """As a share of all records, those of the warm-up included."""
        if self.why:
            return 1.0
        records = self.kernel * flood.RECORDS + (self.collector or 0) + self.storage
        return records / ((WARM_UP + self.sent) * flood.RECORDS)

    @property
    def limited(self) -> bool:
        """Whether the sender did not reach the rate."""
        return self.reached_dps < _REACHED * self.rate_dps

    def where(self) -> str:
        """Where it was lost, in words."""
        if self.why:
            return self.why.partition("\n")[0]
        beyond = "collector or storage" if self.collector is None else "storage"
        parts = {
            "kernel queue": self.kernel * flood.RECORDS,
            "collector": self.collector or 0,
            beyond: self.storage,
        }
        told = (f"{records} records in the {name}" for name, records in parts.items() if records)
        return ", ".join(told)


def attempt(backend: Backend, rate_dps: float, seconds: float) -> Try:
    """Flood a collector once.

    Args:
        backend: the collector.
        rate_dps: datagrams a second.
        seconds: how long.

    Raises:
        Crashed: it ended by itself.
        Hung: it does not read, or does not end.
        Failed: its output cannot be read, or tells more than came.
    """
    count = _count(rate_dps, seconds)
    datagrams = flood.messages(WARM_UP + count)
    with tempfile.TemporaryDirectory(prefix="flowlab-limit-") as scratch:
        given = Given(Path(scratch), Path(scratch) / "none.pcap", frozenset({NETFLOW}))
        (daemon,) = backend.daemons(given)
        port, patience_s = daemon.ports[NETFLOW], daemon.patience_s
        with running(daemon) as started, connected(LOOPBACK, 0, port) as out:
            for part in (flood.beginning(), *_parts(datagrams.part(0, WARM_UP))):
                send(out, *part)
                wait_until_drained(port, started, patience_s)
            took_s = send(out, *datagrams.part(WARM_UP, WARM_UP + count), rate_dps)
            began_s = time.monotonic()
            wait_until_drained(port, started, patience_s)
            recovery_s = time.monotonic() - began_s
            kernel = drops(port)
            wait_until_worked_on(daemon, started)
            wait_until_settled(daemon, started)
            status = finished(started, daemon.end, patience_s)
        if status not in (0, -daemon.end, 128 + daemon.end):
            raise Crashed(f"{Path(daemon.command[0]).name} ended with status {status}")
        read = (WARM_UP + count - kernel) * flood.RECORDS
        taken = backend.taken(given)
        written = backend.packets(given) * flood.RECORDS // flood.PACKETS
    if written > read:
        raise Failed(f"it tells more than came: {written} records of {read} that it can have read")
    return Try(
        rate_dps,
        count / took_s,
        count,
        kernel,
        None if taken is None else max(0, read - taken),
        max(0, (read if taken is None else min(taken, read)) - written),
        recovery_s,
    )


def tried(backend: Backend, rate_dps: float, seconds: float) -> Try:
    """Flood a collector once; where it fails otherwise than by losses, a try that says so."""
    try:
        return attempt(backend, rate_dps, seconds)
    except Failed as failed:
        count = _count(rate_dps, seconds)
        return Try(rate_dps, rate_dps, count, 0, None, 0, 0.0, str(failed))


def _count(rate_dps: float, seconds: float) -> int:
    """Datagrams of a flood."""
    return max(1, min(MOST, int(rate_dps * seconds)))


def _parts(some: flood.Flood) -> Iterator[flood.Flood]:
    for first in range(0, len(some.offset), _AT_ONCE):
        yield some.part(first, first + _AT_ONCE)


def best_of(tries: int, once: Callable[[], Try]) -> Try:
    """The best of some tries: a machine that others use, too, may disturb one.

    Args:
        tries: at most so many; the first one that reached its rate and lost nothing is enough.
        once: tries.
    """
    best_one = once()
    for _ in range(tries - 1):
        if not best_one.lost and not best_one.limited:
            break
        other = once()
        if (other.lost, other.limited) < (best_one.lost, best_one.limited):
            best_one = other
    return best_one


def search(
    attempted: Callable[[float], Try], lowest_dps: float = LOWEST_DPS, precision: float = 1.1
) -> list[Try]:
    """Find the highest rate without loss: double it until something is lost, then halve between.

    Args:
        attempted: tries a rate.
        lowest_dps: where to begin.
        precision: the search ends when the rates that are left differ by less than this factor.

    Returns:
        All tries, in the order of their rates.
    """
    tries: list[Try] = []
    good, bad, rate_dps = 0.0, float("inf"), lowest_dps
    while rate_dps <= HIGHEST_DPS and bad / max(good, 1.0) > precision:
        tries.append(one := attempted(rate_dps))
        if one.lost:
            bad = rate_dps
            if one.why and not good:
                break  # a rate that is lower would hardly help
        elif one.limited:
            break
        else:
            good = rate_dps
        if bad == float("inf"):
            rate_dps = good * 2
        elif good:
            rate_dps = (good * bad) ** 0.5
        elif rate_dps > lowest_dps / 16:
            rate_dps /= 4
        else:
            break
    return sorted(tries, key=lambda one: one.rate_dps)


def best(tries: list[Try]) -> Try | None:
    """The try with the highest rate at which, as at all below it, nothing was lost."""
    found = None
    for one in tries:
        if one.lost:
            break
        found = one
    return found
