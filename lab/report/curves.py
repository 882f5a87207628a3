"""Loss against rate, several collectors in one picture: SVG that needs nothing else."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.limit import Try

_WIDTH: Final = 720
_HEIGHT: Final = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 30, 50
_COLOURS: Final = ("#0b6bcb", "#c4320a", "#18794e", "#7c3aed", "#a16207", "#475569")
_DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 2")
"""Lines are told apart by more than their colours."""


def picture(curves: Mapping[str, Sequence[Try]], records: int) -> str:
    """Draw the curves.

    Args:
        curves: by collector its tries, in the order of their rates.
        records: in a datagram.
    """
    rates = [one.reached_dps * records for tries in curves.values() for one in tries] or [1.0]
    low, high = math.floor(math.log10(min(rates))), math.log10(max(rates) * 1.2)

    def x(rate: float) -> float:
        share = (math.log10(rate) - low) / max(high - low, 0.1)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(lost: float) -> float:
        return _HEIGHT - _BOTTOM - lost * (_HEIGHT - _TOP - _BOTTOM)

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">'
        "<title>Records lost against records sent a second</title>"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    )
    parts = [head]
    for percent in range(0, 101, 25):
        at = y(percent / 100)
        parts.append(
            f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#e0e3e7"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{percent} %</text>'
        )
    below = _HEIGHT - _BOTTOM + 18
    for rate in _ticks(low, high):
        at = x(rate)
        parts.append(
            f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#e0e3e7"/>'
            f'<text x="{at:.1f}" y="{below}" text-anchor="middle">{_short(rate)}</text>'
        )
    for number, (name, tries) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(x(one.reached_dps * records), y(one.lost)) for one in tries]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        dots = "".join(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places
        )
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{_DASHES[number % len(_DASHES)]}"/>{dots}'
            f'<rect x="{_WIDTH - _RIGHT + 15}" y="{_TOP + 22 * number}" width="12" height="12" '
            f'fill="{colour}"/><text x="{_WIDTH - _RIGHT + 33}" y="{_TOP + 22 * number + 10}">'
            f"{escape(name)}</text>"
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f'records sent a second, {records} a datagram</text><text x="14" y="18">records lost</text>'
        "</svg>\n"
    )
    return "\n".join(parts)


def _ticks(low: int, high: float) -> Iterator[float]:
    for power in range(low, math.ceil(high) + 1):
        for step in (1, 2, 5):
            if low <= math.log10(step * 10**power) <= high:
                yield float(step * 10**power)


def _short(rate: float) -> str:
    """1 k, 2 M."""
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if rate >= unit:
            return f"{rate / unit:g}{name}"
    return f"{rate:g}"
