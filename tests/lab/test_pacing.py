"""Pacing at 10 000 packets a second, measured from the capture of the wire.

.venv/bin/python -m pytest tests/lab/test_pacing.py -q -s
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from collector import pcap

RATE_PPS = 10_000
PACKETS = 20_000
STRETCH_PACKETS = 1_000


@pytest.mark.parametrize(
    "step",
    [
        f"broadcast: {{from: h1, datagrams: {PACKETS}, rate_pps: {RATE_PPS}}}",
        f"vlan: {{from: h1, to: h2, payload_octets: 1400, datagrams: {PACKETS}, rate_pps: 10k}}",
        f"flood: {{from: h1, to: h2, packets: {PACKETS}, sources: 500, rate_pps: {RATE_PPS}}}",
    ],
)
def test_ten_thousand_packets_a_second_are_that_many_and_none_is_lost(flowlab, step):
    text = f"""
title: Pacing
topology: {{linear: {{switches: 2}}}}
exporters: [netflow]
traffic:
  - {step}
"""
    flowlab("run", flowlab.scenario(text))
    folder = flowlab.latest()
    capture = pcap.read(folder / "wire" / "s1-eth1-in.pcap")
    assert len(capture) == PACKETS
    # The middle one of twenty stretches: a hiccup of the machine is no other pace.
    stretches_ns = np.diff(capture.timestamps_ns[::STRETCH_PACKETS])
    rate_pps = STRETCH_PACKETS * 1e9 / np.median(stretches_ns)
    sys.stdout.write(f"{rate_pps:.1f} packets/s\n")
    assert rate_pps == pytest.approx(RATE_PPS, rel=0.01)
    witnesses = json.loads((folder / "witnesses.json").read_text(encoding="utf-8"))
    assert witnesses["wire"]["lost"] == 0
    assert witnesses["datapath_packets"] == 2 * PACKETS
