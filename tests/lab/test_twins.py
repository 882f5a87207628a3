"""Wrong twins of real runs: whatever an exporter could say wrong is found, and why."""

from __future__ import annotations

import pytest

from lab.traffic import KINDS
from tests.twins import assert_all_twins_fail

LIES = ("one packet more", "one octet more", "a flow missing", "a flow extra", "the wrong switch")
ONE_SWITCH = ("one-ping", "tcp-both-ways")


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
    flowlab.ran(name)
    assert len(assert_all_twins_fail(flowlab.latest(name))) == count


KINDS_OF_TRAFFIC = {
    "arp": "arp",
    "multicast": "multicast",
    "broadcast": "broadcast",
    "scan": "host-sweep",
    "flood": "syn-flood",
    "voip": "voip",
    "video": "video",
    "http": "web",
    "dns": "name-server",
    "iperf3": "iperf3",
    "replay": "replay",
    "mix": "elephants-and-mice",
    "fragments": "fragments",
    "vlan": "vlan",
    "extension-headers": "extension-headers",
    "icmp-error": "icmp-errors",
    "tunnel": "two-sites-over-a-tunnel",
    "packets": "layers",
    "ping": "one-ping",
    "udp": "two-switches-one-flow",
    "tcp": "tcp-both-ways",
}


def test_every_traffic_kind_has_its_twins():
    assert set(KINDS_OF_TRAFFIC) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS_OF_TRAFFIC)
def test_whatever_is_sent_a_wrong_twin_of_the_run_fails(flowlab, kind):
    name = KINDS_OF_TRAFFIC[kind]
    flowlab.ran(name)
    told = assert_all_twins_fail(flowlab.latest(name))
    lies = {lie for lie in LIES if any(twin.startswith(lie) for twin in told)}
    assert lies >= {"one packet more", "one octet more", "a flow missing", "a flow extra"}
    if name not in ONE_SWITCH:
        assert "the wrong switch" in lies
