"""Links that are not perfect: what they do to packets is what was asked for."""

from __future__ import annotations

import json

from tests.support import need

TEXT = """
title: A link
topology: {linear: {switches: 2, QUALITY}}
exporters: [netflow]
traffic:
  - udp: {from: h1, to: h2, datagrams: 200, payload_octets: 472, rate_pps: 2000}
"""


def records(flowlab, quality: str, exporters: str = "netflow") -> dict[int, dict]:
    """What NetFlow of the switches told, by switch."""
    text = TEXT.replace("QUALITY", quality).replace("[netflow]", f"[{exporters}]")
    flowlab("run", flowlab.scenario(text))
    rows = json.loads((flowlab.latest() / "observed.json").read_text(encoding="utf-8"))
    return {row["observation_domain"]: row for row in rows if row["exporter"] == "127.0.0.1"}


def test_a_slow_link_lets_packets_through_at_its_rate(flowlab):
    seen = records(flowlab, "bandwidth_mbps: 1")
    bits = 200 * 514 * 8
    assert seen[2]["packets"] == 200
    assert (seen[2]["last_ns"] - seen[2]["first_ns"]) / 1e9 > 0.9 * bits / 1e6 - 0.05


def test_players_share_a_slow_link_and_sinks_stay_open_until_all_has_come(flowlab):
    steps = ["vlan: {from: h1, to: h2, rate_pps: 50000, datagrams: 200}"]
    steps += ["fragments: {from: h1, to: h2, rate_pps: 50000, datagrams: 20}"] * 3
    text = TEXT.replace("QUALITY", "bandwidth_mbps: 2").partition("  - udp")[0]
    text += "  - parallel:\n" + "".join(f"      - {step}\n" for step in steps)
    flowlab("run", flowlab.scenario(text))
    assert json.loads((flowlab.latest() / "verdict.json").read_text())["verdict"] == "PASS"


def test_a_lossy_link_loses_some_and_not_all_and_nothing_of_what_flushes_a_probe(flowlab):
    need("softflowd")
    seen = records(flowlab, "loss_percent: 20", "netflow, {softflowd: {at: s1, port: 2}}")
    assert seen[1]["packets"] == 200
    assert 100 < seen[2]["packets"] < 200  # beyond either bound once in 10^11 runs
    assert json.loads((flowlab.latest() / "verdict.json").read_text())["verdict"] == "PASS"
