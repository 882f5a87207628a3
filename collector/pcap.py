"""Read pcap files into columns, and the UDP datagrams out of them; write them with `Writer`.

File format: draft-ietf-opsawg-pcap, both byte orders, microseconds and nanoseconds. A file whose
end is missing (its writer was killed) gives all whole frames and a fault; only a file that is no
pcap at all is an error.

`Writer` and `encapsulate_udp` come from `collector.recording`, which a program that must start
fast, without numpy, imports directly.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from collector.decode.datagrams import Datagrams
from collector.decode.octets import Octets
from collector.decode.packet import ETHERNET as DISSECTED_ETHERNET
from collector.decode.packet import TRANSPORT, UDP, Packets, dissect
from collector.fault import Fault
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
    fault: Fault | None = None
    """Where the file stopped making sense, if it did; frames behind that are not known."""

    def __len__(self) -> int:
        """How many frames."""
        return len(self.offsets)


def read(file: str | os.PathLike[str] | bytes) -> Capture:
    """Read a capture, given its path or its octets.

    A file is mapped, not copied: it must not shrink while the capture is in use.

    Raises:
        OSError: the file cannot be read.
        NotACaptureError: it is no pcap file.
    """
    name = "these octets" if isinstance(file, bytes) else os.fspath(file)
    buffer = _load(file)
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


def _load(file: str | os.PathLike[str] | bytes) -> NDArray[np.uint8]:
    """The octets of a file, mapped into memory."""
    if isinstance(file, bytes):
        return np.frombuffer(file, np.uint8)
    if Path(file).is_file() and Path(file).stat().st_size:
        return np.asarray(np.memmap(file, np.uint8, "r"))
    return np.frombuffer(Path(file).read_bytes(), np.uint8)


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


def packets(capture: Capture) -> Packets:
    """Take the frames apart; of another link type than Ethernet nothing is known."""
    if capture.linktype != ETHERNET:
        return Packets.undissected(len(capture))
    return dissect(Octets(capture.buffer), capture.offsets, capture.lengths)


def datagrams(capture: Capture) -> Datagrams:
    """The UDP datagrams of a capture, in file order.

    UDP that is fragmented or whose header is cut off becomes a fault, numbered by frame; other
    traffic is counted in `others`.
    """
    dissected = packets(capture)
    is_udp = (dissected.protocol == UDP) & (dissected.ip_version > 0)
    end = capture.offsets + capture.lengths
    header_there = (dissected.depth == TRANSPORT) & (dissected.payload > 0)
    header_there &= dissected.payload_octets >= 0
    whole = is_udp & header_there & ~dissected.fragment
    rows = np.flatnonzero(whole)
    start = dissected.payload[rows]
    length = np.minimum(end[rows] - start, dissected.payload_octets[rows])
    faults = [] if capture.fault is None else [capture.fault]
    for row in np.flatnonzero((is_udp & ~whole) | (dissected.depth < DISSECTED_ETHERNET)).tolist():
        reason = (
            "an IP fragment of UDP" if dissected.fragment[row] else "no UDP header in the frame"
        )
        needed, available = int(capture.original_lengths[row]), int(capture.lengths[row])
        faults.append(Fault(row + 1, 0, needed, available, reason))
    return Datagrams(
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
        others=len(capture) - len(rows) - len(faults) + (capture.fault is not None),
    )
