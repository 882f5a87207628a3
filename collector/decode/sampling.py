"""How many packets a counted one stands for, from whichever elements say it.

The old elements (34, 50), which NetFlow v9 has too, and those of PSAMP (RFC 5477 section 8.2):
count-based 305 and 306, n out of N 309 and 310, uniform probability 311.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SAMPLERS: Final = ("samplerId", "selectorId", "selectionSequenceId")
"""Elements that say which sampler a record is about, or was chosen by."""
_INTERVALS: Final = ("samplingInterval", "samplerRandomInterval")
SAYS_RATE: Final = (
    *(*_INTERVALS, "samplingPacketInterval", "samplingPacketSpace"),
    *("samplingSize", "samplingPopulation", "samplingProbability"),
)
"""Elements that say how many packets a counted one stands for."""
_LEAST_PROBABILITY: Final = 2.0**-32
"""Intervals have 32 bits."""


def sampling_rate(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """One packet in how many was counted, per record; None if the records do not say it.

    An interval of 0 is another way to say that every packet was counted; a probability of less than
    any interval can say is not known (NaN).
    """
    for name in _INTERVALS:
        if (interval := _number(columns, name)) is not None:
            return np.maximum(interval, 1)
    chosen, space = (_number(columns, f"samplingPacket{part}") for part in ("Interval", "Space"))
    if chosen is not None and space is not None:
        return (np.maximum(chosen, 1) + space) / np.maximum(chosen, 1)
    size, population = (_number(columns, f"sampling{part}") for part in ("Size", "Population"))
    if size is not None and population is not None:
        return np.maximum(population / np.maximum(size, 1), 1)
    probability = _number(columns, "samplingProbability")
    if probability is not None:
        usable = (probability >= _LEAST_PROBABILITY) & (probability <= 1)
        rate = 1 / np.where(usable, probability, 1)
        absurd = (probability > 0) & (probability < _LEAST_PROBABILITY)
        return np.where(absurd, np.nan, rate)
    return None


def _number(columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float64] | None:
    """A column of numbers, if it is there and was sent as one."""
    if name not in columns:
        return None
    column = columns[name]
    if column.ndim != 1 or column.dtype == object:
        return None
    return column.astype(np.float64)
