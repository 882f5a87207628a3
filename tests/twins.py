"""Deliberately wrong twins of a recorded run: each has to come out FAIL, for its own reason.

A twin is the run's evidence with one lie in what an exporter reported; all other witnesses stay
as they were. Judging is offline, so one real run serves for all of its twins:

    assert_all_twins_fail(flowlab.latest("case"))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from collector.check import Evidence, Expected, Outcome, judge, together
from lab.judge import read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from collector.check import Check, Counted, Point
    from collector.key import FlowKey

WRONG_RATE = 1.2
UNUSED_PORT = 9


@dataclass(frozen=True)
class Twin:
    """One wrong twin.

    Attributes:
        lie: what is wrong about it.
        point: the exporter and switch that tell it.
        evidence: the run's, with the lie.
        is_the_reason: whether a check that failed is about the lie.
    """

    lie: str
    point: Point
    evidence: Evidence
    is_the_reason: Callable[[Check], bool]

    def __str__(self) -> str:
        return f"{self.lie}, {self.point.exporter} at {self.point.observation_point}"


def twins(expected: Expected, evidence: Evidence) -> Iterator[Twin]:
    """All twins: each lie by each exporter, at the first switch where it reported something."""
    told: set[str] = set()
    for point in expected.points:
        flows = [
            flow.key
            for flow in expected.flows
            if (point.exporter, point.observation_point, flow.key) in evidence.observed
        ]
        if flows and point.exporter not in told:
            told.add(point.exporter)
            for lie in LIES if point.sampling == 1 else LIES_OF_SAMPLERS:
                yield from lie(Truth(point, flows[0], expected, evidence))


def assert_all_twins_fail(folder: Path) -> tuple[str, ...]:
    """The run passes, and every wrong twin of it fails, and only because of its lie.

    Returns:
        What the twins were, for a test that wants to know that there were some.
    """
    run = read_run(folder)
    assert judge(run.expected, run.evidence).outcome is Outcome.PASS
    tried = []
    for twin in twins(run.expected, run.evidence):
        verdict = judge(run.expected, twin.evidence)
        assert verdict.outcome is Outcome.FAIL, str(twin)
        red = [check for check in verdict.checks if check.outcome is Outcome.FAIL]
        assert any(map(twin.is_the_reason, red)), (str(twin), red)
        assert {check.exporter for check in red} == {twin.point.exporter}, (str(twin), red)
        tried.append(str(twin))
    assert tried, "nothing was reported that a twin could lie about"
    return tuple(tried)


# ------------------------------------------------------------------ the lies


@dataclass(frozen=True)
class Truth:
    """What a lie is made of: a run, and one flow that an exporter reported at a switch."""

    point: Point
    key: FlowKey
    expected: Expected
    evidence: Evidence

    @property
    def place(self) -> tuple[str, str, FlowKey]:
        return self.point.exporter, self.point.observation_point, self.key

    @property
    def seen(self) -> Counted:
        return self.evidence.observed[self.place]

    def but(self, **changes) -> Evidence:
        """The evidence with what was reported of the flow changed."""
        return _observed(self.evidence, {self.place: replace(self.seen, **changes)})


def one_packet_more(truth: Truth) -> Iterator[Twin]:
    wrong = truth.but(packets=truth.seen.packets + 1)
    yield Twin("one packet more", truth.point, wrong, _about(truth.point, truth.key, "packets"))


def one_octet_more(truth: Truth) -> Iterator[Twin]:
    for measure in ("octets_l2", "octets_l3"):
        octets = getattr(truth.seen, measure)
        if measure in truth.point.measures and octets is not None:
            wrong = truth.but(**{measure: octets + 1})
            reason = _about(truth.point, truth.key, measure)
            yield Twin(f"one octet more ({measure})", truth.point, wrong, reason)


def a_flow_missing(truth: Truth) -> Iterator[Twin]:
    kept = {place: seen for place, seen in truth.evidence.observed.items() if place != truth.place}
    wrong = replace(truth.evidence, observed=kept)
    yield Twin("a flow missing", truth.point, wrong, _about(truth.point, truth.key, "packets"))


def a_flow_extra(truth: Truth) -> Iterator[Twin]:
    extra = truth.key._replace(source_port=UNUSED_PORT)
    wrong = _observed(truth.evidence, {(*truth.place[:2], extra): truth.seen})
    yield Twin("a flow extra", truth.point, wrong, _about(truth.point, extra, "packets"))


def the_wrong_switch(truth: Truth) -> Iterator[Twin]:
    """What one switch observed is told in the name of another; there may be no other."""
    others = [
        point
        for point in truth.expected.points
        if point.exporter == truth.point.exporter
        and point.observation_point != truth.point.observation_point
    ]
    for other in others[-1:]:
        there = other.exporter, other.observation_point, truth.key
        moved = dict(truth.evidence.observed)
        moved[there] = together(moved.get(there), moved.pop(truth.place))
        wrong = replace(truth.evidence, observed=moved)
        yield Twin("the wrong switch", truth.point, wrong, _about(other, truth.key, "packets"))


def the_wrong_rate(truth: Truth) -> Iterator[Twin]:
    """All counts of one exporter at one switch are a fifth too high."""
    scaled = {
        place: replace(
            seen,
            packets=round(seen.packets * WRONG_RATE),
            octets_l2=None if seen.octets_l2 is None else round(seen.octets_l2 * WRONG_RATE),
            octets_l3=None if seen.octets_l3 is None else round(seen.octets_l3 * WRONG_RATE),
        )
        for place, seen in truth.evidence.observed.items()
        if place[:2] == truth.place[:2] and round(seen.packets * WRONG_RATE) != seen.packets
    }
    if scaled:
        some = next(iter(scaled))[2] if truth.point.sampling == 1 else None
        wrong = _observed(truth.evidence, scaled)
        yield Twin("a rate 20 % too high", truth.point, wrong, _about(truth.point, some, "packets"))


LIES = (
    one_packet_more,
    one_octet_more,
    a_flow_missing,
    a_flow_extra,
    the_wrong_switch,
    the_wrong_rate,
)
LIES_OF_SAMPLERS = (a_flow_extra, the_wrong_rate)
"""Chance may make one packet more or less, and leave out a small flow."""


def _observed(evidence: Evidence, changes: dict) -> Evidence:
    return replace(evidence, observed={**evidence.observed, **changes})


def _about(point: Point, key: FlowKey | None, measure: str) -> Callable[[Check], bool]:
    def is_the_reason(check: Check) -> bool:
        return (check.exporter, check.observation_point, check.measure) == (
            point.exporter,
            point.observation_point,
            measure,
        ) and key in (None, check.key, *check.also)

    return is_the_reason
