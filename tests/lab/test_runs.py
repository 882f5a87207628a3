"""Real runs: every scenario of the library, and what must be true of all of them."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collector import pcap
from collector.encode import pcap_records
from collector.flows import flow_key, wire_flows
from collector.key import UDP, FlowKey
from collector.pcap import Writer
from exporters.ipfix_flow import FIRST_DOMAIN
from lab.judge import judge_folder, run
from lab.library import all_scenarios
from tests.differential.compare import Case, compare
from tests.differential.disagreements import DISAGREEMENTS
from tests.differential.peers import PEERS, needed
from tests.differential.records import read
from tests.support import FLOWLAB, ROOT, Flowlab, need

SCENARIOS = [path.stem for path in all_scenarios()]
EVERY = "test_every_scenario_passes_and_every_exporter_equals_the_wire"
COMPARED = 25
"""Datagrams of each exporter that are compared with what other collectors read: most of the time
goes into their thousands of sFlow samples, all alike."""
EXPORTERS = {"netflow5": "netflow", "sflow5": "sflow", "ipfix": "ipfix"}


def observed(folder: Path) -> dict[tuple[str, str, FlowKey], tuple[int, int]]:
    """Packets and octets_l2 by protocol, observation point and flow; ingress only.

    What a collector reads as one protocol may come from two exporters: only a switch's own count.
    """
    rows = json.loads((folder / "observed.json").read_text(encoding="utf-8"))
    return {
        (row["protocol"], _switch(row), FlowKey.from_json(row["flow"])): (
            row["packets"],
            row["octets_l2"],
        )
        for row in rows
        if row["flowDirection"] != 1 and (row["observation_domain"] or 0) < FIRST_DOMAIN
    }


def _switch(row: dict) -> str:
    number = row["observation_domain"]
    return f"s{row['agent'].rpartition('.')[2] if number is None else number}"


def wire(folder: Path) -> dict[tuple[str, FlowKey], tuple[int, int]]:
    counted: dict[tuple[str, FlowKey], tuple[int, int]] = {}
    captures = (folder / "wire").glob("*.pcap")
    for file in (one for one in captures if one.stem.endswith(("-in", "-controller"))):
        switch = file.name.partition("-")[0]
        for row in wire_flows(pcap.read(file), switch).iter_rows(named=True):
            packets, octets = counted.get((switch, flow_key(row)), (0, 0))
            whole = packets + row["packets"], octets + row["octets_l2"]
            counted[switch, flow_key(row)] = whole
    return counted


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """A folder with the beginnings of the exports of the runs so far."""
    return tmp_path_factory.mktemp("recordings")


def record_beginnings(exports: Path, to: Path) -> None:
    """Keep the first datagrams of each exporter: those after them are of the same kinds."""
    every = pcap.datagrams(pcap.read(exports))
    streams = zip(every.source.tolist(), every.destination_port.tolist(), strict=True)
    came: Counter[tuple[Any, int]] = Counter()
    first = []
    for row, (source, port) in enumerate(streams):
        came[(*source,), port] += 1
        if came[(*source,), port] <= COMPARED:
            first.append(row)
    with Writer(to) as writer:
        writer.write_records(pcap_records(every.take(np.array(first, np.int64))).data)


@pytest.fixture(scope="module")
def cases(recordings) -> list[Case]:
    """The recordings, and how we read them."""
    captures = sorted(recordings.iterdir())
    if not captures:
        pytest.skip("no scenario has been run")
    return [Case(one.stem, one, read(one.stem, one)) for one in captures]


@pytest.fixture(scope="module")
def all_ran(library, request, tmp_path_factory) -> None:
    """Those scenarios that are asked for below have been run, or tried."""
    wanted = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and item.originalname == EVERY
    ]
    Flowlab(tmp_path_factory.mktemp("ahead"), library).run_ahead(wanted)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.usefixtures("all_ran")
def test_every_scenario_passes_and_every_exporter_equals_the_wire(flowlab, recordings, name):
    folder = flowlab.ran(name)
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    if verdict["verdict"] == "SKIPPED":
        pytest.skip("; ".join(verdict["notes"]))
    sent = folder / "exports-sent.pcap"  # if some were lost on the way, on purpose
    exports = sent if sent.exists() else folder / "exports.pcap"
    record_beginnings(exports, recordings / f"{name}.pcap")
    assert verdict["verdict"] == "PASS"
    assert verdict["scenario"] == name
    assert {"PASS"} <= {check["verdict"] for check in verdict["checks"]} <= {"PASS", "SKIPPED"}
    if _has_probes(folder):
        return  # what they see is in tests/lab/test_probes.py
    seen, truth, rewritten = observed(folder), wire(folder), _rewritten(folder)
    assert truth
    for point in _points(folder):
        protocol, switch = point["protocol"], point["observation_point"]
        if (point["observation_domain"] or 0) >= FIRST_DOMAIN:
            continue  # It reports chosen flows only.
        for (where, key), counts in truth.items():
            if where != switch or point["sampling"] > 1:
                continue
            if _kinds(key) & point["not_seen"].keys():
                assert (protocol, switch, key) not in seen
            else:
                leaves_as = rewritten.get((where, key), key)
                told = _as_told(leaves_as if point["after_actions"] else key, point)
                assert seen[protocol, switch, told] == counts, (protocol, switch, str(key))


def _kinds(key: FlowKey) -> set[str]:
    """What an exporter may be blind to in a flow."""
    kind = f"ipv{key.ip_version}" if key.ip_version else "non_ip"
    return {kind, f"udp/{key.destination_port}" if key.protocol == UDP else kind}


def _as_told(key: FlowKey, point: dict[str, Any]) -> FlowKey:
    """A key as an exporter tells it: later IPv6 fragments may have a protocol of their own."""
    later = key.ip_version == 6 and key.protocol == UDP and not key.destination_port
    if later and point["later_fragments_as"] is not None:
        return key._replace(protocol=point["later_fragments_as"])
    return key


@pytest.mark.parametrize("name", PEERS)
def test_other_collectors_read_the_recordings_alike_but_for_what_is_declared(cases, name):
    """All recordings of the test above at once: starting takes a collector longer than reading."""
    result = compare(needed(name), cases, DISAGREEMENTS)
    assert not result.differences, "\n".join(result.differences[:50])
    assert result.fields > 100 * len(cases)


def _has_probes(folder: Path) -> bool:
    return any(point["port"] for point in _points(folder))


def _rewritten(folder: Path) -> dict[tuple[str, FlowKey], FlowKey]:
    """The keys that packets leave switches with, where these rewrite them, by how they came."""
    flows = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["flows"]
    return {
        (switch, FlowKey.from_json(flow["key"])): FlowKey.from_json(flow["leaves_as"])
        for flow in flows
        if flow["leaves_as"]
        for switch in flow["path"]
    }


def _points(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))["points"]


def test_the_demo_explains_passes_and_shows_a_line_per_flow_switch_and_exporter(flowlab):
    said = flowlab("demo")
    assert "PASS" in said
    lines = [line for line in said.splitlines() if line.rstrip().endswith("PASS")]
    verdict = flowlab.verdict("one-udp-stream")
    places = {
        (str(check["flow"]), check["observation_point"], check["exporter"])
        for check in verdict["checks"]
    }
    assert len(lines) == len(places)


def test_a_run_can_be_judged_again_without_mininet_open_vswitch_or_any_program(flowlab, tmp_path):
    flowlab.ran("one-udp-stream")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(flowlab.latest("one-udp-stream"), elsewhere)
    before = json.loads((elsewhere / "verdict.json").read_text(encoding="utf-8"))
    (elsewhere / "verdict.json").unlink()
    (elsewhere / "observed.json").unlink()
    no_mininet = "import sys; sys.modules['mininet'] = None; from lab.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", no_mininet, "check", str(elsewhere)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((elsewhere / "verdict.json").read_text(encoding="utf-8")) == before


def test_a_tampered_recording_does_not_pass(flowlab):
    folder = flowlab.ran("one-udp-stream")
    recording = folder / "exports.pcap"
    recording.write_bytes(recording.read_bytes()[:-400])
    said = flowlab("check", str(folder), code=3)
    assert "received → decoded" in said


def test_a_switch_that_was_late_with_the_packets_themselves_makes_the_run_invalid(flowlab):
    folder = flowlab.ran("one-udp-stream")
    for capture in (folder / "wire").glob("s1-*-in.pcap"):
        _make_earlier(capture, by_s=2)
    told = flowlab("check", str(folder), code=3)
    assert "this machine is too busy" in told
    for capture in (folder / "wire").glob("s1-*-out.pcap"):
        _make_earlier(capture, by_s=2)
    assert "this machine is too busy" not in flowlab("check", str(folder), code=1)


def _make_earlier(capture: Path, by_s: int) -> None:
    """Change a capture as if its packets had been there earlier."""
    octets = bytearray(capture.read_bytes())
    at = 24
    while at < len(octets):
        second, _, size, _ = struct.unpack_from("<IIII", octets, at)
        struct.pack_into("<I", octets, at, second - by_s)
        at += 16 + size
    capture.write_bytes(octets)


def test_tshark_reads_the_recording_and_its_totals_are_ours(flowlab):
    tshark = need("tshark")
    folder = flowlab.ran("one-udp-stream")
    ours: dict[str, int] = defaultdict(int)
    octets: dict[str, int] = defaultdict(int)
    for (protocol, _, _), (packets, octets_l2) in observed(folder).items():
        ours[protocol] += packets
        octets[protocol] += octets_l2

    def fields(selected: str, *names: str) -> list[list[str]]:
        wanted = [word for name in names for word in ("-e", name)]
        done = subprocess.run(
            [tshark, "-r", folder / "exports.pcap", "-Y", selected, "-T", "fields", *wanted],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split("\t") for line in done.stdout.splitlines()]

    def total(rows: list[list[str]]) -> int:
        return sum(int(number) for row in rows for number in row[0].split(",") if number)

    fcs_octets, ethernet_octets = 4, 14
    assert total(fields("cflow.version == 5", "cflow.packets")) == ours["netflow5"]
    assert total(fields("cflow.version == 5", "cflow.octets")) == octets["netflow5"]
    assert total(fields("sflow", "sflow_245.numsamples")) == ours["sflow5"]
    lengths = total(fields("sflow", "sflow_245.header.frame_length"))
    assert lengths - fcs_octets * ours["sflow5"] == octets["sflow5"]
    ingress = "cflow.version == 10 && cflow.direction == 0"
    assert total(fields(ingress, "cflow.packets")) == ours["ipfix"]
    octets_l3 = total(fields(ingress, "cflow.octets"))
    assert octets_l3 + ethernet_octets * ours["ipfix"] == octets["ipfix"]


def test_an_ordinary_user_without_any_rights_gets_the_same_verdict(tmp_path):
    """As nobody, by real user id; the repository is bound where everybody may read it."""
    if os.geteuid() != 0:
        pytest.skip("already an ordinary user: all other tests show it")
    need("setpriv")
    place, folder = Path("/mnt"), tmp_path / "runs"
    folder.mkdir()
    script = (
        'mount --bind "$1" /mnt && mount -t tmpfs -o mode=1777 none /tmp && cd /tmp && '
        "exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "
        '--inh-caps=-all --bounding-set=-all env PYTHONPATH=/mnt HOME=/tmp "$2" -m lab run '
        "one-udp-stream --format json"
    )
    python = place / Path(sys.prefix).relative_to(ROOT) / "bin" / "python"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(ROOT), str(python)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["runs"][0]["verdict"] == "PASS"


def test_eight_runs_side_by_side_all_pass(flowlab):
    processes = [flowlab.start("run", "two-switches-one-flow") for _ in range(8)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err


def test_the_shell_runs_commands_and_shows_what_was_exported(flowlab):
    process = subprocess.run(
        [*FLOWLAB, "shell", "one-ping"],
        cwd=flowlab.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="h1 ping -c 2 -i 0.01 h2\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "2 received" in process.stdout
    assert "icmp 10.0.0.1 → 10.0.0.2 type 8 code 0" in process.stdout


def test_a_folder_for_runs_that_leads_nowhere_is_refused_at_once(flowlab):
    (flowlab.folder / "dangling").symlink_to("/nonexistent")
    assert "'dangling' is no folder" in flowlab("run", "one-ping", "--runs", "dangling", code=2)


def test_a_recorded_run_that_may_not_be_written_to_is_judged_all_the_same(flowlab):
    folder = flowlab.ran("one-ping")
    for name in ("observed.new", "verdict.new"):  # even root cannot write a folder as a file
        (folder / name).mkdir()
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    said = flowlab("check", str(folder))
    assert "PASS    one-ping" in said
    assert "could not be written down" in said
    assert not list(folder.glob("tmp*"))


def test_a_port_that_open_vswitch_leaves_out_is_skipped_and_the_rest_is_judged(flowlab):
    text = """
