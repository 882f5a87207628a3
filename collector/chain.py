"""Follow a chain of records, each of which says how long it is, fast and exactly.

A record's place is only known once the one before it has been read: a loop in plain Python, 0.18 µs
a record. Here many cursors start at guessed places of one block and go on in lock-step, each to
where the next one started. Their paths count only where they join: from a given place on the chain
goes one way, so a cursor that another one arrives at was on the chain, whatever it was guessed
from. Where they do not join, the plain loop goes on. So guesses cost time if wrong, never truth.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector import kernel
from collector.decode.octets import Octets

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CURSORS: Final = 512
"""At most: more of them cost more to place than they save."""
_RECORDS: Final = 48
"""Per cursor, at least."""
_FEW: Final = 8
"""Cursors, or fewer, do not pay: each step costs as much for one as for a hundred."""
_STEPS: Final = 8
"""Between looking how many cursors have arrived."""
_SAMPLE: Final = 64
"""Records whose lengths are taken for the usual ones."""
_WINDOW_OCTETS: Final = 4_096
"""Looked through for a cursor's start, at most."""
_PIECE_OCTETS: Final = 32 << 20
"""Followed at a time, so that it takes little memory; longer than any record."""
_IN_A_ROW: Final = 3
"""Records that must be plausible where a cursor starts."""


class Kind(NamedTuple):
    """Records of a file format, as far as needed to follow them."""

    order: str
    """Byte order, as struct writes it."""
    head: int
    """Octets of a record's head."""
    length_at: int
    """Where in the head the length is (4 octets)."""
    beside: int
    """Octets of the record that this length does not count."""
    shortest: int
    """Lengths below this, and above `longest`, end the chain."""
    longest: int
    mark_at: int
    """Where in the head a number is that is much the same in all records (4 octets)."""
    spread: int
    """By how much these numbers may differ."""


class Chain(NamedTuple):
    """Records that follow each other."""

    at: NDArray[np.int64]
    """Where they start."""
    heads: NDArray[np.uint8]
    """Their heads, shape (records, octets)."""
    end: int
    """Where the first is that is not among them: not whole, or of a length that cannot be."""


def follow(octets: Octets, begin: int, kind: Kind) -> Chain:
    """The records from `begin` on."""
    at, parts = begin, []
    while True:
        piece = Octets(octets.buffer[at : at + _PIECE_OCTETS])
        found = _compiled(piece, kind) or _numpy(piece, kind)
        parts.append(found._replace(at=found.at + at))
        at += found.end
        if not found.end or at == len(octets):
            break
    if len(parts) == 1:
        return parts[0]._replace(end=at)
    starts = np.concatenate([part.at for part in parts])
    return Chain(starts, np.concatenate([part.heads for part in parts]), at)


def _compiled(octets: Octets, kind: Kind) -> Chain | None:
    """The same by the kernel."""
    followed = kernel.follow(
        octets.buffer,
        order=kind.order,
        head=kind.head,
        length_at=kind.length_at,
        beside=kind.beside,
        shortest=kind.shortest,
        longest=kind.longest,
    )
    return None if followed is None else Chain(*followed)


def _numpy(octets: Octets, kind: Kind) -> Chain:
    """The same by many cursors."""
    at, end = _follow(octets, kind)
    return Chain(at, octets.items(at, f"V{kind.head}").view(np.uint8).reshape(-1, kind.head), end)


