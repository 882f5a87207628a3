"""Expected ⋈ observed: every flow at every observation point, in both directions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from collector.check.model import Check, Counted, Outcome, together
from collector.check.tolerance import Region, Tolerance, sampled
from collector.key import TCP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from collector.check.model import Evidence, Expected, ExpectedFlow, Explicit, Point
    from collector.key import FlowKey

EXACT: Final = Tolerance()
CLOCK_SLACK_NS: Final = 5_000_000
"""Exporters have clocks of a millisecond, rounded twice on the way to a time of day."""

_COUNTED_AS: Final = {"tcpControlBits": "tcp_control_bits"}
_TOLERANCE_OF: Final = {"packets": "packets", "octets_l2": "octets", "octets_l3": "octets"}
_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")


def checks(expected: Expected, evidence: Evidence) -> tuple[Check, ...]:
    """All comparisons of a run: what the traffic implies, what is too much, what is written."""
    return (
        *_derived(expected, evidence),
        *_unexpected(expected, evidence),
        *_explicit(expected, evidence),
    )


def flag_names(bits: int) -> str:
    """TCP flags as people write them (RFC 9293, section 3.1)."""
    return "|".join(name for bit, name in enumerate(_FLAGS) if bits >> bit & 1) or "none"


def _derived(expected: Expected, evidence: Evidence) -> Iterator[Check]:
    sampling_checks = sum(
        point.sampling > 1 and point.observation_point in flow.path
        for point in expected.points
        for flow in expected.flows
    )
    for point in expected.points:
        for flow in expected.flows:
            if point.observation_point not in flow.path:
                continue
            blind = point.blind_to(flow.key)
            if blind:
                yield _check(point, flow.key, "packets", None, None, Outcome.SKIPPED, blind)
            elif point.sampling > 1:
                yield _sampled(point, flow, evidence, sampling_checks)
            else:
                yield from _exact(point, flow, expected, evidence)


def _exact(
    point: Point, flow: ExpectedFlow, expected: Expected, evidence: Evidence
) -> Iterator[Check]:
    seen = _observed(point, flow.key, evidence)
    wire = evidence.wire.get((point.observation_point, flow.key), Counted(0, 0, 0))
    if seen is None:
        number = wire.packets if flow.packets is None else flow.packets
        why = f"no such flow; {_nearest(point, flow.key, evidence)}"
        yield _check(point, flow.key, "packets", number, 0, Outcome.FAIL, why)
        return
    for measure in point.measures:
        field = _COUNTED_AS.get(measure, measure)
        if measure == "times":
            yield _times(point, flow.key, seen, evidence)
            continue
        if measure == "tcpControlBits" and flow.key.protocol != TCP:
            continue
        declared = getattr(flow, field, None)
        wanted = getattr(wire, field) if declared is None else declared
        tolerance = expected.tolerances.get(_TOLERANCE_OF.get(measure, ""), EXACT)
        yield _measured(point, flow.key, measure, tolerance.around(wanted or 0), seen)


def _measured(point: Point, key: FlowKey, measure: str, region: Region, seen: Counted) -> Check:
    value = getattr(seen, _COUNTED_AS.get(measure, measure))
    if value is None:
        why = f"{point.title} reported no {measure}"
        return _check(point, key, measure, region.to_json(), None, Outcome.FAIL, why)
    if region.contains(value):
        return _check(point, key, measure, region.to_json(), value, Outcome.PASS)
    where = f"; first told in datagram {seen.datagram}" if seen.datagram else ""
    if measure == "tcpControlBits":
        why = f"flags {flag_names(value)} instead of {flag_names(int(region.low or 0))}{where}"
    else:
        why = f"{seen.records} records add up to {value}, not to {region}{where}"
    return _check(point, key, measure, region.to_json(), value, Outcome.FAIL, why)


def _times(point: Point, key: FlowKey, seen: Counted, evidence: Evidence) -> Check:
    """First and last packet within the traffic, by the exporter's own clock.

    The flush lets the switch's clock jump ahead. Times that are told relative to a moment
    after the jump come out earlier by it, so that much is allowed at the early end.
    """
    witnesses = evidence.witnesses
    jump_ns = witnesses.get("clock_moved_ms", 0) * 1_000_000
    low = witnesses.get("traffic_started_ns", 0) - jump_ns - CLOCK_SLACK_NS
    high = witnesses.get("traffic_finished_ns", 0) + CLOCK_SLACK_NS
    told = [time for time in (seen.first_ns, seen.last_ns) if time is not None]
    if not told:
        why = f"{point.title} reported no times"
        return _check(point, key, "times", [low, high], None, Outcome.FAIL, why)
    good = low <= min(told) <= max(told) <= high
    why = "" if good else _how_far(min(told), max(told), low, high)
    outcome = Outcome.PASS if good else Outcome.FAIL
    return _check(point, key, "times", [low, high], [min(told), max(told)], outcome, why)


def _how_far(first: int, last: int, low: int, high: int) -> str:
    early_ms, late_ms = (low - first) / 1e6, (last - high) / 1e6
    return "; ".join(
        text
        for text in (
            f"its first packet is {early_ms:.1f} ms before the run" if early_ms > 0 else "",
            f"its last packet is {late_ms:.1f} ms after the run" if late_ms > 0 else "",
        )
        if text
    )


def _sampled(point: Point, flow: ExpectedFlow, evidence: Evidence, checks: int) -> Check:
    wire = evidence.wire.get((point.observation_point, flow.key), Counted(0))
    region = sampled(wire.packets, point.sampling, checks)
    seen = _observed(point, flow.key, evidence) or Counted(0)
    if region.contains(0):
        why = f"{wire.packets} packets are too few to judge sampling 1 in {point.sampling} by"
        outcome = Outcome.SKIPPED
    else:
        outcome = Outcome.PASS if region.contains(seen.packets) else Outcome.FAIL
        why = (
            ""
            if outcome is Outcome.PASS
            else (f"{seen.packets} estimated from {seen.records} samples of {wire.packets} packets")
        )
    return _check(point, flow.key, "packets", region.to_json(), seen.packets, outcome, why)


def _unexpected(expected: Expected, evidence: Evidence) -> Iterator[Check]:
    """What was exported although nothing on this switch's way explains it."""
    points = {(point.exporter, point.observation_point): point for point in expected.points}
    explained = {
        (point.exporter, point.observation_point, flow.key)
        for point in expected.points
        for flow in expected.flows
        if point.observation_point in flow.path and point.blind_to(flow.key) is None
    }
    for (exporter, switch, key), seen in evidence.observed.items():
        if (exporter, switch, key) in explained:
            continue
        on_wire = evidence.wire.get((switch, key))
        why = (
            "nothing in the scenario sends this"
            if on_wire is None
            else f"{on_wire.packets} such packets were on the wire, but the scenario sends none"
        )
        point = points[exporter, switch]
        yield _check(point, key, "packets", 0, seen.packets, Outcome.FAIL, why)


