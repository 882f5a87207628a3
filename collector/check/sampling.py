"""What chance allows an exporter that looks at one packet in N.

Each packet is looked at or not, independently of the others, with probability p = 1/N: so Open
vSwitch draws (``odp_execute_sample``), and RFC 5475 section 5.2.2.1 calls it uniform probabilistic
sampling. The samples of a flow of n packets are then binomial (n, p). The region that passes is the
exact two-sided one, by the distribution itself; a normal approximation is wrong by orders of
magnitude at such small probabilities.

An estimate of octets is N times the sum of the sampled packets' lengths. The lengths are known from
the wire, so Bernstein's inequality holds for it, whatever the lengths are: it needs independence,
the sum of their squares, and the longest one, and nothing else. Where all are alike the estimate is
exactly so many times that of packets, and chance has no say in it.

All checks of a run that chance has a say in share one `FALSE_ALARM` equally (Boole's inequality, so
they need not be independent).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from collector.check.model import Check, Counted, Outcome, has, together
from collector.check.tolerance import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.check.model import Evidence, Expected, ExpectedFlow, Point
    from collector.key import FlowKey

FALSE_ALARM: Final = 1e-6
"""The most that the chance of a false alarm may be, over all checks of a run together."""
POWER: Final = 0.99
"""How surely a bias is found that is called detectable."""
ALL_FLOWS: Final = "packets of all flows"

_OCTETS: Final = ("octets_l2", "octets_l3")
_FINEST: Final = 1e-4
"""To what a detectable bias is worked out."""


# ------------------------------------------------------------------ what chance allows


@lru_cache(maxsize=65536)
def packets_region(packets: int, sampling: int, alarm: float) -> Region:
    """How many packets may be reported, estimated from samples.

    Args:
        packets: how many there were.
        sampling: one in so many is sampled.
        alarm: how likely a right exporter may be outside, both sides together.
    """
    low, high = _samples(packets, 1 / sampling, alarm)
    return Region(low * sampling, high * sampling)


def packets_needed(sampling: int, alarm: float) -> int:
    """How many packets it takes until no sample at all is a fault, and not chance."""
    return math.ceil(math.log(alarm / 2) / math.log1p(-1 / sampling))


def octets_region(wire: Counted, measure: str, sampling: int, alarm: float) -> Region:
    """How many octets may be reported, estimated from samples.

    Bernstein's inequality for the sum of n independent lengths, each there with probability p:
    P(|S - E S| >= u) <= 2 exp(-u²/2 / (v + M u/3)), with v = p (1 - p) Σ length² and M the longest.

    Args:
        wire: the packets that there were, with the squares and the longest of their lengths.
        measure: ``octets_l2`` or ``octets_l3``.
        sampling: one in so many is sampled.
        alarm: how likely a right exporter may be outside, both sides together.
    """
    total, squares, longest = _lengths(wire, measure)
    chance = 1 / sampling
    nats = math.log(2 / alarm)
    linear = longest * nats / 3
    off = linear + math.sqrt(linear**2 + 2 * nats * chance * (1 - chance) * squares)
    return Region(max(0, total - off * sampling), total + off * sampling)


@lru_cache(maxsize=1024)
def detectable_bias(packets: int, sampling: int, alarm: float) -> float | None:
    """The smallest error of the rate, either way, that is found with a probability of `POWER`.

    Returns:
        As a share of the rate: 0.2 for an exporter that samples a fifth too many, or too few. None
        if there are too few packets to find any.
    """
    chance = 1 / sampling
    low, high = _samples(packets, chance, alarm)

    def found(rate: float) -> float:
        rate = min(rate, 1.0)
        return _at_most(low - 1, packets, rate) + _more_than(high, packets, rate)

    more = _least(lambda bias: found(chance * (1 + bias)) >= POWER, sampling - 1)
    less = _least(lambda bias: found(chance * (1 - bias)) >= POWER, 1)
    return None if more is None or less is None else max(more, less)


def _samples(packets: int, chance: float, alarm: float) -> tuple[int, int]:
    """The fewest and the most samples: beyond each lies no more than half of ``alarm``."""
    tail = alarm / 2
    low = _first(lambda samples: _at_most(samples, packets, chance) > tail, packets)
    high = _first(lambda samples: _more_than(samples, packets, chance) <= tail, packets)
    return low, high


def _at_most(samples: int, packets: int, chance: float) -> float:
    from scipy.special import bdtr

    return float(bdtr(samples, packets, chance)) if samples >= 0 else 0.0


def _more_than(samples: int, packets: int, chance: float) -> float:
    from scipy.special import bdtrc

    return float(bdtrc(samples, packets, chance)) if samples < packets else 0.0


def _first(holds: Callable[[int], bool], most: int) -> int:
    """The first of 0 to ``most`` for which something holds, as it does for all after it."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _least(holds: Callable[[float], bool], most: float) -> float | None:
    if not holds(most):
        return None
    low, high = 0.0, float(most)
    while high - low > _FINEST:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


