"""Expected ⋈ observed: every flow at every observation point, in both directions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Final

from collector.check.counts import KEY, Counts
from collector.check.model import Check, Counted, Outcome, has, together
from collector.check.plain import SLACK_NS
from collector.check.records import ASKED
from collector.check.sampling import sampled_checks
from collector.check.tolerance import Region, Tolerance
from collector.key import FlowKey, flags_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from collector.check.model import Evidence, Expected, ExpectedFlow, Explicit, Point
    from collector.check.pattern import Pattern
    from collector.check.plain import Settled

    Shown = tuple[Point, ExpectedFlow]

EXACT: Final = Tolerance()
NOTHING: Final = Counted(0, 0, 0)
NO_SUCH_FLOW: Final = "no such flow"
TOO_BUSY: Final = "this machine is too busy for times to be told by it"
AT_ONCE: Final = 8192
"""Flows at points that are looked at together."""

_COUNTED_AS: Final = {"tcpControlBits": "tcp_control_bits"}
_TOLERANCE_OF: Final = {"packets": "packets", "octets_l2": "octets", "octets_l3": "octets"}
_EGRESS: Final = {"packets": "egress packets", "octets_l2": "egress octets_l2"}


def checks(expected: Expected, evidence: Evidence, settled: Settled) -> tuple[Check, ...]:
    """All comparisons of a run: what the traffic implies, what is too much, what is written.

    Args:
        expected: what was expected.
        evidence: what was witnessed.
        settled: what of it is plain, and passes, and so need not be looked at here.
    """
    return (
        *_derived(expected, evidence, settled.rest),
        *sampled_checks(expected, evidence),
        *_unexpected(expected, evidence, settled),
        *_explicit(expected, evidence),
    )


def _derived(expected: Expected, evidence: Evidence, rest: Sequence[Shown]) -> Iterator[Check]:
    """What the traffic implies, where that is not plain; some at a time, for there may be many."""
    for first in range(0, len(rest), AT_ONCE):
        some = rest[first : first + AT_ONCE]
        keys = (
            key
            for point, flow in some
            for key in (flow.key, point.key_of(point.told(flow)), point.key_of(flow.gone))
        )
        few = evidence.only(keys)
        found = [check for point, flow in some for check in _of_flow(point, flow, expected, few)]
        yield from _with_nearest(found, expected, evidence)


def _of_flow(
    point: Point, flow: ExpectedFlow, expected: Expected, evidence: Evidence
) -> Iterator[Check]:
    blind = _cannot(point, flow.key, evidence)
    if blind:
        yield _check(point, flow.key, "packets", None, None, Outcome.SKIPPED, blind)
    elif point.sampling == 1:
        yield from _exact(point, flow, expected, evidence)


def _exact(
    point: Point, flow: ExpectedFlow, expected: Expected, evidence: Evidence
) -> Iterator[Check]:
    told, gone = point.told(flow), flow.gone
    seen = _observed(point, point.key_of(told), evidence)
    wire = evidence.on_wire(point, flow.key) or Counted(0, 0, 0)
    if flow.perhaps and seen is None and not wire.packets:
        return
    again = evidence.counted_again(point, flow.key)
    if seen is None:
        number = wire.packets if flow.packets is None else flow.packets
        yield _check(point, told.key, "packets", number, 0, Outcome.FAIL, NO_SUCH_FLOW)
        return
    for measure in point.measures:
        if measure == "times":
            left = evidence.left.get((point.observation_point, gone.key))
            moved_ms = evidence.witnesses.clock_moved_ms or 0
            yield _times(point, told.key, seen, wire, left, moved_ms)
        elif has(told.key, measure):
            yield _counted(point, told, measure, expected, seen, wire, again=again)
    if point.tells_egress and flow.reactive:
        why = "by how many ports each packet left was the controller's affair"
        yield _check(point, gone.key, "egress packets", None, None, Outcome.SKIPPED, why)
    elif point.tells_egress:
        place = point.exporter, point.observation_point, point.key_of(gone)
        out = evidence.egress.get(place, NOTHING)
        times = flow.copies_at(point.observation_point)
        for measure, egress in _EGRESS.items():
            longer = flow.retag_octets if measure == "octets_l2" else 0
            if measure == "octets_l2" and flow.egress_octets_l2 is not None:
                gone, times = replace(gone, octets_l2=flow.egress_octets_l2), 1
            check = _counted(point, gone, measure, expected, out, wire, times, longer=longer)
            yield replace(check, measure=egress)


def _counted(
    point: Point,
    flow: ExpectedFlow,
    measure: str,
    expected: Expected,
    seen: Counted,
    wire: Counted,
    times: int = 1,
    again: Counted | None = None,
    longer: int = 0,
) -> Check:
    """A count against what was declared or, where only the wire can tell, against the wire.

    Args:
        point: where it was observed.
        flow: what was expected.
        measure: what is counted.
        expected: the whole expectation, for its tolerances.
        seen: what was observed.
        wire: what crossed the wire.
        times: how often each packet is counted.
        longer: octets that each packet is longer than it was.
        again: what a controller handed back to the switch, and so is counted once more.
    """
    field = _COUNTED_AS.get(measure, measure)
    declared = getattr(flow, field, None)
    wanted = getattr(wire, field) if declared is None else declared
    if wanted is None:
        why = f"the wire does not tell how many {measure} are right"
        observed = getattr(seen, field)
        return _check(point, flow.key, measure, None, observed, Outcome.INVALID, why)
    if again is not None and measure in _TOLERANCE_OF:
        wanted += getattr(again, field) or 0
    packets = wire.packets if flow.packets is None else flow.packets
    tolerance = expected.tolerances.get(_TOLERANCE_OF.get(measure, ""), EXACT)
    return _measured(
        point, flow.key, measure, tolerance.around(wanted * times + longer * packets), seen
    )


def _measured(point: Point, key: FlowKey, measure: str, region: Region, seen: Counted) -> Check:
    value = getattr(seen, _COUNTED_AS.get(measure, measure))
    if value is None:
        why = f"{point.title} reported no {measure}"
        return _check(point, key, measure, region.to_json(), None, Outcome.FAIL, why)
    if region.contains(value):
        return _check(point, key, measure, region.to_json(), value, Outcome.PASS)
    where = f"; first told in datagram {seen.datagram}" if seen.datagram else ""
    if measure == "tcpControlBits":
        why = f"flags {flags_text(value)} instead of {flags_text(int(region.low or 0))}{where}"
    else:
        why = f"{seen.records} records add up to {value}, not to {region}{where}"
    return _check(point, key, measure, region.to_json(), value, Outcome.FAIL, why)


def _times(
    point: Point, key: FlowKey, seen: Counted, wire: Counted, left: Counted | None, moved_ms: int
) -> Check:
    """First and last packet as on the wire, by the exporter's own clock.

    The flush lets the switch's clock jump ahead. Where an exporter tells times by that clock,
    relative to a moment after the jump, they come out earlier by up to the jump. On a machine that
    is far too busy the switch looks at packets late; then they leave it late as well, and no
    exporter is to blame for what it tells.
    """
    told = (seen.first_ns, seen.last_ns)
    right = [wire.first_ns, wire.last_ns]
    if None in told:
        why = f"{point.title} reported no times"
        return _check(point, key, "times", right, None, Outcome.FAIL, why)
    early_ms = point.early_ms + (moved_ms if point.on_switch_clock else 0)
    early_ns = SLACK_NS + early_ms * 1_000_000
    latest = (None, None) if left is None else (left.first_ns, left.last_ns)
    outcomes, wrong = {Outcome.PASS}, []
    for name, value, truth, gone in zip(("first", "last"), told, right, latest, strict=True):
        if value is None or truth is None or -early_ns <= value - truth <= SLACK_NS:
            continue
        off = f"{(value - truth) / 1e6:+.1f} ms from when it was on the wire"
        off = f"its {name} packet is told {off}"
        if gone is not None and truth + SLACK_NS < value <= gone + SLACK_NS:
            outcomes.add(Outcome.INVALID)
            off += f"; it left the switch {(gone - truth) / 1e6:.1f} ms after it came: {TOO_BUSY}"
        else:
            outcomes.add(Outcome.FAIL)
        wrong.append(off)
    worst = next(one for one in (Outcome.FAIL, Outcome.INVALID, Outcome.PASS) if one in outcomes)
    return _check(point, key, "times", right, list(told), worst, "; ".join(wrong))


def _unexpected(expected: Expected, evidence: Evidence, settled: Settled) -> Iterator[Check]:
    """What was exported although nothing on this switch's way explains it."""
    tables = {"packets": settled.unexplained, "egress packets": settled.unexplained_egress}
    if not any(tables.values()):
        return
    points = {(point.exporter, point.observation_point): point for point in expected.points}
    shown = [(point, flow) for point, flow in settled.rest if point.blind_to(flow.key) is None]
    explains = {
        "packets": ((point, point.told(flow)) for point, flow in shown),
        "egress packets": ((point, flow.gone) for point, flow in shown),
    }
    few = evidence.only(key for table in tables.values() for *_, key in table)
    for measure, observed in tables.items():
        explained = {
            (point.exporter, point.observation_point, point.key_of(flow))
            for point, flow in explains[measure]
        }
        for (exporter, switch, key), seen in observed.items():
            if (exporter, switch, key) in explained or expected.is_background(key):
                continue
            point = points[exporter, switch]
            on_wire = few.on_wire(point, key)
            if on_wire is None:
                why = "no such packet was on the wire"
            else:
                why = f"{on_wire.packets} such packets were on the wire" + (
                    f", but {blind}" if (blind := point.blind_to(key)) else ", undeclared"
                )
            yield _check(point, key, measure, 0, seen.packets, Outcome.FAIL, why)


