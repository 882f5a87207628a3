"""Datagrams out of a socket, a thousand with one system call, in columns.

Reading one datagram after the other costs 10 µs each in Python; with recvmmsg(2) the kernel fills a
slab, and what it says of each datagram is read as columns. Structures: recvmmsg(2), cmsg(3), ip(7),
ipv6(7), of 64-bit Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode.address import halves, ipv4_column
from collector.mmsg import LIBC, MESSAGE, PART, addresses
from collector.receive import DATAGRAM_OCTETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.receive import Port

DATAGRAMS: Final = 1_024
"""Received at most with one call."""
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
    """Room for the datagrams that one call receives from one port."""

    def __init__(self, port: Port) -> None:
        """Make room; nothing is received yet."""
        self.port = port
        self._family = port.socket.family
        self._usual = np.empty((DATAGRAMS, _USUAL_OCTETS), np.uint8)
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
        self._here = halves(port.address.partition("%")[0])

    def receive(self) -> Received | None:
        """Take what waits in the socket, up to `DATAGRAMS`; None if nothing does.

        Raises:
            OSError: the socket cannot be read.
        """
        self._messages["name_octets"] = self._names.itemsize
        self._messages["control_octets"] = _CONTROL_OCTETS
        count = LIBC.recvmmsg(
            self.port.socket.fileno(),
            ctypes.c_void_p(self._messages.ctypes.data),
            DATAGRAMS,
            socket.MSG_DONTWAIT,
            None,
        )
        if count <= 0:
            reason = ctypes.get_errno()
            # Nothing there; or an ICMP error of an earlier datagram, reported here.
            if reason in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                return None
            raise OSError(reason, os.strerror(reason))
        messages = self._messages[:count]
        self.port.datagrams += count
        self.port.truncated += int(((messages["flags"] & socket.MSG_TRUNC) != 0).sum())
        length = messages["octets"].astype(np.int64)
        buffer, offset = self._packed(length)
        timestamp_ns, destination = self._told(count)
        names = self._names[:count]
        return Received(
            buffer=buffer,
            offset=offset,
            length=length,
            timestamp_ns=timestamp_ns,
            source=self._column(names),
            source_port=names["port"].astype(np.uint16),
            destination=destination,
        )

    def _packed(self, length: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The datagrams in a buffer of their own, and where each begins."""
        width = int(min(length.max(), _USUAL_OCTETS))
        buffer = self._usual[: len(length), :width].copy().reshape(-1)
        offset = np.arange(len(length)) * width
        longer = np.flatnonzero(length > _USUAL_OCTETS).tolist()
        if longer:
            pieces = [buffer]
            at = len(buffer)
            for row in longer:
                offset[row] = at
                at += int(length[row])
                beyond = self._beyond[row, : length[row] - _USUAL_OCTETS]
                pieces += [self._usual[row], beyond]
            buffer = np.concatenate(pieces)
        return buffer, offset

    def _told(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """When the datagrams came, and where they were sent to, as far as the kernel says it."""
        controls = self._controls[:count]
        timestamp_ns = controls["seconds"] * 1_000_000_000 + controls["nanoseconds"]
        destination = self._column(controls)
        timed = (controls["time"] == _TIMESTAMPNS).all(axis=1)
        placed = timed & (controls["place"] == _PACKET_INFO[self._family]).all(axis=1)
        if not placed.all():
            timestamp_ns[~timed] = time.time_ns()
            destination[~placed] = self._here
        return timestamp_ns, destination

    def _column(self, rows: NDArray[np.void]) -> NDArray[np.uint64]:
        """The addresses of some structures as an address column."""
        if self._family == socket.AF_INET:
            return ipv4_column(rows["ipv4"])
        return rows["ipv6"].astype(np.uint64)


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
