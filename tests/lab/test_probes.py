"""Software probes in real runs: they agree with the switch and lose nothing."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from collector.key import FlowKey
from exporters.pmacctd import MARKER
from tests.support import need

ETHERNET_OCTETS = 14


def measured(folder: Path) -> dict[str, dict[FlowKey, dict[str, int]]]:
    """By exporter and flow: what it reported; of IPFIX, where packets came in."""
    points = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["points"]
    names = {
        (one["address"], one["protocol"], one["observation_domain"], one["agent"]): one["exporter"]
        for one in points
    }
    found: dict[str, dict[FlowKey, dict[str, int]]] = defaultdict(dict)
    for row in json.loads((folder / "observed.json").read_text(encoding="utf-8")):
        name = names[row["exporter"], row["protocol"], row["observation_domain"], row["agent"]]
        if name != "ipfix" or row["flowDirection"] == 0:
            found[name][FlowKey.from_json(row["flow"])] = row
    return found


def test_five_exporters_agree_flow_by_flow(flowlab):
    for program in ("softflowd", "pmacctd"):
        need(program)
    flowlab.ran("five-exporters-agree")
    reported = measured(flowlab.latest("five-exporters-agree"))
    assert set(reported) == {"netflow", "sflow", "ipfix", "softflowd", "pmacctd"}
    truth = reported["sflow"]
    assert len(truth) > 25
    for name, flows in reported.items():
        own = {key: row for key, row in flows.items() if key.destination != MARKER}
        seen = {key for key in truth if name != "netflow" or key.ip_version == 4}
        assert set(own) == seen, name
        for key, row in own.items():
            assert row["packets"] == truth[key]["packets"], (name, str(key))
            octets_l3 = row["octets_l3"]
            if octets_l3 is None:  # NetFlow v5 of Open vSwitch counts whole frames
                octets_l3 = row["octets_l2"] - ETHERNET_OCTETS * row["packets"]
            assert octets_l3 == truth[key]["octets_l3"], (name, str(key))


FRAGMENTS = """
title: Fragments without ports, told in as many ways
topology: {single: {hosts: 2}}
exporters: {%s}
traffic:
  - fragments: {from: h1, to: h2, port: 5001, datagrams: 100}
  - fragments: {from: h1, to: h2, port: 5001, datagrams: 100, ip_version: 6}
"""


@pytest.mark.parametrize(
    "exporters",
    [
        "softflowd: {export: netflow9}, ipfix: {sampling: 2}",
        "softflowd: {export: ipfix}, pmacctd: {export: sflow5}, sflow: {sampling: 2}",
    ],
)
def test_fragments_are_told_as_each_exporter_tells_them(flowlab, exporters):
    need("softflowd")
    need("pmacctd")
    flowlab("run", flowlab.scenario(FRAGMENTS % exporters))
    checks = flowlab.verdict()["checks"]
    assert {check["verdict"] for check in checks} <= {"PASS", "SKIPPED"}
    assert len({str(check["flow"]) for check in checks if check["flow"]}) == 4


BUSY = """
title: A probe that is shown much
topology: {single: {hosts: 2}}
exporters: {%s: {export: %s}}
traffic:
  - udp: {from: h1, to: h2, flows: 400, datagrams: 20, payload_octets: 300, rate_pps: 8k}
"""


@pytest.mark.parametrize(
    ("probe", "export"),
    [
        ("softflowd", "netflow5"),
        ("softflowd", "netflow9"),
        ("softflowd", "ipfix"),
        ("pmacctd", "netflow9"),
        ("pmacctd", "ipfix"),
        ("pmacctd", "sflow5"),
    ],
)
def test_nothing_is_lost_of_eight_thousand_packets_in_a_second(flowlab, probe, export):
    need(probe)
    flowlab("run", flowlab.scenario(BUSY % (probe, export)))
    (row, *_) = json.loads((flowlab.latest() / "observed.json").read_text(encoding="utf-8"))
    assert row["protocol"] == export
    witnesses = json.loads((flowlab.latest() / "witnesses.json").read_text(encoding="utf-8"))
    assert witnesses["probes"] == [{"exporter": probe, "switch": "s1", "dropped": 0}]


def test_a_probe_that_is_not_installed_is_skipped_with_the_reason(flowlab, tmp_path, monkeypatch):
    monkeypatch.delenv("FLOWLAB_REQUIRE_LAB", raising=False)
    monkeypatch.setenv("PATH", _without(("softflowd",), tmp_path))
    said = flowlab("run", flowlab.scenario(BUSY % ("softflowd", "netflow9")))
    assert flowlab.verdict()["verdict"] == "SKIPPED"
    assert "softflowd is not installed (package softflowd)" in said
    monkeypatch.setenv("FLOWLAB_REQUIRE_LAB", "1")
    assert "softflowd is not installed" in flowlab(
        "run", flowlab.scenario(BUSY % ("softflowd", "ipfix")), code=3
    )


def _without(programs: tuple[str, ...], tmp_path: Path) -> str:
    """A PATH on which these programs are not: links to all the others."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for file in Path(place).iterdir() if Path(place).is_dir() else ():
            link = folder / file.name
            if file.name not in programs and not link.is_symlink():
                link.symlink_to(file)
    return str(folder)
