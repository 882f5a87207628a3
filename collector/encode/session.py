"""What an exporter remembers from one datagram to the next, and what it hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector.decode.address import halves
from collector.decode.datagrams import Datagrams

if TYPE_CHECKING:
    from numpy.typing import NDArray

WRAP: Final = 1 << 32
"""Sequence numbers, uptimes and seconds have 32 bits."""
ROOM: Final = 16 + 14 + 20 + 8
"""Octets to spare in front of each datagram: for the headers of a capture's record, of Ethernet,
IPv4 and UDP."""


@dataclass(frozen=True, slots=True)
class Session:
    """One sequence of NetFlow or IPFIX datagrams."""

    sequence: int = 0
    """Of the next datagram; what it counts is the format's matter."""
    domain: int = 0
    """IPFIX: Observation Domain ID; NetFlow v9: source id; NetFlow v5: engine_type << 8 |
    engine_id."""
    boot_ms: int = 0
    """When the uptime was 0, in milliseconds since 1970."""


class Sent(NamedTuple):
    """Datagrams, in order."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    """Index of each datagram's first octet in the buffer."""
    length: NDArray[np.int64]
    records: NDArray[np.int64]
    """Data records, or samples, in each."""
    export_time_ns: NDArray[np.int64]
    """When each was sent, since 1970."""
    room: int = 0
    """Octets to spare in front of each."""

    def datagrams(
        self,
        destination_port: int,
        *,
        exporter: str = "192.0.2.1",
        source_port: int = 40_000,
        destination: str = "192.0.2.2",
    ) -> Datagrams:
        """The same with addresses: as a collector gets them."""
        count = len(self.offset)
        ends = (np.array(halves(address), np.uint64) for address in (exporter, destination))
        source, target = (np.broadcast_to(end, (count, 2)) for end in ends)
        return Datagrams(
            buffer=self.buffer,
            offset=self.offset,
            length=self.length,
            missing=np.zeros(count, np.int64),
            timestamp_ns=self.export_time_ns,
            source=source,
            source_port=np.broadcast_to(np.uint16(source_port), count),
            destination=target,
            destination_port=np.broadcast_to(np.uint16(destination_port), count),
            room=self.room,
        )


def of_items(export_time_ns: NDArray[np.int64] | int, last: NDArray[np.int64]) -> NDArray[np.int64]:
    """When datagrams leave: with their last items.

    Args:
        export_time_ns: of every item, or of all.
        last: the last item of each datagram.
    """
    times = np.asarray(export_time_ns, np.int64)
    return times[last] if times.ndim else np.full(len(last), times, np.int64)


def running(start: int, units: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Sequence numbers of datagrams, and the one after them.

    Args:
        start: of the first.
        units: how much each of them counts.
    """
    after = start + np.cumsum(units)
    return (after - units) % WRAP, int(after[-1]) % WRAP if len(units) else start
