"""Recording and reading captures."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import pcap
from collector.decode.address import ip_texts
from collector.pcap import NotACaptureError, Writer, encapsulate_udp

FRAMES = [
    (1_700_000_000_123_456_789, b"a" * 60),
    (1_700_000_001_000_000_001, b""),
    (0, b"b" * 9000),
]


def written(path, *, nanoseconds=True):
    with Writer(path, nanoseconds=nanoseconds) as writer:
        for timestamp_ns, frame in FRAMES:
            writer.write(timestamp_ns, frame)
    return path


@pytest.mark.parametrize("nanoseconds", [True, False])
def test_round_trip(tmp_path, nanoseconds):
    capture = pcap.read(written(tmp_path / "x.pcap", nanoseconds=nanoseconds))
    unit = 1 if nanoseconds else 1000
    frames = [
        capture.buffer[at : at + size].tobytes()
        for at, size in zip(capture.offsets, capture.lengths, strict=True)
    ]
    assert frames == [frame for _, frame in FRAMES]
    assert capture.timestamps_ns.tolist() == [when // unit * unit for when, _ in FRAMES]
    assert capture.fault is None
    assert capture.linktype == 1


def test_other_byte_order():
    header = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    capture = pcap.read(header + struct.pack(">IIII", 5, 6, 3, 1500) + b"abc")
    assert capture.timestamps_ns.tolist() == [5_000_006_000]
    assert capture.original_lengths.tolist() == [1500]


def test_a_file_cut_anywhere_gives_its_whole_frames(tmp_path):
    whole = written(tmp_path / "x.pcap").read_bytes()
    ends = [24, 24 + 76, 24 + 76 + 16, len(whole)]
    for length in range(24, len(whole)):
        capture = pcap.read(whole[:length])
        frames = sum(end <= length for end in ends[1:])
        assert len(capture) == frames
        assert (capture.fault is None) == (length in ends)
        if capture.fault:
            assert capture.fault.offset + capture.fault.available == length
            assert capture.fault.datagram == frames + 1


@pytest.mark.parametrize("octets", [b"", b"hello", b"\x0a\x0d\x0d\x0a" + bytes(40), b"\x1f\x8b"])
def test_what_is_no_capture_is_an_error(octets, tmp_path):
    (tmp_path / "x").write_bytes(octets)
    with pytest.raises(NotACaptureError, match="not a pcap file"):
        pcap.read(tmp_path / "x")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        pcap.read(tmp_path / "no")


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("192.0.2.1", "127.0.0.1", ("192.0.2.1", "127.0.0.1")),
        ("2001:db8::1", "::1", ("2001:db8::1", "::1")),
        ("::ffff:192.0.2.1", "::ffff:127.0.0.1", ("192.0.2.1", "127.0.0.1")),
        ("fe80::1%lo", "fe80::2", ("fe80::1", "fe80::2")),
    ],
)
def test_datagrams_keep_their_addresses(tmp_path, source, destination, expected):
    payloads = [b"", b"x", b"odd", b"y" * 65_000]
    with Writer(tmp_path / "x.pcap") as writer:
        for number, payload in enumerate(payloads):
            writer.write(number, encapsulate_udp(source, 1000 + number, destination, 2055, payload))
        writer.write(9, b"\xff" * 12 + b"\x08\x06" + bytes(46))
    found = pcap.datagrams(pcap.read(tmp_path / "x.pcap"))
    assert len(found) == len(payloads)
    assert [
        found.buffer[at : at + size].tobytes()
        for at, size in zip(found.offset, found.length, strict=True)
    ] == payloads
    assert found.source_port.tolist() == [1000, 1001, 1002, 1003]
    assert set(found.destination_port.tolist()) == {2055}
    assert (ip_texts(found.source)[0], ip_texts(found.destination)[0]) == expected
    assert found.others == 1
    assert not found.faults


def test_cut_and_fragmented_datagrams_are_counted(tmp_path):
    whole = encapsulate_udp("192.0.2.1", 1, "192.0.2.2", 2055, b"z" * 100)
    fragment = bytearray(whole)
    fragment[20:22] = b"\x20\x00"
    with Writer(tmp_path / "x.pcap") as writer:
        writer.write(0, whole[:80], len(whole))
        writer.write(0, whole[:40], len(whole))
        writer.write(0, bytes(fragment))
        writer.write(0, b"short")
    found = pcap.datagrams(pcap.read(tmp_path / "x.pcap"))
    assert found.length.tolist() == [38]
    assert found.missing.tolist() == [62]
    assert [(fault.datagram, fault.reason) for fault in found.faults] == [
        (2, "no UDP header in the frame"),
        (3, "an IP fragment of UDP"),
        (4, "no UDP header in the frame"),
    ]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_never_raise(octets):
    header = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    pcap.datagrams(pcap.read(header + octets))
    record = struct.pack("<IIII", 1, 2, len(octets), len(octets))
    pcap.datagrams(pcap.read(header + record + octets))


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_checksums_are_valid(tmp_path):
    with Writer(tmp_path / "x.pcap") as writer:
        for size in range(40):
            writer.write(0, encapsulate_udp("192.0.2.1", size, "192.0.2.2", 9, b"\xff" * size))
            writer.write(0, encapsulate_udp("2001:db8::1", size, "::2", 9, bytes(size)))
    options = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    fields = ["-T", "fields", "-e", "ip.checksum.status", "-e", "udp.checksum.status"]
    command = ["tshark", "-r", str(tmp_path / "x.pcap"), *options, *fields]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(shown.splitlines()) == {"1\t1", "\t1"}
