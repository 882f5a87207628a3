"""Faults between exporter and collector in real runs: told rightly, and found out if not."""

from __future__ import annotations

import json

import pytest

from collector import arrival
from lab.judge import judge_folder

TRAFFIC = """
title: Faults
topology: {single: {hosts: 2}}
exporters: [netflow, sflow]
fault:
  - %s
traffic:
  - udp: {from: h1, to: h2, flows: 300, payload_octets: 100}
"""


def checks(verdict, measure):
    return {
        check["exporter"]: (check["expected"], check["observed"], check["verdict"])
        for check in verdict["checks"]
        if check["measure"] == measure and check["flow"] is None
    }


@pytest.mark.parametrize(
    ("fault", "measures"),
    [
        ("drop: {percent: 30, seed: 1}", ["records missing", "datagrams missing"]),
        ("duplicate: {percent: 30, seed: 1}", ["duplicates"]),
    ],
)
def test_what_befell_the_datagrams_is_told(flowlab, fault, measures):
    flowlab("run", flowlab.scenario(TRAFFIC % fault))
    verdict = flowlab.verdict()
    assert verdict["verdict"] == "PASS"
    for measure in measures:
        for expected, observed, outcome in checks(verdict, measure).values():
            assert expected == observed > 0
            assert outcome == "PASS"


def test_a_collector_that_counts_twice_fails(flowlab, monkeypatch):
    flowlab("run", flowlab.scenario(TRAFFIC % "duplicate: {percent: 30}"))
    monkeypatch.setattr(arrival, "without_duplicates", lambda _, rows: (rows, []))
    verdict = judge_folder(flowlab.latest()).to_json()
    assert verdict["verdict"] == "FAIL"
    wrong = {check["measure"] for check in verdict["checks"] if check["verdict"] == "FAIL"}
    assert {"duplicates", "collected packets"} <= wrong
    assert "packets" not in wrong, "the exporters did nothing wrong"


def test_a_fault_whose_recording_is_gone_shows_nothing(flowlab):
    flowlab.ran("reordered-datagrams")
    folder = flowlab.latest("reordered-datagrams")
    (folder / "exports-sent.pcap").unlink()
    said = flowlab("check", str(folder), code=3)
    assert "reorder: there is no exports-sent.pcap" in said


def test_a_fault_that_strikes_nothing_shows_nothing(flowlab):
    said = flowlab("run", flowlab.scenario(TRAFFIC % "drop: {percent: 0.0001}"), code=3)
    assert "drop: no datagram was struck" in said
    assert flowlab.verdict()["verdict"] == "INVALID"


def test_the_exporters_are_judged_by_what_they_sent(flowlab):
    flowlab("run", flowlab.scenario(TRAFFIC % "drop: {percent: 100}"))
    verdict = flowlab.verdict()
    told = [check for check in verdict["checks"] if check["measure"] == "packets"]
    assert len(told) == 600
    assert {check["verdict"] for check in told} == {"PASS"}
    account = json.loads((flowlab.latest() / "faults.json").read_text(encoding="utf-8"))
    assert account["struck"]["drop"] > 50


def test_what_befell_the_datagrams_said_in_another_shape_is_no_run(flowlab):
    folder = flowlab.ran("reordered-datagrams")
    (folder / "faults.json").write_text('{"restarts": [], "struck": ["reorder"]}')
    said = flowlab("check", str(folder), code=2)
    assert "faults.json is not what a run writes" in said
