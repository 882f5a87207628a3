"""The stage before the recording: what it lets arrive, and what it writes down of that."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from collector import pcap
from collector.recording import encapsulate_udp
from lab.run.faulty import Stage

MS_NS = 1_000_000
COUNT = 2000
ADDRESS = bytes([127, 0, 0, 1]).hex()


def frame(number: int, port: int = 2055) -> bytes:
    return encapsulate_udp("127.0.0.1", 40000, "127.0.0.1", port, number.to_bytes(4, "big"))


def run(tmp_path, faults, frames=None):
    """Numbers of the datagrams in the order in which they arrive, and what was noted."""
    stage = Stage(tmp_path / "exports.pcap", faults)
    for at, one in enumerate(frames or map(frame, range(COUNT))):
        stage.write(at * MS_NS, one)
    stage.flush()
    stage.close()
    capture = pcap.datagrams(pcap.read(tmp_path / "exports.pcap"))
    sent = pcap.datagrams(pcap.read(tmp_path / "exports-sent.pcap"))
    assert len(sent) == (len(frames) if frames else COUNT)
    arrived = [
        int.from_bytes(capture.buffer[at : at + 4].tobytes(), "big") for at in capture.offset
    ]
    return arrived, json.loads((tmp_path / "faults.json").read_text())


def fault(kind, **settings):
    return {"kind": kind, "percent": 10, "seed": 1, "targets": None} | settings


def test_without_faults_all_arrives_in_order(tmp_path):
    assert run(tmp_path, [])[0] == list(range(COUNT))


def test_dropped(tmp_path):
    arrived, told = run(tmp_path, [fault("drop")])
    assert arrived == sorted(set(arrived))
    assert COUNT - len(arrived) == told["struck"]["drop"]
    assert told["struck"]["drop"] == pytest.approx(200, abs=60)


def test_duplicated(tmp_path):
    arrived, told = run(tmp_path, [fault("duplicate")])
    assert sorted(set(arrived)) == list(range(COUNT))
    assert arrived == sorted(arrived)
    assert len(arrived) - COUNT == told["struck"]["duplicate"] > 100


def test_reordered(tmp_path):
    arrived, told = run(tmp_path, [fault("reorder")])
    assert sorted(arrived) == list(range(COUNT))
    backwards = sum(b < a for a, b in pairwise(arrived))
    assert 100 < backwards <= told["struck"]["reorder"]


def test_delayed(tmp_path):
    arrived, told = run(tmp_path, [fault("delay", delay_ms=5)])
    assert sorted(arrived) == list(range(COUNT))
    place = {number: at for at, number in enumerate(arrived)}
    late = [number for number in range(COUNT - 10) if place[number] > place[number + 1]]
    assert len(late) > 100
    assert told["struck"]["delay"] > 150


def test_the_same_seed_strikes_the_same_and_another_seed_others(tmp_path):
    one = run(tmp_path, [fault("drop")])[0]
    assert run(tmp_path, [fault("drop")])[0] == one
    assert run(tmp_path, [fault("drop", seed=2)])[0] != one


def test_only_the_named_are_struck(tmp_path):
    frames = [frame(number, 2055 + number % 2) for number in range(COUNT)]
    arrived, _ = run(
        tmp_path, [fault("drop", percent=100, targets=[[ADDRESS, f"{2055:04x}"]])], frames
    )
    assert arrived == list(range(1, COUNT, 2))


def test_a_late_collector_misses_the_first(tmp_path):
    arrived, told = run(tmp_path, [{"kind": "late_collector", "missed": 7}])
    assert arrived == list(range(7, COUNT))
    assert told["restarts"] == []
    assert told["struck"]["late_collector"] == 7


def test_a_restarted_collector_misses_what_comes_meanwhile(tmp_path):
    arrived, told = run(tmp_path, [{"kind": "collector_restart", "after": 5, "missed": 2}])
    assert arrived == [0, 1, 2, 3, 4, *range(7, COUNT)]
    assert told["restarts"] == [5]


@pytest.mark.parametrize(("kind", "octets"), [("corrupt", 1472), ("truncate", 8)])
@pytest.mark.parametrize("version", [4, 6])
def test_spoilt_ones_arrive_in_their_place_and_are_noted(tmp_path, kind, octets, version):
    ends = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}[version]
    payload = bytes(range(64)) * 23
    frames = [encapsulate_udp(ends[0], 1234, ends[1], 4739, payload)] * 200
    stage = Stage(tmp_path / "exports.pcap", [fault(kind)])
    for at, one in enumerate(frames):
        stage.write(at * MS_NS, one)
    stage.flush()
    stage.close()
    capture = pcap.datagrams(pcap.read(tmp_path / "exports.pcap"))
    told = json.loads((tmp_path / "faults.json").read_text())
    assert not capture.faults
    assert len(capture) == len(frames)
    assert 0 < len(told["spoilt"]) == told["struck"][kind] < 60
    assert set(capture.source_port) == {1234}
    for row, (at, size) in enumerate(zip(capture.offset, capture.length, strict=True)):
        content = capture.buffer[at : at + size].tobytes()
        assert (content != payload) is (row in told["spoilt"])
        assert size == (octets if row in told["spoilt"] else len(payload))
