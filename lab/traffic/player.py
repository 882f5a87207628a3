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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.key import UDP
from lab.traffic.base import PATIENCE_S, Stalled, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lab.traffic.schedule import Cast, Schedule, Sink

    Enter = Callable[[str], None]

BATCH: Final = 24
"""Frames sent between two looks at the queues, by all players together."""
MOST_WAITING_OCTETS: Final = 96 << 10
"""Kernel memory that may wait at all switches together. With a batch of full frames on top (2304
octets of kernel memory each) it fits into one port's queue: 212992 (net.core.rmem_default)."""
MOST_QUEUED_PACKETS: Final = 16
"""Packets that may wait at a slow link. They take up what the switch's socket may send, 212992
octets of kernel memory (net.core.wmem_default) or 92 full frames; what waits at the switch, 42 full
frames, and a batch may come on top before anybody looks again."""

_CHUNK: Final = 4096
_POLL_S: Final = 0.00005
_QUIET_POLLS: Final = 3
_QUIET_POLL_S: Final = 0.002
_HANDED_ON_S: Final = 30.0
_MOST_SKIPPED: Final = 15  # batches sent without asking a controller that gets nothing
_RMEM: Final = 6  # column of /proc/net/packet
_MOST_PORTS: Final = 1 << 20
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_KEEP_NOTHING: Final = struct.pack("HBBI", 0x06, 0, 0, 0)  # ret 0 (linux/filter.h)
_ZEROS: Final = bytes(65536)


class Queued(NamedTuple):
    """What waits at links that are slow, or long.

    Attributes:
        packets: at all of them together.
        longest: at the one that holds back most because it is slow.
    """

    packets: int
    longest: int


NOTHING_QUEUED: Final = Queued(0, 0)


def nobody_asked() -> int:
    """How many packets a controller has handled where none is asked to handle any."""
    return 0


def play(
    schedule: Schedule,
    at_s: float,
    enter: Enter,
    started: Callable[[], None],
    links: Callable[[], Queued] = lambda: NOTHING_QUEUED,
    controller: Callable[[], int] = nobody_asked,
    players: int = 1,
) -> dict[str, int]:
    """Send all of a schedule; return what was sent.

    Args:
        schedule: what to send.
        at_s: how long to wait before it begins.
        enter: moves this process into a host's network namespace.
        started: called when everything is open.
        links: how much slow links hold back.
        controller: returns when it has handled all packets that came to it, with their number.
        players: how many steps run at the same time and share the switches' queues.
    """
    with ExitStack() as opened:
        queues = opened.enter_context(_queues())
        for sink in schedule.sinks():
            enter(sink.host)
            opened.enter_context(_open(sink, schedule.cast))
        sockets = {}
        for name in schedule.senders:
            enter(name)
            sockets[schedule.cast.number(name)] = opened.enter_context(_packet_socket(name))
        started()
        time.sleep(at_s)
        room = _Room(queues, links, _now_and_then(controller), players)
        octets = _send(schedule, sockets, room)
        _await_end(lambda: queues() + links().packets, controller)
    return {"packets": len(schedule), "octets_l2": octets}


@dataclass(frozen=True)
class _Room:
    """What of the queues one player may fill.

    Attributes:
        octets: of kernel memory that waits at the switches.
        links: how much slow links hold back.
        controller: returns when it can take more.
        players: how many fill them at the same time.
    """

    octets: Callable[[], int]
    links: Callable[[], Queued]
    controller: Callable[[], None]
    players: int

    @property
    def batch(self) -> int:
        """Frames that it may send before it looks again."""
        return max(1, BATCH // self.players)

    def lacking(self) -> int:
        """How much is too much, in octets and packets together; 0: the next batch has room."""
        octets = self.octets() - MOST_WAITING_OCTETS // self.players
        packets = self.links().longest - MOST_QUEUED_PACKETS // self.players
        return max(0, octets) + max(0, packets)


def _send(schedule: Schedule, sockets: Mapping[int, socket.socket], room: _Room) -> int:
    begin_s = time.monotonic()
    batch = room.batch
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
            if not sent % batch:
                _hold_back(room, sent)
            head = heads[row * size : row * size + min(size, length)]
            rest = _ZEROS[: length - size] if length > size else b""
            octets += sockets[sender].sendmsg((head, rest))
            sent += 1
    return octets


def _now_and_then(controller: Callable[[], int]) -> Callable[[], None]:
    """Let a controller handle what came to it: always, while anything comes, else less often.

    What waits there for long is handed back late, and then exporters tell late times of it.
    """
    before, skipped, left = -1, 0, 0

    def asked() -> None:
        nonlocal before, skipped, left
        if left:
            left -= 1
            return
        now = controller()
        skipped = 0 if now != before else min(2 * skipped + 1, _MOST_SKIPPED)
        before, left = now, skipped

    return asked


def _hold_back(room: _Room, sent: int) -> None:
    """Wait until there is room; as long as it gets more now and then, others fill it up."""
    room.controller()
    before, since_s = room.lacking(), time.monotonic()
    while before:
        time.sleep(_POLL_S)
        now = room.lacking()
        if now < before:
            since_s = time.monotonic()
        elif time.monotonic() - since_s > PATIENCE_S:
            raise Stalled(f"after {sent} packets the switches took no more")
        before = now


def _await_end(waiting: Callable[[], int], controller: Callable[[], int]) -> None:
    """Wait until nothing is under way, neither at the switches nor by way of the controller.

    What a controller hands back goes to the next switch, and may come to it again from there. As
    long as others send as well that may never end, so there is a limit.
    """
    until_s = time.monotonic() + _HANDED_ON_S
    before, now = -1, controller()
    while now != before and time.monotonic() < until_s:
        _await_quiet(waiting)
        before, now = now, controller()


def _await_quiet(waiting: Callable[[], int]) -> None:
    """Wait until the switches have taken everything, and what follows from it.

    Slow links may take long; where nothing at all moves any more, nobody waits on.
    """
    before, since_s, quiet = 0, time.monotonic(), 0
    while quiet < _QUIET_POLLS and time.monotonic() - since_s < PATIENCE_S:
        time.sleep(_QUIET_POLL_S)
        now = waiting()
        quiet = 0 if now else quiet + 1
        if now != before:
            before, since_s = now, time.monotonic()


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


def _open(sink: Sink, cast: Cast) -> socket.socket:
    """A socket that takes what comes, so that the kernel does not complain; nobody reads it.

    Several players may have the same sink at the same time.
    """
    if sink.protocol == UDP:
        own = socket.socket(_FAMILY[sink.ip_version], socket.SOCK_DGRAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host = cast.hosts[cast.number(sink.host)]
        own.bind((address(host, sink.ip_version), sink.port))
    else:
        own = socket.socket(_FAMILY[sink.ip_version], socket.SOCK_RAW, sink.protocol)
    # A filter that keeps nothing: a full buffer would be no sink any more (net/ipv4/raw.c).
    program = ctypes.create_string_buffer(_KEEP_NOTHING)
    keep_nothing = struct.pack("HxxxxxxQ", 1, ctypes.addressof(program))
    own.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, keep_nothing)
    return own
