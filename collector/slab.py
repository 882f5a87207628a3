"""Datagrams out of a socket, a thousand with one system call, in columns.

Reading one datagram after the other costs 10 µs each in Python; with recvmmsg(2) the kernel fills
many places of a ring at once, and what it says of each datagram is read as columns. Threads of the
compiled kernel (`collector.kernel`) do that while Python computes, on two processors: one of them
alone may be busy, or away for milliseconds if it is virtual, and a small buffer is full by then.
Without that kernel each call of `Slab.receive` does it. Structures: recvmmsg(2), cmsg(3),
ip(7), ipv6(7), of 64-bit Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import kernel
from collector.decode.address import halves, ipv4_column
from collector.mmsg import LIBC, MESSAGE, PART, addresses
from collector.receive import DATAGRAM_OCTETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.receive import Port

DATAGRAMS: Final = 4_096
"""Places of the ring. With 2 KB for each it fits what a burst brings while Python is elsewhere."""
_AT_ONCE: Final = 1_024
"""Received at most with one call: what Linux allows (UIO_MAXIOV)."""
_PROCESSORS: Final = 2
"""On so many at most somebody waits for datagrams."""
_USUAL_OCTETS: Final = 2_048
"""What of a datagram lies in the slab itself; the rest of longer ones lies beside it."""
_CONTROL_OCTETS: Final = 128

_NAMES: Final = {
    socket.AF_INET: np.dtype(
        {"names": ["port", "ipv4"], "formats": [">u2", ">u4"], "offsets": [2, 4], "itemsize": 28}
    ),
    socket.AF_INET6: np.dtype(
        {
            "names": ["port", "ipv6"],
            "formats": [">u2", (">u8", (2,))],
            "offsets": [2, 8],
            "itemsize": 28,
        }
    ),
}
"""struct sockaddr_in and sockaddr_in6."""
_CONTROL: Final = np.dtype(
    {
        "names": ["time", "seconds", "nanoseconds", "place", "ipv4", "ipv6"],
        "formats": [("i4", (2,)), "i8", "i8", ("i4", (2,)), ">u4", (">u8", (2,))],
        "offsets": [8, 16, 24, 40, 56, 48],
        "itemsize": _CONTROL_OCTETS,
    }
)
"""Two struct cmsghdr with what they carry: struct timespec; struct in_pktinfo or in6_pktinfo. Of
each header level and type; the kernel writes them in this order (net/ipv4/udp.c, udp_recvmsg)."""
_TIMESTAMPNS: Final = (socket.SOL_SOCKET, 35)
_PACKET_INFO: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 8),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
}


class Received(NamedTuple):
    """Some datagrams of one port; a value per datagram."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    timestamp_ns: NDArray[np.int64]
    """Since 1970 (UTC), by the kernel."""
    source: NDArray[np.uint64]
    """Address column."""
    source_port: NDArray[np.uint16]
    destination: NDArray[np.uint64]
    """Address column."""

    def __len__(self) -> int:
        """How many datagrams."""
        return len(self.offset)


