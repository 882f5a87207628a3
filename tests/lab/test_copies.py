"""`--to`: a copy of the exports for a collector outside, which changes nothing inside."""

from __future__ import annotations

import json
import socket

import pytest

from collector import pcap


@pytest.fixture
def outside():
    """Two sockets of this machine, and a port where nobody listens."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.bind(("::1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four:
            four.bind(("127.0.0.1", 0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.bind(("127.0.0.1", 0))
                nobody = gone.getsockname()[1]
            yield six, four, nobody


def waiting(receiver):
    receiver.settimeout(0)
    found = []
    while True:
        try:
            found.append(receiver.recv(65536))
        except BlockingIOError:
            return found


SCENARIO = """
title: A few flows
topology: {single: {hosts: 2}}
exporters: [netflow, sflow, ipfix]
traffic:
  - udp: {from: h1, to: h2, flows: 5}
"""


def test_every_datagram_goes_to_each_collector_and_the_verdict_does_not_care(flowlab, outside):
    six, four, nobody = outside
    targets = [f"[::1]:{six.getsockname()[1]}", f"localhost:{four.getsockname()[1]}"]
    targets.append(f"127.0.0.1:{nobody}")
    flowlab("run", flowlab.scenario(SCENARIO), *(word for one in targets for word in ("--to", one)))
    recorded = pcap.datagrams(pcap.read(flowlab.latest() / "exports.pcap"))
    expected = [
        recorded.buffer[at : at + length].tobytes()
        for at, length in zip(recorded.offset, recorded.length, strict=True)
    ]
    assert waiting(six) == waiting(four) == expected
    witnesses = json.loads((flowlab.latest() / "witnesses.json").read_text(encoding="utf-8"))
    received = witnesses["datagrams"]["received"]
    assert received["not_copied"] > 0
    assert received["copied"] + received["not_copied"] == 3 * len(expected)


def test_faults_befall_the_copy_too(flowlab, outside):
    _, four, _ = outside
    faulty = SCENARIO + "fault:\n  - drop: {percent: 100, exporter: sflow}\n"
    flowlab("run", flowlab.scenario(faulty), "--to", f"127.0.0.1:{four.getsockname()[1]}")
    recorded = pcap.datagrams(pcap.read(flowlab.latest() / "exports.pcap"))
    assert len(waiting(four)) == len(recorded) > 0


@pytest.mark.parametrize("target", ["nowhere", "127.0.0.1", ":2055", "127.0.0.1:99999"])
def test_what_is_no_target_is_refused_before_anything_runs(flowlab, target):
    said = flowlab("run", flowlab.scenario(SCENARIO), "--to", target, code=2)
    assert "HOST:PORT" in said
    assert not (flowlab.folder / "runs").exists()
