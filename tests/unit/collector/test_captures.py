"""Captures of other kinds: pcapng, packed files, other links, IP fragments, standard input."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import pcap
from collector.decode.address import ip_texts
from collector.files import load
from collector.pcap import Writer, encapsulate_udp

pytestmark = pytest.mark.usefixtures("each_way")

GOLDEN = Path(__file__).parents[2] / "golden"
PAYLOAD = bytes(range(256)) * 12


def frame(payload=b"hello", *, six=False, port=2055):
    source, destination = ("2001:db8::1", "2001:db8::2") if six else ("192.0.2.1", "192.0.2.2")
    return encapsulate_udp(source, 40_000, destination, port, payload)


def payloads(found):
    spans = zip(found.offset, found.length, strict=True)
    return [found.buffer[at : at + size].tobytes() for at, size in spans]


def pcap_of(frames, linktype=1):
    head = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, linktype)
    records = (
        struct.pack("<IIII", 5, number, len(one), len(one)) + one
        for number, one in enumerate(frames)
    )
    return head + b"".join(records)


def block(kind, content, order="<"):
    content += bytes(-len(content) % 4)
    length = struct.pack(order + "I", len(content) + 12)
    return struct.pack(order + "I", kind) + length + content + length


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(linktype=1, options=b"", order="<"):
    return block(1, struct.pack(order + "HHI", linktype, 0, 0) + options, order)


def packet_block(data, *, number=0, stamp=0, order="<"):
    head = struct.pack(order + "5I", number, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data, order)


NG = (
    section()
    + interface()
    + interface(101, struct.pack("<HHBxxxHHq", 9, 1, 9, 14, 8, 10))
    + packet_block(frame(b"one"), stamp=5_000_001)
    + block(0x0BAD, b"unknown")
    + packet_block(frame(b"two", six=True)[14:], number=1, stamp=7)
    + block(3, struct.pack("<I", len(frame())) + frame())
    + block(2, struct.pack("<HHIIII", 0, 0, 0, 9, len(frame()), len(frame())) + frame())
    + section(">")
    + interface(1, struct.pack(">HHBxxx", 9, 1, 0x80 | 20), ">")
    + packet_block(frame(b"five"), stamp=3 << 20, order=">")
)


def test_pcapng():
    capture = pcap.read(NG)
    assert capture.fault is None
    assert capture.timestamps_ns.tolist() == [5_000_001_000, 10_000_000_007, 0, 9000, 3_000_000_000]
    found = pcap.datagrams(capture)
    assert payloads(found) == [b"one", b"two", b"hello", b"hello", b"five"]
    assert ip_texts(found.source)[:2] == ["192.0.2.1", "2001:db8::1"]
    assert (found.faults, found.others) == ((), 0)


def test_pcapng_cut_anywhere_gives_its_whole_frames():
    for length in range(28, len(NG)):
        capture = pcap.read(NG[:length])
        assert len(capture) <= 5
        if capture.fault:
            assert capture.fault.offset + capture.fault.available == length
        pcap.datagrams(capture)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_changed_pcapng_never_raises(data):
    octets = bytearray(NG)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(12, len(octets) - 1))] = data.draw(st.integers(0, 255))
    pcap.datagrams(pcap.read(bytes(octets)))


@pytest.mark.skipif(not shutil.which("editcap"), reason="editcap is not installed")
def test_pcapng_of_wireshark(tmp_path):
    subprocess.run(
        ["editcap", "-F", "pcapng", GOLDEN / "openvswitch.pcap", tmp_path / "x"], check=True
    )
    one, other = (pcap.read(path) for path in (tmp_path / "x", GOLDEN / "openvswitch.pcap"))
    assert one.timestamps_ns.tolist() == other.timestamps_ns.tolist()
    assert payloads(pcap.datagrams(one)) == payloads(pcap.datagrams(other))


LINKS = {
    "ethernet": (1, b"", 0),
    "cooked": (113, bytes(14) + b"\x08\x00", 14),
    "cooked 2": (276, b"\x08\x00" + bytes(18), 14),
    "raw": (101, b"", 14),
    "ipv4": (228, b"", 14),
    "null": (0, struct.pack("<I", 2), 14),
    "null of another host": (0, struct.pack(">I", 2), 14),
    "loop": (108, struct.pack(">I", 2), 14),
    "cooked vlan": (113, bytes(14) + b"\x81\x00\x00\x07\x08\x00", 14),
}


@pytest.mark.parametrize("name", LINKS)
def test_links(name):
    linktype, head, cut = LINKS[name]
    data = head + frame()[cut:]
    found = pcap.datagrams(pcap.read(pcap_of([data, head[:3]], linktype)))
    assert payloads(found) == [b"hello"]
    assert ip_texts(found.destination) == ["192.0.2.2"]
    for size in range(len(data)):
        pcap.datagrams(pcap.read(pcap_of([data[:size]], linktype)))


def test_ipv6_on_links_without_ethernet():
    data = frame(six=True)[14:]
    for linktype, head in ((101, b""), (229, b""), (0, struct.pack("<I", 30))):
        assert payloads(pcap.datagrams(pcap.read(pcap_of([head + data], linktype)))) == [b"hello"]


def test_unknown_links_are_faults():
    found = pcap.datagrams(pcap.read(pcap_of([frame()], 147)))
    assert [fault.reason for fault in found.faults] == ["no UDP header in the frame"]


def fragments(data, *, six, octets=1000, number=7):
    """The frame's IP payload in pieces of so many octets."""
    head, payload = (data[:54], data[54:]) if six else (data[:34], data[34:])
    pieces = []
    for at in range(0, len(payload), octets):
        part = payload[at : at + octets]
        more = at + octets < len(payload)
        made = bytearray(head)
        if six:
            made[18:20] = struct.pack("!H", len(part) + 8)
            made[20] = 44
            made += struct.pack("!BBHI", 17, 0, at | more, number)
        else:
            made[16:18] = struct.pack("!H", len(part) + 20)
            made[18:22] = struct.pack("!HH", number, at // 8 | more << 13)
        pieces.append(bytes(made) + part)
    return pieces


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 3, 0, 2]])
def test_fragments_are_put_together(six, order):
    pieces = fragments(frame(PAYLOAD, six=six), six=six)
    assert len(pieces) == 4
    others = [frame(b"before"), *[pieces[index] for index in order], frame(b"after")]
    found = pcap.datagrams(pcap.read(pcap_of(others)))
    assert payloads(found) == [b"before", PAYLOAD, b"after"]
    assert (found.faults, found.others) == ((), 0)
    assert found.source_port.tolist() == [40_000] * 3
    assert found.timestamp_ns.tolist()[1] == 5_000_000_000 + len(order)