def _explicit(expected: Expected, evidence: Evidence) -> Iterator[Check]:
    points = {(point.exporter, point.observation_point): point for point in expected.points}
    for one in expected.explicit:
        if not one.asked:
            yield _asked_of_nobody(one)
            continue
        asked = [(points[place.exporter, place.switch], place.why_not) for place in one.asked]
        if one.absent is not None:
            few = evidence.only(_fitting(one.absent, evidence))
            for point, _ in asked:
                yield _must_be_absent(one, one.absent, point, few)
            continue
        about = set(one.keys)
        flows = [flow for flow in expected.flows if flow.key in about]
        told = [_told(point, flows) or {key: key for key in one.keys} for point, _ in asked]
        few = evidence.only(key for keys in told for pair in keys.items() for key in pair)
        for (point, why_not), keys in zip(asked, told, strict=True):
            lacking = evidence.witnesses.absent.get(point.exporter)
            if lacking is None and why_not:
                lacking = f"{one.label} is not asked of it: {why_not}"
            if lacking is None:
                yield from _written(one, point, keys, few)
                continue
            for measure in one.measures:
                yield _check(point, one.keys[0], measure, None, None, Outcome.SKIPPED, lacking)


def _asked_of_nobody(one: Explicit) -> Check:
    key = one.keys[0] if one.keys else None
    measure, region = next(iter(one.measures.items()), ("not", Region(0, 0)))
    why = f"{one.label} is asked of nobody: no exporter is where such a flow surely comes by"
    wanted = region.to_json()
    return Check("nobody", "nowhere", key, measure, wanted, None, Outcome.INVALID, why)


