"""Captures read block by block, and by many cursors, are what they are read plainly."""

from __future__ import annotations

import gzip
import io
import random
import struct
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import chain, kernel, pcap
from collector.chain import Kind, follow
from collector.decode.octets import Octets
from collector.files import load
from tests.unit.collector.plain_captures import Frame, pcap_frames, pcapng_frames
from tests.unit.collector.test_captures import NG, block, interface, packet_block, section

pytestmark = pytest.mark.usefixtures("each_way")

GOLDEN = Path(__file__).parents[2] / "golden"
NOW_S = 1_700_000_000


def pcap_of(payloads, order="<", *, original=None):
    head = struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)
    records = (
        struct.pack(order + "IIII", NOW_S + number, number, len(one), original or len(one)) + one
        for number, one in enumerate(payloads)
    )
    return head + b"".join(records)


def rows(capture):
    linktypes = capture.linktypes
    if linktypes is None:
        linktypes = np.full(len(capture), capture.linktype)
    columns = (capture.offsets, capture.lengths, capture.original_lengths, capture.timestamps_ns)
    return [Frame(*row) for row in zip(*(x.tolist() for x in (*columns, linktypes)), strict=True)]


def assert_read_as(octets, plain, sizes=(64, 1000)):
    """A whole file, and its blocks, have the frames and the fault of the plain reader."""
    frames, fault = plain(octets)
    whole = pcap.read(octets)
    assert (rows(whole), whole.fault) == (frames, fault)
    for size in sizes:
        found = []
        blocks = list(pcap.blocks(octets, size))
        for one in blocks:
            assert one.before == len(found)
            for row in rows(one):
                there = one.buffer[row.offset : row.offset + row.length].tobytes()
                expected = frames[len(found)]
                assert row._replace(offset=0) == expected._replace(offset=0)
                assert there == octets[expected.offset : expected.offset + expected.length]
                found.append(row)
        assert len(found) == len(frames)
        faults = [one.fault for one in blocks if one.fault is not None]
        # What is there behind a fault is not looked at.
        assert [one[:3] + one[4:] for one in faults] == [
            one[:3] + one[4:] for one in [fault] if one
        ]
        assert not faults or blocks[-1].fault is not None


LENGTHS = st.one_of(st.just(0), st.integers(0, 40), st.integers(200, 400))
"""Of frames."""
HEADERS = st.builds(
    struct.pack,
    st.sampled_from(["<IIII", ">IIII"]),
    st.sampled_from([NOW_S, NOW_S + 5, 0, 7]),
    st.integers(0, 9),
    st.sampled_from([0, 1, 16, 32, 48, 300, 262_144, 262_145, 2**32 - 1]),
    st.sampled_from([0, 16, 300]),
)
"""What looks like a frame's header, more or less."""
HOSTILE = st.lists(st.one_of(HEADERS, st.binary(max_size=9)), max_size=6).map(b"".join)


@st.composite
def payloads(draw):
    """Many frames out of a few that were drawn."""
    few = draw(st.lists(st.one_of(HOSTILE, LENGTHS.map(bytes)), min_size=1, max_size=6))
    chosen = random.Random(draw(st.integers(0, 9)))
    return [chosen.choice(few) for _ in range(draw(st.integers(0, 3000)))]


@settings(max_examples=60, deadline=None)
@given(payloads(), st.sampled_from("<>"), st.data())
def test_any_pcap_is_read_as_plainly(frames, order, data):
    octets = bytearray(pcap_of(frames, order))
    for _ in range(data.draw(st.integers(0, 2))):
        octets[data.draw(st.integers(0, len(octets) - 1)) % (len(octets) - 20) + 20] ^= 0x41
    del octets[data.draw(st.integers(24, len(octets) + 24)) :]
    assert_read_as(bytes(octets), pcap_frames, (100, 4096, 200_000))


def test_a_capture_in_a_capture():
    inner = pcap_of([bytes(60)] * 40)
    octets = pcap_of([inner[:1400], b"x" * 60, inner[24:1000]] * 700)
    assert_read_as(octets, pcap_frames, (1 << 20,))


