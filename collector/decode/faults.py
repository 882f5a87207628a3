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

    def __init__(self, offset: NDArray[np.int64]) -> None:
        """A log for datagrams that begin at `offset` in their buffer."""
        self._offset = offset
        self.kept: list[Fault] = []
        self.counts: Counter[str] = Counter()

    def note(self, fault: Fault) -> None:
        """Take over a fault of the capture."""
        self.counts[fault.reason] += 1
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
        needed = np.broadcast_to(needed, datagrams.shape)
        if where is not None:
            datagrams, at, needed, available = (
                column[where] for column in (datagrams, at, needed, available)
            )
        if not len(datagrams):
            return
        known = reason in self.counts or len(self.counts) < REASONS
        self.counts[reason if known else FURTHER] += len(datagrams)
        room = KEPT - len(self.kept)
        rows = zip(datagrams[:room], at[:room], needed[:room], available[:room], strict=True)
        self.kept += [
            Fault(int(row) + 1, int(place - self._offset[row]), int(need), int(there), reason)
            for row, place, need, there in rows
        ]

    @property
    def total(self) -> int:
        """How many faults, kept or not."""
        return self.counts.total()