@pytest.mark.parametrize("six", [False, True])
def test_fragments_that_do_not_fit_are_faults(six):
    pieces = fragments(frame(PAYLOAD, six=six), six=six)
    overlapping = fragments(frame(PAYLOAD, six=six), six=six, octets=1008)[1]
    other = fragments(frame(PAYLOAD, six=six), six=six, number=8)[2]
    for sent in (pieces[:3], [pieces[0], pieces[1], other, pieces[3]], [*pieces[:2], overlapping]):
        found = pcap.datagrams(pcap.read(pcap_of(sent)))
        assert len(found) == 0
        assert [fault.reason for fault in found.faults] == ["an IP fragment of UDP"] * len(sent)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_changed_fragments_never_raise(data):
    pieces = []
    for piece in fragments(frame(PAYLOAD[:200]), six=False, octets=64):
        octets = bytearray(piece)
        for _ in range(data.draw(st.integers(0, 2))):
            octets[data.draw(st.integers(12, 45))] = data.draw(st.integers(0, 255))
        pieces.append(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
    pcap.datagrams(pcap.read(pcap_of(pieces)))


def test_gzip(tmp_path):
    octets = (GOLDEN / "openvswitch.pcap").read_bytes()
    packed = gzip.compress(octets[:1000]) + gzip.compress(octets[1000:])
    (tmp_path / "x.gz").write_bytes(packed)
    capture = pcap.read(tmp_path / "x.gz")
    assert capture.fault is None
    assert len(capture) == len(pcap.read(octets))
    broken = pcap.read(packed[:-50])
    assert 0 < len(broken) <= len(capture)
    assert broken.fault is not None
    assert load(packed, most=500).broken == "more than 500 octets when unpacked"


def test_zstandard():
    zstandard = pytest.importorskip("zstandard", reason="this environment is older than the lock")
    octets = (GOLDEN / "openvswitch.pcap").read_bytes()
    packed = zstandard.compress(octets[:1000]) + zstandard.compress(octets[1000:])
    capture = pcap.read(packed)
    assert capture.fault is None
    assert len(capture) == len(pcap.read(octets))
    assert load(packed, most=500).broken == "more than 500 octets when unpacked"
    for size in range(100, len(packed), 997):
        load(packed[:size])


def test_standard_input(monkeypatch, tmp_path):
    with Writer(tmp_path / "x") as writer:
        writer.write(1, frame())
    octets = (tmp_path / "x").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(octets)))
    assert payloads(pcap.datagrams(pcap.read("-"))) == [b"hello"]


