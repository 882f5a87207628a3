"""One line per flow, switch and exporter, out of a verdict's many checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.check.model import Check, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.key import FlowKey

_WORST_FIRST = (Outcome.FAIL, Outcome.INVALID, Outcome.PASS, Outcome.SKIPPED)


@dataclass(frozen=True)
class Row:
    """All that one exporter said of one flow at one switch.

    Attributes:
        key: the flow; None: all export datagrams.
        observation_point: the switch.
        exporter: the exporter.
        outcome: the worst of its checks.
        checks: its checks by measure; an explicit one replaces a derived one only if worse.
    """

    key: FlowKey | None
    observation_point: str
    exporter: str
    outcome: Outcome
    checks: Mapping[str, Check]

    @property
    def about(self) -> str:
        """What it is about, for people."""
        return about(self.key)

    @property
    def complaints(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        bad = (Outcome.FAIL, Outcome.INVALID)
        return tuple(check for check in self.checks.values() if check.outcome in bad)


def about(key: FlowKey | None) -> str:
    """A flow, or the export datagrams themselves."""
    return "export datagrams" if key is None else str(key)


def rows(checks: Iterable[Check]) -> tuple[Row, ...]:
    """Gather checks, in the order in which flows first occur."""
    gathered: dict[tuple[FlowKey | None, str, str], dict[str, Check]] = {}
    for check in checks:
        own = gathered.setdefault((check.key, check.observation_point, check.exporter), {})
        known = own.get(check.measure)
        if known is None or _rank(check) < _rank(known):
            own[check.measure] = check
    order = {key: place for place, key in enumerate(dict.fromkeys(key for key, _, _ in gathered))}
    return tuple(
        Row(key, point, exporter, min((c.outcome for c in own.values()), key=_order), own)
        for (key, point, exporter), own in sorted(
            gathered.items(), key=lambda item: (order[item[0][0]], item[0][1])
        )
    )


def _rank(check: Check) -> int:
    return _order(check.outcome)


def _order(outcome: Outcome) -> int:
    return _WORST_FIRST.index(outcome)
