"""Counters of ports by SNMP, by OpenFlow, of sFlow and on the wire: the same."""

from __future__ import annotations

import json
import os
from bisect import bisect_left, bisect_right
from pathlib import Path

import pytest

from collector import pcap

LATE_NS = 250_000_000
"""So much earlier than its datagram sFlow may have read a counter."""
EARLY_NS = 20_000_000


def last(file):
    """The last answer of every port."""
    found = {}
    for answer in json.loads(file.read_text(encoding="utf-8")):
        for number, counted in answer.get("ports", {}).items():
            found[f"{answer['switch']}-eth{number}"] = counted
    return found


def wire(folder, port, direction):
    """When frames crossed a port, and how long they were."""
    capture = pcap.read(folder / "wire" / f"{port}-{direction}.pcap")
    return capture.timestamps_ns.tolist(), capture.original_lengths.tolist()


def crossed(folder):
    """What crossed each port, as counters have it."""
    ports = {file.stem.rpartition("-")[0] for file in (folder / "wire").glob("*.pcap")}
    return {
        port: {
            f"{way}_{what}": count
            for way, direction in (("rx", "in"), ("tx", "out"))
            for what, count in zip(
                ("packets", "octets"),
                (len(wire(folder, port, direction)[1]), sum(wire(folder, port, direction)[1])),
                strict=True,
            )
        }
        for port in ports
    }


def test_snmp_openflow_sflow_and_the_wire_agree_on_every_port(flowlab):
    folder = flowlab.ran("counters-agree")
    right = crossed(folder)
    assert right["s1-eth1"]["rx_packets"] == 300
    assert last(folder / "snmp.json") == right
    assert last(folder / "counters.json") == right
    samples = list(counter_samples(flowlab, folder))
    assert {port for port, *_ in samples} == set(right)
    for port, at_ns, way, packets, octets in samples:
        times_ns, lengths = wire(folder, port, way)
        assert bisect_left(times_ns, at_ns - LATE_NS) <= packets
        assert packets <= bisect_right(times_ns, at_ns + EARLY_NS)
        assert octets == sum(lengths[:packets])
    assert any(0 < packets < 300 for _, _, _, packets, _ in samples)


def counter_samples(flowlab, folder):
    """Of each counter sample of sFlow: port, export time, direction, packets, octets."""
    lines = flowlab("decode", str(folder), "--protocol", "sflow5", "--format", "jsonl")
    rows = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    names = {
        (row["agent"], row["sourceIdIndex"]): row["interfaceName"]
        for row in rows
        if "interfaceName" in row
    }
    for row in rows:
        if "ifInOctets" in row:
            port = names[row["agent"], row["ifIndex"]]
            at_ns = pcap_time_ns(folder, row["datagram"])
            kinds = ("UcastPkts", "MulticastPkts", "BroadcastPkts")
            for way, word in (("in", "In"), ("out", "Out")):
                told = [row[f"if{word}{kind}"] for kind in kinds]
                known = [count for count in told if count != 0xFFFFFFFF]  # 4294967295: not known
                yield port, at_ns, way, sum(known), row[f"if{word}Octets"]


def pcap_time_ns(folder, datagram):
    """When a datagram arrived."""
    return pcap.read(folder / "exports.pcap").timestamps_ns[datagram - 1]


def test_a_wrong_counter_and_a_missing_answer_make_the_run_invalid(flowlab):
    folder = flowlab.ran("who-talks-to-whom")
    answers = folder / "snmp.json"
    polled = json.loads(answers.read_text(encoding="utf-8"))
    for name in ("rx_packets", "rx_octets", "tx_packets", "tx_octets"):
        wrong = json.loads(json.dumps(polled))
        wrong[-1]["ports"]["4"][name] += 1
        answers.write_text(json.dumps(wrong), encoding="utf-8")
        told = flowlab("check", str(folder), code=3)
        assert "wire → SNMP counters" in told
        assert "s1-eth4: " in told
    without = json.loads(json.dumps(polled))
    for one in without:
        one.get("ports", {}).pop("4", None)
    answers.write_text(json.dumps(without), encoding="utf-8")
    assert "s1-eth4: SNMP told no counters" in flowlab("check", str(folder), code=3)
    answers.unlink()
    told = flowlab("check", str(folder), code=3)
    assert "wire → SNMP counters" in told
    assert "no counters were polled" in told
    answers.write_text(json.dumps(polled), encoding="utf-8")
    flowlab("check", str(folder))


def test_an_agent_that_ends_makes_the_run_invalid(flowlab, monkeypatch):
    false = flowlab.folder / "bin"
    false.mkdir()
    (false / "snmpd").write_text("#!/bin/sh\necho no such module\nexit 1\n", encoding="utf-8")
    (false / "snmpd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{false}{os.pathsep}{os.environ['PATH']}")
    assert "the SNMP agent did not start" in flowlab("run", "who-talks-to-whom", code=3)


@pytest.mark.parametrize("demanded", [False, True])
def test_without_an_agent_it_is_skipped_with_the_reason(flowlab, monkeypatch, demanded):
    everything_else = flowlab.folder / "bin"
    everything_else.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = everything_else / program.name
            if program.name != "snmpd" and not link.is_symlink():
                link.symlink_to(program)
    monkeypatch.setenv("PATH", str(everything_else))
    monkeypatch.setenv("FLOWLAB_REQUIRE_LAB", "1" if demanded else "0")
    said = flowlab("run", "who-talks-to-whom", code=3 if demanded else 0)
    assert ("SKIPPED" in said) is not demanded
    assert "snmpd not installed" in said