def _follow(octets: Octets, kind: Kind) -> tuple[NDArray[np.int64], int]:
    """The same from the first octet on; of octets that are not many."""
    found, at = _plainly(octets, 0, len(octets), kind, _SAMPLE)
    if len(found) == _SAMPLE:
        starts = _starts(octets, found, at, kind)
        paths = _lock_step(octets, starts, kind, _SAMPLE * (len(octets) - at) // at)
        rest, at = _joined(octets, starts, paths, kind)
        found = np.concatenate([found, rest])
    return _sound(octets, found, at, kind)


def _plainly(
    octets: Octets, at: int, until: int, kind: Kind, most: int | None = None
) -> tuple[NDArray[np.int64], int]:
    """Follow the chain from record to record; return where they start, and where it ended."""
    unpack = struct.Struct(kind.order + "I").unpack_from
    data, size = octets.buffer.data, len(octets)
    until = min(until, size - kind.head + 1)
    found: list[int] = []
    append = found.append
    while at < until and len(found) != most:
        (length,) = unpack(data, at + kind.length_at)
        following = at + kind.beside + length
        if following > size or not kind.shortest <= length <= kind.longest:
            break
        append(at)
        at = following
    return np.array(found, np.int64), at


def _starts(octets: Octets, sample: NDArray[np.int64], at: int, kind: Kind) -> NDArray[np.int64]:
    """Where cursors start: at `at`, and at places that look as if records began there."""
    lengths = np.diff(sample)
    rest = len(octets) - kind.head - at
    cursors = min(_CURSORS, int(rest // lengths.mean()) // _RECORDS)
    if cursors < _FEW:
        return np.array([at])
    step = rest // cursors
    window = min(int(lengths.max()), step, _WINDOW_OCTETS)
    shape, place = (cursors - 1, window), at + step + kind.mark_at
    marks: NDArray[np.uint32] = np.ndarray(
        shape, kind.order + "u4", octets.buffer, place, strides=(step, 1)
    )
    usual = octets.items(sample[-1:] + kind.mark_at, kind.order + "u4")[0]
    which, shift = np.divmod(np.flatnonzero(_near(marks, usual, kind)), window)
    guessed = at + step * (which + 1) + shift
    plausible = _plausible(octets, guessed, usual, kind)
    _, first = np.unique(which[plausible], return_index=True)
    return np.concatenate([[at], guessed[plausible][first]])


def _near(marks: NDArray[np.uint32], usual: np.uint32, kind: Kind) -> NDArray[np.bool_]:
    """Whether numbers are much the same as that of another record (modulo 2^32)."""
    lowest = np.uint32((int(usual) - kind.spread) % (1 << 32))
    return marks - lowest <= np.uint32(2 * kind.spread)


def _plausible(
    octets: Octets, at: NDArray[np.int64], usual: np.uint32, kind: Kind
) -> NDArray[np.bool_]:
    """Whether several records in a row begin at each place, as far as one can tell.

    Records of length 0 may be, but in zeros of payload they would be everywhere.
    """
    plausible = np.ones(len(at), np.bool_)
    last = len(octets) - kind.head
    for _ in range(_IN_A_ROW):
        here = np.minimum(at, last)
        length = octets.items(here + kind.length_at, kind.order + "u4").astype(np.int64)
        plausible &= _near(octets.items(here + kind.mark_at, kind.order + "u4"), usual, kind)
        plausible &= (length >= max(kind.shortest, 1)) & (length <= kind.longest) & (at <= last)
        at = at + kind.beside + length
    return plausible


def _lock_step(
    octets: Octets, starts: NDArray[np.int64], kind: Kind, records: int
) -> NDArray[np.int64]:
    """Let every cursor go on to where the next one started, or beyond.

    A cursor beyond that goes on, wherever that leads: to hold it would cost more.

    Args:
        octets: what they are in.
        starts: where each starts, ascending.
        kind: of the records.
        records: how many there are, about.

    Returns:
        Where each has been, ascending: shape (cursors, steps).
    """
    last = len(octets) - kind.head
    limits = np.append(starts[1:], last + 1)
    lengths: NDArray[np.uint32] = np.ndarray(
        (last + 1,), kind.order + "u4", octets.buffer, kind.length_at, strides=(1,)
    )
    at, trail = starts, [starts]
    for step in range(4 * records // len(starts)):
        if step % _STEPS == 0 and np.count_nonzero(at < limits) < _FEW:
            break
        length = lengths[np.minimum(at, last)]
        if not kind.beside:
            length = np.maximum(length, 1)  # So that it goes on.
        at = at + length
        at += kind.beside
        trail.append(at)
    return np.stack(trail, axis=1)


def _joined(
    octets: Octets, starts: NDArray[np.int64], paths: NDArray[np.int64], kind: Kind
) -> tuple[NDArray[np.int64], int]:
    """The chain from the first cursor's start on, out of the paths that join; and its end."""
    been = paths < np.append(starts[1:], len(octets) - kind.head + 1)[:, None]
    steps = np.minimum(np.count_nonzero(been, axis=1), paths.shape[1] - 1)
    # One that has not arrived did not get beyond its last place.
    been[:, -1] = False
    ends = paths[np.arange(len(paths)), steps]
    breaks = np.append(np.flatnonzero(ends[:-1] != starts[1:]) + 1, len(starts))
    parts, at, which = [], int(starts[0]), 0
    while which < len(starts):
        part, at = _plainly(octets, at, int(starts[which]), kind)
        parts.append(part)
        if at != starts[which]:
            which += 1  # It did not start on the chain.
            continue
        behind = int(breaks[np.searchsorted(breaks, which, "right")])
        parts.append(paths[which:behind][been[which:behind]])
        at, which = int(ends[behind - 1]), behind
    part, at = _plainly(octets, at, len(octets), kind)
    return np.concatenate([*parts, part]), at


def _sound(
    octets: Octets, found: NDArray[np.int64], at: int, kind: Kind
) -> tuple[NDArray[np.int64], int]:
    """What is in front of the first record that is not whole, or of a length that cannot be.

    Cursors look at neither: one comparison of all is cheaper than one a step.
    """
    following = np.append(found[1:], at)
    length = following - found - kind.beside
    wrong = (length < kind.shortest) | (length > kind.longest) | (following > len(octets))
    first = int(wrong.argmax()) if wrong.any() else len(found)
    return found[:first], int(found[first]) if first < len(found) else at
