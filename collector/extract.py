"""The UDP datagrams out of captured frames, those in IP fragments put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from collector.decode.datagrams import Datagrams
from collector.decode.octets import Octets
from collector.decode.packet import ETHERNET as DISSECTED_ETHERNET
from collector.decode.packet import TRANSPORT, UDP
from collector.fault import Fault
from collector.fragments import Fragments
from collector.links import dissect_frames
from collector.plain_udp import Payloads, plain_udp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.packet import Packets
    from collector.fragments import Whole
    from collector.pcap import Capture


def datagrams(capture: Capture) -> Datagrams:
    """The UDP datagrams of a capture, in file order, those in IP fragments put together.

    Fragments of which others are missing, and UDP whose header is cut off, become faults, numbered
    by frame; other traffic is counted in `others`.
    """
    fragments = Fragments()
    found = extract(capture, fragments)
    return replace(found, faults=tuple(sorted([*found.faults, *fragments.give_up()])))


def extract(capture: Capture, fragments: Fragments) -> Datagrams:
    """The datagrams of a part of a capture; `fragments` are kept for the parts that follow.

    A datagram in fragments is in the part of the one that completed it.
    """
    octets = Octets(capture.buffer)
    parts, rest = _plain(octets, capture)
    packets = _dissected(octets, capture, rest)
    end = (capture.offsets + capture.lengths)[rest]
    of_frames = packets.depth >= DISSECTED_ETHERNET
    is_udp = (packets.protocol == UDP) & (packets.ip_version > 0)
    whole = is_udp & ~packets.fragment & (packets.depth == TRANSPORT)
    whole &= (packets.payload > 0) & (packets.payload_octets >= 0)
    parts.append(_payloads(packets, np.flatnonzero(whole), rest, end))
    unusable = np.flatnonzero((is_udp & ~packets.fragment & ~whole) | ~of_frames)
    faults = [] if capture.fault is None else [capture.fault]
    faults += _faults(capture, rest[unusable], "no UDP header in the frame")
    pieces = np.flatnonzero(is_udp & packets.fragment & of_frames)
    of_pieces = _faults(capture, rest[pieces], "an IP fragment of UDP")
    joined, lost = fragments.join(
        capture.buffer, packets, end, zip(pieces.tolist(), of_pieces, strict=True)
    )
    buffer = capture.buffer
    if joined:
        parts.append(_joined(joined, packets, rest, len(buffer)))
        payloads = [np.frombuffer(one.payload, np.uint8) for one in joined]
        buffer = np.concatenate([buffer, *payloads])
    found = Payloads.joined(parts)
    return Datagrams(
        buffer=buffer,
        offset=found.start,
        length=found.length,
        missing=found.missing,
        timestamp_ns=capture.timestamps_ns[found.row],
        source=found.source,
        source_port=found.source_port,
        destination=found.destination,
        destination_port=found.destination_port,
        faults=(*faults, *lost),
        others=int((of_frames & ~is_udp).sum()),
    )


def _plain(octets: Octets, capture: Capture) -> tuple[list[Payloads], NDArray[np.int64]]:
    """Plain UDP; and which frames have to be dissected."""
    if capture.linktypes is None:
        everything = np.arange(len(capture))
        found = plain_udp(octets, capture.offsets, capture.lengths, everything, capture.linktype)
    else:
        found = [
            part
            for linktype in np.unique(capture.linktypes).tolist()
            for part in plain_udp(
                octets,
                capture.offsets,
                capture.lengths,
                np.flatnonzero(capture.linktypes == linktype),
                linktype,
            )
        ]
    rest = np.ones(len(capture), np.bool_)
    for part in found:
        rest[part.row] = False
    return found, np.flatnonzero(rest)


def _dissected(octets: Octets, capture: Capture, rows: NDArray[np.int64]) -> Packets:
    """Some of the frames, taken apart."""
    linktypes = capture.linktypes
    links = capture.linktype if linktypes is None else linktypes[rows]
    return dissect_frames(octets, capture.offsets[rows], capture.lengths[rows], links)


def _payloads(
    packets: Packets, rows: NDArray[np.int64], frames: NDArray[np.int64], end: NDArray[np.int64]
) -> Payloads:
    """What some of the packets carry; they are these frames, which end there."""
    start, declared = packets.payload[rows], packets.payload_octets[rows]
    length = np.minimum(end[rows] - start, declared)
    return Payloads(
        row=frames[rows],
        start=start,
        length=length,
        missing=declared - length,
        source=packets.source[rows],
        source_port=packets.source_port[rows],
        destination=packets.destination[rows],
        destination_port=packets.destination_port[rows],
    )


def _joined(
    joined: list[Whole], packets: Packets, frames: NDArray[np.int64], start: int
) -> Payloads:
    """Datagrams that were in fragments, one behind the other, where their last fragment came."""
    row = np.array([one.row for one in joined])
    length = np.array([len(one.payload) for one in joined])
    return Payloads(
        row=frames[row],
        start=start + np.cumsum(length) - length,
        length=length,
        missing=np.zeros(len(joined), np.int64),
        source=packets.source[row],
        source_port=np.array([one.source_port for one in joined], np.uint16),
        destination=packets.destination[row],
        destination_port=np.array([one.destination_port for one in joined], np.uint16),
    )


def _faults(capture: Capture, rows: NDArray[np.int64], reason: str) -> list[Fault]:
    """Frames of which nothing comes."""
    numbers = (rows + capture.before + 1).tolist()
    original, captured = capture.original_lengths[rows], capture.lengths[rows]
    told = zip(numbers, original.tolist(), captured.tolist(), strict=True)
    return [Fault(number, 0, needed, available, reason) for number, needed, available in told]
