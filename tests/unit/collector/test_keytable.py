"""Keys to numbers: every key one, whatever the keys are, however many come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.keytable import KeyTable

pytestmark = pytest.mark.usefixtures("each_way")

WORDS = st.sampled_from([0, 1, 2, 1 << 32, (1 << 64) - 1])


def columns(rows, words):
    return list(np.array(rows, np.uint64).reshape(-1, words).T.copy())


@given(st.lists(st.lists(st.tuples(WORDS, WORDS), max_size=40), max_size=6))
def test_a_key_has_one_number_and_a_number_one_key(blocks):
    table = KeyTable(2)
    known: dict[tuple[int, int], int] = {}
    for block in blocks:
        numbers = table.numbers(columns(block, 2)).tolist()
        for key, number in zip(block, numbers, strict=True):
            assert known.setdefault(key, number) == number
    assert sorted(known.values()) == list(range(len(table)))
    assert {tuple(key): n for n, key in enumerate(table.keys.T.tolist())} == known


@pytest.mark.parametrize("words", [1, 2, 6])
@pytest.mark.parametrize("step", [1, 1 << 20, 1 << 40])
def test_it_grows_and_keeps_its_numbers(words, step):
    table = KeyTable(words)
    keys = [np.arange(50_000, dtype=np.uint64) * np.uint64(step)] * words
    before = [table.numbers([word[:size] for word in keys]) for size in (1, 100, 20_000, 50_000)]
    for numbers in before:
        assert (numbers == before[-1][: len(numbers)]).all()
    assert len(table) == 50_000
    assert len(np.unique(before[-1])) == 50_000
    assert (table.numbers(keys) == before[-1]).all()


def test_nothing_has_no_number():
    table = KeyTable(3)
    assert not len(table.numbers([np.zeros(0, np.uint64)] * 3))
    assert not len(table)
    assert table.numbers([np.zeros(1, np.uint64)] * 3).tolist() == [0]
