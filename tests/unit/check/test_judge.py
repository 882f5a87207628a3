"""The judge judged: every way in which a run can differ, and what must come out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from collector.check import (
    Asked,
    Counted,
    Evidence,
    Expected,
    ExpectedFlow,
    Explicit,
    Lengths,
    Outcome,
    Point,
    Region,
    Tolerance,
    Verdict,
    judge,
)
from collector.check.witnesses import Witnesses
from collector.key import FlowKey

FLOW = FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40000, 5001)
OTHER = FLOW._replace(destination_port=5002)
IPV6 = FlowKey(6, "2001:db8::1", "2001:db8::2", 17, 40000, 5001)
POINT = Point(
    exporter="netflow",
    title="NetFlow v5",
    protocol="netflow5",
    observation_point="s1",
    observation_domain=1,
    agent=None,
    flow_direction=None,
    measures=("packets", "octets_l2", "times"),
    sampling=1,
    not_seen={"ipv6": "no room for IPv6"},
)
SECOND = 1_000_000_000
TRUE = Counted(10, 1000, 860, first_ns=11 * SECOND, last_ns=12 * SECOND, records=2, datagram=3)
EXPECTED = Expected(
    "case", (POINT,), (ExpectedFlow(FLOW, ("s1",), 10, 1000, 860),), programs=("step 1 send",)
)


PROGRAM = {
    "step": "step 1",
    "kind": "udp",
    "role": "send",
    "host": "h1",
    "declared": {"datagrams": 10},
    "counted": {"datagrams": 10},
    "error": None,
}
DATAGRAMS = {
    "sent": {"OutDatagrams": 5, "SndbufErrors": 0},
    "received": {"datagrams": {"2055": 5}, "kernel_drops": {"2055": 0}, "truncated": 0},
    "error": None,
}


def witnesses(**changes):
    truth = {
        "traffic_started_ns": 10 * SECOND,
        "traffic_finished_ns": 13 * SECOND,
        "clock_moved_ms": 3000,
        "programs": [PROGRAM],
        "wire": {"packets_in": 10, "lost": 0},
        "switches": {"s1": {"packets": 10, "octets_l2": 1000}},
        "datagrams": DATAGRAMS,
    }
    return Witnesses.model_validate_json(json.dumps({**truth, **changes}))


def evidence(**changes):
    truth = Evidence(
        wire={("s1", FLOW): TRUE},
        observed={("netflow", "s1", FLOW): TRUE},
        strays=(),
        decoding=(),
        recorded_datagrams=5,
        witnesses=witnesses(),
    )
    return replace(truth, **changes)


def observed(**changes):
    return evidence(observed={("netflow", "s1", FLOW): replace(TRUE, **changes)})


def datagrams(**changes):
    return evidence(witnesses=witnesses(datagrams={**DATAGRAMS, **changes}))


def received(**changes):
    return datagrams(received={**DATAGRAMS["received"], **changes})


def program(**changes):
    return evidence(witnesses=witnesses(programs=[{**PROGRAM, **changes}]))


def complaints(verdict: Verdict) -> str:
    bad = [check.why for check in verdict.checks if check.outcome is not Outcome.PASS]
    return "\n".join([f"{one.link}: {one.what}" for one in verdict.breaks] + bad)


def test_a_run_that_went_as_expected_passes():
    verdict = judge(EXPECTED, evidence())
    assert verdict.outcome is Outcome.PASS
    assert [check.measure for check in verdict.checks] == ["packets", "octets_l2", "times"]


@pytest.mark.parametrize(
    ("case", "outcome", "says"),
    [
        (observed(packets=9), Outcome.FAIL, "2 records add up to 9, not to 10"),
        (observed(packets=11), Outcome.FAIL, "add up to 11"),
        (observed(octets_l2=999), Outcome.FAIL, "add up to 999, not to 1000; first told in"),
        (observed(octets_l2=None), Outcome.FAIL, "reported no octets_l2"),
        (observed(first_ns=10 * SECOND), Outcome.FAIL, "first packet is told -1000.0 ms from"),
        (observed(last_ns=13 * SECOND), Outcome.FAIL, "last packet is told +1000.0 ms from"),
        (observed(first_ns=None, last_ns=None), Outcome.FAIL, "reported no times"),
        (evidence(observed={}), Outcome.FAIL, "reported no flow at all"),
        (
            evidence(observed={("netflow", "s1", OTHER): TRUE}),
            Outcome.FAIL,
            (
                "no such flow; the nearest is udp 10.0.0.1:40000 → 10.0.0.2:5002, "
                "which differs in destination_port"
            ),
        ),
        (
            evidence(observed={("netflow", "s1", k): TRUE for k in (FLOW, OTHER)}),
            Outcome.FAIL,
            "no such packet was on the wire",
        ),
        (evidence(strays=("records of domain 9",)), Outcome.FAIL, "exporter: records of domain 9"),
        (program(counted={"datagrams": 9}), Outcome.INVALID, "counted 9 datagrams, declared were"),
        (program(error="was ended by signal 9"), Outcome.INVALID, "declared → sent: step 1"),
        (evidence(wire={}), Outcome.INVALID, "no packet of udp"),
        (
            evidence(wire={("s1", FLOW): replace(TRUE, packets=9)}),
            Outcome.INVALID,
            "sent → wire: s1: 9 packets of udp",
        ),
        (
            evidence(wire={("s1", FLOW): TRUE, ("s1", OTHER): TRUE}),
            Outcome.INVALID,
            "which the scenario does not send there",
        ),
        (
            evidence(witnesses=witnesses(wire={"packets_in": 10, "lost": 3})),
            Outcome.INVALID,
            "lost 3 packets: it is no witness",
        ),
        (
            evidence(witnesses=witnesses(switches={"s1": {"packets": 9, "octets_l2": 900}})),
            Outcome.INVALID,
            "wire → switch: s1: 10 packets (1000 octets) came in at its ports, it handled 9",
        ),
        (received(datagrams={"2055": 4}), Outcome.INVALID, "1 were lost on the way"),
        (received(kernel_drops={"2055": 1}), Outcome.INVALID, "receive buffer full"),
        (received(truncated=1), Outcome.INVALID, "cut on receiving"),
        (datagrams(error="the collector was ended"), Outcome.INVALID, "the collector was ended"),
        (evidence(recorded_datagrams=4), Outcome.INVALID, "received → decoded: 5 export"),
        (evidence(decoding=("1 sequence gap",)), Outcome.INVALID, "1 sequence gap"),
        (datagrams(sent={"OutDatagrams": 5, "SndbufErrors": 1}), Outcome.INVALID, "send buffer"),
        (evidence(witnesses=Witnesses()), Outcome.INVALID, "the run ended before its traffic did"),
        (
            evidence(witnesses=Witnesses(failed="no switch")),
            Outcome.INVALID,
            "the lab itself: no switch",
        ),
        # a witness that says nothing is not a good one
        (evidence(witnesses=witnesses(programs=None)), Outcome.INVALID, "ended before its traffic"),
        (evidence(witnesses=witnesses(programs=[])), Outcome.INVALID, "reported of step 1 send"),
        (program(counted={}), Outcome.INVALID, "counted no datagrams, declared were 10"),
        (evidence(witnesses=witnesses(wire=None)), Outcome.INVALID, "did not say whether it lost"),
        (evidence(witnesses=witnesses(switches={})), Outcome.INVALID, "s1 did not say"),
        (evidence(witnesses=witnesses(datagrams=None)), Outcome.INVALID, "before its export"),
        (evidence(witnesses=witnesses(traffic_finished_ns=None)), Outcome.INVALID, "its traffic"),
    ],
)
def test_every_difference_is_found_and_blamed(case, outcome, says):
    verdict = judge(EXPECTED, case)
    assert verdict.outcome is outcome
    assert says in complaints(verdict)


LATER = {"first_ns": TRUE.first_ns + SECOND, "last_ns": TRUE.last_ns + SECOND}


@pytest.mark.parametrize(
    ("told", "left", "outcome"),
    [
        (LATER, {}, Outcome.FAIL),
        (LATER, {"s1": LATER}, Outcome.INVALID),
        (LATER, {"s1": {"first_ns": TRUE.first_ns, "last_ns": TRUE.last_ns}}, Outcome.FAIL),
        (LATER, {"s1": LATER | {"first_ns": TRUE.first_ns}}, Outcome.FAIL),
        (LATER, {"s2": LATER}, Outcome.FAIL),
        ({"last_ns": TRUE.last_ns - SECOND}, {"s1": LATER}, Outcome.FAIL),
        ({"last_ns": TRUE.last_ns + 2 * SECOND}, {"s1": LATER}, Outcome.FAIL),
        ({}, {"s1": LATER}, Outcome.PASS),
    ],
)
def test_a_switch_that_is_late_with_the_packet_itself_is_no_fault_of_the_exporter(
    told, left, outcome
):
    left = {(switch, FLOW): replace(TRUE, **times) for switch, times in left.items()}
    verdict = judge(EXPECTED, replace(observed(**told), left=left))
    assert verdict.outcome is outcome
    if outcome is Outcome.INVALID:
        assert "it left the switch 1000.0 ms after it came" in complaints(verdict)
        assert "this machine is too busy" in complaints(verdict)


def test_times_may_be_early_by_the_clocks_jump_where_they_follow_that_clock():
    early = observed(first_ns=TRUE.first_ns - 2 * SECOND, last_ns=TRUE.last_ns - 2 * SECOND)
    assert judge(EXPECTED, early).outcome is Outcome.FAIL
    point = replace(POINT, on_switch_clock=True)
    assert judge(replace(EXPECTED, points=(point,)), early).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("egress", "outcome"),
    [
        ({("netflow", "s1", FLOW): TRUE}, Outcome.PASS),
        ({}, Outcome.FAIL),
        ({("netflow", "s1", FLOW): replace(TRUE, packets=20)}, Outcome.FAIL),
        ({("netflow", "s1", key): TRUE for key in (FLOW, OTHER)}, Outcome.FAIL),
    ],
)
def test_what_goes_out_is_judged_where_it_is_told(egress, outcome):
    two_ways = replace(EXPECTED, points=(replace(POINT, tells_egress=True),))
    assert judge(two_ways, evidence(egress=egress)).outcome is outcome


REWRITTEN = FLOW._replace(source="10.200.0.1")


@pytest.mark.parametrize(
    ("after_actions", "seen", "outcome"),
    [
        (False, FLOW, Outcome.PASS),
        (False, REWRITTEN, Outcome.FAIL),
        (True, REWRITTEN, Outcome.PASS),
        (True, FLOW, Outcome.FAIL),
    ],
)
def test_what_a_switch_rewrites_is_told_as_it_came_or_as_it_leaves(after_actions, seen, outcome):
    point = replace(POINT, after_actions=after_actions)
    flow = ExpectedFlow(FLOW, ("s1",), 10, 1000, 860, leaves_as=REWRITTEN)
    told = evidence(observed={("netflow", "s1", seen): TRUE})
    verdict = judge(replace(EXPECTED, points=(point,), flows=(flow,)), told)
    assert verdict.outcome is outcome
    keys = {check.key for check in verdict.checks if check.outcome is Outcome.PASS}
    assert keys <= {seen}


@pytest.mark.parametrize(("out", "outcome"), [(REWRITTEN, Outcome.PASS), (FLOW, Outcome.FAIL)])
def test_where_it_goes_out_it_is_told_as_it_leaves(out, outcome):
    point = replace(POINT, tells_egress=True)
    flow = ExpectedFlow(FLOW, ("s1",), 10, 1000, 860, leaves_as=REWRITTEN)
    told = evidence(egress={("netflow", "s1", out): TRUE})
    assert judge(replace(EXPECTED, points=(point,), flows=(flow,)), told).outcome is outcome


@pytest.mark.parametrize(("octets", "outcome"), [(1080, Outcome.PASS), (1000, Outcome.FAIL)])
def test_packets_of_one_flow_may_leave_with_other_tags_than_they_came_with(octets, outcome):
    point = replace(POINT, tells_egress=True)
    flow = ExpectedFlow(FLOW, ("s1",), 10, 1000, 860, egress_octets_l2=1080)
    told = evidence(egress={("netflow", "s1", FLOW): replace(TRUE, octets_l2=octets)})
    assert judge(replace(EXPECTED, points=(point,), flows=(flow,)), told).outcome is outcome


def test_an_exporter_is_not_blamed_for_a_port_it_is_known_to_leave_out():
    point = replace(POINT, not_seen={"udp/5001": "taken for BFD"})
    verdict = judge(replace(EXPECTED, points=(point,)), evidence(observed={}))
    assert [(c.outcome, c.why) for c in verdict.checks] == [(Outcome.SKIPPED, "taken for BFD")]


def test_octets_of_a_sampling_exporter_are_exact_where_all_packets_are_alike():
    point = replace(POINT, sampling=2, measures=("packets", "octets_l2"))
    sampling = replace(EXPECTED, points=(point,))
    wire = {("s1", FLOW): replace(TRUE, lengths={"octets_l2": Lengths(10 * 100.0**2, 100)})}
    for octets, outcome in ((800, Outcome.PASS), (801, Outcome.FAIL)):
        seen = Counted(8, octets, records=4)
        told = evidence(wire=wire, observed={("netflow", "s1", FLOW): seen})
        checks = judge(sampling, told).checks
        assert {c.measure: c.outcome for c in checks}["octets_l2"] is outcome


def test_a_broken_chain_takes_the_blame_from_the_exporter():
    lossy = received(datagrams={"2055": 4})
    verdict = judge(EXPECTED, replace(lossy, observed={}, recorded_datagrams=4))
    outcomes = {check.outcome for check in verdict.checks}
    assert outcomes == {Outcome.INVALID}
    assert "from this: exported → received did not hold" in verdict.checks[0].why


def test_nothing_checked_is_invalid():
    assert (
        judge(Expected("case", (), ()), evidence(wire={}, observed={})).outcome is Outcome.INVALID
    )


def test_what_an_exporter_cannot_see_is_skipped_with_the_reason_and_alone_no_pass():
    blind = Expected("case", (POINT,), (ExpectedFlow(IPV6, ("s1",), 10, 1000, 860),))
    verdict = judge(blind, evidence(wire={("s1", IPV6): TRUE}, observed={}))
    assert [(c.outcome, c.why) for c in verdict.checks] == [(Outcome.SKIPPED, "no room for IPv6")]
    assert verdict.outcome is Outcome.INVALID


def test_seeing_what_it_cannot_see_is_a_failure():
    blind = replace(EXPECTED, flows=(*EXPECTED.flows, ExpectedFlow(IPV6, ("s1",), 10, 1000, 860)))
    case = evidence(
        wire={("s1", FLOW): TRUE, ("s1", IPV6): TRUE},
        observed={("netflow", "s1", key): TRUE for key in (FLOW, IPV6)},
        witnesses=witnesses(switches={"s1": {"packets": 20, "octets_l2": 2000}}),
    )
    assert judge(blind, case).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("region", "outcome"),
    [
        (Region(10, 10), Outcome.PASS),
        (Region(11, 11), Outcome.FAIL),
        (Region(9, None), Outcome.PASS),
        (Region(None, 9), Outcome.FAIL),
    ],
)
def test_a_written_expectation_is_held_against_what_was_observed(region, outcome):
    written = Explicit("expectation 1", (FLOW,), (Asked("netflow", "s1"),), {"packets": region})
    verdict = judge(replace(EXPECTED, explicit=(written,)), evidence())
    assert verdict.outcome is outcome
    if outcome is Outcome.FAIL:
        assert "there are 10, which is what crossed the wire too" in complaints(verdict)


def test_a_written_expectation_looks_for_flows_as_they_are_told():
    later = FlowKey(6, "2001:db8::1", "2001:db8::2", 17, 0, 0)
    point = replace(POINT, not_seen={}, measures=("packets",), later_fragments_as=44)
    flow = ExpectedFlow(later, ("s1",), 10, later_fragments=True)
    wanted = {"packets": Region(10, 10)}
    written = Explicit("expectation 1", (later,), (Asked("netflow", "s1"),), wanted)
    told = later._replace(protocol=44)
    seen = evidence(
        wire={("s1", later): TRUE},
        observed={("netflow", "s1", told): TRUE},
    )
    verdict = judge(Expected("case", (point,), (flow,), (written,)), seen)
    assert verdict.outcome is Outcome.PASS, complaints(verdict)


def test_a_written_expectation_that_nobody_is_asked_is_no_pass():
    written = Explicit("expectation 1", (FLOW,), (), {"packets": Region(10, 10)})
    verdict = judge(replace(EXPECTED, explicit=(written,)), evidence())
    assert verdict.outcome is Outcome.INVALID
    assert "expectation 1 is asked of nobody" in complaints(verdict)


def test_a_tolerance_widens_what_is_right():
    loose = replace(EXPECTED, tolerances={"packets": Tolerance(relative=0.1)})
    assert judge(loose, observed(packets=9)).outcome is Outcome.PASS
    assert judge(loose, observed(packets=8)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("estimate", "outcome"),
    [(10_000, Outcome.PASS), (9_000, Outcome.PASS), (8_000, Outcome.FAIL), (12_000, Outcome.FAIL)],
)
def test_sampled_packets_are_judged_by_the_binomial_distribution(estimate, outcome):
    point = replace(POINT, sampling=10, measures=("packets",))
    wire = Counted(10_000, 1_000_000, 860_000)
    expected = Expected("case", (point,), (ExpectedFlow(FLOW, ("s1",), 10_000),))
    case = evidence(
        wire={("s1", FLOW): wire},
        observed={("netflow", "s1", FLOW): Counted(estimate, records=estimate // 10)},
        witnesses=witnesses(switches={"s1": {"packets": 10_000, "octets_l2": 1_000_000}}),
    )
    assert judge(expected, case).outcome is outcome


def test_too_few_packets_to_judge_sampling_by_is_no_pass():
    point = replace(POINT, sampling=1000)
    expected = Expected("case", (point,), EXPECTED.flows)
    verdict = judge(expected, evidence(observed={}))
    assert verdict.outcome is Outcome.INVALID
    assert "too few" in verdict.checks[0].why


def test_expectations_survive_their_json():
    written = Explicit(
        "expectation 1", (IPV6, FLOW), (Asked("netflow", "s1"),), {"packets": Region(1, None)}
    )
    whole = replace(EXPECTED, explicit=(written,), tolerances={"packets": Tolerance(1)})
    assert Expected.from_json(whole.to_json()) == whole
