"""What counts as the right number: one `Region`, one `contains`.

Exact unless the scenario allows more or the exporter samples. For 1-in-N sampling of independent
packets the number of samples of a flow of n packets is binomial (n, 1/N); the region is the
exact two-sided one, not a normal approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FALSE_ALARM: Final = 1e-6
"""The most that the chance of a false alarm may be, over all checks of a run together."""


@dataclass(frozen=True)
class Tolerance:
    """How far a measure may be off.

    Attributes:
        absolute: in the measure's own unit.
        relative: as a share of what is expected; the larger of the two counts.
    """

    absolute: float = 0
    relative: float = 0

    def around(self, expected: int) -> Region:
        """The region of what is still right."""
        slack = max(self.absolute, self.relative * expected)
        return Region(max(0, expected - slack), expected + slack)


@dataclass(frozen=True)
class Region:
    """A closed range of numbers; None is open on that side."""

    low: float | None
    high: float | None

    def contains(self, value: float) -> bool:
        """Whether a value is within."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def to_json(self) -> object:
        """A plain number where only one is right, otherwise the two ends."""
        if self.low == self.high and self.low is not None:
            return _plain(self.low)
        ends = {"at_least": self.low, "at_most": self.high}
        return {name: _plain(end) for name, end in ends.items() if end is not None}

    def __str__(self) -> str:
        """The region as people write it."""
        if self.low == self.high and self.low is not None:
            return str(_plain(self.low))
        if self.low is None or self.high is None:
            end = self.high if self.low is None else self.low
            return f"at {'most' if self.low is None else 'least'} {_plain(end or 0)}"
        return f"{_plain(self.low)} to {_plain(self.high)}"


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def sampled(packets: int, sampling: int, checks: int) -> Region:
    """How many packets a sampling exporter may report, estimated from its samples.

    Args:
        packets: how many there were.
        sampling: one in so many is sampled.
        checks: how many such checks share `FALSE_ALARM` among them.
    """
    from scipy.stats import binom

    tail = FALSE_ALARM / max(1, checks) / 2
    low = binom.ppf(tail, packets, 1 / sampling)
    high = binom.isf(tail, packets, 1 / sampling)
    return Region(float(low) * sampling, float(high) * sampling)
