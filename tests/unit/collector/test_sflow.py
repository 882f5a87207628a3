"""What Open vSwitch does not send: expanded samples, IPv6 agents, sampled and cut packets."""

from __future__ import annotations

import struct

import pytest

from collector.decode import Datagrams, Decoder, decode
from collector.decode.address import ip_texts
from collector.flows import flows
from tests.unit.collector.oracle import Oracle
from tests.unit.collector.test_packet import FRAMES, TUNNELS

pytestmark = pytest.mark.usefixtures("each_way")

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
    counters, raw = decoded.batches
    assert counters.kind == raw.kind == "counters"
    assert raw.template.tolist() == [4 << 12 | 9]
    assert raw.columns["octets"].tolist() == [b"abcd"]
    assert counters.columns["dot3StatsSymbolErrors"].tolist() == [12]
    assert counters.columns["sourceIdIndex"].tolist() == [7]
    assert decoded.summary.unknown == {"sFlow counter record 4/9": 1}
    assert flows(decoded).is_empty()


def test_what_is_unknown_is_counted_and_stepped_over():
    strange = item(77, b"12345678")
    no_header = flow_sample(item(1001, bytes(16)))
    not_ethernet = flow_sample(raw_header(b"x" * 20, protocol=2))
    good = flow_sample(item(5, b"1234"), raw_header(FRAMES["icmp"]))
    decoded = batch(datagram(strange, no_header, not_ethernet, good))
    kinds = [(found.kind, found.template.tolist()) for found in decoded.batches]
    assert kinds == [("flow sample", [1]), ("extended", [5]), ("extended", [1001])]
    assert decoded.summary.unknown == {
        "sFlow sample 0/77": 1,
        "sFlow flow record 0/5": 1,
        "sFlow flow sample with a header of another protocol": 1,
        "sFlow flow sample without a sampled packet": 1,
    }


IPV4_PACKET = item(3, struct.pack("!8I", 1400, 6, 0x0A000001, 0x0A000002, 5000, 80, 0x12, 0x20))
IPV6_PACKET = item(
    4, struct.pack("!2I16s16s4I", 1400, 58, b"\x20" * 16, b"\x30" * 16, 128, 0, 0, 0)
)
ETHERNET_FRAME = item(2, struct.pack("!I6sxx6sxxI", 1518, b"\2" * 6, b"\4" * 6, 0x0800))
ADDRESS = struct.pack("!II", 1, 0x0A000009)
EXTENDED = {
    1001: struct.pack("!4I", 10, 1, 20, 2),
    1002: struct.pack("!I16sII", 2, b"\x20" * 16, 24, 16),
    1003: ADDRESS
    + struct.pack("!3I", 64500, 64501, 64502)
    + struct.pack("!I2I3I", 2, 2, 2, 64503, 64504, 1)
    + struct.pack("!2I", 1, 64505)
    + struct.pack("!I2II", 2, 100, 200, 77),
    1006: ADDRESS + struct.pack("!2I", 1, 0x1000) + struct.pack("!3I", 2, 0x2000, 0x3000),
    1007: ADDRESS * 2,
    1020: struct.pack("!2I", 1024, 8080),
    1029: struct.pack("!I", 42),
    1030: struct.pack("!I", 43),
}
ALL_EXTENDED = b"".join(item(kind, content) for kind, content in EXTENDED.items())


def test_sampled_packets():
    decoded = batch(
        datagram(
            flow_sample(ETHERNET_FRAME, IPV4_PACKET, rate=10),
            flow_sample(IPV6_PACKET),
            flow_sample(ETHERNET_FRAME),
        )
    )
    rows = {row["ipVersion"]: row for row in flows(decoded).to_dicts()}
    four = rows[4]
    assert (four["source"], four["destinationTransportPort"]) == ("10.0.0.1", 80)
    assert (four["octets_l3"], four["octets_l2"], four["packets"]) == (14_000, None, 10)
    assert four["tcpControlBits"] == 0x12
    assert (rows[6]["sourceTransportPort"], rows[6]["octets_l3"]) == (0, 1400)
    assert (rows[0]["source"], rows[0]["octets_l2"]) == ("02:02:02:02:02:02", 1514)


@pytest.mark.parametrize(("protocol", "name"), [(11, "tcp"), (12, "ipv6 udp"), (13, "mpls")])
def test_headers_without_ethernet(protocol, name):
    decoded = batch(datagram(flow_sample(raw_header(FRAMES[name][14:], protocol=protocol))))
    whole = batch(datagram(flow_sample(raw_header(FRAMES[name]))))
    one, other = flows(decoded).to_dicts()[0], flows(whole).to_dicts()[0]
    same = ("source", "destination", "ipVersion", "destinationTransportPort", "octets_l3")
    assert [one[field] for field in same] == [other[field] for field in same]


