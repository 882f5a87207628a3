"""What Open vSwitch does not send: expanded samples, IPv6 agents, sampled and cut packets."""

from __future__ import annotations

import struct

import pytest

from collector.decode import Datagrams, decode
from collector.decode.address import ip_texts
from collector.flows import flows
from tests.unit.collector.test_packet import FRAMES

AGENT4 = struct.pack("!I4B", 1, 10, 255, 0, 1)
AGENT6 = struct.pack("!I", 2) + bytes.fromhex("20010db8000000000000000000000007")


def datagram(*samples, agent=AGENT4, sequence=1, count=None):
    count = len(samples) if count is None else count
    return (
        struct.pack("!I", 5)
        + agent
        + struct.pack("!IIII", 3, sequence, 99, count)
        + b"".join(samples)
    )


def item(kind, content):
    return struct.pack("!II", kind, len(content)) + content


def raw_header(frame, *, frame_octets=None, stripped=4, protocol=1):
    size = len(frame) + stripped if frame_octets is None else frame_octets
    head = struct.pack("!IIII", protocol, size, stripped, len(frame))
    return item(1, head + frame + bytes(-len(frame) % 4))


def flow_sample(*records, rate=1, expanded=False):
    if expanded:
        head = struct.pack("!11I", 1, 0, 7, rate, 50, 0, 0, 70_000, 2, 3, len(records))
        return item(3, head + b"".join(records))
    head = struct.pack("!8I", 1, 7, rate, 50, 0, 5, 0x80000003, len(records))
    return item(1, head + b"".join(records))


def batch(*datagrams):
    decoded = decode(Datagrams.of(datagrams, 6343))
    assert not decoded.summary.faults
    return decoded


def test_flow_samples_scale_once():
    frame = FRAMES["tcp"]
    sample = flow_sample(raw_header(frame, frame_octets=1504), rate=100)
    (row,) = flows(batch(datagram(sample, sample))).to_dicts()
    assert (row["packets"], row["samples"], row["sampling_rate"]) == (200, 2, 100.0)
    assert row["octets_l2"] == 2 * 100 * 1500
    assert row["octets_l3"] == 2 * 100 * 44
    assert row["agent"] == "10.255.0.1"
    assert row["sub_agent"] == 3
    assert row["observation_domain"] is None
    assert row["records"] == 2


def test_compact_and_expanded_samples_say_the_same():
    compact = batch(datagram(flow_sample(raw_header(FRAMES["udp with options"]))))
    expanded = batch(datagram(flow_sample(raw_header(FRAMES["udp with options"]), expanded=True)))
    one, other = compact.batches[0].columns, expanded.batches[0].columns
    same = set(one) & set(other) - {"ingressInterface"}
    assert {"egressInterface", "egressInterfaceFormat", "sourceIdIndex", "samplePool"} <= same
    for name in same:
        assert one[name].tolist() == other[name].tolist(), name
    assert one["ingressInterface"].tolist() == [5]
    assert other["ingressInterface"].tolist() == [70_000]
    assert one["egressInterfaceFormat"].tolist() == [2]


def test_ipv6_agents():
    decoded = batch(datagram(flow_sample(raw_header(FRAMES["arp"])), agent=AGENT6))
    assert ip_texts(decoded.batches[0].agent) == ["2001:db8::7"]
    assert decoded.summary.streams[0].agent == "2001:db8::7"
    assert decoded.batches[0].offset.tolist() == [40]


@pytest.mark.parametrize("expanded", [False, True])
def test_counters(expanded):
    ethernet = item(2, struct.pack("!13I", *range(13)))
    unknown = item(4 << 12 | 9, b"abcd")
    head = struct.pack("!IIII", 8, 0, 7, 2) if expanded else struct.pack("!III", 8, 7, 2)
    decoded = batch(datagram(item(4 if expanded else 2, head + unknown + ethernet)))
    (counters,) = decoded.batches
    assert counters.kind == "counters"
    assert counters.columns["dot3StatsSymbolErrors"].tolist() == [12]
    assert counters.columns["sourceIdIndex"].tolist() == [7]
    assert decoded.summary.unknown == {"sFlow counter record 4/9": 1}
    assert flows(decoded).is_empty()


def test_what_is_unknown_is_counted_and_stepped_over():
    strange = item(77, b"12345678")
    no_header = flow_sample(item(1001, bytes(16)))
    not_ethernet = flow_sample(raw_header(b"x" * 20, protocol=11))
    good = flow_sample(item(5, b"1234"), raw_header(FRAMES["icmp"]))
    decoded = batch(datagram(strange, no_header, not_ethernet, good))
    assert decoded.summary.records == 1
    assert decoded.summary.unknown == {
        "sFlow sample 0/77": 1,
        "sFlow flow record 0/5": 1,
        "sFlow flow sample without a sampled Ethernet header": 2,
    }


@pytest.mark.parametrize(
    ("octets", "reason", "offset"),
    [
        (datagram(count=1), "fewer samples than counted", 28),
        (datagram(item(1, b""))[:-1], "fewer samples than counted", 28),
        (datagram(item(1, b"")), "sample shorter than its head", 36),
        (datagram(struct.pack("!II", 1, 99)), "sample longer than what it is in", 28),
        (datagram(flow_sample(struct.pack("!II", 1, 99))), "record longer than what it is in", 68),
        (datagram(flow_sample(item(1, b"1234"))), "sampled header without its description", 76),
        (
            datagram(flow_sample(item(1, struct.pack("!IIII", 1, 64, 4, 60)))),
            "sampled header cut short",
            76,
        ),
        (
            datagram(item(2, struct.pack("!III", 8, 7, 1) + item(2, b"1234"))),
            "counter record cut short",
            56,
        ),
        (b"\0\0\0\5\0\0\0\3" + bytes(40), "agent address is not IPv4 or IPv6", 4),
        (b"\0\0\0\4" + bytes(40), "version is none that is known of sflow", 0),
        (b"\0\0\0", "no version field", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_faults_are_placed(octets, reason, offset):
    decoded = decode(Datagrams.of([octets], 6343))
    assert decoded.summary.records == 0
    assert [(fault.reason, fault.offset) for fault in decoded.summary.undecodable] == [
        (reason, offset)
    ]