# ------------------------------------------------------------------ the checks of a run


def sampled_checks(expected: Expected, evidence: Evidence) -> Iterator[Check]:
    """Every flow at every sampling exporter, and all flows of such an exporter together."""
    shown = _shown(expected, evidence)
    alarm = alarm_of_one(expected, evidence)
    for point, flows in shown:
        wire = [_crossed(point, flow, evidence) for flow in flows]
        in_all = sum(one.packets for one in wire)
        enough = in_all >= packets_needed(point.sampling, alarm)
        for flow, one in zip(flows, wire, strict=True):
            seen = _estimated(point, flow, evidence)
            yield _packets(point, flow, one, seen, alarm, judged_together=enough)
            yield from _octets(point, flow, one, seen, alarm)
        if len(flows) > 1:
            yield _all_flows(point, flows, in_all, evidence, alarm)


def alarm_of_one(expected: Expected, evidence: Evidence) -> float:
    """The share of `FALSE_ALARM` that each check has that chance has a say in."""
    return FALSE_ALARM / max(1, _by_chance(expected, evidence))


def notes(expected: Expected, evidence: Evidence) -> Iterator[str]:
    """What the verdict on each sampling exporter is worth, where it had the fewest packets."""
    alarm = alarm_of_one(expected, evidence)
    fewest: dict[str, tuple[int, Point]] = {}
    for point, flows in _shown(expected, evidence):
        packets = sum(_crossed(point, flow, evidence).packets for flow in flows)
        known = fewest.get(point.exporter)
        if known is None or packets < known[0]:
            fewest[point.exporter] = packets, point
    for packets, point in fewest.values():
        bias = detectable_bias(packets, point.sampling, alarm)
        found = "no bias" if bias is None else f"a rate wrong by {bias:.1%} or more"
        yield (
            f"{point.exporter} samples 1 in {point.sampling}: of {packets} packets at "
            f"{point.observation_point}, {found} is found with {POWER:.0%} probability; the chance "
            f"of a false alarm in this run is at most {FALSE_ALARM:g}, over "
            f"{_by_chance(expected, evidence)} checks"
        )


def _shown(expected: Expected, evidence: Evidence) -> list[tuple[Point, list[ExpectedFlow]]]:
    """The flows that each sampling exporter could see."""
    shown = []
    for point in expected.points:
        if point.sampling > 1 and point.exporter not in evidence.witnesses.absent:
            flows = [
                flow
                for flow in expected.flows
                if point.is_shown(flow) and point.blind_to(flow.key) is None
                if not flow.perhaps or _came(point, flow, evidence)
            ]
            if flows:
                shown.append((point, flows))
    return shown


def _by_chance(expected: Expected, evidence: Evidence) -> int:
    """How many checks chance has a say in."""
    count = 0
    for point, flows in _shown(expected, evidence):
        count += len(flows) + (len(flows) > 1)
        for flow in flows:
            wire = _crossed(point, flow, evidence)
            alike = (_alike(wire, one) for one in _octets_of(point, flow) if wire.packets)
            count += sum(not one for one in alike)
    return count


def _packets(
    point: Point,
    flow: ExpectedFlow,
    wire: Counted,
    seen: Counted,
    alarm: float,
    *,
    judged_together: bool,
) -> Check:
    region = packets_region(wire.packets, point.sampling, alarm)
    why, outcome = "", Outcome.PASS
    if not region.contains(seen.packets):
        outcome = Outcome.FAIL
        why = f"{seen.packets} estimated by sampling {wire.packets} packets"
    elif region.contains(0):
        why = _too_few(wire.packets, point, alarm)
        outcome = Outcome.INVALID
        if judged_together:
            why += "; they are judged together with the other flows"
            outcome = Outcome.SKIPPED
    return _check(point, flow.key, "packets", region, seen.packets, outcome, why)


