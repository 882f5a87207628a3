"""``flowlab collect``: datagrams from ports into a store, while they come.

Several threads. Those that take datagrams from the sockets do nothing else, so that the kernel's
buffers stay empty while a batch is decoded (`collector.slab`); one gathers what they took. Whoever
calls `Collector.run` decodes what has come and stores it. A batch is as large as what came
meanwhile: after a pause a single datagram is stored `LINGER_S` later, under load batches grow,
within limits; past them the kernel's buffers fill, and what it drops it counts.
"""

from __future__ import annotations

import io
import os
import selectors
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from collector.account import Account
from collector.decode import STANDARD, Datagrams, Decoder
from collector.receive import RECEIVE_BUFFER_OCTETS, Port
from collector.slab import Slab, together
from collector.store import VIEWS, exporter_rows, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from collector.decode import Habits
    from collector.listen import Listen
    from collector.sinks.beside import Beside
    from collector.slab import Received
    from collector.store import Store

LINGER_S: Final = 0.04
"""A batch waits so long for company: with decoding and storing, less than 100 ms."""
BATCH: Final = 16_384
"""Datagrams at which a batch waits no longer."""
WAITING_DATAGRAMS: Final = 500_000
WAITING_OCTETS: Final = 160 << 20
"""Limits of what has been received and is not decoded yet."""
DRAIN_S: Final = 2.0
"""When it ends, so long at most is read what still waits in the sockets."""
_LOOK_S: Final = 0.2
_NICE: Final = 10
"""Of the threads that decode and store."""
_FEW: Final = 256
_NAP_S: Final = 0.001
"""After so few datagrams the receiving thread lets some gather: a call costs as much as 100."""
_SWITCH_S: Final = 0.000_5
"""How often Python's threads take turns: the receiving one must not wait 5 ms for its own."""


@dataclass
class _Waiting:
    """What has been received and is not decoded yet."""

    received: list[Received] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """Of each part."""
    datagrams: int = 0
    octets: int = 0
    since_s: float = 0.0
    """When the first one was taken (monotonic)."""

    def __len__(self) -> int:
        return self.datagrams

    @property
    def full(self) -> bool:
        """Whether nothing more may be taken from the sockets."""
        return len(self) >= WAITING_DATAGRAMS or self.octets >= WAITING_OCTETS

    def add(self, received: Received, port: int) -> None:
        """Take some."""
        if not self.received:
            self.since_s = time.monotonic()
        self.received.append(received)
        self.ports.append(port)
        self.datagrams += len(received)
        self.octets += len(received.buffer)

    def together(self) -> Datagrams:
        """All of them, in order of arrival."""
        all_of_them = together(self.received)
        ports = np.repeat(np.array(self.ports, np.uint16), [len(one) for one in self.received])
        return Datagrams(
            **all_of_them._asdict(),
            missing=np.zeros(len(self), np.int64),
            destination_port=ports,
        )


@dataclass(frozen=True)
class Counts:
    """What came until now, and what was lost, by cause."""

    datagrams: dict[str, int]
    """By place."""
    kernel_drops: dict[str, int]
    """By place: the socket's buffer was full."""
    records: dict[str, int]
    """By protocol."""
    sequence_lost: int
    """Records or datagrams that sequence numbers say were sent."""
    undecodable: int
    truncated: int
    templates: int
    waiting: int
    """Datagrams received and not decoded yet."""
    batches: int
    files: int
    unsent: int = 0
    """Rows that an engine beside the store did not get."""


