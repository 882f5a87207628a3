"""Verdicts on the terminal and as JUnit."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from collector.check import Break, Check, Outcome, Verdict, judge
from collector.key import FlowKey
from lab.report import junit, terminal
from lab.runner import Ran
from tests.unit.check import many

KEY = FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40000, 5001)


def check(measure, outcome, observed=10, why=""):
    return Check("netflow", "s1", KEY, measure, 10, observed, outcome, why)


def ran(*checks, breaks=(), outcome=Outcome.PASS):
    verdict = Verdict("case", outcome, checks, breaks)
    return Ran(Path("runs/case/now"), verdict, 1.5, 1.0, 0.2)


PASSED = ran(check("packets", Outcome.PASS), check("octets_l2", Outcome.PASS))
FAILED = ran(
    check("packets", Outcome.FAIL, observed=9, why="[why]"),
    check("octets_l2", Outcome.PASS),
    outcome=Outcome.FAIL,
)
BROKEN = ran(
    check("packets", Outcome.INVALID, observed=0),
    breaks=(Break("sent → wire", "lost"),),
    outcome=Outcome.INVALID,
)


def text(ran):
    console = Console(file=io.StringIO(), width=140)
    console.print(terminal.table(ran.verdict))
    for line in terminal.complaints(ran.verdict):
        console.print(line)
    console.print(terminal.summary(ran))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (PASSED, ["udp 10.0.0.1:40000 → 10.0.0.2:5001", "PASS    case", "2 checks passed"]),
        (FAILED, ["9 (expected 10)", "packets expected 10, observed 9 ([why])", "1 failed"]),
        (BROKEN, ["INVALID sent → wire: lost", "1 invalid"]),
    ],
)
def test_a_person_reads_what_matters(case, says):
    for words in says:
        assert words in text(case)


def test_checks_that_say_nothing_are_not_listed_beside_the_broken_link():
    assert len(terminal.complaints(BROKEN.verdict)) == 1


def test_a_hundred_complaints_are_cut_with_a_word_about_the_rest():
    many = [check(f"measure {n}", Outcome.FAIL, observed=n) for n in range(100)]
    *told, last = terminal.complaints(ran(*many, outcome=Outcome.FAIL).verdict)
    assert len(told) == terminal.MOST_COMPLAINTS
    assert last == "… and 80 more, in verdict.json"


@pytest.mark.parametrize(
    ("case", "failures", "errors"), [(PASSED, 0, 0), (FAILED, 1, 0), (BROKEN, 0, 2)]
)
def test_junit_counts_as_the_verdict_does(case, failures, errors):
    (suite,) = ET.fromstring(junit.document([case]))
    assert (suite.get("failures"), suite.get("errors")) == (str(failures), str(errors))
    assert len(suite.findall("testcase")) == int(suite.get("tests"))
    assert len(suite.findall("testcase/failure")) == failures
    assert len(suite.findall("testcase/error")) == errors


def test_what_passed_in_columns_is_counted_and_its_rest_named():
    verdict = judge(many.expected(30), many.evidence(30, 2))
    one = Ran(Path("runs/many/now"), verdict, 1.5, 1.0, 0.2)
    told = text(one)
    assert "540 checks passed" in told
    assert (
        f"… and {180 - terminal.MOST_ROWS} lines more, in verdict.json and passed.parquet" in told
    )
    (suite,) = ET.fromstring(junit.document([one]))
    assert suite.get("tests") == "7"
    assert [case.get("name") for case in suite][1] == "30 flows at s1, one"
    assert verdict.to_json()["passed_besides"] == 540
    assert verdict.to_json()["checks"] == []
