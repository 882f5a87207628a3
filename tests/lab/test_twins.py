"""Wrong twins of real runs: whatever an exporter could say wrong is found, and why."""

from __future__ import annotations

import pytest

from tests.twins import assert_all_twins_fail


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("one-udp-stream", 20),
        ("three-exporters", 17),
        ("ipv6", 17),
        ("one-ping", 14),
        ("ipfix-of-chosen-flows", 14),
        ("five-exporters-agree", 27),
        ("softflowd-netflow5", 6),
        ("softflowd-ipfix", 6),
        ("pmacctd-netflow9", 6),
        ("pmacctd-sflow5", 7),
    ],
)
def test_every_wrong_twin_of_a_run_fails(flowlab, name, count):
    flowlab("run", name)
    assert len(assert_all_twins_fail(flowlab.latest(name))) == count
