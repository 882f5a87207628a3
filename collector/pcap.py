"""Read captures into columns, part by part or whole; write them with `Writer`.

File formats: draft-ietf-opsawg-pcap, both byte orders, microseconds and nanoseconds, and pcapng
(`collector.pcapng`); packed ones too, and standard input (`collector.files`). A file whose
end is missing (its writer was killed) gives all whole frames and a fault; only a file that is no
capture at all is an error. What the frames hold is in `collector.extract`.

`Writer` and `encapsulate_udp` come from `collector.recording`, which a program that must start
fast, without numpy, imports directly.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.chain import Kind, follow
from collector.decode.datagrams import Datagrams
from collector.decode.octets import Octets
from collector.extract import datagrams, extract
from collector.fault import Fault
from collector.files import STANDARD_INPUT, load, stream_of
from collector.fragments import Fragments
from collector.frames import Frames, Stop
from collector.pcapng import SECTION, Pcapng
from collector.recording import (
    MAGIC_NS,
    MAGIC_US,
    SNAPLEN_OCTETS,
    Writer,
    encapsulate_udp,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from collector.files import File
    from collector.frames import Format

__all__ = [
    "Capture",
    "NotACaptureError",
    "Writer",
    "blocks",
    "datagram_blocks",
    "datagrams",
    "encapsulate_udp",
    "read",
]

FRAMES: Final = 65_536
"""In one part, at most: what is kept of a frame may be more than its octets."""
_FILE_HEADER_OCTETS = 24
_RECORD_HEADER_OCTETS = 16
_DAY_S: Final = 86_400
_KINDS: Final = {
    order: Kind(
        order=order,
        head=_RECORD_HEADER_OCTETS,
        length_at=8,
        beside=_RECORD_HEADER_OCTETS,
        shortest=0,
        longest=SNAPLEN_OCTETS,
        # Seconds since 1970.
        mark_at=0,
        spread=_DAY_S,
    )
    for order in "<>"
}


class NotACaptureError(ValueError):
    """The file is not a pcap file of a kind that can be read."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The frames of a capture, or of a part of it, in columns: a value per frame, in file order."""

    buffer: NDArray[np.uint8]
    """The octets they are in."""
    offsets: NDArray[np.int64]
    """Index of each frame's first octet in the buffer."""
    lengths: NDArray[np.int64]
    """Octets captured."""
    original_lengths: NDArray[np.int64]
    """Octets the frame had on the wire (without FCS)."""
    timestamps_ns: NDArray[np.int64]
    """Since 1970 (UTC)."""
    linktype: int
    """Of the first frame."""
    fault: Fault | None = None
    """Where the file stopped making sense, if it did; frames behind that are not known."""
    linktypes: NDArray[np.int64] | None = None
    """Of each frame, if they differ."""
    before: int = 0
    """Frames in front of this part."""

    def __len__(self) -> int:
        """How many frames."""
        return len(self.offsets)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """When each frame came, in ns since 1970, and its octets."""
        columns = (self.timestamps_ns, self.offsets, self.lengths)
        for when_ns, at, size in zip(*(column.tolist() for column in columns), strict=True):
            yield when_ns, self.buffer[at : at + size].tobytes()


def read(file: File) -> Capture:
    """Read a capture as a whole.

    A file that is not packed is mapped, not copied: it must not shrink while the capture is in use.

    Raises:
        OSError: the file cannot be read.
        NotACaptureError: it is no pcap or pcapng file.
    """
    octets, broken = load(file)
    form, begin = _format(octets, _name(file))
    return _capture(octets, form.frames(octets, begin), _Before(), broken, last=True)


def blocks(file: File, block_octets: int) -> Iterator[Capture]:
    """Read a capture part by part: memory does not grow with the file.

    Parts come as soon as there is something in them, so a file may still grow at its end.

    Args:
        file: what to read.
        block_octets: of the file, that are read at a time.

    Raises:
        OSError: the file cannot be read.
        NotACaptureError: it is no pcap or pcapng file.
    """
    form: Format | None = None
    before, begin = _Before(), 0
    rest = np.empty(0, np.uint8)
    with stream_of(file) as stream:
        while True:
            buffer = np.empty(len(rest) + block_octets, np.uint8)
            buffer[: len(rest)] = rest
            piece = stream.read_into(buffer.data[len(rest) :])
            buffer = buffer[: len(rest) + piece]
            if form is None:
                if piece and len(buffer) < _FILE_HEADER_OCTETS:
                    rest = buffer
                    continue
                form, begin = _format(buffer, _name(file))
            found = form.frames(buffer, begin)
            part = _capture(buffer, found, before, stream.broken, last=not piece)
            if len(part) or part.fault is not None:
                yield from _split(part)
            if part.fault is not None or not piece:
                return
            before = _Before(before.frames + len(part), before.octets + found.stop.at)
            # A copy: it must not keep the rest of the buffer.
            rest, begin = buffer[found.stop.at :].copy(), 0