title: BFD's port
topology: single
exporters: [netflow, ipfix]
traffic:
  - udp: {from: h1, to: h2, port: 3784, datagrams: 5}
"""
    flowlab("run", flowlab.scenario(text))
    outcomes = {c["exporter"]: c["verdict"] for c in flowlab.verdict()["checks"]}
    assert outcomes == {"netflow": "PASS", "ipfix": "SKIPPED"}


def test_a_thousand_flows_fit_into_the_stock_limit_of_open_files(flowlab):
    text = """
title: A thousand sockets
topology: single
exporters: [sflow]
traffic:
  - udp: {from: h1, to: h2, flows: 1000, rate_pps: 2000}
"""
    flowlab("run", flowlab.scenario(text))


def test_a_second_target_that_is_told_less_fails(flowlab, monkeypatch):
    folder = flowlab.ran("two-targets")
    by_target = run.by_target

    def forgetful(rows, points):
        own, copied = by_target(rows, points)
        return own, copied[1:]

    monkeypatch.setattr(run, "by_target", forgetful)
    verdict = judge_folder(folder).to_json()
    red = [check["measure"] for check in verdict["checks"] if check["verdict"] == "FAIL"]
    assert red == ["packets told to ::1"]


def test_after_a_bad_run_no_other_is_started_and_what_was_prepared_is_gone(flowlab):
    text = """
title: Wrong
topology: single
exporters: [netflow]
traffic:
  - udp: {from: h1, to: h2, datagrams: 5}
expect:
  - {flow: {from: h1, to: h2, protocol: udp}, packets: 6}
"""
    said = flowlab("run", flowlab.scenario(text), "one-udp-stream", "two-switches-draw", code=1)
    assert "0 of 1 runs passed; 2 not started" in said
    left = sorted(one.parent.name for one in (flowlab.folder / "runs").glob("*/2*"))
    assert left == ["case"]


def test_traffic_whose_program_is_not_installed_is_skipped_with_the_reason(flowlab, monkeypatch):
    everything_else = flowlab.folder / "bin"
    everything_else.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = everything_else / program.name
            if program.name != "iperf3" and not link.is_symlink():
                link.symlink_to(program)
    monkeypatch.setenv("PATH", str(everything_else))
    monkeypatch.delenv("FLOWLAB_REQUIRE_LAB", raising=False)
    said = flowlab("run", "iperf3")
    assert "SKIPPED" in said
    assert "iperf3 not installed" in said
    monkeypatch.setenv("FLOWLAB_REQUIRE_LAB", "1")
    assert "iperf3 not installed" in flowlab("run", "iperf3", code=3)
