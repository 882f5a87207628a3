"""Datagrams out of captures: the fast path and the dissector agree, and blocks and the whole."""

from __future__ import annotations

import gc
import random
import struct
import weakref
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import extract, fragments, pcap
from collector.decode import OPEN_VSWITCH, Decoder
from tests.unit.collector.test_blocks import GOLDEN
from tests.unit.collector.test_captures import PAYLOAD, frame, payloads, pcap_of
from tests.unit.collector.test_captures import fragments as in_fragments
from tests.unit.collector.test_packet import FRAMES

pytestmark = pytest.mark.usefixtures("each_way")

WHOLE = {
    **FRAMES,
    "export": frame(b"x" * 90),
    "export over ipv6": frame(b"x" * 90, six=True),
    "nothing in it": frame(b""),
    "fragment": in_fragments(frame(PAYLOAD), six=False)[0],
}
LINKS = {
    1: lambda data: data,
    113: lambda data: bytes(14) + data[12:],
    276: lambda data: data[12:14] + bytes(18) + data[14:],
    101: lambda data: data[14:],
    228: lambda data: data[14:],
}


def columns(found):
    """All of some datagrams, as lists."""
    return {
        field.name: value.tolist() if isinstance(value, np.ndarray) else value
        for field in fields(found)
        if (value := getattr(found, field.name)) is not None
    }


@st.composite
def changed_frames(draw):
    """Frames of which some octets are others, and the end of some is missing."""
    frames = []
    for one in draw(st.lists(st.sampled_from(list(WHOLE.values())), max_size=12)):
        octets = bytearray(one)
        for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
            octets[draw(st.integers(12, min(len(octets), 80) - 1))] = draw(st.integers(0, 255))
        cut = draw(st.sampled_from([0, 0, 0, 1, 9, 50]))
        frames.append(bytes(octets[: max(len(octets) - cut, 0)]))
    return frames


@settings(max_examples=100, deadline=None)
@given(changed_frames(), st.lists(st.sampled_from(list(LINKS)), min_size=1, max_size=2))
def test_the_fast_path_finds_what_the_dissector_finds(frames, links):
    kinds = [links[number % len(links)] for number in range(len(frames))]
    capture = pcap.read(
        pcap_of([LINKS[kind](data) for kind, data in zip(kinds, frames, strict=True)], links[0])
    )
    if len(set(kinds)) > 1:
        capture = replace(capture, linktypes=np.array(kinds))
    fast = columns(pcap.datagrams(capture))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "plain_udp", lambda *_: [])
        assert columns(pcap.datagrams(capture)) == fast


def test_nearly_all_frames_take_the_fast_path(monkeypatch):
    kinds = (frame(b"x" * 90), frame(b"x" * 90, six=True), frame(b""))
    for linktype in (1, 113, 276, 101):
        capture = pcap.read(pcap_of([LINKS[linktype](data) for data in kinds * 9], linktype))
        dissected = []
        monkeypatch.setattr(
            extract,
            "dissect_frames",
            lambda octets, start, captured, links, real=extract.dissect_frames: (
                dissected.append(len(start)) or real(octets, start, captured, links)  # noqa: B023
            ),
        )
        assert len(pcap.datagrams(capture)) == 27
        assert dissected == [0]
        monkeypatch.undo()


def traffic(chosen, count):
    """Exports, some in fragments of which some are missing, and other frames."""
    frames = []
    for number in range(count):
        kind = chosen.choice(["whole"] * 4 + ["fragments", "fragments", "other", "short"])
        six = chosen.random() < 0.3
        data = frame(bytes([number % 256]) * chosen.choice([3, 700, 3000]), six=six)
        if kind == "fragments" and len(data) > 1500:
            pieces = in_fragments(data, six=six, number=number)
            if chosen.random() < 0.3:
                del pieces[chosen.randrange(len(pieces))]
            for piece in pieces:
                frames.insert(chosen.randrange(max(len(frames) - 30, 0), len(frames) + 1), piece)
        elif kind == "other":
            frames.append(FRAMES["tcp"])
        else:
            frames.append(data[:40] if kind == "short" else data)
    return pcap_of(frames)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cut", [0, 20])
def test_blocks_have_what_the_whole_has(seed, cut):
    octets = traffic(random.Random(seed), 400)
    octets = octets[: len(octets) - cut]
    whole = pcap.datagrams(pcap.read(octets))
    assert len(whole.faults) > 30
    for size in (5000, 60_000):
        blocks = list(pcap.datagram_blocks(octets, size))
        assert len(blocks) > 5
        assert [octets for one in blocks for octets in payloads(one)] == payloads(whole)
        found = [columns(one) for one in blocks]
        for name in ("timestamp_ns", "source", "source_port", "destination", "missing"):
            expected = columns(whole)[name]
            assert [value for one in found for value in one[name]] == expected, name
        assert sum(one.others for one in blocks) == whole.others
        assert sorted(fault for one in blocks for fault in one.faults) == sorted(whole.faults)
        cuts = [fault for fault in whole.faults if fault.reason == "file ends within a frame"]
        assert len(cuts) == bool(cut)


def test_what_waits_for_fragments_is_limited(monkeypatch):
    monkeypatch.setattr(fragments, "FRAMES", 10)
    first = [in_fragments(frame(PAYLOAD), six=False, number=number)[0] for number in range(20)]
    rest = in_fragments(frame(PAYLOAD), six=False, number=0)[1:]
    found = pcap.datagrams(pcap.read(pcap_of(first + rest)))
    assert len(found) == 0
    assert [fault.datagram for fault in found.faults] == list(range(1, 24))
    duplicates = in_fragments(frame(PAYLOAD), six=False)[:1] * 30
    assert len(pcap.datagrams(pcap.read(pcap_of(duplicates))).faults) == 30


def test_waiting_data_does_not_keep_blocks():
    """What a decoder keeps from block to block are copies."""
    capture = (GOLDEN / "openvswitch.pcap").read_bytes()
    v5 = frame(struct.pack(">HHIIIIBBH", 5, 1, 9, 9, 9, 0, 0, 0, 0) + bytes(48))
    for octets in (capture, pcap_of([v5] * 40)):
        decoder, buffers, waited = Decoder(OPEN_VSWITCH), [], 0
        # The last blocks first: data come before their templates.
        for found in reversed(list(pcap.datagram_blocks(octets, 3000))):
            own = found.buffer.copy()
            buffers.append(weakref.ref(own))
            waited += decoder.decode(replace(found, buffer=own)).summary.waiting
            del own
        gc.collect()
        assert [buffer() for buffer in buffers] == [None] * len(buffers)
        assert len(buffers) > 1
        assert bool(waited) == (octets is capture)
        del decoder
