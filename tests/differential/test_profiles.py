"""Peers read generated datagrams: tshark without a warning, nfdump and pmacct count the same."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from collector.conform import Result
from lab.conform.run import Collector, conform, way_in
from lab.profiles import Plan, all_profiles, read_profile, write
from tests.differential.peers import needed

MEANT: dict[str, str] = {
    "data-before-template": "no template found",
    "data-before-template-netflow9": "no template found",
    "template-lost": "no template found",
    "duplicates-netflow9": "Unexpected flow sequence",
    "loss-netflow9": "Unexpected flow sequence",
    "malformed-ipfix": "Malformed Packet",
    "malformed-netflow9": "Unexpected flow sequence",
    "malformed-sflow5": "Malformed Packet",
    "reordering-netflow9": "Unexpected flow sequence",
}
"""Edge cases that are meant to draw a warning, and which."""
EXPRESSED = {
    "nfdump": ("router-netflow5", "router-netflow9", "juniper-ipfix", "mpls-ipfix"),
    "pmacct": ("juniper-ipfix", "mpls-ipfix", "open-vswitch", "firewall-events"),
}
"""Profiles of which a peer can say all."""


def warnings(capture):
    """What tshark warns of in the exports themselves; what they sampled is not theirs."""
    ports = [f"udp.port=={port},{name}" for port, name in ((2055, "cflow"), (4739, "cflow"))]
    command = ["tshark", "-r", str(capture), "--disable-protocol", "tcp"]
    for port in (*ports, "udp.port==6343,sflow"):
        command += ["-d", port]
    command += ["-Y", "_ws.expert.severity >= 0x600000", "-T", "fields", "-e", "_ws.expert.message"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
@pytest.mark.parametrize("name", [path.stem for path in all_profiles()])
def test_tshark_warns_of_nothing_but_what_is_meant(name, tmp_path):
    found = warnings(write(Plan.of(read_profile(name)), name, tmp_path / name).exports)
    assert (MEANT[name] in found) if name in MEANT else not found


@pytest.mark.parametrize("peer", EXPRESSED)
def test_peers_count_what_is_true(peer, tmp_path):
    needed(peer)
    cases = [write(Plan.of(read_profile(name)), name, tmp_path / name) for name in EXPRESSED[peer]]
    outcomes = conform(cases, [Collector(peer)], way_in()[0], 2, lambda _: None)
    assert len(outcomes) == len(cases)
    wrong = [(one.case.name, one.result, one.why) for one in outcomes if one.result != Result.PASS]
    assert not wrong