def _told(point: Point, flows: Iterable[ExpectedFlow]) -> dict[FlowKey, FlowKey]:
    """The keys under which a point reports flows that it is shown, with those that they come by."""
    return {point.key_of(point.told(flow)): flow.key for flow in flows if point.is_shown(flow)}


def _fitting(pattern: Pattern, evidence: Evidence) -> Iterator[FlowKey]:
    """The flows of a pattern that were reported anywhere."""
    told = (key for table in (evidence.observed, evidence.egress) for *_, key in table)
    return filter(pattern.fits, dict.fromkeys(told))


def _must_be_absent(one: Explicit, pattern: Pattern, point: Point, evidence: Evidence) -> Check:
    """No flow of a pattern was observed at a point, neither coming in nor going out."""
    found = {
        key: seen
        for table in (evidence.egress, evidence.observed)
        for (exporter, switch, key), seen in table.items()
        if (exporter, switch) == (point.exporter, point.observation_point) and pattern.fits(key)
    }
    if found:
        (key, *also), why = found, f"{one.label} wants no {pattern.text} here"
        packets = sum(seen.packets for seen in found.values())
        seen = _check(point, key, "not", 0, packets, Outcome.FAIL, why)
        return replace(seen, also=tuple(also))
    # That nothing was told says something only where it would have been told.
    blind = evidence.witnesses.absent.get(point.exporter) or _blind(point, pattern)
    if blind:
        return _check(point, _nobody(pattern), "not", None, None, Outcome.SKIPPED, blind)
    return _check(point, _nobody(pattern), "not", 0, 0, Outcome.PASS)


def _blind(point: Point, pattern: Pattern) -> str | None:
    """Why a point would not tell a flow of a pattern, or not surely."""
    if point.sampling > 1:
        return f"it samples 1 in {point.sampling}: what it does not tell may have been there"
    version = pattern.ip_version
    kinds = {"non_ip"} if version == 0 else {f"ipv{version}", "ip"}
    return next((why for kind, why in point.not_seen.items() if kind in kinds), None)


def _nobody(pattern: Pattern) -> FlowKey:
    """A key that stands for a pattern which no flow has."""
    ends = (pattern.sources, pattern.destinations)
    source, destination = ("any" if one is None else one[0] for one in ends)
    ports = (pattern.source_ports, pattern.ports)
    source_port, port = (0 if one is None else one[0] for one in ports)
    protocol = 0 if pattern.protocols is None else pattern.protocols[0]
    return FlowKey(pattern.ip_version or 4, source, destination, protocol, source_port, port)