def in_parts(octets, size):
    """Payloads, faults and the count of other frames of a capture that is read part by part."""
    parts = list(pcap.datagram_blocks(octets, size))
    faults = sorted(fault for part in parts for fault in part.faults)
    return [one for part in parts for one in payloads(part)], faults, sum(p.others for p in parts)


FOUR, SIX = (fragments(frame(PAYLOAD, six=six), six=six) for six in (False, True))
IN_PIECES = pcap_of([FOUR[0], frame(b"x"), SIX[3], *FOUR[1:], SIX[0], b"odd", SIX[2], SIX[1]])
LOST_PIECES = pcap_of([FOUR[0], SIX[0], frame(b"x"), *SIX[2:]])
WHOLE = {
    "pcapng": NG,
    "pieces": IN_PIECES,
    "lost pieces": LOST_PIECES,
    "cut": IN_PIECES[:-7],
    "cut pcapng": NG[:-7],
    "gzip": gzip.compress(IN_PIECES[:900]) + gzip.compress(IN_PIECES[900:]),
    "empty gzip member": gzip.compress(b"") + gzip.compress(NG) + b"rest",
    "no frames": IN_PIECES[:24],
}


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("name", WHOLE)
def test_part_by_part_is_as_at_once(name, size):
    octets = WHOLE[name]
    whole = pcap.datagrams(pcap.read(octets))
    expected = (payloads(whole), sorted(whole.faults), whole.others)
    assert in_parts(octets, size) == expected


def test_zstandard_part_by_part():
    zstandard = pytest.importorskip("zstandard", reason="this environment is older than the lock")
    packed = zstandard.compress(IN_PIECES[:900]) + zstandard.compress(IN_PIECES[900:])
    assert in_parts(packed, 100) == in_parts(IN_PIECES, 100)
    found, faults, _ = in_parts(packed[:-40], 100)
    assert found == payloads(pcap.datagrams(pcap.read(packed[:-40])))
    assert faults


def test_a_broken_gzip_gives_what_is_in_front(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(pcap_of([frame(bytes([n])) for n in range(200)]))[:-30])
    found, faults, _ = in_parts(path, 300)
    assert 0 < len(found) < 200
    assert [fault.reason for fault in faults] == ["the gzip file ends too early"]


def test_a_part_comes_before_the_file_ends():
    reading, writing = (
        os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
    )
    octets = pcap_of([frame(b"one"), frame(b"two")])
    with reading, writing:
        writing.write(octets[:-10])
        writing.flush()
        parts = pcap.datagram_blocks(f"/dev/fd/{reading.fileno()}", 1 << 20)
        assert payloads(next(parts)) == [b"one"]
        writing.write(octets[-10:])
        writing.close()
        assert [one for part in parts for one in payloads(part)] == [b"two"]
