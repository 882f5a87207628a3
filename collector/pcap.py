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
from collector.files import load
from collector.fragments import reassemble
from collector.links import dissect_frames
from collector.pcapng import SECTION, frames
from collector.recording import (
    ETHERNET,
    MAGIC_NS,
    MAGIC_US,
    SNAPLEN_OCTETS,
    Writer,
    encapsulate_udp,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.packet import Packets
    from collector.fragments import Whole

__all__ = ["Capture", "NotACaptureError", "Writer", "datagrams", "encapsulate_udp", "read"]

_FILE_HEADER_OCTETS = 24
_RECORD_HEADER_OCTETS = 16


class NotACaptureError(ValueError):
    """The file is not a pcap file of a kind that can be read."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The frames of a capture, in file order; every column has one value per frame."""

    buffer: NDArray[np.uint8]
    """The whole file."""
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

    def __len__(self) -> int:
        """How many frames."""
        return len(self.offsets)


def read(file: str | os.PathLike[str] | bytes) -> Capture:
    """Read a capture, given its path ("-": standard input) or its octets.

    A file that is not packed is mapped, not copied: it must not shrink while the capture is in use.

    Raises:
        OSError: the file cannot be read.
        NotACaptureError: it is no pcap or pcapng file.
    """
    name = "these octets" if isinstance(file, bytes) else os.fspath(file)
    loaded = load(file)
    if loaded.octets[:4].tobytes() == SECTION.to_bytes(4, "big"):
        capture = _read_pcapng(loaded.octets, name)
    else:
        capture = _read_pcap(loaded.octets, name)
    if not loaded.broken:
        return capture
    fault = Fault(len(capture) + 1, len(loaded.octets), 1, 0, loaded.broken)
    return replace(capture, fault=fault)


def _read_pcapng(buffer: NDArray[np.uint8], name: str) -> Capture:
    """Read the octets of a pcapng file."""
    found = frames(buffer)
    if found.fault is not None and not found.fault.offset:
        message = f"{name} is not a pcap file: its first section cannot be read"
        raise NotACaptureError(message)
    linktypes = found.linktypes
    mixed = len(linktypes) and (linktypes != linktypes[0]).any()
    return Capture(
        buffer=buffer,
        offsets=found.offsets,
        lengths=found.lengths,
        original_lengths=found.original_lengths,
        timestamps_ns=found.timestamps_ns,
        linktype=int(linktypes[0]) if len(linktypes) else ETHERNET,
        fault=found.fault,
        linktypes=linktypes if mixed else None,
    )


def _read_pcap(buffer: NDArray[np.uint8], name: str) -> Capture:
    """Read the octets of a pcap file."""
    byte_order, unit_ns = _byte_order(buffer[:_FILE_HEADER_OCTETS].tobytes(), name)
    (linktype,) = struct.unpack_from(byte_order + "I", buffer.data, 20)
    headers, fault = _walk(buffer, byte_order)
    at = np.array(headers, np.int64)
    octets = Octets(buffer)
    kind = byte_order + "u4"
    seconds, fraction, lengths, original = (
        octets.items(at + shift, kind).astype(np.int64) for shift in (0, 4, 8, 12)
    )
    return Capture(
        buffer=buffer,
        offsets=at + _RECORD_HEADER_OCTETS,
        lengths=lengths,
        original_lengths=np.maximum(original, lengths),
        timestamps_ns=seconds * 1_000_000_000 + fraction * unit_ns,
        linktype=linktype & 0xFFFF,
        fault=fault,
    )


def _byte_order(header: bytes, name: str) -> tuple[str, int]:
    """Of a file header: its byte order as struct writes it, and the unit of times in ns."""
    if len(header) == _FILE_HEADER_OCTETS:
        for byte_order in "<>":
            (magic,) = struct.unpack_from(byte_order + "I", header)
            if magic in (MAGIC_US, MAGIC_NS):
                return byte_order, 1 if magic == MAGIC_NS else 1_000
    found = f"it begins with {header[:4].hex()}" if header else "it is empty"
    message = f"{name} is not a pcap file: {found}"
    raise NotACaptureError(message)


def _walk(buffer: NDArray[np.uint8], byte_order: str) -> tuple[list[int], Fault | None]:
    """Where the record headers are, following their lengths, and where that had to stop."""
    unpack = struct.Struct(byte_order + "I").unpack_from
    size = len(buffer)
    octets = buffer.data
    headers: list[int] = []
    append = headers.append
    offset = _FILE_HEADER_OCTETS
    while offset + _RECORD_HEADER_OCTETS <= size:
        (length,) = unpack(octets, offset + 8)
        following = offset + _RECORD_HEADER_OCTETS + length
        if following > size or length > SNAPLEN_OCTETS:
            reason = "file ends within a frame" if length <= SNAPLEN_OCTETS else "no frame header"
            available = size - offset
            return headers, Fault(len(headers) + 1, offset, following - offset, available, reason)
        append(offset)
        offset = following
    if offset == size:
        return headers, None
    available = size - offset
    reason = "file ends within a frame header"
    return headers, Fault(len(headers) + 1, offset, _RECORD_HEADER_OCTETS, available, reason)


def datagrams(capture: Capture) -> Datagrams:
    """The UDP datagrams of a capture, in file order, those in IP fragments put together.

    Fragments of which others are missing, and UDP whose header is cut off, become faults, numbered
    by frame; other traffic is counted in `others`.
    """
    links = capture.linktype if capture.linktypes is None else capture.linktypes
    dissected = dissect_frames(Octets(capture.buffer), capture.offsets, capture.lengths, links)
    is_udp = (dissected.protocol == UDP) & (dissected.ip_version > 0)
    end = capture.offsets + capture.lengths
    header_there = (dissected.depth == TRANSPORT) & (dissected.payload > 0)
    header_there &= dissected.payload_octets >= 0
    whole = is_udp & header_there & ~dissected.fragment
    pieces = np.flatnonzero(is_udp & dissected.fragment).tolist()
    joined = reassemble(capture.buffer, dissected, pieces, end) if pieces else []
    used = np.zeros(len(capture), np.bool_)
    used[[row for one in joined for row in one.rows]] = True
    faults = [] if capture.fault is None else [capture.fault]
    unusable = (is_udp & ~whole & ~used) | (dissected.depth < DISSECTED_ETHERNET)
    for row in np.flatnonzero(unusable).tolist():
        reason = (
            "an IP fragment of UDP" if dissected.fragment[row] else "no UDP header in the frame"
        )
        needed, available = int(capture.original_lengths[row]), int(capture.lengths[row])
        faults.append(Fault(row + 1, 0, needed, available, reason))
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
        others=int((~whole & ~used & ~unusable).sum()),
    )
    return _with_joined(found, rows, joined, capture, dissected) if joined else found


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
