"""The player: sends a schedule's frames, each from its host, when it is due.

One process with a packet socket in every sending host plays the whole schedule, so packets leave
in the planned order whoever sends them. Nothing is lost before a switch: it watches how much is
waiting at the switches' own packet sockets, and holds back before a queue could be full. Sources:
Linux, packet(7); ``net/packet/af_packet.c`` for ``/proc/net/packet``.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from collector.key import UDP
from lab.traffic.base import PATIENCE_S, Stalled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lab.traffic.schedule import Schedule, Sink

    Enter = Callable[[str], None]

BATCH: Final = 24
"""Frames sent between two looks at the queues."""
MOST_WAITING_OCTETS: Final = 96 << 10
"""Kernel memory that may wait at all switches together. With a batch of full frames on top (2304
octets of kernel memory each) it fits into one port's queue: 212992 (net.core.rmem_default)."""

_CHUNK: Final = 4096
_POLL_S: Final = 0.00005
_QUIET_POLLS: Final = 3
_QUIET_POLL_S: Final = 0.002
_RMEM: Final = 6  # column of /proc/net/packet
_MOST_PORTS: Final = 1 << 20
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_KEEP_NOTHING: Final = struct.pack("HBBI", 0x06, 0, 0, 0)  # ret 0 (linux/filter.h)
_ZEROS: Final = bytes(65536)


def play(
    schedule: Schedule, at_s: float, enter: Enter, started: Callable[[], None]
) -> dict[str, int]:
    """Send all of a schedule; return what was sent.

    Args:
        schedule: what to send.
        at_s: how long to wait before it begins.
        enter: moves this process into a host's network namespace.
        started: called when everything is open.
    """
    with ExitStack() as opened:
        queues = opened.enter_context(_queues())
        for sink in schedule.sinks():
            enter(sink.host)
            opened.enter_context(_open(sink))
        sockets = {}
        for name in schedule.senders:
            enter(name)
            sockets[schedule.cast.number(name)] = opened.enter_context(_packet_socket(name))
        started()
        time.sleep(at_s)
        octets = _send(schedule, sockets, queues)
        _await_quiet(queues)
    return {"packets": len(schedule), "octets_l2": octets}


def _send(
    schedule: Schedule, sockets: Mapping[int, socket.socket], waiting: Callable[[], int]
) -> int:
    begin_s = time.monotonic()
    sent, octets = 0, 0
    for first in range(0, len(schedule), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        heads = memoryview(schedule.heads[chunk].tobytes())
        size = schedule.heads.shape[1]
        columns = (schedule.at_s[chunk], schedule.sender[chunk], schedule.lengths[chunk])
        for row, (due_s, sender, length) in enumerate(
            zip(*(c.tolist() for c in columns), strict=True)
        ):
            wait_s = begin_s + due_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            if not sent % BATCH:
                _hold_back(waiting, sent)
            head = heads[row * size : row * size + min(size, length)]
            rest = _ZEROS[: length - size] if length > size else b""
            octets += sockets[sender].sendmsg((head, rest))
            sent += 1
    return octets


def _hold_back(waiting: Callable[[], int], sent: int) -> None:
    least = waiting()
    since_s = time.monotonic()
    while (now := waiting() if least > MOST_WAITING_OCTETS else 0) > MOST_WAITING_OCTETS:
        if now < least:
            least, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > PATIENCE_S:
            raise Stalled(f"after {sent} packets the switches took no more")
        time.sleep(_POLL_S)


def _await_quiet(waiting: Callable[[], int]) -> None:
    """Wait until the switches have taken everything, and what follows from it."""
    until_s, quiet = time.monotonic() + PATIENCE_S, 0
    while quiet < _QUIET_POLLS and time.monotonic() < until_s:
        time.sleep(_QUIET_POLL_S)
        quiet = 0 if waiting() else quiet + 1


@contextmanager
def _queues() -> Iterator[Callable[[], int]]:
    """How many octets of kernel memory wait at the packet sockets of the switches' namespace.

    The file is that of the namespace in which it is opened, wherever this process goes then.
    """
    descriptor = os.open("/proc/thread-self/net/packet", os.O_RDONLY)

    def waiting() -> int:
        os.lseek(descriptor, 0, os.SEEK_SET)
        text = b""
        while part := os.read(descriptor, _MOST_PORTS):
            text += part
        return sum(int(line.split(None, _RMEM + 1)[_RMEM]) for line in text.splitlines()[1:])

    try:
        yield waiting
    finally:
        os.close(descriptor)


def _packet_socket(host: str) -> socket.socket:
    """A socket that sends frames from a host's interface, and receives none."""
    own = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    own.bind((f"{host}-eth0", 0))
    return own


def _open(sink: Sink) -> socket.socket:
    """A socket that takes what comes, so that the kernel does not complain; nobody reads it."""
    if sink.protocol == UDP:
        own = socket.socket(_FAMILY[sink.ip_version], socket.SOCK_DGRAM)
        own.bind(("", sink.port))
    else:
        own = socket.socket(_FAMILY[sink.ip_version], socket.SOCK_RAW, sink.protocol)
    # A filter that keeps nothing: a full buffer would be no sink any more (net/ipv4/raw.c).
    program = ctypes.create_string_buffer(_KEEP_NOTHING)
    keep_nothing = struct.pack("HxxxxxxQ", 1, ctypes.addressof(program))
    own.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, keep_nothing)
    return own
