"""IP fragments of UDP datagrams back to datagrams.

Exporters whose messages are longer than the path's MTU are fragmented on the way. Sources: RFC 791
section 3.2, RFC 8200 section 4.5, RFC 5722 (overlapping fragments are thrown away). Fragments are
few: they are put together one by one, within limits.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from collector.decode.packet import Packets
    from collector.fault import Fault

DATAGRAMS: Final = 1_024
"""Put together at a time; a further one displaces the oldest."""
FRAMES: Final = 65_536
"""Of datagrams that are put together; a further one displaces the oldest datagram."""
_UDP_OCTETS: Final = 8
_DATAGRAM_OCTETS: Final = 65_535
_FRAGMENT_HEADER: Final = 44


class Piece(NamedTuple):
    """One fragment."""

    key: tuple[object, ...]
    """Version, source, destination, identification and, of IPv4, protocol."""
    offset: int
    """Octets from the start of what was fragmented."""
    more: bool
    """Others follow."""
    octets: bytes


class Whole(NamedTuple):
    """A datagram that was put together."""

    row: int
    """Of the frame that completed it."""
    source_port: int
    destination_port: int
    payload: bytes


@dataclass(slots=True)
class _Assembly:
    """A datagram of which some fragments have come."""

    pieces: dict[int, Piece] = field(default_factory=dict)
    """By their offset."""
    offsets: list[int] = field(default_factory=list)
    """Ascending."""
    faults: list[Fault] = field(default_factory=list)
    """What its frames are if the others never come."""
    received: int = 0
    total: int | None = None
    """Octets of all, once the last one has come."""


class Fragments:
    """Fragments whose datagrams are not whole yet, from one part of a capture to the next."""

    def __init__(self) -> None:
        """None have come."""
        self._assemblies: dict[tuple[object, ...], _Assembly] = {}
        self._frames = 0
        """Of all of them, duplicates too."""

    def join(
        self,
        buffer: NDArray[np.uint8],
        packets: Packets,
        end: NDArray[np.int64],
        pieces: Iterable[tuple[int, Fault]],
    ) -> tuple[list[Whole], list[Fault]]:
        """The datagrams that are whole now, and what will never be one.

        Args:
            buffer: the octets of the frames.
            packets: the frames, taken apart.
            end: where each of them ends.
            pieces: rows of the fragments, and what each is if nothing comes of it.
        """
        whole, lost = [], []
        for row, fault in pieces:
            piece = _read(buffer, packets, row, int(end[row]))
            if piece is None:
                lost.append(fault)
                continue
            assembly = self._assemblies.setdefault(piece.key, _Assembly())
            assembly.faults.append(fault)
            self._frames += 1
            if not _add(assembly, piece):
                lost += self._take(piece.key).faults
            elif assembly.received == assembly.total:
                done = _finish(self._take(piece.key), row)
                lost += assembly.faults if done is None else []
                whole += [] if done is None else [done]
            while len(self._assemblies) > DATAGRAMS or self._frames > FRAMES:
                lost += self._take(next(iter(self._assemblies))).faults
        return whole, lost

    def give_up(self) -> list[Fault]:
        """Nothing follows: what is left of all that is not whole."""
        lost = [fault for assembly in self._assemblies.values() for fault in assembly.faults]
        self._assemblies.clear()
        self._frames = 0
        return lost

    def _take(self, key: tuple[object, ...]) -> _Assembly:
        assembly = self._assemblies.pop(key)
        self._frames -= len(assembly.faults)
        return assembly


def _add(assembly: _Assembly, piece: Piece) -> bool:
    """Add a piece; False if it contradicts what is there."""
    if piece == assembly.pieces.get(piece.offset):
        return True  # A duplicate.
    begin, end = piece.offset, piece.offset + len(piece.octets)
    if end > _DATAGRAM_OCTETS or not piece.octets:
        return False
    place = bisect(assembly.offsets, begin)
    if place and _end(assembly.pieces[assembly.offsets[place - 1]]) > begin:
        return False
    if place < len(assembly.offsets) and assembly.offsets[place] < end:
        return False
    if not piece.more:
        if assembly.total is not None:
            return False
        assembly.total = end
    assembly.pieces[begin] = piece
    assembly.offsets.insert(place, begin)
    assembly.received += len(piece.octets)
    reach = _end(assembly.pieces[assembly.offsets[-1]])
    return assembly.total is None or reach <= assembly.total


def _end(piece: Piece) -> int:
    """Octets from the start of what was fragmented to the end of a piece."""
    return piece.offset + len(piece.octets)


def _finish(assembly: _Assembly, row: int) -> Whole | None:
    """The datagram, if its UDP header says the same length."""
    octets = b"".join(assembly.pieces[offset].octets for offset in assembly.offsets)
    if len(octets) < _UDP_OCTETS:
        return None
    source_port, destination_port = (int.from_bytes(octets[at : at + 2], "big") for at in (0, 2))
    length = int.from_bytes(octets[4:6], "big")
    if not _UDP_OCTETS <= length <= len(octets):
        return None
    payload = octets[_UDP_OCTETS:length]
    return Whole(row, source_port, destination_port, payload)


def _read(buffer: NDArray[np.uint8], packets: Packets, row: int, end: int) -> Piece | None:
    """One fragment; None if it is not wholly there."""
    at = int(packets.network[row])
    total = int(packets.ip_octets[row])
    if at + total > end:
        return None
    octets = buffer[at : at + total].tobytes()
    if packets.ip_version[row] == 4:
        header = (octets[0] & 0x0F) * 4
        place = int.from_bytes(octets[6:8], "big")
        key: tuple[object, ...] = (4, octets[12:20], octets[4:6], octets[9])
        return _checked(Piece(key, (place & 0x1FFF) * 8, bool(place & 0x2000), octets[header:]))
    header, following = 40, octets[6]
    while following != _FRAGMENT_HEADER:
        if header + 8 > total:
            return None
        following, header = octets[header], header + (octets[header + 1] + 1) * 8
    if header + 8 > total:
        return None
    place = int.from_bytes(octets[header + 2 : header + 4], "big")
    key = (6, octets[8:40], octets[header + 4 : header + 8])
    return _checked(Piece(key, place & 0xFFF8, bool(place & 1), octets[header + 8 :]))


def _checked(piece: Piece) -> Piece | None:
    """All but the last fragment are multiples of 8 octets."""
    return None if piece.more and len(piece.octets) % 8 else piece