def _split(capture: Capture) -> Iterator[Capture]:
    """A part in parts of not too many frames."""
    count = len(capture)
    for begin in range(0, max(count, 1), FRAMES):
        rows, ends = slice(begin, begin + FRAMES), begin + FRAMES >= count
        yield replace(
            capture,
            offsets=capture.offsets[rows],
            lengths=capture.lengths[rows],
            original_lengths=capture.original_lengths[rows],
            timestamps_ns=capture.timestamps_ns[rows],
            linktypes=None if capture.linktypes is None else capture.linktypes[rows],
            fault=capture.fault if ends else None,
            before=capture.before + begin,
        )


@dataclass(frozen=True, slots=True)
class _Before:
    """What of a file is in front of a part."""

    frames: int = 0
    octets: int = 0


def _name(file: File) -> str:
    """What a file is called in messages."""
    if not isinstance(file, str | os.PathLike):
        return "the input"
    name = os.fspath(file)
    return "standard input" if name == STANDARD_INPUT else name


def _capture(
    buffer: NDArray[np.uint8], found: Frames, before: _Before, broken: str, *, last: bool
) -> Capture:
    """The frames of a part, and the fault at its end if nothing can follow."""
    fault, stop, number = None, found.stop, before.frames + len(found.offsets) + 1
    if last and broken:
        fault = Fault(number, before.octets + len(buffer), 1, 0, broken)
    elif stop.reason and (last or stop.hopeless):
        available = len(buffer) - stop.at
        fault = Fault(number, before.octets + stop.at, stop.needed, available, stop.reason)
    return Capture(
        buffer=buffer,
        offsets=found.offsets,
        lengths=found.lengths,
        original_lengths=found.original_lengths,
        timestamps_ns=found.timestamps_ns,
        linktype=found.linktype,
        fault=fault,
        linktypes=found.linktypes,
        before=before.frames,
    )


def _format(buffer: NDArray[np.uint8], name: str) -> tuple[Format, int]:
    """The format that a file is of, by its first octets, and where its first record begins."""
    header = buffer[:_FILE_HEADER_OCTETS].tobytes()
    if header.startswith(SECTION.to_bytes(4, "big")):
        form = Pcapng()
        if form.begins(header):
            return form, 0
        message = f"{name} is not a pcap file: its first section cannot be read"
        raise NotACaptureError(message)
    if len(header) == _FILE_HEADER_OCTETS:
        for byte_order in "<>":
            (magic,) = struct.unpack_from(byte_order + "I", header)
            if magic in (MAGIC_US, MAGIC_NS):
                unit_ns = 1 if magic == MAGIC_NS else 1_000
                (linktype,) = struct.unpack_from(byte_order + "I", header, 20)
                return _Pcap(byte_order, unit_ns, linktype & 0xFFFF), _FILE_HEADER_OCTETS
    found = f"it begins with {header[:4].hex()}" if header else "it is empty"
    message = (
        f"{name} is not a pcap file: {found}; what can be read is pcap and pcapng, as tcpdump and"
        " Wireshark write them, also packed with gzip or Zstandard"
    )
    raise NotACaptureError(message)


@dataclass(frozen=True, slots=True)
class _Pcap:
    """A pcap file; what its header says."""

    byte_order: str
    """As struct writes it."""
    unit_ns: int
    """Of times."""
    linktype: int

    def frames(self, buffer: NDArray[np.uint8], begin: int) -> Frames:
        """The frames in the octets from `begin` on."""
        octets = Octets(buffer)
        found, heads, end = follow(octets, begin, _KINDS[self.byte_order])
        words = heads.view(self.byte_order + "u4")
        seconds, fraction, lengths, original = (
            words[:, column].astype(np.int64) for column in range(4)
        )
        return Frames(
            found + _RECORD_HEADER_OCTETS,
            lengths,
            np.maximum(original, lengths),
            seconds * 1_000_000_000 + fraction * self.unit_ns,
            self.linktype,
            None,
            self._stop(octets, end),
        )

    def _stop(self, octets: Octets, at: int) -> Stop:
        """Why no whole frame begins here."""
        if at == len(octets):
            return Stop(at)
        if at + _RECORD_HEADER_OCTETS > len(octets):
            return Stop(at, _RECORD_HEADER_OCTETS, "file ends within a frame header")
        (length,) = struct.unpack_from(self.byte_order + "I", octets.buffer.data, at + 8)
        needed = _RECORD_HEADER_OCTETS + length
        if length > SNAPLEN_OCTETS:
            return Stop(at, needed, "no frame header", hopeless=True)
        return Stop(at, needed, "file ends within a frame")


def datagram_blocks(file: File, block_octets: int) -> Iterator[Datagrams]:
    """The UDP datagrams of a capture that is read part by part; see `blocks` and `datagrams`."""
    fragments = Fragments()
    for part in blocks(file, block_octets):
        yield extract(part, fragments)
    lost = fragments.give_up()
    if lost:
        yield replace(Datagrams.of([], 0), faults=tuple(lost))
