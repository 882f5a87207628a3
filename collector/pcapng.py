"""Read pcapng files: sections, interfaces, and the frames of all three kinds of packet blocks.

File format: draft-ietf-opsawg-pcapng. A file is blocks of a type, a length, content, and the length
again. Section headers say the byte order, interface descriptions the link type and the unit of
times; blocks of other types are stepped over. Blocks of one byte order are read in columns.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector.chain import Kind, follow
from collector.decode.octets import Octets
from collector.frames import Frames, Stop
from collector.recording import ETHERNET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SECTION: Final = 0x0A0D0D0A
"""Type of a section header: the same in both byte orders."""
INTERFACES: Final = 65_536
"""Read of one section."""
TURNS: Final = 1_024
"""Changes of byte order within one file."""
BLOCK_OCTETS: Final = 16 << 20
"""The longest block a file may hold: the limit of Wireshark too."""
_BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
_INTERFACE, _OBSOLETE_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_PACKETS: Final = (_OBSOLETE_PACKET, _SIMPLE_PACKET, _PACKET)
_SHORTEST, _SHORTEST_INTERFACE = 12, 20
_HEAD_OCTETS, _SIMPLE_HEAD_OCTETS, _TAIL_OCTETS = 28, 12, 4
"""Of a packet block, in front of the frame, and behind it."""
_TSRESOL, _TSOFFSET = 9, 14
_MICROSECONDS: Final = 6
_KINDS: Final = {
    order: Kind(
        order=order,
        head=_SHORTEST,
        length_at=4,
        beside=0,
        shortest=_SHORTEST,
        longest=BLOCK_OCTETS,
        mark_at=0,
        spread=0,
    )
    for order in "<>"
}
_NO_BLOCK = "no pcapng block"
_CUT = "file ends within a block"
_CONTRADICTIONS: Final = (
    "",
    "no interface description",
    "packet block shorter than its head",
    "a packet of an interface that is not described",
    "frame longer than its block",
)


class Interface(NamedTuple):
    """What an interface description says."""

    linktype: int
    snaplen: int
    """Octets of a frame that it lets through; 0: all."""
    resolution: int
    """if_tsresol: 10^-n, or with the highest bit 2^-n, of a second."""
    offset_s: int


class _Blocks(NamedTuple):
    """Whole blocks of one byte order; every column has one value per block."""

    at: NDArray[np.int64]
    kind: NDArray[np.uint32]
    length: NDArray[np.int64]
    described: NDArray[np.int64]
    """Interfaces described so far, this block included."""
    first: NDArray[np.int64]
    """Those of them that earlier sections described."""


class _Packets(NamedTuple):
    """What packet blocks say; every column has one value per block."""

    row: NDArray[np.int64]
    """Which of the blocks."""
    offset: NDArray[np.int64]
    """Of the frame."""
    room: NDArray[np.int64]
    """Octets of the block that may be frame."""
    captured: NDArray[np.int64]
    original: NDArray[np.int64]
    stamp: NDArray[np.uint64]
    interface: NDArray[np.int64]
    """Counted from the first one that was described."""
    simple: NDArray[np.bool_]
    """It says nothing of its time, its interface, and how much of the frame was captured."""

    def until(self, block: int) -> _Packets:
        """Those in front of a block."""
        number = int(np.searchsorted(self.row, block))
        return self._replace(**{name: it[:number] for name, it in self._asdict().items()})


class Pcapng:
    """A file that is read piece by piece."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._order = "<"
        self._turns = 0
        self._interfaces: list[Interface] = []
        """Of this section."""

    def begins(self, header: bytes) -> bool:
        """Whether a file that begins like this is one: it has a section."""
        octets = Octets(np.frombuffer(header, np.uint8))
        return len(header) >= _SHORTEST and _order_at(octets, 0, self._order) is not None

    def frames(self, buffer: NDArray[np.uint8], begin: int) -> Frames:
        """The frames in the octets from `begin` on, where a block begins."""
        octets = Octets(buffer)
        stop, parts = Stop(begin), [_no_frames()]
        while not stop.reason and stop.at < len(octets):
            at = stop.at
            order = _order_at(octets, at, self._order)
            self._turns += order != self._order
            if order is None or self._turns > TURNS:
                reason = (
                    "byte order changes too often" if order else "a section in no known byte order"
                )
                stop = Stop(at, _SHORTEST, reason, hopeless=True)
                break
            self._order = order
            found, stop = _chain(octets, at, order)
            blocks = _blocks(octets, found, order, len(self._interfaces))
            packets = _packets(octets, blocks, order)
            row, reason = _contradiction(blocks, packets)
            if reason:
                stop = Stop(int(found[row]), int(blocks.length[row]), reason, hopeless=True)
            parts.append(self._frames(octets, blocks, packets, row))
        offsets, lengths, original, timestamps_ns, linktypes = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        linktype = int(linktypes[0]) if len(linktypes) else ETHERNET
        mixed = linktypes if (linktypes != linktype).any() else None
        return Frames(offsets, lengths, original, timestamps_ns, linktype, mixed, stop)

    def _frames(self, octets: Octets, blocks: _Blocks, packets: _Packets, until: int) -> _Columns:
        """The frames in the blocks in front of one; what these say of interfaces is kept."""
        described = blocks.at[:until][blocks.kind[:until] == _INTERFACE].tolist()
        self._interfaces += [_interface(octets, at, self._order) for at in described]
        columns = _columns(packets.until(until), self._interfaces)
        if until:
            del self._interfaces[: int(blocks.first[until - 1])]
        return columns


