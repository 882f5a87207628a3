"""Read pcapng files: sections, interfaces, and the frames of both kinds of packet blocks.

File format: draft-ietf-opsawg-pcapng. A file is blocks of a type, a length, content, and the length
again. Section headers say the byte order, interface descriptions the link type and the unit of
times; blocks of other types are stepped over.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector.frames import Frames, Stop
from collector.recording import ETHERNET

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECTION: Final = 0x0A0D0D0A
_BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
_INTERFACE, _OBSOLETE_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_PACKET_HEADS: Final = {_PACKET: 28, _OBSOLETE_PACKET: 28, _SIMPLE_PACKET: 12}
"""Octets in front of the frame."""
_TSRESOL, _TSOFFSET = 9, 14
_MICROSECONDS: Final = 6
INTERFACES: Final = 65_536
"""Read of one file."""
_BLOCK_OCTETS: Final = 64 << 20
"""No block is longer."""


class Interface(NamedTuple):
    """What an interface description says."""

    linktype: int
    snaplen: int
    resolution: int
    """if_tsresol: 10^-n, or with the highest bit 2^-n, of a second."""
    offset_s: int

    def nanoseconds(self, stamps: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Timestamps of this interface in nanoseconds since 1970."""
        exponent = self.resolution & 0x7F
        if self.resolution & 0x80:
            unit = 1 << exponent
            counted = [stamp * 1_000_000_000 // unit for stamp in stamps.tolist()]
            found = np.array([value & (1 << 63) - 1 for value in counted], np.int64)
        elif exponent <= 9:
            found = (stamps * np.uint64(10 ** (9 - exponent))).astype(np.int64)
        else:
            found = (stamps // np.uint64(10 ** min(exponent - 9, 19))).astype(np.int64)
        # Modulo 2^64, whatever the file says.
        shift = self.offset_s * 1_000_000_000 & (1 << 64) - 1
        return (found.view(np.uint64) + np.uint64(shift)).view(np.int64)


class Pcapng:
    """A file that is read piece by piece."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.octets = memoryview(b"")
        self.order = "<"
        self.section = 0
        """Index of the first interface of this section."""
        self.interfaces: list[Interface] = []
        self.found: list[tuple[int, int, int, int, int]] = []
        """Frames of this piece: offset, length, original length, timestamp, interface."""

    def begins(self, header: bytes) -> bool:
        """Whether a file that begins like this is one: it has a section."""
        self.octets = memoryview(header)
        return len(header) >= 12 and self._byte_order(0) is not None

    def frames(self, buffer: NDArray[np.uint8], begin: int) -> Frames:
        """The frames in the octets from `begin` on, where a block begins."""
        self.octets, self.found = buffer.data, []
        stop = self._blocks(begin)
        columns = np.array(self.found, np.uint64).reshape(-1, 5)
        offsets, lengths, original, number = (
            columns[:, column].astype(np.int64) for column in (0, 1, 2, 4)
        )
        stamps = columns[:, 3]
        timestamps_ns = np.zeros(len(columns), np.int64)
        linktypes = np.zeros(len(columns), np.int64)
        for which in np.unique(number).tolist():
            rows = number == which
            interface = self.interfaces[which]
            timestamps_ns[rows] = interface.nanoseconds(stamps[rows])
            linktypes[rows] = interface.linktype
        mixed = len(linktypes) > 0 and bool((linktypes != linktypes[0]).any())
        return Frames(
            offsets,
            lengths,
            np.maximum(original, lengths),
            timestamps_ns,
            int(linktypes[0]) if len(linktypes) else ETHERNET,
            linktypes if mixed else None,
            stop,
        )

    def _blocks(self, at: int) -> Stop:
        """Read block after block; return where that had to stop."""
        size = len(self.octets)
        while at + 12 <= size:
            kind, length = struct.unpack_from(self.order + "II", self.octets, at)
            if kind == SECTION:
                order = self._byte_order(at)
                if order is None:
                    return Stop(at, 12, "a section in no known byte order", hopeless=True)
                self.order = order
                self.section = len(self.interfaces)
                (length,) = struct.unpack_from(order + "I", self.octets, at + 4)
            if length < 12 or length % 4 or length > _BLOCK_OCTETS:
                return Stop(at, 12, "no pcapng block", hopeless=True)
            if at + length > size:
                return Stop(at, length, "file ends within a block")
            reason = self._block(kind, at, length)
            if reason:
                return Stop(at, length, reason, hopeless=True)
            at += length
        return Stop(at) if at == size else Stop(at, 12, "file ends within a block")

    def _byte_order(self, at: int) -> str | None:
        """Of the section that begins here, as struct writes it."""
        for order in "<>":
            if struct.unpack_from(order + "I", self.octets, at + 8)[0] == _BYTE_ORDER_MAGIC:
                return order
        return None

    def _block(self, kind: int, at: int, length: int) -> str:
        """Read one block; return what is wrong with it, or nothing."""
        if kind == _INTERFACE:
            if length < 20 or len(self.interfaces) >= INTERFACES:
                return "no interface description"
            self.interfaces.append(self._interface(at, length))
            return ""
        head = _PACKET_HEADS.get(kind)
        return "" if head is None else self._frame(kind, at, length, head)

    def _frame(self, kind: int, at: int, length: int, head: int) -> str:
        """Read one packet block; return what is wrong with it, or nothing."""
        if length < head + 4:
            return "packet block shorter than its head"
        number, stamp, captured, original = self._packet(kind, at, length)
        number += self.section
        if number >= len(self.interfaces):
            return "a packet of an interface that is not described"
        if captured > length - head - 4:
            return "frame longer than its block"
        self.found.append((at + head, captured, original, stamp, number))
        return ""

    def _packet(self, kind: int, at: int, length: int) -> tuple[int, int, int, int]:
        """Interface, timestamp, captured and original length of a packet block."""
        if kind == _SIMPLE_PACKET:
            (original,) = struct.unpack_from(self.order + "I", self.octets, at + 8)
            known = len(self.interfaces) > self.section
            snaplen = self.interfaces[self.section].snaplen if known else 0
            most = min(original, length - 16)
            return 0, 0, min(most, snaplen) if snaplen else most, original
        form = "IIIII" if kind == _PACKET else "HxxIIII"
        number, upper, lower, captured, original = struct.unpack_from(
            self.order + form, self.octets, at + 8
        )
        return number, upper << 32 | lower, captured, original

    def _interface(self, at: int, length: int) -> Interface:
        """Read an interface description and its options."""
        linktype, snaplen = struct.unpack_from(self.order + "HxxI", self.octets, at + 8)
        resolution, offset_s = _MICROSECONDS, 0
        option, end = at + 16, at + length - 4
        while option + 4 <= end:
            code, size = struct.unpack_from(self.order + "HH", self.octets, option)
            if not code or option + 4 + size > end:
                break
            if code == _TSRESOL and size == 1:
                resolution = self.octets[option + 4]
            elif code == _TSOFFSET and size == 8:
                (offset_s,) = struct.unpack_from(self.order + "q", self.octets, option + 4)
            option += 4 + (size + 3 & ~3)
        return Interface(linktype, snaplen, resolution, offset_s)