def _all_flows(
    point: Point, flows: list[ExpectedFlow], packets: int, evidence: Evidence, alarm: float
) -> Check:
    key, *also = (flow.key for flow in flows)
    region = packets_region(packets, point.sampling, alarm)
    seen = sum(_estimated(point, flow, evidence).packets for flow in flows)
    why, outcome = "", Outcome.PASS
    if not region.contains(seen):
        outcome = Outcome.FAIL
        why = f"{seen} estimated by sampling {packets} packets of {len(flows)} flows"
    elif region.contains(0):
        outcome, why = Outcome.INVALID, _too_few(packets, point, alarm)
    return _check(point, key, ALL_FLOWS, region, seen, outcome, why, tuple(also))


def _too_few(packets: int, point: Point, alarm: float) -> str:
    return (
        f"{packets} packets are too few to judge sampling 1 in {point.sampling} by: it takes "
        f"{packets_needed(point.sampling, alarm)}"
    )


def _octets(
    point: Point, flow: ExpectedFlow, wire: Counted, seen: Counted, alarm: float
) -> Iterator[Check]:
    for measure in _octets_of(point, flow) if seen.packets and wire.packets else ():
        value = getattr(seen, measure)
        if value is None:
            why = f"{point.title} reported no {measure}"
            yield _check(point, flow.key, measure, None, None, Outcome.FAIL, why)
            continue
        if getattr(wire, measure) is None:
            why = f"the wire does not tell how many {measure} are right"
            yield _check(point, flow.key, measure, None, value, Outcome.INVALID, why)
            continue
        if _alike(wire, measure):
            exact = getattr(wire, measure) // wire.packets * seen.packets
            region, how = Region(exact, exact), f"for {seen.packets} packets, all alike"
        else:
            region = octets_region(wire, measure, point.sampling, alarm)
            how = f"by sampling {wire.packets} packets of different lengths"
        right = region.contains(value)
        why = "" if right else f"{value} estimated {how}"
        outcome = Outcome.PASS if right else Outcome.FAIL
        yield _check(point, flow.key, measure, region, value, outcome, why)


def _octets_of(point: Point, flow: ExpectedFlow) -> Iterator[str]:
    """What a point tells of a flow's octets, as far as the flow has them."""
    for measure in _OCTETS:
        if measure in point.measures and has(flow.key, measure):
            yield measure


def _crossed(point: Point, flow: ExpectedFlow, evidence: Evidence) -> Counted:
    """The packets that were looked at: what came in, and what a controller handed back."""
    wire = evidence.on_wire(point, flow.key)
    again = evidence.counted_again(point, flow.key)
    return (wire or Counted(0)) if again is None else together(wire, again)


def _came(point: Point, flow: ExpectedFlow, evidence: Evidence) -> bool:
    """Whether anything was there of a flow that need not be."""
    return any(
        seen.packets
        for seen in (_crossed(point, flow, evidence), _estimated(point, flow, evidence))
    )


def _alike(wire: Counted, measure: str) -> bool:
    """Whether all packets have the same length."""
    total, _, longest = _lengths(wire, measure)
    return longest * wire.packets == total


def _lengths(wire: Counted, measure: str) -> tuple[float, float, float]:
    """Sum, sum of squares, and the largest of the packets' lengths, in octets."""
    lengths = wire.lengths.get(measure)
    total = getattr(wire, measure) or 0
    if lengths is None:  # not known: all in one packet is the worst that it could be
        return total, total**2, total
    return total, lengths.squares, lengths.longest


def _estimated(point: Point, flow: ExpectedFlow, evidence: Evidence) -> Counted:
    """What an exporter tells of a flow, under the key that it has for it."""
    place = point.exporter, point.observation_point, point.key_of(point.told(flow))
    return together(evidence.observed.get(place))


def _check(
    point: Point,
    key: FlowKey,
    measure: str,
    region: Region | None,
    observed: object,
    outcome: Outcome,
    why: str,
    also: tuple[FlowKey, ...] = (),
) -> Check:
    expected = None if region is None else region.to_json()
    return Check(
        point.exporter,
        point.observation_point,
        key,
        measure,
        expected,
        observed,
        outcome,
        why,
        also,
    )