def _written(
    one: Explicit, point: Point, keys: Mapping[FlowKey, FlowKey], evidence: Evidence
) -> Iterator[Check]:
    """Each measure of an expectation at a point.

    Args:
        one: the expectation.
        point: where it is asked.
        keys: of its flows: those that are told there, with those that they come by.
        evidence: what was witnessed.
    """
    seen = together(*(_observed(point, key, evidence) for key in keys))
    wire = together(*(evidence.on_wire(point, key) for key in dict.fromkeys(keys.values())))
    key, *also = keys
    for measure, region in one.measures.items():
        if measure in ASKED:
            yield _of_records(one, point, measure, region, keys, evidence)
            continue
        check = _measured(point, key, measure, region, seen)
        truth = None if measure == "records" else getattr(wire, _COUNTED_AS.get(measure, measure))
        if check.outcome is Outcome.FAIL:
            agrees = truth is not None and truth == check.observed
            told = ", which is what crossed the wire too" if agrees else ""
            over = f" over its {len(keys)} flows" if also else ""
            why = f"{one.label} wants {region}{over}, there are {check.observed}{told}"
            check = replace(check, why=why)
        yield replace(check, also=tuple(also))


def _of_records(
    one: Explicit,
    point: Point,
    measure: str,
    region: Region,
    keys: Iterable[FlowKey],
    evidence: Evidence,
) -> Check:
    """What is asked of single records."""
    places = [(point.exporter, point.observation_point, key) for key in keys]
    flows = [evidence.records[place] for place in places if place in evidence.records]
    value, why = ASKED[measure](flows) if flows else (None, "no such flow was reported")
    right = value is not None and region.contains(value)
    if not right:
        why = f"{one.label} wants {measure} {region}; {why or f'it is {value}'}"
    outcome = Outcome.PASS if right else Outcome.FAIL
    key, *also = keys
    check = _check(point, key, measure, region.to_json(), value, outcome, why)
    return replace(check, also=tuple(also))


def _cannot(point: Point, key: FlowKey, evidence: Evidence) -> str | None:
    """Why nothing of a flow can be reported: the exporter is not there, or is blind to it."""
    return evidence.witnesses.absent.get(point.exporter) or point.blind_to(key)


def _observed(point: Point, key: FlowKey, evidence: Evidence) -> Counted | None:
    return evidence.observed.get((point.exporter, point.observation_point, key))


def _with_nearest(
    found: Sequence[Check], expected: Expected, evidence: Evidence
) -> Iterator[Check]:
    """The checks; those of a flow that was not reported say which one comes nearest."""
    missing = [check for check in found if check.why == NO_SUCH_FLOW]
    titles = {(point.exporter, point.observation_point): point.title for point in expected.points}
    near = iter(_nearest(missing, Counts.of(evidence.observed, 2)) if missing else ())
    for check in found:
        if check.why != NO_SUCH_FLOW or check.key is None:
            yield check
            continue
        other = next(near)
        place = check.exporter, check.observation_point
        if other is None:
            why = f"{titles[place]} at {place[1]} reported no flow at all"
        else:
            differing = ", ".join(_differences(check.key, other))
            why = f"the nearest is {other}, which differs in {differing}"
        yield replace(check, why=f"{NO_SUCH_FLOW}; {why}")


def _nearest(missing: Sequence[Check], observed: Counts) -> list[FlowKey | None]:
    """For each check the flow at its point that differs in the fewest fields; None: there is none.

    Of several it is the first. Flows are matched by all choices of fields, the larger ones first,
    so that it takes as many joins, however many flows are missing.
    """
    import polars as pl

    place = ["exporter", "place"]
    who = pl.DataFrame(
        [(check.exporter, check.observation_point) for check in missing], place, orient="row"
    )
    keys = pl.DataFrame(
        [check.key for check in missing], observed.table.select(KEY).schema, orient="row"
    )
    left = pl.concat([who, keys], how="horizontal").with_row_index("missing")
    here = observed.table.select(*place, *KEY).join(left, on=place, how="semi")
    here = here.with_row_index("row")
    found: dict[int, int] = {}
    for size in range(len(KEY) - 1, -1, -1):
        rows = [
            left.join(
                here.unique([*place, *fields], keep="first", maintain_order=True),
                on=[*place, *fields],
            ).select("missing", "row")
            for fields in combinations(KEY, size)
        ]
        found |= dict(pl.concat(rows).group_by("missing").agg(pl.col("row").min()).iter_rows())
        left = left.filter(~pl.col("missing").is_in(list(found)))
        if not len(left):
            break
    others = here.select(KEY)
    return [
        FlowKey(*others.row(found[number])) if number in found else None
        for number in range(len(missing))
    ]


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
