"""The counts of a running collector, on a terminal: one line that changes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collector.live import Counts

_EVERY_S: Final = 1.0


class Status:
    """Shows what came; a terminal gets a line per second, in place, anything else only the end."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        """Show it on `out`."""
        self._out = out
        self._terminal = out.isatty()
        self._at_s = time.monotonic()
        self._datagrams = 0
        self._records = 0

    def __call__(self, counts: Counts) -> None:
        """Take the counts; called as often as anyone likes."""
        now_s = time.monotonic()
        if not self._terminal or now_s - self._at_s < _EVERY_S:
            return
        datagrams, records = sum(counts.datagrams.values()), sum(counts.records.values())
        took_s = now_s - self._at_s
        rates = (
            f"{(datagrams - self._datagrams) / took_s:,.0f} datagrams/s, "
            f"{(records - self._records) / took_s:,.0f} records/s"
        )
        self._out.write(f"\r{rates}; {line(counts)}\x1b[K")
        self._out.flush()
        self._at_s, self._datagrams, self._records = now_s, datagrams, records

    def end(self, counts: Counts) -> None:
        """Say what came in all."""
        self._out.write(("\r\x1b[K" if self._terminal else "") + f"stored {line(counts)}\n")


def line(counts: Counts) -> str:
    """All counts in a line: what came, and every loss by its cause."""
    by_protocol = ", ".join(f"{count} {name}" for name, count in sorted(counts.records.items()))
    losses = {
        "dropped by the kernel": sum(counts.kernel_drops.values()),
        "missing in sequences": counts.sequence_lost,
        "undecodable": counts.undecodable,
        "cut off": counts.truncated,
        "rows not taken by an engine": counts.unsent,
    }
    lost = ", ".join(f"{count} {cause}" for cause, count in losses.items() if count)
    return (
        f"{sum(counts.datagrams.values())} datagrams, {sum(counts.records.values())} records"
        + (f" ({by_protocol})" if by_protocol else "")
        + f", {counts.templates} templates; lost: {lost or 'nothing'}"
    )