@pytest.mark.parametrize("guesses", ["none", "all", "every fourth", "shifted", "random"])
def test_guesses_cost_time_but_never_truth(monkeypatch, guesses):
    chosen = random.Random(guesses)
    octets = Octets(
        np.frombuffer(pcap_of([bytes(chosen.choice([0, 9, 300])) for _ in range(9000)]), np.uint8)
    )
    kind = Kind("<", 16, 8, 16, 0, 262_144, 0, 86_400)
    expected = [row.offset - 16 for row in pcap_frames(octets.buffer.tobytes())[0]]

    def starts(piece, _sample, at, _kind):
        there = np.array([place for place in expected if place - 24 >= at]) - 24
        some = {
            "none": there[:0],
            "all": there[1:],
            "every fourth": there[3::4],
            "shifted": there[3::4] + 1,
            "random": np.array(sorted(chosen.sample(range(at + 1, len(piece) - 16), 400))),
        }[guesses]
        return np.concatenate([[at], some])

    monkeypatch.setattr(chain, "_starts", starts)
    with kernel.switched_off():
        found, heads, end = follow(octets, 24, kind)
    assert found.tolist() == expected
    assert end == len(octets)
    assert heads.shape == (len(expected), kind.head)


def test_cursors_start_at_frames():
    octets = Octets(np.frombuffer(pcap_of([b"y" * 300] * 9000), np.uint8))
    sample = np.arange(65) * 316 + 24
    kind = Kind("<", 16, 8, 16, 0, 262_144, 0, 86_400)
    starts = chain._starts(octets, sample[:-1], int(sample[-1]), kind)
    assert len(starts) > 100
    assert all((here - 24) % 316 == 0 for here in starts.tolist())
    assert max(after - before for before, after in pairwise(starts.tolist())) < 50_000


def any_block(chosen, kind, order, number):
    """A block of a type; `number` is that of its interface."""
    data = chosen.randbytes(chosen.choice([0, 20, 60]))
    if kind == "packet":
        return packet_block(data, stamp=5, order=order, number=number)
    if kind == "simple":
        return block(3, struct.pack(order + "I", 50) + data, order)
    if kind == "obsolete":
        head = struct.pack(order + "HHIIII", number, 9, 0, 9, len(data), 99)
        return block(2, head + data, order)
    if kind == "interface":
        resolution = struct.pack(order + "HHBxxx", 9, 1, chosen.choice([6, 9, 12, 0x94]))
        return interface(chosen.choice([1, 101]), resolution, order)
    if kind == "short":
        return block(chosen.choice([1, 2, 3, 6]), data[:4], order)
    return block(chosen.choice([0xBAD, 5]), data, order)


def mixed_pcapng(chosen, count):
    """Blocks of all types, a few of them odd, in sections of both byte orders."""
    order, parts = "<", [section(), interface()]
    kinds = {"packet": 200, "simple": 9, "obsolete": 9, "interface": 2, "unknown": 9, "short": 0.05}
    for kind in chosen.choices(list(kinds), kinds.values(), k=count):
        parts.append(any_block(chosen, kind, order, int(chosen.random() < 0.0005)))
        if chosen.random() < 0.002:
            order = chosen.choice("<>")
            parts += [section(order), interface(order=order)]
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(12))
def test_any_pcapng_is_read_as_plainly(seed):
    chosen = random.Random(seed)
    octets = mixed_pcapng(chosen, chosen.choice([20, 500, 3000]))
    assert_read_as(octets, pcapng_frames, (4096, 200_000))
    for _ in range(5):
        changed = bytearray(octets)
        changed[chosen.randrange(32, len(octets))] = chosen.randrange(256)
        assert_read_as(
            bytes(changed[: chosen.randrange(28, 2 * len(octets))]), pcapng_frames, (7000,)
        )


def test_pcapng_cut_anywhere_in_blocks():
    for length in range(28, len(NG) + 1):
        assert_read_as(NG[:length], pcapng_frames, (200,))


def test_blocks_of_pcapng_that_are_longer_than_a_block_of_the_reader():
    long = section() + interface() + block(0xBAD, bytes(500_000)) + packet_block(b"a" * 60)
    assert_read_as(long, pcapng_frames)
    too_long = section() + block(0xBAD, bytes(17 << 20))
    assert_read_as(too_long, pcapng_frames, (1 << 20,))


