"""What counts as the right number: one `Region`, one `contains`.

Exact unless the scenario allows more or the exporter samples (`collector.check.sampling`).
"""

from __future__ import annotations

from dataclasses import dataclass


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
