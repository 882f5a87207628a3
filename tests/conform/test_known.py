"""Whatever others fail in the bundled corpus has been looked into, and is in the table."""

from __future__ import annotations

from collections import Counter

import pytest

from collector.backends import BACKENDS
from collector.conform import Result
from lab.conform.run import Collector, conform, way_in
from lab.corpus import find_cases
from tests.conform.known import KNOWN, bundled, reason
from tests.support import need

FEW = (
    *("an-exporter-each", "arp", "extension-headers", "icmp-errors", "layers", "pmacctd-netflow9"),
    *("softflowd-netflow5", "tcp-over-ipv6"),
)
"""Cases that meet every line of the table."""
JUDGED = (Result.PASS, Result.FAIL, Result.NOT_EXPRESSIBLE)


@pytest.mark.parametrize("name", ["nfdump", "pmacct", "tshark"])
def test_every_failure_is_explained_and_every_line_is_met(name):
    for program in BACKENDS[name].programs:
        need(program)
    outcomes = conform(find_cases(FEW), [Collector(name)], way_in()[0], 2, lambda _: None)
    met = Counter()
    for outcome in outcomes:
        assert outcome.result in JUDGED, (outcome.case.name, outcome.why)
        for finding in outcome.compared.findings:
            known = reason(name, outcome.case.name, finding)
            assert known, (outcome.case.name, bundled(finding), finding.expected, finding.observed)
            met[known] += 1
    gone = [one.says for one in KNOWN if one.collector == name and not (met[one] or one.cases)]
    assert not gone, f"in the table, and not met: {gone}"
