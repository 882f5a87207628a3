"""Datagrams into a socket, many with one system call, at a given rate.

The counterpart of `collector.slab`: sendmmsg(2), with the structures of 64-bit Linux.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.mmsg import LIBC, MESSAGE, PART, addresses

if TYPE_CHECKING:
    import socket

    from numpy.typing import NDArray

AT_ONCE: Final = 256
"""Datagrams sent at most with one call."""
_SLICE_S: Final = 0.000_25
"""How far ahead of its rate a sender may be: what is due in this time leaves at once."""
_CATCH_UP: Final = 2
"""A sender that was held up goes on at so many times its rate, not with all of it at once: that
would be a rate that nobody asked for, and more than a receiver's buffer holds."""


def send(
    out: socket.socket,
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    rate_dps: float | None = None,
) -> float:
    """Send datagrams, in order, through a connected socket; how many seconds that took.

    Args:
        out: a blocking socket, connected.
        buffer: the octets, contiguous.
        offset: where each datagram begins in it.
        length: octets of each.
        rate_dps: datagrams per second; None: as fast as the kernel takes them.

    Raises:
        OSError: one cannot be sent.
    """
    parts = np.zeros(len(offset), PART)
    parts["at"] = np.uint64(buffer.ctypes.data) + offset.astype(np.uint64)
    parts["octets"] = length
    messages = np.zeros(len(offset), MESSAGE)
    messages["parts"] = addresses(parts)
    messages["part_count"] = 1
    started_s = time.perf_counter()
    before_s = started_s - _SLICE_S
    sent = 0
    while sent < len(messages):
        due = len(messages)
        if rate_dps is not None:
            now_s = time.perf_counter()
            most = math.ceil(min(now_s - before_s, _SLICE_S) * rate_dps * _CATCH_UP)
            due = min(due, int((now_s - started_s + _SLICE_S) * rate_dps), sent + most)
            if due <= sent:
                time.sleep(_SLICE_S / 4)
                continue
            before_s = now_s
        sent += _send(out.fileno(), messages[sent : min(due, sent + AT_ONCE)])
    return time.perf_counter() - started_s


def _send(descriptor: int, messages: NDArray[np.void]) -> int:
    """Send some; how many were sent."""
    count = LIBC.sendmmsg(descriptor, ctypes.c_void_p(messages.ctypes.data), len(messages), 0)
    if count >= 0:
        return int(count)
    reason = ctypes.get_errno()
    # Nobody listened to an earlier one: that is reported now, and says nothing of this one.
    if reason in (errno.ECONNREFUSED, errno.EINTR):
        return 0
    raise OSError(reason, os.strerror(reason))
