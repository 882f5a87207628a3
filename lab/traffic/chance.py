"""Numbers by chance that are the same at each run: a seed, and named distributions.

Uniform numbers come from numpy's ``RandomState``, whose streams numpy keeps as they are from
version to version; distributions are made of them by inverting their functions here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

_SHAPE: Final = 1.5
"""Of the Pareto distribution: heavy-tailed, its variance is infinite, its mean is not."""


def uniform(seed: int, count: int, what: str) -> Numbers:
    """Numbers from 0 up to 1, each purpose of a step having its own.

    Args:
        seed: the step's.
        count: how many.
        what: what they are for.
    """
    return np.random.RandomState([seed, *what.encode()]).random_sample(count)


def below(seed: int, count: int, most: int, what: str) -> NDArray[np.int64]:
    """Whole numbers from 0 up to ``most`` - 1."""
    return (uniform(seed, count, what) * most).astype(np.int64)


def drawn(distribution: str, mean: float, seed: int, count: int, what: str) -> Numbers:
    """Numbers of a distribution with this mean."""
    numbers: Numbers = mean * _OF_MEAN_ONE[distribution](uniform(seed, count, what))
    return numbers


def _exponential(numbers: Numbers) -> Any:
    return -np.log1p(-numbers)


def _pareto(numbers: Numbers) -> Any:
    return (_SHAPE - 1) / _SHAPE * (1 - numbers) ** (-1 / _SHAPE)


_OF_MEAN_ONE: Final[Mapping[str, Callable[[Numbers], Any]]] = {
    "constant": np.ones_like,
    "uniform": lambda numbers: 2 * numbers,
    "exponential": _exponential,
    "pareto": _pareto,
}