def test_interfaces_are_counted_by_section():
    one = section() + interface() * 65_536 + packet_block(b"a" * 60)
    assert_read_as(one * 2, pcapng_frames, (1 << 20,))
    assert_read_as(section() + interface() * 65_537 + packet_block(b"a"), pcapng_frames, ())


def test_byte_order_does_not_change_without_end():
    turning = (section() + section(">")) * 600
    found = pcap.read(turning)
    assert found.fault.reason == "byte order changes too often"
    assert found.fault.offset == 1025 * 28


def test_blocks_have_not_too_many_frames(monkeypatch):
    monkeypatch.setattr(pcap, "FRAMES", 100)
    assert_read_as(pcap_of([b"x"] * 1000)[:-1], pcap_frames, (1 << 20, 1000))
    assert max(len(one) for one in pcap.blocks(pcap_of([b"x"] * 1000), 1 << 20)) == 100


PACKERS = {"plain": bytes, "gzip": gzip.compress, "zstandard": zstandard.compress}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("way", ["file", "octets", "standard input"])
def test_packed_files_are_streams(packer, way, tmp_path, monkeypatch):
    octets = (GOLDEN / "openvswitch.pcap").read_bytes()
    packed = PACKERS[packer](octets[:1000]) + PACKERS[packer](octets[1000:])
    (tmp_path / "x").write_bytes(packed)
    if way == "standard input":
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    file = {"file": tmp_path / "x", "octets": packed, "standard input": "-"}[way]
    blocks = list(pcap.blocks(file, 5000))
    assert len(blocks) > 3
    assert sum(len(one) for one in blocks) == len(pcap.read(octets))
    assert blocks[-1].fault is None


@pytest.mark.parametrize("packer", ["gzip", "zstandard"])
def test_broken_packed_files_give_what_is_in_front(packer):
    chosen = random.Random(7)
    octets = pcap_of([chosen.randbytes(150).hex().encode() for _ in range(3000)])
    packed = bytearray(PACKERS[packer](octets))
    del packed[len(packed) // 2 : len(packed) // 2 + 1000]
    blocks = list(pcap.blocks(bytes(packed), 100_000))
    whole = pcap.read(bytes(packed))
    assert "file is broken" in whole.fault.reason
    # Block by block what was unpacked may be seen to be no frames before it is known why.
    assert blocks[-1].fault.datagram == whole.fault.datagram
    assert whole.fault.datagram == len(whole) + 1
    assert 1000 < len(whole) < 2300
    assert sum(len(one) for one in blocks) == len(whole)


def test_a_packed_file_is_read_to_a_length():
    for packer in (gzip.compress, zstandard.compress):
        assert load(packer(bytes(900)), most=900).broken == ""
        cut = load(packer(bytes(901)), most=900)
        assert (len(cut.octets), cut.broken) == (900, "more than 900 octets when unpacked")


def test_what_follows_gzip_is_no_part_of_it():
    found = load(gzip.compress(b"abc") + b"\0" * 9)
    assert (found.octets.tobytes(), found.broken) == (b"abc", "")


@pytest.mark.parametrize("octets", [1 << 16, 1 << 20, 9 << 20])
@pytest.mark.parametrize("packer", ["gzip", "zstandard"])
def test_few_packed_octets_may_be_many(packer, octets):
    """All that is packed may have been read long before all is unpacked."""
    found = load(PACKERS[packer](bytes(octets)))
    assert (len(found.octets), found.octets.any(), found.broken) == (octets, False, "")
    blocks = list(pcap.blocks(PACKERS[packer](pcap_of([bytes(300)] * 5000)), 316 * 100))
    assert sum(len(one) for one in blocks) == 5000
    assert blocks[-1].fault is None


@pytest.mark.parametrize("octets", [b"", b"hello", b"\x0a\x0d\x0d\x0a" + bytes(40), b"\x1f\x8b"])
def test_what_is_no_capture_is_an_error(octets):
    with pytest.raises(pcap.NotACaptureError, match="not a pcap file"):
        list(pcap.blocks(octets, 1000))
