"""Patterns of flows: what fits, what must not be seen, and what nobody has to explain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.check import Asked, Counted, Explicit, Outcome, Pattern, Region, judge
from collector.key import FlowKey
from tests.unit.check.test_judge import (
    EXPECTED,
    FLOW,
    TRUE,
    complaints,
    evidence,
    observed,
    witnesses,
)

V6 = FlowKey(6, "2001:db8::1", "2001:db8::2", 58, 0, 128 << 8)
ARP = FlowKey(0, "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", 0x0806, 0, 0)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (Pattern("any"), (True, True, True)),
        (Pattern("", sources=("10.0.0.1",)), (True, False, False)),
        (Pattern("", sources=("10.0.0.0/24",)), (True, False, False)),
        (Pattern("", sources=("10.0.1.0/24", "2001:db8::/32")), (False, True, False)),
        (Pattern("", sources=("02:00:00:00:00:01",)), (False, False, True)),
        (Pattern("", destinations=("10.0.0.2",), ports=(5000, 5010)), (True, False, False)),
        (Pattern("", ports=(5002, 5010)), (False, False, False)),
        (Pattern("", source_ports=(40000, 40000)), (True, False, False)),
        (Pattern("", protocols=(1, 58)), (False, True, False)),
        (Pattern("", ip_version=4), (True, False, False)),
        (Pattern("", ip_version=0), (False, False, True)),
    ],
)
def test_a_pattern_fits_what_has_all_that_is_given(pattern, fits):
    assert tuple(map(pattern.fits, (FLOW, V6, ARP))) == fits


STRANGE = FLOW._replace(source="10.9.0.7")
WITH_STRANGER = evidence(
    observed={("netflow", "s1", key): TRUE for key in (FLOW, STRANGE)},
    wire={("s1", key): TRUE for key in (FLOW, STRANGE)},
    witnesses=witnesses(switches={"s1": {"packets": 20, "octets_l2": 2000}}),
)


def test_what_nothing_explains_is_a_failure_unless_it_is_background():
    assert judge(EXPECTED, WITH_STRANGER).outcome is Outcome.INVALID
    known = replace(EXPECTED, background=(Pattern("", sources=("10.9.0.0/16",)),))
    assert judge(known, WITH_STRANGER).outcome is Outcome.PASS
    other = replace(EXPECTED, background=(Pattern("", sources=("10.8.0.0/16",)),))
    assert judge(other, WITH_STRANGER).outcome is Outcome.INVALID
    unseen = replace(WITH_STRANGER, wire={("s1", FLOW): TRUE}, witnesses=witnesses())
    assert judge(other, unseen).outcome is Outcome.FAIL
    assert judge(known, unseen).outcome is Outcome.PASS


SOMEBODY = (Asked("netflow", "s1"),)


def absent(pattern, asked=SOMEBODY):
    return replace(EXPECTED, explicit=(Explicit("expectation 1", (), asked, {}, absent=pattern),))


def test_what_must_not_be_seen_fails_where_it_is_seen():
    verdict = judge(absent(Pattern("udp h1 → h2", protocols=(17,))), evidence())
    assert verdict.outcome is Outcome.FAIL
    assert "expectation 1 wants no udp h1 → h2 here" in complaints(verdict)
    assert judge(absent(Pattern("tcp", protocols=(6,))), evidence()).outcome is Outcome.PASS
    nobody = judge(absent(Pattern("any"), ()), evidence())
    assert nobody.outcome is Outcome.INVALID
    assert "expectation 1 is asked of nobody" in complaints(nobody)


@pytest.mark.parametrize(
    ("point", "lacking", "why"),
    [
        ({}, {"netflow": "netflow is not installed"}, "not installed"),
        ({"sampling": 100}, {}, "samples 1 in 100"),
        ({"not_seen": {"ipv6": "no room for IPv6"}}, {}, "no room for IPv6"),
    ],
)
def test_what_would_not_have_been_told_is_no_proof_of_absence(point, lacking, why):
    wanted = absent(Pattern("IPv6", ip_version=6))
    wanted = replace(wanted, points=(replace(wanted.points[0], **point),), flows=())
    seen = evidence(observed={}, wire={}, witnesses=witnesses(absent=lacking, switches={}))
    (check,) = judge(wanted, seen).checks
    assert check.outcome is Outcome.SKIPPED
    assert why in check.why


def test_the_expectation_of_nothing_survives_its_json():
    whole = absent(Pattern("x", sources=("10.0.0.0/8",), ports=(1, 2)))
    assert type(whole).from_json(whole.to_json()) == whole


@pytest.mark.parametrize(
    ("region", "outcome"), [(Region(0.9, 1.1), Outcome.PASS), (Region(None, 0.9), Outcome.FAIL)]
)
def test_durations_are_held_against_first_and_last_packet(region, outcome):
    written = Explicit("expectation 1", (FLOW,), (Asked("netflow", "s1"),), {"duration_s": region})
    assert judge(replace(EXPECTED, explicit=(written,)), evidence()).outcome is outcome


def test_a_duration_that_nobody_told_is_a_failure():
    written = Explicit(
        "expectation 1", (FLOW,), (Asked("netflow", "s1"),), {"duration_s": Region(0, 9)}
    )
    timeless = observed(first_ns=None)
    assert judge(replace(EXPECTED, explicit=(written,)), timeless).outcome is Outcome.FAIL
    assert Counted(1).duration_s is None