class Collector:
    """Ports, a decoder, and a store."""

    def __init__(
        self,
        places: Sequence[Listen],
        store: Store,
        habits: Habits = STANDARD,
        views: Collection[str] = VIEWS,
        buffer_octets: int = RECEIVE_BUFFER_OCTETS,
        sinks: Sequence[Beside] = (),
    ) -> None:
        """Open the ports: from now on what comes is received, and waits for `run`.

        Everything that receives runs before the first port opens: somebody may send at once.

        Args:
            places: where to receive what.
            store: where to store it.
            habits: what the exporters do differently from the formats' texts.
            views: what of it to store, of `collector.store.VIEWS`.
            buffer_octets: receive buffer to ask for, for each port.
            sinks: engines that get the same as the store.

        Raises:
            OSError: an address is taken, not of this machine, or not allowed.
        """
        self.account = Account()
        self._store = store
        self._sinks = sinks
        self._views = views
        self._waiting = _Waiting()
        self._changed = threading.Condition()
        self._stopping = False
        self._drained = False
        self._failure: BaseException | None = None
        self._batches = 0
        self._in_file = 0
        self.names = [place.text for place in places]
        sys.setswitchinterval(_SWITCH_S)
        _warm_up()
        self.ports = [Port(place.endpoint, buffer_octets) for place in places]
        self._slabs = [Slab(port) for port in self.ports]
        for slab in self._slabs:
            slab.start()
        self._thread = threading.Thread(target=self._take, name="receive", daemon=True)
        self._thread.start()
        self._yield_to_receivers()
        try:
            for port, place in zip(self.ports, places, strict=True):
                _open(port, place)
        except OSError:
            self.__exit__(*sys.exc_info())
            raise
        families = {
            port.number: place.family for port, place in zip(self.ports, places, strict=True)
        }
        self._decoder = Decoder(habits, families, extended="extended" in views)

    def __enter__(self) -> Self:
        """Close the ports at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop receiving, and close the ports."""
        self.stop()
        self._thread.join()
        for slab in self._slabs:
            slab.stop()
        for port in self.ports:
            port.socket.close()

    def stop(self) -> None:
        """Receive no more; `run` stores what has come, and returns. For signal handlers too."""
        self._stopping = True

    def run(self, rotate_s: float, tell: Callable[[Counts], None]) -> None:
        """Decode and store until `stop`.

        Args:
            rotate_s: so often the files of all batches become one.
            tell: called several times a second.

        Raises:
            OSError: the store cannot be written.
        """
        rotate_at_s = time.monotonic() + rotate_s
        while True:
            waiting, ended = self._next_batch()
            if len(waiting):
                self._decode(waiting)
            tell(self.counts())
            if ended:
                break
            if time.monotonic() >= rotate_at_s:
                self._rotate()
                rotate_at_s = time.monotonic() + rotate_s
        self._store.close()
        for sink in self._sinks:
            sink.close()

    def counts(self) -> Counts:
        """What came until now."""
        account = self.account
        named = list(zip(self.names, self.ports, strict=True))
        return Counts(
            datagrams={name: port.datagrams for name, port in named},
            kernel_drops={name: port.kernel_drops or 0 for name, port in named},
            records=dict(account.records_of),
            sequence_lost=account.lost,
            undecodable=sum(account.reasons.values()),
            truncated=sum(port.truncated for port in self.ports),
            templates=account.templates,
            waiting=len(self._waiting),
            batches=self._batches,
            files=self._store.files,
            unsent=sum(sink.unsent for sink in self._sinks),
        )

    # ── the receiving thread ──

    def _take(self) -> None:
        """Take datagrams until `stop`, then what is still there."""
        try:
            with selectors.DefaultSelector() as selector:
                for slab in self._slabs:
                    selector.register(slab, selectors.EVENT_READ, slab)
                while not self._stopping:
                    ready = [key.data for key, _ in selector.select(_LOOK_S)]
                    if max(map(self._take_from, ready), default=0) < _FEW:
                        time.sleep(_NAP_S)
                    while self._waiting.full and not self._stopping:
                        time.sleep(LINGER_S / 4)
            for slab in self._slabs:
                slab.stop()
            until_s = time.monotonic() + DRAIN_S
            taken = 1
            while taken and time.monotonic() < until_s:
                taken = sum([self._take_from(slab) for slab in self._slabs])
        except BaseException as failure:  # noqa: BLE001 - it is raised where people look
            self._failure = failure
        with self._changed:
            self._drained = True
            self._changed.notify()

    def _take_from(self, slab: Slab) -> int:
        """Take what waits in one socket, up to a limit."""
        received = slab.receive()
        if received is None:
            return 0
        with self._changed:
            was_empty = not len(self._waiting)
            self._waiting.add(received, slab.port.number)
            if was_empty or len(self._waiting) >= BATCH:
                self._changed.notify()
        return len(received)

    # ── the storing thread ──

    def _yield_to_receivers(self) -> None:
        """Let threads that receive go first: what they do not take is lost, decoding can wait."""
        receiving = {self._thread.native_id}.union(*(slab.native_ids for slab in self._slabs))
        for thread in Path("/proc/self/task").iterdir():
            if int(thread.name) not in receiving:
                with suppress(OSError):  # It has ended meanwhile.
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), _NICE)

    def _next_batch(self) -> tuple[_Waiting, bool]:
        """Wait for a batch; perhaps an empty one, so that the caller can look around."""
        with self._changed:
            if not len(self._waiting) and not self._drained:
                self._changed.wait(_LOOK_S)
            while len(self._waiting) and len(self._waiting) < BATCH and not self._stopping:
                left_s = self._waiting.since_s + LINGER_S - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            waiting, self._waiting = self._waiting, _Waiting()
            ended = self._drained
        if self._failure is not None:
            raise self._failure
        return waiting, ended

    def _decode(self, waiting: _Waiting) -> None:
        """Decode a batch and store it."""
        datagrams = waiting.together()
        decoded = self._decoder.decode(datagrams)
        self.account.add(datagrams, decoded)
        numbered = [
            replace(batch, datagram=batch.datagram + self._in_file) for batch in decoded.batches
        ]
        decoded = replace(decoded, batches=numbered)
        times_ns = datagrams.timestamp_ns
        first_ns, last_ns = int(times_ns.min()), int(times_ns.max())
        exporters = exporter_rows(decoded.summary.streams, first_ns, last_ns)
        rows = tables(decoded, exporters, self._views)
        self._store.write(rows)
        for sink in self._sinks:
            sink.write(rows)
        self._in_file += len(datagrams)
        self._batches += 1

    def _rotate(self) -> None:
        """Begin new files; their datagrams are numbered from 1 again."""
        self._store.rotate()
        self._in_file = 0


def _open(port: Port, place: Listen) -> None:
    """Open a port.

    Raises:
        OSError: it cannot be; its file is the place, as it was asked for.
    """
    try:
        port.bind()
    except OSError as refused:
        raise OSError(refused.errno, os.strerror(refused.errno or 0), place.text) from None


def _warm_up() -> None:
    """Do once what is slow the first time, so that the first record does not wait for it."""
    datagram = struct.pack("!HH", 5, 1).ljust(24 + 48, b"\0")
    decoded = Decoder().decode(Datagrams.of([datagram], 2055))
    for rows in tables(decoded, exporter_rows([], 0, 0)).values():
        rows.write_parquet(io.BytesIO(), compression="lz4")
