"""Keys to small numbers, for many rows at once: what grouping is made of.

A key is a row of 64-bit words. The first row that has it gives it the next number, so whatever is
counted per key lives in plain arrays, and adding a block costs no more than looking its rows up:
rows whose key is known are found in one step of gathering and comparing, without sorting. A
columnar engine's group-by is three to four times slower here, since it knows nothing from block to
block.

Open addressing with linear probing (Knuth, The Art of Computer Programming, volume 3, section
6.4), at most a quarter full: fuller, and every fourth key would not be where it is looked for
first.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import numpy as np

from collector import kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FIRST_BITS: Final = 14
_ODD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2^64 divided by the golden ratio: multiplying with it spreads neighbours."""
_HALF: Final = np.uint64(32)


class KeyTable:
    """Numbers for keys, from 0 on in the order in which they come."""

    def __init__(self, words: int) -> None:
        """Know no key; a key has this many words."""
        # Places are secret, or a stranger could choose keys that all want the same one.
        self._seed = np.uint64(secrets.randbits(64))
        self._bits = _FIRST_BITS
        # Number + 1 of the key at each place; 0: nobody's. Row 0 of the keys belongs to nobody.
        self._places = np.zeros(1 << self._bits, np.int32)
        self._keys = np.zeros((words, 1 << (self._bits - 2)), np.uint64)
        self._count = 0

    def __len__(self) -> int:
        """How many keys are known."""
        return self._count

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The keys, shape (words, keys): one per number, in order."""
        return self._keys[:, 1 : self._count + 1]

    def numbers(self, words: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
        """The number of each row's key, shape (rows,); new keys get new numbers.

        Args:
            words: for each word of the key an array of shape (rows,).
        """
        numbers = self._compiled(words)
        if numbers is not None:
            return numbers
        place = self._place(words)
        found = self._places.take(place)
        other = found == 0
        for known, word in zip(self._keys, words, strict=True):
            other |= known.take(found) != word
        rest = np.flatnonzero(other)
        if len(rest):
            found[rest] = self._probe([word[rest] for word in words])
        return found.astype(np.int64) - 1

    def _compiled(self, words: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64] | None:
        """The same by the kernel, if it is there."""
        numbers, row = np.empty(len(words[0]), np.int64), 0
        while True:
            table = kernel.Keys(self._places, self._keys, int(self._seed))
            done = kernel.number_keys(table, self._count, words, numbers, row)
            if done is None:
                return None
            row, self._count = done
            if row == len(numbers):
                return numbers
            # All that follow may be new, but mostly few are.
            self._make_room(min(len(numbers) - row, max(self._count, 1)))

    def _place(self, words: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
        """Where the search for each key begins."""
        mixed = np.full(len(words[0]), self._seed)
        shifted = np.empty_like(mixed)
        for word in words:
            mixed ^= word
            mixed *= _ODD
            np.right_shift(mixed, _HALF, out=shifted)
            mixed ^= shifted
        mixed *= _ODD
        mixed >>= np.uint64(64 - self._bits)
        return mixed.view(np.int64)

    def _probe(self, words: list[NDArray[np.uint64]]) -> NDArray[np.int32]:
        """Number + 1 for keys that are not where they would be first; step by step."""
        self._make_room(len(words[0]))
        place = self._place(words)
        found = np.zeros(len(place), np.int32)
        rows = np.arange(len(place))
        while len(rows):
            here = place[rows]
            empty = self._places[here] == 0
            self._insert(rows[empty], here[empty], words)
            candidates = self._places[here]
            other = np.zeros(len(rows), bool)
            for known, word in zip(self._keys, words, strict=True):
                other |= known[candidates] != word[rows]
            found[rows] = candidates
            rows = rows[other]
            place[rows] = (place[rows] + 1) & (len(self._places) - 1)
        return found

    def _insert(
        self, rows: NDArray[np.int64], places: NDArray[np.int64], words: list[NDArray[np.uint64]]
    ) -> None:
        """Give each empty place to one of the rows that want it."""
        claims = np.arange(1, len(rows) + 1, dtype=np.int32)
        self._places[places] = claims
        won = np.flatnonzero(self._places[places] == claims)
        first, self._count = self._count + 1, self._count + len(won)
        self._places[places[won]] = np.arange(first, self._count + 1, dtype=np.int32)
        for known, word in zip(self._keys, words, strict=True):
            known[first : self._count + 1] = word[rows[won]]

    def _make_room(self, rows: int) -> None:
        """Grow until it is at most a quarter full even if all these rows are new keys."""
        needed = 4 * (self._count + rows + 1)
        if needed <= len(self._places):
            return
        self._bits = int(needed - 1).bit_length()
        known = self.keys
        self._places = np.zeros(1 << self._bits, np.int32)
        self._keys = np.zeros((len(known), 1 << (self._bits - 2)), np.uint64)
        self._keys[:, 1 : self._count + 1] = known
        place = self._place(list(known))
        number = np.arange(1, self._count + 1, dtype=np.int32)
        while len(place):
            empty = self._places[place] == 0
            self._places[place[empty]] = number[empty]
            left = self._places[place] != number
            place, number = (place[left] + 1) & (len(self._places) - 1), number[left]
