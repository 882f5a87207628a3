"""Read captures into columns, and the UDP datagrams out of them; write them with `Writer`.

File formats: draft-ietf-opsawg-pcap, both byte orders, microseconds and nanoseconds, and pcapng
(`collector.pcapng`); packed ones too, and standard input (`collector.files`). A file whose
end is missing (its writer was killed) gives all whole frames and a fault; only a file that is no
capture at all is an error.

`Writer` and `encapsulate_udp` come from `collector.recording`, which a program that must start
fast, without numpy, imports directly.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from collector.decode.datagrams import Datagrams
from collector.decode.octets import Octets
from collector.decode.packet import ETHERNET as DISSECTED_ETHERNET
from collector.decode.packet import TRANSPORT, UDP
from collector.fault import Fault
from collector.files import STANDARD_INPUT, load, stream_of
from collector.fragments import Fragments
from collector.frames import Frames, Stop
from collector.links import dissect_frames
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

    from collector.decode.packet import Packets
    from collector.files import File
    from collector.fragments import Whole
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

_FILE_HEADER_OCTETS = 24
_RECORD_HEADER_OCTETS = 16


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
    before, rest, begin = _Before(), b"", 0
    with stream_of(file) as stream:
        while True:
            piece = stream.read(block_octets)
            buffer = np.frombuffer(rest + piece, np.uint8)
            if form is None:
                if piece and len(buffer) < _FILE_HEADER_OCTETS:
                    rest = buffer.tobytes()
                    continue
                form, begin = _format(buffer, _name(file))
            found = form.frames(buffer, begin)
            part = _capture(buffer, found, before, stream.broken, last=not piece)
            if len(part) or part.fault is not None:
                yield part
            if part.fault is not None or not piece:
                return
            before = _Before(before.frames + len(part), before.octets + found.stop.at)
            rest, begin = buffer[found.stop.at :].tobytes(), 0


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
        headers, stop = self._walk(buffer, begin)
        at = np.array(headers, np.int64)
        octets, kind = Octets(buffer), self.byte_order + "u4"
        seconds, fraction, lengths, original = (
            octets.items(at + shift, kind).astype(np.int64) for shift in (0, 4, 8, 12)
        )
        return Frames(
            at + _RECORD_HEADER_OCTETS,
            lengths,
            np.maximum(original, lengths),
            seconds * 1_000_000_000 + fraction * self.unit_ns,
            self.linktype,
            None,
            stop,
        )

    def _walk(self, buffer: NDArray[np.uint8], offset: int) -> tuple[list[int], Stop]:
        """Where the record headers are, following their lengths, and where that had to stop."""
        unpack = struct.Struct(self.byte_order + "I").unpack_from
        size = len(buffer)
        octets = buffer.data
        headers: list[int] = []
        append = headers.append
        while offset + _RECORD_HEADER_OCTETS <= size:
            (length,) = unpack(octets, offset + 8)
            needed = _RECORD_HEADER_OCTETS + length
            if length > SNAPLEN_OCTETS:
                return headers, Stop(offset, needed, "no frame header", hopeless=True)
            if offset + needed > size:
                return headers, Stop(offset, needed, "file ends within a frame")
            append(offset)
            offset += needed
        if offset == size:
            return headers, Stop(offset)
        return headers, Stop(offset, _RECORD_HEADER_OCTETS, "file ends within a frame header")


def datagram_blocks(file: File, block_octets: int) -> Iterator[Datagrams]:
    """The UDP datagrams of a capture that is read part by part; see `blocks` and `datagrams`."""
    fragments = Fragments()
    for part in blocks(file, block_octets):
        yield _datagrams(part, fragments)
    lost = fragments.give_up()
    if lost:
        yield replace(Datagrams.of([], 0), faults=tuple(lost))


def datagrams(capture: Capture) -> Datagrams:
    """The UDP datagrams of a capture, in file order, those in IP fragments put together.

    Fragments of which others are missing, and UDP whose header is cut off, become faults, numbered
    by frame; other traffic is counted in `others`.
    """
    fragments = Fragments()
    found = _datagrams(capture, fragments)
    return replace(found, faults=tuple(sorted([*found.faults, *fragments.give_up()])))


def _datagrams(capture: Capture, fragments: Fragments) -> Datagrams:
    """The datagrams of a part of a capture; `fragments` are kept for the parts that follow."""
    links = capture.linktype if capture.linktypes is None else capture.linktypes
    dissected = dissect_frames(Octets(capture.buffer), capture.offsets, capture.lengths, links)
    of_frames = dissected.depth >= DISSECTED_ETHERNET
    is_udp = (dissected.protocol == UDP) & (dissected.ip_version > 0)
    end = capture.offsets + capture.lengths
    header_there = (dissected.depth == TRANSPORT) & (dissected.payload > 0)
    header_there &= dissected.payload_octets >= 0
    whole = is_udp & header_there & ~dissected.fragment
    unusable = (is_udp & ~header_there & ~dissected.fragment) | ~of_frames
    faults = [] if capture.fault is None else [capture.fault]
    faults += _faults(capture, unusable, "no UDP header in the frame")
    in_pieces = is_udp & dissected.fragment & of_frames
    joined: list[Whole] = []
    if in_pieces.any():
        pieces = zip(
            np.flatnonzero(in_pieces).tolist(),
            _faults(capture, in_pieces, "an IP fragment of UDP"),
            strict=True,
        )
        joined, lost = fragments.join(capture.buffer, dissected, end, pieces)
        faults += lost
    rows = np.flatnonzero(whole)
    start = dissected.payload[rows]
    length = np.minimum(end[rows] - start, dissected.payload_octets[rows])
    found = Datagrams(
        buffer=capture.buffer,
        offset=start,
        length=length,
        missing=dissected.payload_octets[rows] - length,
        timestamp_ns=capture.timestamps_ns[rows],
        source=dissected.source[rows],
        source_port=dissected.source_port[rows],
        destination=dissected.destination[rows],
        destination_port=dissected.destination_port[rows],
        faults=tuple(faults),
        others=int((of_frames & ~is_udp).sum()),
    )
    return _with_joined(found, rows, joined, capture, dissected) if joined else found


def _faults(capture: Capture, where: NDArray[np.bool_], reason: str) -> list[Fault]:
    """Frames of which nothing comes."""
    return [
        Fault(
            capture.before + row + 1,
            0,
            int(capture.original_lengths[row]),
            int(capture.lengths[row]),
            reason,
        )
        for row in np.flatnonzero(where).tolist()
    ]


def _with_joined(
    found: Datagrams,
    rows: NDArray[np.int64],
    joined: list[Whole],
    capture: Capture,
    dissected: Packets,
) -> Datagrams:
    """Put datagrams that were in fragments where their last fragment came."""
    last = np.array([one.row for one in joined], np.int64)
    lengths = np.array([len(one.payload) for one in joined], np.int64)
    extra = np.frombuffer(b"".join(one.payload for one in joined), np.uint8)
    ports = np.array([(one.source_port, one.destination_port) for one in joined], np.uint16)
    both = replace(
        found,
        buffer=np.concatenate([found.buffer, extra]),
        offset=np.concatenate([found.offset, len(found.buffer) + np.cumsum(lengths) - lengths]),
        length=np.concatenate([found.length, lengths]),
        missing=np.concatenate([found.missing, np.zeros(len(joined), np.int64)]),
        timestamp_ns=np.concatenate([found.timestamp_ns, capture.timestamps_ns[last]]),
        source=np.concatenate([found.source, dissected.source[last]]),
        source_port=np.concatenate([found.source_port, ports[:, 0]]),
        destination=np.concatenate([found.destination, dissected.destination[last]]),
        destination_port=np.concatenate([found.destination_port, ports[:, 1]]),
    )
    return both.take(np.argsort(np.concatenate([rows, last]), kind="stable"))
