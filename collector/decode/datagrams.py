"""Export datagrams as columns: what every decoder starts from, live or from a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from collector.decode.address import halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from collector.fault import Fault


@dataclass(frozen=True, slots=True)
class Datagrams:
    """UDP payloads in arrival order; every column has one value per datagram."""

    buffer: NDArray[np.uint8]
    """The octets they are in."""
    offset: NDArray[np.int64]
    """Index of each payload's first octet in the buffer."""
    length: NDArray[np.int64]
    """Octets that are there."""
    missing: NDArray[np.int64]
    """Octets that the sender sent and the recording cut off."""
    timestamp_ns: NDArray[np.int64]
    """When it arrived, since 1970 (UTC)."""
    source: NDArray[np.uint64]
    """The exporter: address column, shape (n, 2)."""
    source_port: NDArray[np.uint16]
    destination: NDArray[np.uint64]
    """Address column, shape (n, 2)."""
    destination_port: NDArray[np.uint16]
    faults: tuple[Fault, ...] = ()
    """Frames of the capture that hold no whole datagram."""
    others: int = 0
    """Frames of the capture that are something else than UDP."""
    room: int = 0
    """Octets in front of each, behind the one before, that are nobody's."""

    def __len__(self) -> int:
        """How many datagrams."""
        return len(self.offset)

    def take(self, rows: NDArray[np.int64]) -> Datagrams:
        """Some of them, in the order of `rows`."""
        return replace(
            self,
            room=0,
            offset=self.offset[rows],
            length=self.length[rows],
            missing=self.missing[rows],
            timestamp_ns=self.timestamp_ns[rows],
            source=self.source[rows],
            source_port=self.source_port[rows],
            destination=self.destination[rows],
            destination_port=self.destination_port[rows],
        )

    @classmethod
    def of(
        cls,
        payloads: Sequence[bytes],
        destination_port: int,
        *,
        exporter: str = "192.0.2.1",
        source_port: int = 40_000,
        timestamp_ns: int = 0,
    ) -> Datagrams:
        """Datagrams of one exporter from their octets."""
        count = len(payloads)
        length = np.array([len(payload) for payload in payloads], np.int64)
        addresses = np.full((count, 2), halves(exporter), np.uint64)
        return cls(
            buffer=np.frombuffer(b"".join(payloads), np.uint8),
            offset=np.cumsum(length) - length,
            length=length,
            missing=np.zeros(count, np.int64),
            timestamp_ns=np.full(count, timestamp_ns, np.int64),
            source=addresses,
            source_port=np.full(count, source_port, np.uint16),
            destination=np.zeros_like(addresses),
            destination_port=np.full(count, destination_port, np.uint16),
        )
