"""Sampling judged: regions against arithmetic with fractions, promises against simulated runs."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from collector.check import (
    Counted,
    Evidence,
    Expected,
    ExpectedFlow,
    Lengths,
    Outcome,
    Point,
    judge,
    sampling,
)
from collector.check.witnesses import Witnesses
from collector.key import FlowKey

RUNS = 10_000


@pytest.mark.parametrize("packets", [1, 10, 50, 200])
@pytest.mark.parametrize("rate", [2, 10, 100])
@pytest.mark.parametrize("alarm", [1e-2, 1e-6, 1e-8])
def test_the_region_is_the_smallest_that_keeps_its_promise_on_both_sides(packets, rate, alarm):
    chance = Fraction(1, rate)
    shares = [
        comb(packets, k) * chance**k * (1 - chance) ** (packets - k) for k in range(packets + 1)
    ]
    region = sampling.packets_region(packets, rate, alarm)
    low, high = int(region.low) // rate, int(region.high) // rate
    half = Fraction(alarm) / 2
    assert sum(shares[:low]) <= half < sum(shares[: low + 1])
    assert sum(shares[high + 1 :]) <= half
    assert high == 0 or sum(shares[high:]) > half


@pytest.mark.parametrize(("rate", "alarm"), [(2, 1e-6), (10, 1e-6), (1000, 1e-9)])
def test_it_takes_so_many_packets_that_silence_is_a_fault_and_no_fewer(rate, alarm):
    needed = sampling.packets_needed(rate, alarm)
    assert not sampling.packets_region(needed, rate, alarm).contains(0)
    assert sampling.packets_region(needed - 1, rate, alarm).contains(0)


# ------------------------------------------------------------------ simulated runs

RATE = 10
SHORT, LONG = 100, 1400
FLOWS = {FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40000 + n, 5001): n for n in range(3)}
PACKETS = ((8000, 0), (0, 4000), (2000, 1000))
"""Short and long packets of each flow."""
POINT = Point(
    exporter="sflow",
    title="sFlow v5",
    protocol="sflow5",
    observation_point="s1",
    observation_domain=None,
    agent="10.255.0.1",
    flow_direction=None,
    measures=("packets", "octets_l2"),
    sampling=RATE,
    not_seen={},
)
TOTAL = sum(map(sum, PACKETS))
OCTETS = sum(short * SHORT + long * LONG for short, long in PACKETS)
EXPECTED = Expected("case", (POINT,), tuple(ExpectedFlow(key, ("s1",)) for key in FLOWS))
WITNESSES = Witnesses.model_validate_json(
    json.dumps(
        {
            "traffic_started_ns": 1,
            "traffic_finished_ns": 2,
            "programs": [],
            "wire": {"packets_in": TOTAL, "lost": 0},
            "switches": {"s1": {"packets": TOTAL, "octets_l2": OCTETS}},
            "datagrams": {
                "sent": None,
                "received": {"datagrams": {"6343": 5}, "kernel_drops": {}, "truncated": 0},
                "error": None,
            },
        }
    )
)


def on_wire(short, long):
    squares = float(short * SHORT**2 + long * LONG**2)
    spread = Lengths(squares, LONG if long else SHORT)
    return Counted(short + long, short * SHORT + long * LONG, lengths={"octets_l2": spread})


EVIDENCE = Evidence(
    wire={("s1", key): on_wire(*PACKETS[n]) for key, n in FLOWS.items()},
    observed={},
    strays=(),
    decoding=(),
    recorded_datagrams=5,
    witnesses=WITNESSES,
)


def simulated(chance, runs=RUNS, seed=1):
    """Runs of an exporter that samples with a probability and says that it is 1 in RATE."""
    samples = np.random.default_rng(seed).binomial(PACKETS, chance, (runs, len(PACKETS), 2))
    for run in samples.tolist():
        observed = {
            ("sflow", "s1", key): Counted(
                (run[n][0] + run[n][1]) * RATE, (run[n][0] * SHORT + run[n][1] * LONG) * RATE
            )
            for key, n in FLOWS.items()
        }
        yield judge(EXPECTED, replace(EVIDENCE, observed=observed))


def failing(chance):
    return sum(verdict.outcome is Outcome.FAIL for verdict in simulated(chance)) / RUNS


def beyond_chance(share):
    """Three standard deviations of a share measured by `RUNS` runs."""
    return 3 * (share * (1 - share) / RUNS) ** 0.5


def test_right_exporters_are_hardly_ever_blamed():
    assert failing(1 / RATE) == 0


@pytest.mark.parametrize("promise", [0.05, 0.01])
def test_the_rate_of_false_alarms_is_within_its_promise(monkeypatch, promise):
    """At a promise so loose that it can be measured."""
    monkeypatch.setattr(sampling, "FALSE_ALARM", promise)
    measured = failing(1 / RATE)
    assert promise / 10 < measured <= promise + beyond_chance(promise)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rate_wrong_by_the_stated_bias_is_found_with_the_stated_power(sign):
    alarm = sampling.alarm_of_one(EXPECTED, EVIDENCE)
    bias = sampling.detectable_bias(TOTAL, RATE, alarm)
    assert bias < 0.2
    stated = sampling.POWER
    assert failing((1 + sign * bias) / RATE) >= stated - beyond_chance(stated)
    assert failing((1 + sign * 0.2) / RATE) >= stated


def test_the_octets_of_packets_of_different_lengths_have_a_bound_that_holds(monkeypatch):
    monkeypatch.setattr(sampling, "FALSE_ALARM", 0.05)
    octets = [
        check.outcome
        for verdict in simulated(1 / RATE, 2000)
        for check in verdict.checks
        if check.measure == "octets_l2"
    ]
    assert octets.count(Outcome.FAIL) / 2000 < 0.05
    region = sampling.octets_region(on_wire(2000, 1000), "octets_l2", RATE, 1e-6)
    truth = 2000 * SHORT + 1000 * LONG
    assert region.low > truth / 2
    assert region.high < truth * 3 / 2


def test_the_run_says_what_it_could_have_found():
    verdict = next(simulated(1 / RATE))
    assert verdict.outcome is Outcome.PASS
    (note,) = verdict.notes
    assert "a rate wrong by 19" in note
    assert "with 99% probability" in note
    assert "at most 1e-06, over 5 checks" in note


def test_too_few_packets_are_no_verdict_and_it_is_said_how_many_it_takes():
    few = replace(EVIDENCE, wire={("s1", next(iter(FLOWS))): on_wire(20, 0)})
    expected = replace(EXPECTED, flows=EXPECTED.flows[:1])
    counters = {"s1": {"packets": 20, "octets_l2": 20 * SHORT}}
    told = WITNESSES.model_dump() | {"switches": counters}
    few = replace(few, witnesses=Witnesses.model_validate_json(json.dumps(told)))
    verdict = judge(expected, few)
    assert verdict.outcome is Outcome.INVALID
    assert (
        "20 packets are too few to judge sampling 1 in 10 by: it takes 138" in verdict.checks[0].why
    )


def test_small_flows_are_judged_together_with_the_others():
    wire = {**EVIDENCE.wire, ("s1", next(iter(FLOWS))): on_wire(20, 0)}
    changed = replace(EVIDENCE, wire=wire)
    alarm = sampling.alarm_of_one(EXPECTED, changed)
    checks = {
        (check.key, check.measure): check for check in sampling.sampled_checks(EXPECTED, changed)
    }
    first = next(iter(FLOWS))
    assert checks[first, "packets"].outcome is Outcome.SKIPPED
    assert "together with the other flows" in checks[first, "packets"].why
    assert checks[first, sampling.ALL_FLOWS].outcome is Outcome.FAIL
    assert alarm < sampling.FALSE_ALARM


def seen_at(key, estimate, **crossed):
    """Evidence of one flow at one point: what it estimates, what came in, what was handed back."""
    places = {name: {("s1", key): counted} for name, counted in crossed.items()}
    return replace(EVIDENCE, observed={("sflow", "s1", key): estimate}, **places)


ARP = FlowKey(0, "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", 0x0806, 0, 0)


def test_of_frames_that_are_not_ip_no_octets_of_ip_are_wanted():
    point = replace(POINT, measures=("packets", "octets_l2", "octets_l3"))
    case = Expected("case", (point,), (ExpectedFlow(ARP, ("s1",)),))
    seen = seen_at(ARP, Counted(1000, 100_000, None), wire=on_wire(1000, 0))
    measures = {check.measure: check.outcome for check in sampling.sampled_checks(case, seen)}
    assert measures == {"packets": Outcome.PASS, "octets_l2": Outcome.PASS}


@pytest.mark.parametrize(
    ("estimate", "outcome"), [(2000, Outcome.PASS), (1000, Outcome.FAIL), (3000, Outcome.FAIL)]
)
def test_what_a_controller_hands_back_is_sampled_again(estimate, outcome):
    (key, *_) = FLOWS
    case = Expected("case", (POINT,), (ExpectedFlow(key, ("s1",), reactive=True),))
    seen = seen_at(
        key,
        Counted(estimate, estimate * SHORT),
        wire=on_wire(1000, 0),
        from_controller=on_wire(1000, 0),
    )
    (packets, *_) = sampling.sampled_checks(case, seen)
    assert packets.outcome is outcome


def test_a_flow_that_need_not_come_is_missed_by_nobody():
    (key, *_) = FLOWS
    flow = ExpectedFlow(key, ("s1",), perhaps=True)
    case = Expected("case", (POINT,), (flow,))
    nothing = replace(EVIDENCE, wire={}, observed={})
    assert list(sampling.sampled_checks(case, nothing)) == []
    some = replace(nothing, observed={("sflow", "s1", key): Counted(100, 10_000)})
    (packets,) = sampling.sampled_checks(case, some)
    assert packets.outcome is Outcome.FAIL
