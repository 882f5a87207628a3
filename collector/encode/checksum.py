"""The Internet checksum (RFC 1071) of many pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from collector import kernel
from collector.encode.pieces import Padded, Slices, render, up_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.encode.pieces import Pieces


def word_sums(pieces: Pieces) -> NDArray[np.int64]:
    """The sum of the 16-bit words of each piece, modulo 65535; an odd last octet is the upper half.

    It is the same sum, byte-swapped, if the words are read in the other byte order, and if 32 bits
    are added at a time (RFC 1071 section 2).
    """
    if not len(pieces.length):
        return np.zeros(0, np.int64)
    at = pieces if isinstance(pieces, Slices) else Slices(*render(pieces))
    sums = kernel.sums(at.buffer, at.offset, at.length)
    if sums is None:
        filled = render(Padded(at, up_to(np.maximum(at.length, 1), 4)))
        words = filled.buffer.view("<u4")
        sums = np.add.reduceat(words, filled.offset >> 2, dtype=np.uint64)
    return (sums % np.uint64(0xFFFF)).astype(np.int64) * 0x100 % 0xFFFF


def checksums(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """The checksums of sums of 16-bit words that are not all zero."""
    # 65536 leaves 1 when divided by 65535: the remainder is the ones' complement sum.
    rest = total % 0xFFFF
    return 0xFFFF - np.where(rest == 0, 0xFFFF, rest)