def test_what_tunnels_carry():
    vxlan = flow_sample(raw_header(TUNNELS["vxlan"][0]))
    plain = flow_sample(raw_header(FRAMES["tcp"]))
    columns = batch(datagram(plain, vxlan)).batches[0].columns
    assert columns["layer2SegmentId"].tolist() == [0, 77]
    assert columns["innerDestinationTransportPort"].tolist() == [0, 80]
    assert ip_texts(columns["innerSourceIPAddress"])[1] == "192.0.2.1"
    assert "layer2SegmentId" not in batch(datagram(plain)).batches[0].columns


def test_extended_data():
    count = len(EXTENDED) + 1
    head = struct.pack("!8I", 1, 7, 1, 50, 0, 5, 0x80000003, count)
    sample = item(1, head + raw_header(FRAMES["tcp"]) + ALL_EXTENDED)
    decoded = batch(datagram(sample, sample))
    sampled, *others = decoded.batches
    found = {int(one.template[0]): one for one in others}
    assert sorted(found) == sorted(EXTENDED)
    for one in others:
        assert one.kind == "extended"
        assert one.columns["sampleOffset"].tolist() == sampled.offset.tolist()
    assert found[1001].columns["postVlanId"].tolist() == [20, 20]
    assert ip_texts(found[1002].columns["ipNextHopAddress"])[0].startswith("2020:")
    gateway = found[1003].columns
    assert gateway["bgpDestinationAsPath"].tolist() == [[64503, 64504, 64505]] * 2
    assert gateway["bgpDestinationAsNumber"].tolist() == [64505] * 2
    assert gateway["bgpCommunities"][0] == [100, 200]
    assert gateway["bgpLocalPreference"].tolist() == [77, 77]
    assert found[1006].columns["mplsOutLabelStack"][1] == [0x2000, 0x3000]
    assert ip_texts(found[1007].columns["postNATSourceAddress"]) == ["10.0.0.9"] * 2
    assert found[1029].columns["egressLayer2SegmentId"].tolist() == [42, 42]


def test_who_wants_flows_only_is_spared_the_extended_data():
    sample = flow_sample(raw_header(FRAMES["tcp"]), item(1003, EXTENDED[1003]), item(5, b"1234"))
    sent = Datagrams.of([datagram(sample)], 6343)
    (only,) = (decoded := Decoder(extended=False).decode(sent)).batches
    assert only.kind == "flow sample"
    assert decoded.summary.unknown == {"sFlow flow record 0/5": 1}
    assert flows(decoded).equals(flows(decode(sent)))


def test_counters_of_lag_and_port_names():
    lag = item(7, struct.pack("!6sxx6sxxI4B8I", b"\2" * 6, b"\4" * 6, 3, 1, 2, 3, 4, *range(8)))
    name = item(1005, struct.pack("!I", 6) + b"s1-eth\0\0")
    decoded = batch(datagram(item(2, struct.pack("!III", 8, 7, 2) + lag + name)))
    by_format = {int(one.template[0]): one.columns for one in decoded.batches}
    assert by_format[7]["dot3adAggPortActorSystemID"].tolist() == [0x020202020202]
    assert by_format[7]["dot3adAggPortStatsMarkerResponsePDUsTx"].tolist() == [7]
    assert by_format[1005]["interfaceName"].tolist() == [b"s1-eth"]


def judged(payloads):
    oracle = Oracle()
    for one in payloads:
        oracle.feed("sflow", one)
    decoded = decode(Datagrams.of(payloads, 6343))
    for one in decoded.batches:
        for column in one.columns.values():
            assert len(column) == len(one)
    flows(decoded)
    return decoded, oracle


SAMPLES = [
    flow_sample(IPV4_PACKET, *[item(kind, content) for kind, content in EXTENDED.items()]),
    flow_sample(ETHERNET_FRAME, IPV6_PACKET, expanded=True),
    item(2, struct.pack("!III", 8, 7, 1) + item(1005, struct.pack("!I", 3) + b"abc\0")),
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_truncation_and_every_changed_octet(sample):
    whole = datagram(sample)
    changed = [whole[:at] for at in range(len(whole))]
    for mask in (0xFF, 0x01):
        changed += [
            whole[:at] + bytes([octet ^ mask]) + whole[at + 1 :] for at, octet in enumerate(whole)
        ]
    decoded, oracle = judged(changed)
    assert {fault.datagram for fault in decoded.summary.undecodable} == oracle.faulty
    found = [(where, offset) for _, where, offset, _ in oracle.records]
    ours = [
        (int(where), int(offset))
        for one in decoded.batches
        if one.kind == "flow sample"
        for where, offset in zip(one.datagram, one.offset, strict=True)
    ]
    assert sorted(ours) == sorted(found)


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


def test_an_item_that_is_missing_behind_one_cut_within_its_filling_is_at_the_end():
    sample = item(1, struct.pack("!8I", *[0] * 7, 2) + item(5, b"12345"))
    for octets in (datagram(sample), datagram(item(77, b"12345"), count=2)):
        (fault,) = decode(Datagrams.of([octets], 6343)).summary.undecodable
        assert (fault.offset, fault.needed, fault.available) == (len(octets), 8, 0)
