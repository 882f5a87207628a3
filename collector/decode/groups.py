"""Rows that agree in several columns, by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def codes(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """A number per row, 0, 1, …: equal for two rows exactly if they agree in all columns."""
    code = np.zeros(len(columns[0]), np.int64)
    count = 1
    for column in columns:
        # Most columns of most captures have one value only.
        if len(column) and (column == column[0]).all():
            continue
        values, inverse = np.unique(column, return_inverse=True)
        code = code * len(values) + inverse
        count *= len(values)
        if count >= 1 << 31:
            code = np.unique(code, return_inverse=True)[1]
            count = int(code.max()) + 1
    return np.unique(code, return_inverse=True)[1] if count > 1 else code


def split(code: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows of each group, ascending, group by group."""
    if not len(code):
        return
    order = np.argsort(code, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
