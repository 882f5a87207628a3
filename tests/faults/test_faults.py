"""Faults planted on purpose: each must be found, and blamed on the link that broke."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import find, need, wait_for_packets

STREAM = """
title: One stream
topology: {linear: {switches: 2}}
exporters: [netflow, sflow, ipfix]
traffic:
  - udp: {from: h1, to: h2, port: 5001, datagrams: 1000, payload_octets: 200, rate_pps: 1000}
"""


FLOOD = """
title: So many samples, that no receive buffer holds them
topology: {linear: {switches: 2}}
exporters: [{sflow: {header_octets: 512}}]
traffic:
  - udp: {from: h1, to: h2, datagrams: 20000, payload_octets: 1000, rate_pps: 10k}
"""


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, f"exit {process.returncode}\n{out}\n{err}"
    return out + err


def links(verdict: dict) -> set[str]:
    return {one["link"] for one in verdict["experiment"]}


def outcomes(verdict: dict) -> set[str]:
    return {check["verdict"] for check in verdict["checks"]}


def test_an_expectation_off_by_one_packet_fails_and_says_what_is_what(flowlab):
    wrong = STREAM + (
        "expect:\n"
        "  - {flow: {from: h1, to: h2, protocol: udp}, at: s2, exporter: netflow, packets: 1001}\n"
    )
    said = flowlab("run", flowlab.scenario(wrong), code=1)
    line = next(line for line in said.splitlines() if line.startswith("FAIL udp"))
    for words in ("10.0.0.1:40000 → 10.0.0.2:5001", "s2", "netflow", "1001", "observed 1000"):
        assert words in line
    verdict = flowlab.verdict()
    assert verdict["verdict"] == "FAIL"
    (failed,) = [check for check in verdict["checks"] if check["verdict"] == "FAIL"]
    assert (failed["expected"], failed["observed"]) == (1001, 1000)
    assert "crossed the wire too" in failed["why"]


@pytest.mark.parametrize(("role", "says"), [("h2:receive", "SIGKILL"), ("h1:send", "SIGKILL")])
def test_a_traffic_program_killed_in_mid_run_is_invalid(flowlab, role, says):
    process = flowlab.start("run", flowlab.scenario(STREAM))
    wait_for_packets(find(process, "h1:send"), 100)
    os.kill(find(process, role), signal.SIGKILL)
    finish(process)
    verdict = flowlab.verdict()
    assert verdict["verdict"] == "INVALID"
    assert "declared → sent" in links(verdict)
    assert says in str(verdict["experiment"])
    assert "FAIL" not in outcomes(verdict)


def test_the_collector_killed_is_invalid(flowlab):
    process = flowlab.start("run", flowlab.scenario(STREAM))
    wait_for_packets(find(process, "h1:send"), 100)
    os.kill(find(process, "collector.receive"), signal.SIGKILL)
    finish(process)
    verdict = flowlab.verdict()
    assert verdict["verdict"] == "INVALID"
    assert "exported → received" in links(verdict)
    assert "signal 9" in str(verdict["experiment"])
    assert outcomes(verdict) <= {"INVALID", "PASS"}


@pytest.mark.parametrize("port", [2055, 4739, 6343])
def test_export_datagrams_dropped_on_the_way_are_invalid(flowlab, port):
    """The kernel drops what the switch sends to one collector port, by its own packet filter."""
    process = flowlab.start("run", flowlab.scenario(STREAM))
    inside = find(process, "collector.receive")
    wait_for_packets(find(process, "h1:send"), 100)
    enter = ["nsenter", f"--target={inside}", "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    rules = (
        "add table ip faults\n"
        "add chain ip faults inward { type filter hook input priority 0; }\n"
        f"add rule ip faults inward udp dport {port} drop\n"
    )
    subprocess.run([*enter, need("nft"), "-f", "-"], input=rules, text=True, check=True)
    finish(process)
    verdict = flowlab.verdict()
    assert verdict["verdict"] == "INVALID"
    assert "exported → received" in links(verdict)
    assert "lost on the way" in str(verdict["experiment"])
    assert "FAIL" not in outcomes(verdict)


def test_a_receive_buffer_that_overflows_is_invalid_and_counted(flowlab):
    """The collector is stopped until its socket's buffer is full."""
    process = flowlab.start("run", flowlab.scenario(FLOOD))
    wait_for_packets(find(process, "h1:send"), 10)
    collector = find(process, "collector.receive")
    os.kill(collector, signal.SIGSTOP)
    until_s = time.monotonic() + 30
    while _drops(collector) == 0 and time.monotonic() < until_s:
        time.sleep(0.01)
    os.kill(collector, signal.SIGCONT)
    finish(process)
    assert "receive buffer full" in str(flowlab.verdict()["experiment"])


def _drops(pid: int) -> int:
    lines = Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
    return sum(int(line.split()[-1]) for line in lines)


def test_the_switch_killed_is_invalid(flowlab):
    process = flowlab.start("run", flowlab.scenario(STREAM))
    wait_for_packets(find(process, "h1:send"), 100)
    os.kill(find(process, "ovs-vswitchd"), signal.SIGKILL)
    finish(process)
    assert flowlab.verdict()["verdict"] == "INVALID"
