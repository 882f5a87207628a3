"""Links that are not perfect: what they do to packets is what was asked for."""

from __future__ import annotations

import json

TEXT = """
title: A link
topology: {linear: {switches: 2, QUALITY}}
exporters: [netflow]
traffic:
  - udp: {from: h1, to: h2, datagrams: 200, payload_octets: 472, rate_pps: 2000}
"""


def records(flowlab, quality: str) -> dict[int, dict]:
    """What NetFlow told, by switch."""
    flowlab("run", flowlab.scenario(TEXT.replace("QUALITY", quality)))
    rows = json.loads((flowlab.latest() / "observed.json").read_text(encoding="utf-8"))
    return {row["observation_domain"]: row for row in rows}


def test_a_slow_link_lets_packets_through_at_its_rate(flowlab):
    seen = records(flowlab, "bandwidth_mbps: 1")
    bits = 200 * 514 * 8
    assert seen[2]["packets"] == 200
    assert (seen[2]["last_ns"] - seen[2]["first_ns"]) / 1e9 > 0.9 * bits / 1e6 - 0.05


def test_a_lossy_link_loses_some_and_not_all(flowlab):
    seen = records(flowlab, "loss_percent: 20")
    assert seen[1]["packets"] == 200
    assert 100 < seen[2]["packets"] < 200  # beyond either bound once in 10^11 runs
