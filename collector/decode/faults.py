"""Counting faults while decoding: all of them by reason, the first ones with their place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.fault import Fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT: Final = 1_000
"""Faults kept with their place."""
REASONS: Final = 1_000
"""Different reasons counted apart; further ones count together."""
FURTHER: Final = "further reasons"


class FaultLog:
    """What could not be decoded."""

    def __init__(self, offset: NDArray[np.int64], number: NDArray[np.int64] | None = None) -> None:
        """A log for datagrams that begin at `offset` in their buffer, and their 1-based numbers."""
        self._offset = offset
        self._number = number
        self.kept: list[Fault] = []
        self.counts: Counter[str] = Counter()

    def beside(self, offset: NDArray[np.int64], number: NDArray[np.int64]) -> FaultLog:
        """The same log, for datagrams in another buffer."""
        log = FaultLog(offset, number)
        log.kept, log.counts = self.kept, self.counts
        return log

    def _count(self, reason: str, times: int) -> None:
        """Count a reason, unless there are too many different ones."""
        known = reason in self.counts or len(self.counts) < REASONS
        self.counts[reason if known else FURTHER] += times

    def note(self, fault: Fault) -> None:
        """Take over a fault that is placed already."""
        self._count(fault.reason, 1)
        if len(self.kept) < KEPT:
            self.kept.append(fault)

    def add(
        self,
        datagrams: NDArray[np.int64],
        at: NDArray[np.int64],
        needed: NDArray[np.int64] | int,
        available: NDArray[np.int64],
        reason: str,
        *,
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        """Note a fault per row, or per row of `where`: datagram (0-based), place in the buffer."""
        if where is not None and not where.any():
            return
        needed = np.broadcast_to(needed, datagrams.shape)
        if where is not None:
            datagrams, at, needed, available = (
                column[where] for column in (datagrams, at, needed, available)
            )
        if not len(datagrams):
            return
        self._count(reason, len(datagrams))
        numbers = datagrams + 1 if self._number is None else self._number[datagrams]
        room = KEPT - len(self.kept)
        columns = (datagrams, numbers, at, needed, available)
        rows = zip(*(column[:room] for column in columns), strict=True)
        self.kept += [
            Fault(int(number), int(place - self._offset[row]), int(need), int(there), reason)
            for row, number, place, need, there in rows
        ]

    @property
    def total(self) -> int:
        """How many faults, kept or not."""
        return self.counts.total()
