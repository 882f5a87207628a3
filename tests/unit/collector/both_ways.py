"""The kernel's way and numpy's must give the same, to the last fault."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from collector import kernel
from tests.unit.collector.tables import assert_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.decode import Batch, Decoded


def assert_both_ways_agree(decode: Callable[[], Decoded]) -> Decoded:
    """Decode with the kernel and without it, compare all of it, and return what came."""
    one = decode()
    for batch in one.batches:
        _look(batch)
    with kernel.switched_off():
        other = decode()
        for batch in other.batches:
            _look(batch)
    assert replace(one.summary, limits={}) == replace(other.summary, limits={})
    assert dict(one.summary.limits) == dict(other.summary.limits)
    assert len(one.batches) == len(other.batches)
    for mine, theirs in zip(one.batches, other.batches, strict=True):
        _assert_same_batch(mine, theirs)
    return one


def _look(batch: Batch) -> None:
    """Read every column: they are read when they are asked for."""
    for name in batch.columns:
        batch.columns[name]


def _assert_same_batch(one: Batch, other: Batch) -> None:
    for field in fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "columns":
            assert list(mine) == list(theirs)
            assert_same(mine, {name: theirs[name] for name in theirs})
            for name in mine:
                assert mine[name].dtype == theirs[name].dtype
        elif isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs
