"""Frames taken apart together are what they are taken apart one by one."""

from __future__ import annotations

import ipaddress
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode.address import halves, ip_text, ip_texts, mac_text
from collector.decode.octets import Octets
from collector.decode.packet import NETWORK, NOTHING, TRANSPORT, dissect, dissect_network
from collector.decode.packet_columns import packet_columns
from collector.decode.tunnels import dissect_inner
from tests.unit.collector.columns import value
from tests.unit.collector.oracle import packet

pytestmark = pytest.mark.usefixtures("each_way")

MACS = bytes.fromhex("0200000000020200000000ff")
TCP = struct.pack("!HHIIHHHH", 1234, 80, 7, 8, 0x5012, 100, 0, 0)
UDP = struct.pack("!HHHH", 53, 5353, 12, 0)
ICMP = bytes([8, 3]) + bytes(6)


def vlan(tag, ethernet_type=0x8100):
    return struct.pack("!HH", ethernet_type, tag)


def ipv4(protocol, payload, *, fragment=0, options=b"", total=None):
    size = 20 + len(options)
    total = size + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, total, 1, fragment, 64, protocol, 0)
    return b"\x08\x00" + head + bytes([192, 0, 2, 1, 198, 51, 100, 2]) + options + payload


def ipv6(following, payload, *, length=None):
    length = len(payload) if length is None else length
    addresses = bytes([0x20, 1, 0xD, 0xB8]) + bytes(11) + b"\1" + bytes(15) + b"\2"
    return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, length, following, 64) + addresses + payload


def extension(following, octets=8):
    return bytes([following, octets // 8 - 1]) + bytes(octets - 2)


FRAMES = {
    "tcp": MACS + ipv4(6, TCP + b"data"),
    "udp with options": MACS + ipv4(17, UDP + b"data", options=bytes(8)),
    "icmp": MACS + ipv4(1, ICMP),
    "icmpv6 in ipv4 is no icmp": MACS + ipv4(58, ICMP),
    "first fragment": MACS + ipv4(17, UDP + b"data", fragment=0x2000),
    "later fragment": MACS + ipv4(17, UDP + b"data", fragment=0x2001),
    "one tag": MACS + vlan(0x600A) + ipv4(17, UDP),
    "two tags": MACS + vlan(5, 0x88A8) + vlan(9) + ipv6(6, TCP),
    "six tags": MACS + vlan(5) * 6 + ipv6(6, TCP),
    "ipv6 udp": MACS + ipv6(17, UDP),
    "ipv6 icmp": MACS + ipv6(58, ICMP),
    "hop by hop": MACS + ipv6(0, extension(58) + ICMP),
    "many extensions": MACS
    + ipv6(0, extension(43) + extension(60, 24) + extension(51) + b"\6\1" + bytes(10) + TCP),
    "nine extensions": MACS + ipv6(0, extension(0) * 8 + extension(17) + UDP),
    "ipv6 first fragment": MACS + ipv6(44, struct.pack("!BBHI", 17, 0, 1, 9) + UDP),
    "ipv6 later fragment": MACS + ipv6(44, struct.pack("!BBHI", 17, 0, 9, 9) + UDP),
    "no next header": MACS + ipv6(59, b""),
    "padding behind the packet": MACS + ipv4(17, UDP + b"data", total=32) + bytes(20),
    "gre": MACS + ipv4(47, bytes(30)),
    "sctp": MACS + ipv4(132, UDP + bytes(20)),
    "mpls": MACS + b"\x88\x47" + struct.pack("!II", 0x1000, 0x2140) + ipv4(17, UDP)[2:],
    "mpls in a vlan": MACS + vlan(7) + b"\x88\x48" + struct.pack("!I", 0x1140) + ipv6(6, TCP)[2:],
    "mpls without ip": MACS + b"\x88\x47" + struct.pack("!I", 0x1140) + bytes(30),
    "ten labels": MACS + b"\x88\x47" + bytes(36) + struct.pack("!I", 0x140) + ipv4(17, UDP)[2:],
    "arp": MACS + b"\x08\x06" + bytes(28),
    "length field": MACS + b"\x00\x26\x42\x42\x03" + bytes(35),
    "ipv4 that is version 5": MACS + b"\x08\x00\x55" + bytes(40),
    "ipv4 header too short": MACS + b"\x08\x00\x44" + bytes(40),
    "ipv4 total too short": MACS + ipv4(17, UDP, total=19),
    "tcp offset too short": MACS + ipv4(6, TCP[:12] + b"\x40\x12" + TCP[14:]),
    "tcp offset too long": MACS + ipv4(6, TCP[:12] + b"\xf0\x12" + TCP[14:]),
}


def taken_apart(frames):
    """Header fields of each frame, from columns."""
    sizes = np.array([len(frame) for frame in frames], np.int64)
    buffer = np.frombuffer(b"".join(frames), np.uint8)
    packets = dissect(Octets(buffer), np.cumsum(sizes) - sizes, sizes)
    columns = packet_columns(packets)
    found = [
        {name: value(column[row]) for name, column in columns.items()} for row in range(len(frames))
    ]
    return packets, found


@pytest.mark.parametrize("name", FRAMES)
def test_frames_and_all_their_truncations(name):
    frames = [FRAMES[name][:length] for length in range(len(FRAMES[name]) + 1)]
    _, found = taken_apart(frames)
    assert found == [packet(frame) for frame in frames]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_changed_frames(data):
    frames = []
    for frame in data.draw(st.lists(st.sampled_from(list(FRAMES.values())), max_size=9)):
        octets = bytearray(frame)
        for _ in range(data.draw(st.integers(0, 4))):
            octets[data.draw(st.integers(12, len(octets) - 1))] = data.draw(st.integers(0, 255))
        frames.append(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
    packets, found = taken_apart(frames)
    assert found == [packet(frame) for frame in frames]
    assert (packets.payload_octets >= -8).all()


INNER = MACS + ipv4(6, TCP)
VXLAN = struct.pack("!HHHH", 50_000, 4789, 16 + len(INNER), 0) + struct.pack(
    "!II", 8 << 24, 77 << 8
)
TUNNELS = {
    "vxlan": (MACS + ipv4(17, VXLAN + INNER), 77, True),
    "gre": (MACS + ipv4(47, struct.pack("!HH", 0, 0x0800) + INNER[14:]), 0, False),
    "gre with key": (
        MACS + ipv6(47, struct.pack("!HHIII", 0xB000, 0x6558, 1, 99, 2) + INNER),
        99,
        True,
    ),
    "ip in ip": (MACS + ipv6(4, INNER[14:]), 0, False),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_inner_packets(name):
    frame, segment, has_macs = TUNNELS[name]
    frames = [FRAMES["tcp"], frame, frame[:-30], FRAMES["gre"]]
    sizes = np.array([len(frame) for frame in frames], np.int64)
    buffer = Octets(np.frombuffer(b"".join(frames), np.uint8))
    start = np.cumsum(sizes) - sizes
    inner = dissect_inner(buffer, dissect(buffer, start, sizes), start + sizes)
    assert 1 in inner.rows
    row = inner.rows.tolist().index(1)
    assert inner.layer2_segment_id[row] == segment
    assert inner.packets.destination_port[row] == 80
    assert inner.packets.ip_version[row] == 4
    assert bool(inner.packets.source_mac[row]) == has_macs


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_changed_tunnels_never_raise(data):
    octets = bytearray(data.draw(st.sampled_from([frame for frame, _, _ in TUNNELS.values()])))
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(12, len(octets) - 1))] = data.draw(st.integers(0, 255))
    del octets[data.draw(st.integers(0, len(octets))) :]
    buffer = Octets(np.frombuffer(bytes(octets), np.uint8))
    start, size = np.zeros(1, np.int64), np.array([len(octets)])
    dissect_inner(buffer, dissect(buffer, start, size), size)


def test_packets_without_ethernet():
    for name, kind in (
        ("tcp", 0x0800),
        ("ipv6 udp", 0x86DD),
        ("one tag", 0x8100),
        ("mpls", 0x8847),
    ):
        whole = FRAMES[name]
        for size in range(len(whole) - 13):
            data = whole[14 : 14 + size]
            buffer = np.frombuffer(data, np.uint8)
            found = dissect_network(
                Octets(buffer), np.zeros(1, np.int64), np.array([size]), np.array([kind], np.uint16)
            )
            expected = packet(whole[: 14 + size])
            columns = packet_columns(found)
            for field in ("vlanId", "ipVersion", "sourceIPAddress", "destinationTransportPort"):
                assert value(columns[field][0]) == expected[field], (name, size, field)


def test_what_a_frame_says():
    names = ["tcp", "udp with options", "later fragment", "arp", "ipv6 first fragment"]
    packets, found = taken_apart([FRAMES[name] for name in names] + [b"short"])
    assert packets.depth.tolist() == [TRANSPORT, TRANSPORT, NETWORK, 1, TRANSPORT, NOTHING]
    assert packets.payload_octets[:2].tolist() == [4, 4]
    assert packets.fragment.tolist() == [False, False, True, False, True, False]
    assert packets.tcp_sequence[0] == 7
    assert found[0]["tcpControlBits"] == 0x012
    assert found[0]["sourceTransportPort"] == 1234
    assert ip_texts(packets.source[[0, 4]]) == ["192.0.2.1", "2001:db8::1"]
    assert mac_text(int(packets.source_mac[0])) == "02:00:00:00:00:ff"


@given(st.ip_addresses())
def test_addresses_round_trip(address):
    assert ip_text(*halves(str(address))) == str(address).removeprefix("::ffff:") or (
        address.version == 6 and address.ipv4_mapped is not None
    )


@pytest.mark.parametrize("text", ["::", "::1", "::1.2.3.4", "2001:db8::1", "fe80::1", "1:0:0:2::3"])
def test_addresses_are_canonical(text):
    assert ip_text(*halves(text)) == str(ipaddress.ip_address(text))