def _explicit(expected: Expected, evidence: Evidence) -> Iterator[Check]:
    for one in expected.explicit:
        for point in expected.points:
            if point.exporter in one.exporters and point.observation_point in one.points:
                yield from _written(one, point, evidence)


def _written(one: Explicit, point: Point, evidence: Evidence) -> Iterator[Check]:
    seen = together(*(_observed(point, key, evidence) for key in one.keys))
    wire = together(*(evidence.wire.get((point.observation_point, key)) for key in one.keys))
    key, plural = one.keys[0], f" of {len(one.keys)} flows" if len(one.keys) > 1 else ""
    for measure, region in one.measures.items():
        check = _measured(point, key, measure, region, seen)
        truth = None if measure == "records" else getattr(wire, _COUNTED_AS.get(measure, measure))
        if check.outcome is Outcome.FAIL:
            agrees = truth is not None and truth == check.observed
            told = ", which is what crossed the wire too" if agrees else ""
            why = f"{one.label} wants {region}, there are {check.observed}{told}"
            check = replace(check, why=why)
        yield replace(check, measure=measure + plural)


def _observed(point: Point, key: FlowKey, evidence: Evidence) -> Counted | None:
    return evidence.observed.get((point.exporter, point.observation_point, key))


def _nearest(point: Point, key: FlowKey, evidence: Evidence) -> str:
    """The flow at this point that differs in the fewest fields, and in which."""
    others = [
        other
        for exporter, switch, other in evidence.observed
        if (exporter, switch) == (point.exporter, point.observation_point)
    ]
    if not others:
        return f"{point.title} at {point.observation_point} reported no flow at all"
    near = max(others, key=lambda other: sum(a == b for a, b in zip(key, other, strict=True)))
    differing = _differences(key, near)
    return f"the nearest is {near}, which differs in {', '.join(differing)}"


def _differences(key: FlowKey, other: FlowKey) -> Iterable[str]:
    return [name for name, a, b in zip(key._fields, key, other, strict=True) if a != b]


def _check(
    point: Point,
    key: FlowKey,
    measure: str,
    expected: object,
    observed: object,
    outcome: Outcome,
    why: str = "",
) -> Check:
    return Check(
        point.exporter, point.observation_point, key, measure, expected, observed, outcome, why
    )