_Columns = tuple["NDArray[np.int64]", ...]
"""Offsets, lengths, original lengths, timestamps in nanoseconds, link types of frames."""


def _no_frames() -> _Columns:
    """Columns without rows."""
    return tuple(np.empty((5, 0), np.int64))


def _order_at(octets: Octets, at: int, order: str) -> str | None:
    """The byte order from here on: a new one where a section begins; None if it is not known."""
    data = octets.buffer.data
    if at + _SHORTEST > len(octets) or struct.unpack_from("<I", data, at)[0] != SECTION:
        return order
    for one in "<>":
        if struct.unpack_from(one + "I", data, at + 8)[0] == _BYTE_ORDER_MAGIC:
            return one
    return None


def _chain(octets: Octets, at: int, order: str) -> tuple[NDArray[np.int64], Stop]:
    """Where whole blocks of one byte order begin; where they end, and why no block follows."""
    found, _, end = follow(octets, at, _KINDS[order])
    if not len(found):
        return found, _missing(octets, end, order)
    words = octets.words(found, 3, order)
    odd = words[:, 1] % 4 != 0
    turned = (words[:, 0] == SECTION) & (words[:, 2] != _BYTE_ORDER_MAGIC)
    if not (odd | turned).any():
        return found, Stop(end)
    row = int((odd | turned).argmax())
    end = int(found[row])
    sound = Stop(end) if turned[row] else Stop(end, _SHORTEST, _NO_BLOCK, hopeless=True)
    return found[:row], sound


def _missing(octets: Octets, at: int, order: str) -> Stop:
    """Why no whole block begins here."""
    if at + _SHORTEST > len(octets):
        return Stop(at, _SHORTEST, _CUT)
    (length,) = struct.unpack_from(order + "I", octets.buffer.data, at + 4)
    if _SHORTEST <= length <= BLOCK_OCTETS and not length % 4:
        return Stop(at, length, _CUT)
    return Stop(at, _SHORTEST, _NO_BLOCK, hopeless=True)


def _blocks(octets: Octets, at: NDArray[np.int64], order: str, described: int) -> _Blocks:
    """What the blocks say that begin at these places; so many interfaces are described before."""
    words = octets.words(at, 2, order)
    kind = words[:, 0]
    known = described + np.cumsum(kind == _INTERFACE)
    first = np.maximum.accumulate(np.where(kind == SECTION, known, 0))
    return _Blocks(at, kind, words[:, 1].astype(np.int64), known, first)


