"""Whatever others fail in the bundled corpus has been looked into, and is in the table."""

from __future__ import annotations

from collections import Counter

import pytest

from collector.backends import BACKENDS
from collector.conform import Result
from lab.conform.run import Collector, conform, way_in
from lab.corpus import find_cases
from lab.profiles import Plan, all_profiles, read_profile, write
from tests.conform.known import ENDED, KNOWN, bundled, reason
from tests.support import need

FEW = (
    *("an-exporter-each", "arp", "extension-headers", "icmp-errors", "layers", "pmacctd-netflow9"),
    *("softflowd-netflow5", "tcp-over-ipv6"),
)
"""Cases that meet every line of the table."""
JUDGED = (Result.PASS, Result.FAIL, Result.NOT_EXPRESSIBLE)
GENERATED = {path.stem for path in all_profiles()}
PEERS = pytest.mark.parametrize("name", ["nfdump", "pmacct", "tshark"])


def met_by(name, cases):
    """How often each line of the table explains what a collector tells of some cases."""
    for program in BACKENDS[name].programs:
        need(program)
    met = Counter()
    for outcome in conform(cases, [Collector(name)], way_in()[0], 2, lambda _: None):
        if (name, outcome.case.name) in ENDED:
            assert outcome.result is Result.CRASHED
            continue
        assert outcome.result in JUDGED, (outcome.case.name, outcome.why)
        for finding in outcome.compared.findings:
            known = reason(name, outcome.case.name, finding)
            assert known, (outcome.case.name, bundled(finding), finding.expected, finding.observed)
            met[known] += 1
    return met


@PEERS
def test_what_others_make_of_generated_cases_is_explained(name, tmp_path):
    lines = [one for one in KNOWN if one.collector == name and GENERATED & set(one.cases)]
    named = {case for one in lines for case in one.cases if case in GENERATED}
    named |= {case for collector, case in ENDED if collector == name}
    named -= {f"{case}-netflow9" for case in named}  # The same again; each takes a second.
    cases = [write(Plan.of(read_profile(case)), case, tmp_path / case) for case in sorted(named)]
    met = met_by(name, cases)
    assert not [one.says for one in lines if not met[one]]


@PEERS
def test_every_failure_is_explained_and_every_line_is_met(name):
    met = met_by(name, find_cases(FEW))
    gone = [one.says for one in KNOWN if one.collector == name and not (met[one] or one.cases)]
    assert not gone, f"in the table, and not met: {gone}"
