"""Single records: how they follow each other, and by which ports packets went."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.check import Asked, Explicit, Outcome, Record, Region, judge
from collector.check.records import gap_s, in_port, out_port
from tests.unit.check.test_judge import EXPECTED, FLOW, complaints, evidence

MS = 1_000_000


def told(*spans, ports=(1, 2)):
    return tuple(Record(first * MS, last * MS, *ports) for first, last in spans)


@pytest.mark.parametrize(
    ("flows", "answer"),
    [
        ([told((0, 100))], (0.0, "")),
        ([told((0, 100), (110, 200))], (0.01, "")),
        ([told((300, 400), (0, 100))], (0.2, "")),
        ([told((0, 100), (110, 200)), told((0, 10), (60, 70))], (0.05, "")),
        ([told((0, 100), (99, 200))], (0.0, "")),
        ([told((0, 100), (50, 200))], (None, "two records overlap by 50.0 ms")),
        ([(Record(0, None, 1, 2),)], (None, "a record tells no times")),
    ],
)
def test_records_follow_each_other(flows, answer):
    assert gap_s(flows) == answer


@pytest.mark.parametrize(
    ("ports", "comes_in", "goes_out"),
    [
        ([(1, 2)], 1, 2),
        ([(1, 65535), (1, 2)], 1, 2),
        ([(1, 65535)], 1, 65535),
        ([(1, 2), (3, 4)], None, None),
        ([(None, None)], None, None),
    ],
)
def test_the_port_is_the_one_that_all_records_tell(ports, comes_in, goes_out):
    flows = [[Record(0, 0, *one) for one in ports]]
    assert in_port(flows)[0] == comes_in
    assert out_port(flows)[0] == goes_out


@pytest.mark.parametrize(
    ("measure", "region", "outcome", "says"),
    [
        ("gap_s", Region(None, 0.2), Outcome.PASS, ""),
        ("gap_s", Region(None, 0.05), Outcome.FAIL, "wants gap_s at most 0.05; it is 0.1"),
        ("out_port", Region(2, 2), Outcome.PASS, ""),
        ("out_port", Region(3, 3), Outcome.FAIL, "wants out_port 3; it is 2"),
    ],
)
def test_what_is_asked_of_records_is_judged(measure, region, outcome, says):
    written = Explicit("expectation 1", (FLOW,), (Asked("netflow", "s1"),), {measure: region})
    seen = evidence(records={("netflow", "s1", FLOW): told((0, 100), (200, 300))})
    verdict = judge(replace(EXPECTED, explicit=(written,)), seen)
    assert verdict.outcome is outcome
    assert says in complaints(verdict)


def test_records_that_are_not_there_are_no_pass():
    written = Explicit(
        "expectation 1", (FLOW,), (Asked("netflow", "s1"),), {"in_port": Region(1, 1)}
    )
    assert judge(replace(EXPECTED, explicit=(written,)), evidence()).outcome is Outcome.FAIL