def _packets(octets: Octets, blocks: _Blocks, order: str) -> _Packets:
    """What the packet blocks say that are as long as their head."""
    with_head = (blocks.kind == _PACKET) | (blocks.kind == _OBSOLETE_PACKET)
    with_head &= blocks.length >= _HEAD_OCTETS + _TAIL_OCTETS
    simple = (blocks.kind == _SIMPLE_PACKET) & (blocks.length >= _SIMPLE_HEAD_OCTETS + _TAIL_OCTETS)
    row = np.flatnonzero(with_head | simple)
    plain = simple[row]
    head = np.where(plain, _SIMPLE_HEAD_OCTETS, _HEAD_OCTETS)
    at, room = blocks.at[row], blocks.length[row] - head - _TAIL_OCTETS
    words = np.zeros((len(row), 5), np.int64)
    words[~plain] = octets.words(at[~plain] + 8, 5, order)
    obsolete = blocks.kind[row] == _OBSOLETE_PACKET
    # Its interface is the first half of a word; the other half counts drops.
    words[obsolete, 0] = words[obsolete, 0] >> (16 if order == ">" else 0) & 0xFFFF
    original = words[:, 4]
    original[plain] = octets.words(at[plain] + 8, 1, order)[:, 0]
    captured = np.where(plain, np.minimum(original, room), words[:, 3])
    stamp = words[:, 1].astype(np.uint64) << np.uint64(32) | words[:, 2].astype(np.uint64)
    interface = blocks.first[row] + words[:, 0]
    return _Packets(row, at + head, room, captured, original, stamp, interface, plain)


def _contradiction(blocks: _Blocks, packets: _Packets) -> tuple[int, str]:
    """The first block that contradicts itself or others, and how; their number, if none does."""
    which = np.zeros(len(blocks.at), np.uint8)
    interface = blocks.kind == _INTERFACE
    which[interface & (blocks.length < _SHORTEST_INTERFACE)] = 1
    which[interface & (blocks.described - blocks.first > INTERFACES)] = 1
    which[np.isin(blocks.kind, _PACKETS)] = 2
    which[packets.row] = np.where(
        packets.interface >= blocks.described[packets.row],
        3,
        np.where(packets.captured > packets.room, 4, 0),
    )
    row = int((which > 0).argmax()) if which.any() else len(which)
    return row, _CONTRADICTIONS[which[row]] if row < len(which) else ""


def _columns(packets: _Packets, interfaces: Sequence[Interface]) -> _Columns:
    """The frames of packets."""
    linktype, snaplen, resolution = (
        np.array(column, np.int64)[packets.interface]
        for column in (
            [one.linktype for one in interfaces],
            [one.snaplen for one in interfaces],
            [one.resolution for one in interfaces],
        )
    )
    # Modulo 2^64, whatever the file says.
    offsets = [one.offset_s * 1_000_000_000 % (1 << 64) for one in interfaces]
    offset = np.array(offsets, np.uint64)[packets.interface]
    cut = packets.simple & (snaplen > 0)
    lengths = np.where(cut, np.minimum(packets.captured, snaplen), packets.captured)
    timestamps_ns = np.zeros(len(linktype), np.int64)
    for one in {interface.resolution for interface in interfaces}:
        rows = np.flatnonzero(resolution == one)
        timestamps_ns[rows] = _nanoseconds(packets.stamp[rows], one)
    timestamps_ns = (timestamps_ns.view(np.uint64) + offset).view(np.int64)
    return packets.offset, lengths, np.maximum(packets.original, lengths), timestamps_ns, linktype


def _nanoseconds(stamps: NDArray[np.uint64], resolution: int) -> NDArray[np.int64]:
    """Timestamps of this if_tsresol in nanoseconds."""
    exponent = resolution & 0x7F
    if resolution & 0x80:
        unit = 1 << exponent
        counted = [stamp * 1_000_000_000 // unit for stamp in stamps.tolist()]
        return np.array([value & (1 << 63) - 1 for value in counted], np.int64)
    if exponent <= 9:
        return (stamps * np.uint64(10 ** (9 - exponent))).astype(np.int64)
    return (stamps // np.uint64(10 ** min(exponent - 9, 19))).astype(np.int64)


def _interface(octets: Octets, at: int, order: str) -> Interface:
    """Read an interface description and its options."""
    data = octets.buffer.data
    length, linktype, snaplen = struct.unpack_from(order + "IHxxI", data, at + 4)
    resolution, offset_s = _MICROSECONDS, 0
    option, end = at + 16, at + length - _TAIL_OCTETS
    while option + 4 <= end:
        code, size = struct.unpack_from(order + "HH", data, option)
        if not code or option + 4 + size > end:
            break
        if code == _TSRESOL and size == 1:
            resolution = data[option + 4]
        elif code == _TSOFFSET and size == 8:
            (offset_s,) = struct.unpack_from(order + "q", data, option + 4)
        option += 4 + (size + 3 & ~3)
    return Interface(linktype, snaplen, resolution, offset_s)