class Slab:
    """A ring with room for the datagrams that wait to be taken from one port."""

    def __init__(self, port: Port) -> None:
        """Make room; nothing is received yet."""
        self.port = port
        self._family = port.socket.family
        self._usual = np.empty((DATAGRAMS, _USUAL_OCTETS), np.uint8)
        self._usual.fill(0)  # A page that comes to be when a datagram needs it makes it wait.
        # Pages that no datagram reaches never come to be.
        self._beyond = np.empty((DATAGRAMS, DATAGRAM_OCTETS - _USUAL_OCTETS), np.uint8)
        self._names = np.zeros(DATAGRAMS, _NAMES[self._family])
        self._controls = np.zeros(DATAGRAMS, _CONTROL)
        self._parts = np.zeros((DATAGRAMS, 2), PART)
        self._messages = np.zeros(DATAGRAMS, MESSAGE)
        for column, room in enumerate((self._usual, self._beyond)):
            self._parts["at"][:, column] = addresses(room)
            self._parts["octets"][:, column] = room.shape[1]
        self._messages["name"] = addresses(self._names)
        self._messages["parts"] = addresses(self._parts)
        self._messages["part_count"] = 2
        self._messages["control"] = addresses(self._controls)
        self._make_ready(slice(None))
        self._taken, self._given = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        self._turn = np.zeros(1, np.uint64)
        self._stop = np.zeros(1, np.int64)
        self._event: int | None = None
        self._threads: list[threading.Thread] = []
        self._error = 0

    def start(self) -> None:
        """Have threads fill the ring from now on, if the compiled kernel is there."""
        if not kernel.there():
            return
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        begun = threading.Barrier(1 + len(processors := _processors()))
        for processor in processors:
            thread = threading.Thread(target=self._fill, args=(processor, begun), daemon=True)
            thread.start()
            self._threads.append(thread)
        begun.wait()

    def stop(self) -> None:
        """Fill the ring only when somebody asks."""
        self._stop[0] = 1
        for thread in self._threads:
            thread.join()
        self._threads = []
        if self._event is not None:
            os.close(self._event)
            self._event = None

    @property
    def native_ids(self) -> set[int | None]:
        """The kernel's numbers of the threads that fill the ring."""
        return {thread.native_id for thread in self._threads}

    def fileno(self) -> int:
        """What is readable when there is something to receive: for selectors."""
        return self.port.socket.fileno() if self._event is None else self._event

    def receive(self) -> Received | None:
        """Take what waits, as much as lies together in the ring; None if nothing does.

        Raises:
            OSError: the socket cannot be read.
        """
        if self._event is None:
            self._fill_once()
        else:
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        if self._error:
            raise OSError(self._error, os.strerror(self._error))
        first, end = int(self._given[0]), int(self._taken[0])
        if first == end:
            return None
        at = first % DATAGRAMS
        rows = slice(at, min(DATAGRAMS, at + end - first))
        messages = self._messages[rows]
        self.port.datagrams += len(messages)
        self.port.truncated += int(((messages["flags"] & socket.MSG_TRUNC) != 0).sum())
        length = messages["octets"].astype(np.int64)
        buffer, offset = self._packed(rows, length)
        timestamp_ns, destination = self._told(rows)
        names = self._names[rows]
        received = Received(
            buffer=buffer,
            offset=offset,
            length=length,
            timestamp_ns=timestamp_ns,
            source=self._column(names),
            source_port=names["port"].astype(np.uint16),
            destination=destination,
        )
        self._make_ready(rows)
        self._given[0] = first + len(messages)
        if self._event is not None and self._taken[0] != self._given[0]:
            os.eventfd_write(self._event, 1)  # What lies at the other end of the ring waits too.
        return received

    def _fill(self, processor: int, begun: threading.Barrier) -> None:
        """Fill the ring until `stop`, on one processor."""
        assert self._event is not None
        with suppress(OSError):  # It is not ours any more: then on any.
            os.sched_setaffinity(0, {processor})  # 0: this thread
        begun.wait()
        counters = self._turn, self._taken, self._given, self._stop
        descriptor = self.port.socket.fileno()
        error = kernel.take(descriptor, self._event, self._messages, *counters)
        if error:
            self._error = error
            os.eventfd_write(self._event, 1)

    def _fill_once(self) -> None:
        """Fill what is free of the ring with what waits in the socket."""
        first, end = int(self._given[0]), int(self._taken[0])
        at = end % DATAGRAMS
        some = min(DATAGRAMS - at, DATAGRAMS - (end - first), _AT_ONCE)
        if not some:
            return
        place = ctypes.c_void_p(self._messages[at:].ctypes.data)
        descriptor = self.port.socket.fileno()
        count = LIBC.recvmmsg(descriptor, place, some, socket.MSG_DONTWAIT, None)
        if count >= 0:
            self._taken[0] = end + count
            return
        reason = ctypes.get_errno()
        # Nothing there; or an ICMP error of an earlier datagram, reported here.
        if reason not in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
            self._error = reason

    def _make_ready(self, rows: slice) -> None:
        """Say again how much room there is, where the kernel said how much it used."""
        self._messages["name_octets"][rows] = self._names.itemsize
        self._messages["control_octets"][rows] = _CONTROL_OCTETS

    def _packed(
        self, rows: slice, length: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The datagrams in a buffer of their own, and where each begins."""
        width = int(min(length.max(), _USUAL_OCTETS))
        usual, beyond = self._usual[rows], self._beyond[rows]
        buffer = usual[:, :width].copy().reshape(-1)
        offset = np.arange(len(length)) * width
        longer = np.flatnonzero(length > _USUAL_OCTETS).tolist()
        if longer:
            pieces = [buffer]
            at = len(buffer)
            for row in longer:
                offset[row] = at
                at += int(length[row])
                pieces += [usual[row], beyond[row, : length[row] - _USUAL_OCTETS]]
            buffer = np.concatenate(pieces)
        return buffer, offset

    def _told(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """When the datagrams came, and where they were sent to, as far as the kernel says it."""
        controls = self._controls[rows]
        timestamp_ns = controls["seconds"] * 1_000_000_000 + controls["nanoseconds"]
        destination = self._column(controls)
        timed = (controls["time"] == _TIMESTAMPNS).all(axis=1)
        placed = timed & (controls["place"] == _PACKET_INFO[self._family]).all(axis=1)
        if not placed.all():
            timestamp_ns[~timed] = time.time_ns()
            destination[~placed] = halves(self.port.address.partition("%")[0])
        return timestamp_ns, destination

    def _column(self, rows: NDArray[np.void]) -> NDArray[np.uint64]:
        """The addresses of some structures as an address column."""
        if self._family == socket.AF_INET:
            return ipv4_column(rows["ipv4"])
        return rows["ipv6"].astype(np.uint64)


def _processors() -> list[int]:
    """Those to wait on, apart from each other: neighbours may share a core."""
    allowed = sorted(os.sched_getaffinity(0))
    return sorted({allowed[len(allowed) * place // _PROCESSORS] for place in range(_PROCESSORS)})


def together(received: list[Received]) -> Received:
    """All of them, as if they had been received at once."""
    if len(received) == 1:
        return received[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in received]) for name in Received._fields
    }
    sizes = np.array([len(one.buffer) for one in received])
    starts = np.repeat(np.cumsum(sizes) - sizes, [len(one) for one in received])
    return Received(**columns | {"offset": columns["offset"] + starts})
