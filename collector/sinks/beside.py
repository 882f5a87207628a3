"""An engine beside a collector that is running.

A slow one makes nobody wait, a dead one stops nothing. What it did not get is counted, and is in
the Parquet files: ``flowlab load``.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from collector.sinks import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from collector.sinks import Sink

BATCHES: Final = 256
"""So many wait for an engine at most."""


class Beside:
    """Hands batches to an engine in a thread of its own."""

    def __init__(self, sink: Sink, complain: Callable[[str], None]) -> None:
        """Begin.

        Args:
            sink: the engine.
            complain: is told what the engine said, once for the same words in a row.
        """
        self.unsent = 0
        """Rows that it did not get."""
        self._sink = sink
        self._complain = complain
        self._said = ""
        self._batches: queue.Queue[Mapping[str, pl.DataFrame] | None] = queue.Queue(BATCHES)
        self._thread = threading.Thread(target=self._work, name="sink", daemon=True)
        self._thread.start()

    def write(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Hand over a batch when its turn comes."""
        try:
            self._batches.put_nowait(rows)
        except queue.Full:
            self._lost(rows, "it is slower than what comes")

    def close(self) -> None:
        """Wait until the engine has all that waits, or has refused it."""
        self._batches.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (rows := self._batches.get()) is not None:
            try:
                self._sink.write(rows)
            except SinkError as refused:
                self._lost(rows, str(refused))
        try:
            self._sink.close()
        except SinkError as refused:
            self._tell(str(refused))

    def _lost(self, rows: Mapping[str, pl.DataFrame], why: str) -> None:
        self.unsent += sum(map(len, rows.values()))
        self._tell(why)

    def _tell(self, why: str) -> None:
        if why != self._said:
            self._said = why
            with suppress(OSError):
                self._complain(why)
