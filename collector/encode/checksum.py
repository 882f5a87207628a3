"""The Internet checksum (RFC 1071) of many pieces of one buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def word_sums(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The sum of the 16-bit words of each piece; an odd last octet is the upper half of a word."""
    total = np.zeros(len(offset), np.int64)
    for parity in (0, 1):
        rows = np.flatnonzero(offset & 1 == parity)
        if not len(rows):
            continue
        words = buffer[parity : parity + (len(buffer) - parity) // 2 * 2].view(">u2")
        sums = np.append(0, np.cumsum(words, dtype=np.int64))
        first = offset[rows] >> 1
        total[rows] = sums[first + (length[rows] >> 1)] - sums[first]
    odd = np.flatnonzero(length & 1)
    total[odd] += buffer[offset[odd] + length[odd] - 1].astype(np.int64) << 8
    return total


def checksums(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """The checksums of sums of 16-bit words that are not all zero."""
    # 65536 leaves 1 when divided by 65535: the remainder is the ones' complement sum.
    rest = total % 0xFFFF
    return 0xFFFF - np.where(rest == 0, 0xFFFF, rest)
