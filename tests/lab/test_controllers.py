"""Each Ryu application: its scenario passes with it, and does not with another one.

What another application does is recorded, and judged by what the scenario's own would have done.
"""

from __future__ import annotations

import re
import shutil

import pytest

from lab.controllers.settings import CONTROLLERS
from lab.library import find
from tests.support import ROOT

SHORTEST_AS_ONES_OWN = f"{{app: {{file: {ROOT / 'lab' / 'controllers' / 'shortest_path.py'}}}}}"
"""It samples nothing, which would be a fault of the file if lint knew of it."""
CASES = [
    ("learning-switch", "shortest-path", 3, "s3: no packet of udp .* came in"),
    ("shortest-path", "learning-switch", 3, "s2: .* which the scenario does not send there"),
    ("ecmp-spreads-flows", "shortest-path", 3, "s2: no packet of udp 10.0.0.1:40001 .* came in"),
    ("access-list", "shortest-path", 3, "s2: 30 packets of .*:53, which the scenario does not"),
    ("address-translation", "shortest-path", 3, "s2: no packet of tcp 10.200.0.1:.* came in"),
    ("mirror-port", "shortest-path", 1, "60, not to 120"),
    ("sample-action", SHORTEST_AS_ONES_OWN, 1, "no such flow"),
    ("poller", "shortest-path", 3, "no counters were polled"),
]


def test_every_application_has_a_scenario():
    texts = [find(name).read_text(encoding="utf-8") for name, *_ in CASES]
    told = {re.search(r"^controller: \{?([\w-]+)", text, re.MULTILINE)[1] for text in texts}
    assert told | {"app"} == set(CONTROLLERS)


@pytest.mark.parametrize(("name", "other", "code", "why"), CASES, ids=[case[0] for case in CASES])
def test_a_scenario_passes_with_its_application_and_not_with_another(
    flowlab, name, other, code, why
):
    text = find(name).read_text(encoding="utf-8")
    flowlab.ran(name)
    changed = re.sub(r"^controller: .*$", f"controller: {other}", text, flags=re.MULTILINE)
    without = re.sub(r"^expect:\n(  .*\n)+", "", changed, flags=re.MULTILINE)
    flowlab.start("run", flowlab.scenario(without)).communicate(timeout=120)
    shutil.copy(flowlab.latest(name) / "expected.json", flowlab.latest() / "expected.json")
    said = flowlab("check", str(flowlab.latest()), code=code)
    verdict = flowlab.verdict()
    reasons = [check["why"] for check in verdict["checks"] if check["verdict"] != "PASS"]
    reasons += [one["what"] for one in verdict["experiment"]]
    assert any(re.search(why, reason) for reason in reasons), said


OWN = (ROOT / "lab" / "controllers" / "shortest_path.py").read_text(encoding="utf-8")


def test_an_application_of_ones_own_runs_inside_the_capsule(flowlab):
    (flowlab.folder / "mine.py").write_text(OWN, encoding="utf-8")
    text = """
title: My own
topology: {linear: {switches: 2}}
controller: {app: {file: mine.py}}
exporters: [netflow, sflow, ipfix]
traffic:
  - udp: {from: h1, to: h2, datagrams: 5}
"""
    flowlab("run", flowlab.scenario(text))
    assert flowlab.verdict()["verdict"] == "PASS"


def test_an_application_that_cannot_start_is_said_to_be_the_labs_fault(flowlab):
    (flowlab.folder / "mine.py").write_text("raise RuntimeError('no')\n", encoding="utf-8")
    text = """
title: My own
topology: {linear: {switches: 2}}
controller: {app: {file: mine.py}}
exporters: [netflow]
traffic:
  - udp: {from: h1, to: h2, datagrams: 5}
"""
    said = flowlab("run", flowlab.scenario(text), code=3)
    assert "the controller did not start" in said


@pytest.mark.parametrize(
    "rules", ["", "controller: {access-list: {deny: [{port: 53, protocol: udp}]}}"]
)
def test_vlans_stay_apart_with_a_controller_and_without(flowlab, rules):
    """A ring with hosts in two VLANs and one, f, that is in none."""
    text = f"""
title: VLANs
topology:
  custom:
    hosts: [a, b, c, d, e, f]
    switches: [s1, s2, s3]
    links: [[a, s1], [b, s2], [c, s3], [d, s1], [e, s3], [f, s2], [s1, s2], [s2, s3], [s3, s1]]
    vlans: [[a, 10], [b, 10], [c, 10], [d, 20], [e, 20]]
{rules}
exporters: [netflow, sflow, ipfix]
traffic:
  - broadcast: {{from: a, datagrams: 5}}
  - broadcast: {{from: f, datagrams: 4}}
  - ping: {{from: b, to: c}}
  - udp: {{from: d, to: e, port: 53}}
"""
    flowlab("run", flowlab.scenario(text))
    assert flowlab.verdict()["verdict"] == "PASS"


def test_switches_that_were_restarted_get_their_rules_again(flowlab):
    text = """
title: Restarted
topology: {linear: {switches: 3}}
controller: {poller: {interval_s: 0.1}}
exporters: [netflow, sflow, ipfix]
fault:
  - switch_restart: {after_step: 1}
traffic:
  - udp: {from: h1, to: h3, datagrams: 5}
  - udp: {from: h1, to: h3, datagrams: 5}
"""
    flowlab("run", flowlab.scenario(text))
    assert flowlab.verdict()["verdict"] == "PASS"


def test_a_broken_recording_of_what_the_controller_handed_back_shows_nothing(flowlab):
    folder = flowlab.ran("learning-switch")
    recording = max(folder.glob("wire/*-controller.pcap"), key=lambda one: one.stat().st_size)
    recording.write_bytes(recording.read_bytes()[:-5])
    said = flowlab("check", str(folder), code=3)
    assert f"the capture {recording.name} is broken" in said
