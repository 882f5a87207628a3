"""Rows that agree in several columns, by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NEAR: Final = 1 << 16
"""Numbers that differ by less are looked up in a table instead of sorted."""


def codes(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """A number per row, 0, 1, …: equal for two rows exactly if they agree in all columns."""
    code = np.zeros(len(columns[0]), np.int64)
    count = 1
    for column in columns:
        # Most columns of most captures have one value only.
        if not len(column) or (column == column[0]).all():
            continue
        values, inverse = _numbered(column)
        code = inverse if count == 1 else code * values + inverse
        count *= values
        if count > _NEAR:
            count, code = _numbered(code)
    return _numbered(code)[1] if count > 1 else code


def _numbered(column: NDArray[Any]) -> tuple[int, NDArray[np.int64]]:
    """How many values there are, and for each row the number of its value in their order."""
    if column.dtype == np.bool_:
        column = column.view(np.uint8)
    least = column.min()
    if int(column.max()) - int(least) < _NEAR:
        distance = (column - least).astype(np.int64)
        there = np.zeros(int(distance.max()) + 1, np.bool_)
        there[distance] = True
        numbers = np.cumsum(there) - 1
        return int(numbers[-1]) + 1, numbers[distance]
    values, inverse = np.unique(column, return_inverse=True)
    return len(values), inverse


def split(code: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows of each group, ascending, group by group."""
    if not len(code):
        return
    most = int(code.max())
    if not most and not code.min():
        yield np.arange(len(code))
        return
    # Short numbers are sorted by their digits, several times faster.
    order = np.argsort(code.astype(np.uint16) if most < _NEAR else code, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
