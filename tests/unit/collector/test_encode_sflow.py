"""Samples, sampled packets and captures: what was written is read as it was."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import headers
from collector.decode import decode
from collector.decode.address import halves
from collector.decode.octets import Octets
from collector.decode.packet import ICMP, ICMPV6, TCP, UDP, dissect
from collector.decode.packet_columns import packet_columns
from collector.decode.sflow_layouts import COUNTERS, EXTENDED, PORT_NAME, SAMPLED
from collector.encode import Division, NotEncodableError, Sent, pcap_records, sflow
from collector.encode.packet import ETHERNET_TYPES, frame_octets, sampled
from collector.encode.pieces import Rows, render, slices
from collector.pcap import Writer, encapsulate_udp
from tests.unit.collector.tables import assert_same, tables
from tests.unit.collector.test_encode import NOW_NS, column, octets_of, tshark

FLOW_FORMATS, COUNTER_FORMATS = (1, 3), (2, 4)


@st.composite
def packets(draw, count):
    """Columns of packets, as the dissector would give them."""
    rows = [draw(packet()) for _ in range(count)]
    columns = {name: [row[name] for row in rows] for name in packet_fields(4, 6)}
    made = {name: np.array(values) for name, values in columns.items()}
    for name in ("sourceIPAddress", "destinationIPAddress"):
        made[name] = np.array(columns[name], np.uint64).reshape(-1, 2)
    return made


def packet_fields(version, protocol):
    """The fields of a packet that are not drawn."""
    return {
        "sourceMacAddress": 0,
        "destinationMacAddress": 0,
        "ethernetType": ETHERNET_TYPES.get(version, 0x88B5),
        "vlanId": 0,
        "ipVersion": version,
        "sourceIPAddress": (0, 0),
        "destinationIPAddress": (0, 0),
        "protocolIdentifier": protocol,
        "sourceTransportPort": 0,
        "destinationTransportPort": 0,
        "tcpControlBits": 0,
        "hasTcpHeader": version > 0 and protocol == TCP,
        "ipTotalLength": 0,
    }


@st.composite
def packet(draw):
    """One packet."""
    version = draw(st.sampled_from([4, 4, 6, 0]))
    protocol = draw(st.sampled_from([TCP, UDP, ICMP, ICMPV6, 132, 47, 255])) if version else 0
    made = packet_fields(version, protocol)
    mac, port = st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1)
    made |= {"sourceMacAddress": draw(mac), "destinationMacAddress": draw(mac)}
    made["vlanId"] = draw(st.sampled_from([0, 0, 1, 4094]))
    if not version:
        return made
    for end in ("source", "destination"):
        address = draw(st.integers(0, 2**32 - 1)) | 0xFFFF << 32
        upper = draw(st.integers(1, 2**64 - 1)) if version == 6 else 0
        made[f"{end}IPAddress"] = (upper, address)
        if protocol in (TCP, UDP, 132):
            made[f"{end}TransportPort"] = draw(port)
    if (version, protocol) in ((4, ICMP), (6, ICMPV6)):
        made["destinationTransportPort"] = draw(port)
    if protocol == TCP:
        made["tcpControlBits"] = draw(st.integers(0, 2**12 - 1))
    made["ipTotalLength"] = draw(st.integers(80, 9_000))
    return made


@settings(max_examples=100, deadline=None)
@given(draw=st.data(), count=st.integers(1, 8))
def test_headers_are_dissected_as_they_were_written(draw, count):
    wanted = draw.draw(packets(count))
    captured = np.array(draw.draw(st.lists(st.integers(78, 200), min_size=count, max_size=count)))
    made = render(sampled(wanted, captured))
    assert made.length.tolist() == captured.tolist()
    assert_same(packet_columns(dissect(Octets(made.buffer), made.offset, made.length)), wanted)


@settings(max_examples=30, deadline=None)
@given(draw=st.data())
def test_headers_can_be_cut_anywhere(draw):
    wanted = draw.draw(packets(1))
    whole = render(sampled(wanted, np.array([90]))).buffer.tobytes()
    for size in range(90):
        assert render(sampled(wanted, np.array([size]))).buffer.tobytes() == whole[:size]


HEADS = ("samplingInterval", "samplePool", "drops", "sequenceNumber")


@st.composite
def heads(draw, number, count):
    """Columns of the heads of samples, as the decoder gives them."""
    u32 = st.integers(0, 2**32 - 1)
    source = u32 if number > 2 else st.integers(0, 2**24 - 1)
    limits = {"sourceIdType": st.integers(0, 255), "sourceIdIndex": source}
    if number in FLOW_FORMATS:
        limits |= dict.fromkeys(HEADS, u32)
        interface = u32 if number > 2 else st.integers(0, 2**30 - 1)
        for name in ("ingressInterface", "egressInterface"):
            limits |= {name: interface, f"{name}Format": st.integers(0, 3)}
    return {
        name: np.array(draw(st.lists(values, min_size=count, max_size=count)), np.int64)
        for name, values in limits.items()
    }


def in_order(batch):
    return np.lexsort([batch.offset, batch.datagram])


def only(decoded, kind, number):
    """The columns of the batches of a kind, in order."""
    (batch,) = (b for b in decoded.batches if b.kind == kind and b.template[0] == number)
    order = in_order(batch)
    return {name: batch.columns[name][order] for name in batch.columns}


@settings(max_examples=100, deadline=None)
@given(
    draw=st.data(),
    number=st.sampled_from(FLOW_FORMATS),
    count=st.integers(1, 8),
    address=st.sampled_from(["192.0.2.7", "2001:db8::7", "::1"]),
    division=st.builds(Division, st.one_of(st.none(), st.integers(1, 5)), st.just(1_400)),
)
def test_flow_samples_round_trip(draw, number, count, address, division):
    head, wanted = draw.draw(heads(number, count)), draw.draw(packets(count))
    octets = np.array(draw.draw(st.lists(st.integers(78, 130), min_size=count, max_size=count)))
    frames = frame_octets(wanted) + 4
    switched = draw.draw(tables(EXTENDED[1001], count))
    records = [
        sflow.flow_record(1001, switched),
        sflow.raw_header(sampled(wanted, octets), frames),
    ]
    agent = sflow.Agent(address, 3, sequence=2**32 - 1, boot_ms=NOW_NS // 1_000_000 - 99)
    sent, after = sflow.datagrams(
        [sflow.samples(number, head, records)], agent, NOW_NS, division=division
    )
    decoded = decode(sent.datagrams(6343))
    assert not decoded.summary.faults
    assert not decoded.summary.unknown
    assert decoded.summary.lost == 0
    assert after.sequence == (agent.sequence + len(sent.offset)) % 2**32
    found = only(decoded, "flow sample", number)
    assert_same(found, {**head, **wanted, "frameLength": frames})
    assert_same(only(decoded, "extended", 1001), switched)
    (batch, *_) = decoded.batches
    assert set(map(tuple, batch.agent.tolist())) == {halves(address)}
    assert set(batch.sub_agent.tolist()) == {3}
    uptime_at = headers.SFLOW[1 if "." in address else 2].minimum_octets - 8
    assert {one[uptime_at : uptime_at + 4] for one in octets_of(sent)} == {b"\0\0\0\x63"}


@settings(max_examples=60, deadline=None)
@given(draw=st.data(), number=st.sampled_from(COUNTER_FORMATS), count=st.integers(1, 4))
def test_counter_samples_round_trip(draw, number, count):
    head = draw.draw(heads(number, count))
    kinds = [kind for kind in COUNTERS if kind != PORT_NAME]
    wanted = {kind: draw.draw(tables(COUNTERS[kind], count)) for kind in kinds}
    names = column(*(draw.draw(st.binary(max_size=20)) for _ in range(count)))
    records = [sflow.counter_record(kind, columns) for kind, columns in wanted.items()]
    records.append(sflow.counter_record(PORT_NAME, {"interfaceName": names}))
    part = sflow.samples(number, head, records)
    sent, _ = sflow.datagrams([part], sflow.Agent(), NOW_NS)
    decoded = decode(sent.datagrams(6343))
    assert not decoded.summary.faults
    assert not decoded.summary.unknown
    for kind, columns in wanted.items():
        assert_same(only(decoded, "counters", kind), {**columns, **head})
    assert only(decoded, "counters", PORT_NAME)["interfaceName"].tolist() == names.tolist()


@pytest.mark.parametrize("number", SAMPLED)
@settings(max_examples=20, deadline=None)
@given(draw=st.data())
def test_sampled_packets_that_the_agent_read_itself(number, draw):
    wanted = draw.draw(tables(SAMPLED[number], 3))
    part = sflow.samples(1, {"sequenceNumber": np.arange(3)}, [sflow.flow_record(number, wanted)])
    sent, _ = sflow.datagrams([part], sflow.Agent(), NOW_NS)
    found = only(decode(sent.datagrams(6343)), "flow sample", 1)
    same = set(wanted) & {"frameLength", "ipTotalLength", "sourceMacAddress"}
    assert same
    assert_same(found, {name: wanted[name] for name in same})


def test_samples_are_numbered_per_source_and_their_pools_grow():
    columns = {
        "sourceIdIndex": np.array([1, 2, 1, 1]),
        "samplingInterval": np.array([10, 20, 10, 30]),
    }
    numbered, agent = sflow.numbered(sflow.Agent(), columns)
    assert numbered["sequenceNumber"].tolist() == [1, 1, 2, 3]
    assert numbered["samplePool"].tolist() == [10, 20, 20, 50]
    numbered, agent = sflow.numbered(agent, columns)
    assert numbered["sequenceNumber"].tolist() == [4, 2, 5, 6]
    assert numbered["samplePool"].tolist() == [60, 40, 70, 100]
    numbered, _ = sflow.numbered(agent, columns, kind="counters")
    assert numbered["sequenceNumber"].tolist() == [1, 1, 2, 3]


def test_samples_of_several_kinds_in_one_order():
    flow = sflow.samples(
        1,
        {"sequenceNumber": np.arange(2)},
        [sflow.raw_header(Rows(np.zeros((2, 60), np.uint8)), 64)],
    )
    counted = sflow.samples(
        4,
        {"sequenceNumber": np.arange(1)},
        [sflow.counter_record(2, dict.fromkeys(COUNTERS[2].places, 1), 1)],
    )
    order = np.array([0, 1, 0])
    sent, _ = sflow.datagrams([flow, counted], sflow.Agent(), NOW_NS, order=order)
    decoded = decode(sent.datagrams(6343))
    places = {batch.kind: batch.offset.tolist() for batch in decoded.batches}
    assert places["flow sample"][0] < places["counters"][0] < places["flow sample"][1]
    assert sent.records.tolist() == [3]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (
            {"sourceIdIndex": np.array([2**24])},
            "sourceIdIndex is 16777216, and compact samples end",
        ),
        ({"egressInterface": np.array([2**30])}, "egressInterface is 1073741824, and compact"),
    ],
)
def test_what_only_expanded_samples_can_say(columns, reason):
    with pytest.raises(NotEncodableError, match=reason):
        sflow.samples(1, columns, [])
    assert sflow.samples(3, columns, []).pieces.length.tolist() == [44]


def test_records_of_no_known_format_are_refused():
    with pytest.raises(NotEncodableError, match="no flow record 0/7 of fixed fields"):
        sflow.flow_record(7, {})
    with pytest.raises(NotEncodableError, match="no counter record 0/77 of fixed fields"):
        sflow.counter_record(77, {})


PAYLOADS = [b"", b"a", b"ab", b"abc", bytes(range(256)), b"\xff" * 1_001, b"\0\0"]


@pytest.mark.parametrize(
    ("exporter", "destination"),
    [
        ("192.0.2.1", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::2"),
        ("2001:db8::1", "::ffff:1.2.3.4"),
    ],
)
def test_frames_are_those_of_the_recorder(exporter, destination, tmp_path):
    made = slices(PAYLOADS)
    sent = Sent(*render(made), made.length, NOW_NS + np.arange(len(PAYLOADS)))
    with Writer(tmp_path / "columns") as writer:
        writer.write_records(
            pcap_records(
                sent.datagrams(2055, exporter=exporter, source_port=77, destination=destination)
            ).data
        )
    with Writer(tmp_path / "one by one") as writer:
        for number, payload in enumerate(PAYLOADS):
            frame = encapsulate_udp(exporter, 77, destination, 2055, payload)
            writer.write(NOW_NS + number, frame)
    assert (tmp_path / "columns").read_bytes() == (tmp_path / "one by one").read_bytes()


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_reads_samples(tmp_path):
    fields = packet_fields(4, TCP) | {"vlanId": 7, "destinationTransportPort": 443}
    wanted = {name: np.full(3, value) for name, value in fields.items() if np.ndim(value) == 0}
    addresses = np.array([[0, 0xFFFF << 32 | 0x0A000001]] * 3, np.uint64)
    wanted |= {"sourceIPAddress": addresses, "destinationIPAddress": addresses}
    wanted["ipTotalLength"] = np.array([90, 1_500, 100])
    frames = frame_octets(wanted) + 4
    raw = sflow.raw_header(sampled(wanted, np.full(3, 90)), frames)
    head, agent = sflow.numbered(sflow.Agent(), {"samplingInterval": np.full(3, 100)})
    ports = dict.fromkeys(COUNTERS[1].places, 5)
    counted = sflow.samples(
        2, {"sequenceNumber": np.arange(1)}, [sflow.counter_record(1, ports, 1)]
    )
    parts = [sflow.samples(1, head, [raw]), sflow.samples(3, head, [raw]), counted]
    sent, _ = sflow.datagrams(parts, agent, NOW_NS)
    names = ["sflow_245.header.frame_length", "sflow.flow_sample.sample_pool", "_ws.malformed"]
    ((lengths, pools, malformed),) = tshark(sent.datagrams(6343), tmp_path, names)
    assert lengths == ",".join(map(str, [*frames, *frames]))
    assert pools.split(",")[:3] == ["100", "200", "300"]
    assert not malformed


def test_no_samples_are_no_datagrams():
    columns, agent = sflow.numbered(sflow.Agent(), {"samplingInterval": np.zeros(0, np.int64)})
    raw = sflow.raw_header(slices([]), np.zeros(0, np.int64))
    for parts in ([], [sflow.samples(1, columns, [raw])]):
        sent, after = sflow.datagrams(parts, agent, NOW_NS)
        assert (len(sent.offset), after) == (0, agent)
