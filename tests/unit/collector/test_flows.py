"""The flow table: keys, sums, and what stays unknown."""

from __future__ import annotations

import struct

import polars as pl
import pytest

from collector import pcap
from collector.decode import OPEN_VSWITCH, STANDARD, Datagrams, Habits, decode
from collector.flows import flow_key, flows, sums, wire_flows
from collector.pcap import Writer
from tests.unit.collector.test_layouts import message, template
from tests.unit.collector.test_packet import FRAMES, MACS, ipv4

pytestmark = pytest.mark.usefixtures("each_way")


def netflow5_record(protocol=17, ports=(1, 2), packets=5, octets=500, flags=0, times=(10, 20)):
    head = struct.pack("!IIIHH", 0x0A000001, 0x0A000002, 0, 1, 2)
    counts = struct.pack("!IIII", packets, octets, *times)
    tail = struct.pack("!HHxBBBHHBBxx", *ports, flags, protocol, 0, 0, 0, 0, 0)
    return head + counts + tail


def netflow5(*records, sampling=0, uptime=1000, sequence=0):
    header = struct.pack(
        "!HHIIIIBBH", 5, len(records), uptime, 1_700_000_000, 0, sequence, 2, 7, sampling
    )
    return header + b"".join(records)


def table(payloads, port, habits=STANDARD):
    decoded = decode(Datagrams.of(payloads, port), habits)
    assert not decoded.summary.faults
    return flows(decoded)


def test_records_of_a_flow_are_summed():
    sent = [
        netflow5(netflow5_record(6, flags=0x02, times=(10, 20)), netflow5_record(17)),
        netflow5(netflow5_record(6, flags=0x11, times=(30, 500)), sequence=2),
    ]
    rows = {row["protocolIdentifier"]: row for row in table(sent, 2055).to_dicts()}
    tcp = rows[6]
    assert (tcp["packets"], tcp["octets_l3"], tcp["octets_l2"]) == (10, 1000, None)
    assert (tcp["records"], tcp["datagram"], tcp["offset"]) == (2, 1, 24)
    assert tcp["tcpControlBits"] == 0x13
    assert rows[17]["tcpControlBits"] is None
    assert tcp["first_ns"] == 1_699_999_999_010_000_000
    assert tcp["last_ns"] == 1_699_999_999_500_000_000
    assert tcp["observation_domain"] == 2 << 8 | 7
    assert rows[17]["offset"] == 72


def test_octets_are_of_the_layer_that_the_exporter_counts():
    (row,) = table([netflow5(netflow5_record())], 2055, OPEN_VSWITCH).to_dicts()
    assert (row["octets_l2"], row["octets_l3"]) == (500, None)
    (row,) = table([netflow5(netflow5_record())], 2055, Habits()).to_dicts()
    assert (row["octets_l2"], row["octets_l3"]) == (None, 500)


def test_the_header_of_netflow5_scales_once():
    (row,) = table([netflow5(netflow5_record(), sampling=0x4000 | 64)], 2055).to_dicts()
    assert (row["packets"], row["octets_l3"], row["samples"]) == (320, 32_000, 5)
    assert row["sampling_rate"] == 64


def test_the_sampling_field_of_netflow5_has_a_mode_and_an_interval():
    sent = [netflow5(netflow5_record(), sampling=mode << 14 | 100) for mode in range(4)]
    (batch,) = decode(Datagrams.of(sent, 2055)).batches
    assert batch.columns["samplingAlgorithm"].tolist() == [0, 1, 2, 3]
    assert batch.columns["samplingInterval"].tolist() == [100] * 4


def test_uptime_wraps():
    record = netflow5_record(times=(2**32 - 500, 100))
    (row,) = table([netflow5(record, uptime=1000)], 2055).to_dicts()
    assert row["last_ns"] - row["first_ns"] == 600_000_000


def test_icmp_is_written_in_one_way():
    as_port = netflow5(netflow5_record(1, ports=(9, 0x0800)))
    elements = [(0, 8, 4), (0, 12, 4), (0, 4, 1), (0, 2, 8)]
    head = struct.pack("!IIBQ", 1, 2, 1, 5)
    separate = [*elements, (0, 176, 1), (0, 177, 1)]
    together = [*elements, (0, 32, 2)]
    for octets, port in (
        (as_port, 2055),
        (message((2, template(300, separate)), (300, head + b"\x08\x00")), 4739),
        (message((2, template(300, together)), (300, head + b"\x08\x00")), 4739),
    ):
        (row,) = table([octets], port).to_dicts()
        assert (row["sourceTransportPort"], row["destinationTransportPort"]) == (0, 0x0800)


@pytest.mark.parametrize(("told", "protocol"), [(17, 17), (255, 255), (256, 255), (25939, 255)])
def test_a_protocol_in_two_octets_is_one_or_the_reserved_one(told, protocol):
    elements = [(0, 8, 4), (0, 12, 4), (0, 4, 2), (0, 7, 2), (0, 2, 8)]
    record = struct.pack("!IIHHQ", 1, 2, told, 53, 5)
    octets = message((2, template(300, elements)), (300, record))
    (row,) = table([octets], 4739).to_dicts()
    assert row["protocolIdentifier"] == protocol
    assert row["sourceTransportPort"] == (53 if protocol == 17 else 0)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("told", [0, 1, 255, 256, 1 << 16, (1 << 64) - 1])
def test_a_direction_wider_than_its_octet_is_not_known(width, told):
    """It must not run into what is packed beside it, or into the record beside it."""
    elements = [(0, 8, 4), (0, 12, 4), (0, 2, 4), (0, 61, width)]
    told %= 1 << 8 * width
    sent = [struct.pack("!III", 1, 2, 5) + one.to_bytes(width, "big") for one in (told, 1)]
    found = table([message((2, template(256, elements)), (256, b"".join(sent)))], 4739)
    wanted = {told if told <= 255 else None: 5}
    wanted[1] = wanted.get(1, 0) + 5
    assert dict(found.select("flowDirection", "packets").iter_rows()) == wanted
    assert found["observation_domain"].to_list() == [1] * len(wanted)


FAMILIES = [(0, 8, 4), (0, 12, 4), (0, 27, 16), (0, 28, 16), (0, 4, 1), (0, 11, 2), (0, 2, 8)]


def both_families(four=(0, 0), six=(0, 0), protocol=17, port=53, packets=5):
    ends = struct.pack("!II", *four) + b"".join(end.to_bytes(16, "big") for end in six)
    return ends + struct.pack("!BHQ", protocol, port, packets)


@pytest.mark.parametrize("says_version", [False, True])
def test_a_template_of_both_families_serves_records_of_each(says_version):
    """Each record is of the one whose addresses it fills in, or of the one that it says."""
    four, six = (0x0A000001, 0x0A000002), (0x20010DB8 << 96 | 1, 0x20010DB8 << 96 | 2)
    sent = {
        both_families(four, packets=1): 4,
        both_families(six=six, packets=2): 6,
        both_families(six=(0, six[1]), packets=3): 6,
        both_families(packets=4): 4,
        both_families(six=six, protocol=58, port=0x8000, packets=5): 6,
        both_families(four, protocol=58, port=0x8000, packets=6): 4,
    }
    elements = [*FAMILIES, (0, 60, 1)] if says_version else FAMILIES
    octets = b"".join(one + bytes([version][:says_version]) for one, version in sent.items())
    found = table([message((2, template(256, elements)), (256, octets))], 4739)
    rows = {row["packets"]: row for row in found.to_dicts()}
    assert [rows[number + 1]["ipVersion"] for number in range(6)] == list(sent.values())
    ends = {number: (row["source"], row["destination"]) for number, row in rows.items()}
    assert ends[1] == ends[6] == ("10.0.0.1", "10.0.0.2")
    assert ends[2] == ends[5] == ("2001:db8::1", "2001:db8::2")
    assert (ends[3], ends[4]) == (("::", "2001:db8::2"), ("0.0.0.0", "0.0.0.0"))  # noqa: S104
    assert [rows[number]["destinationTransportPort"] for number in (1, 2, 5, 6)] == [
        *(53, 53, 0x8000, 0),
    ]
    assert [rows[number]["ethernetType"] for number in (1, 2)] == [0x0800, 0x86DD]


@pytest.mark.parametrize(("said", "version"), [(4, 4), (6, 6), (0, 4)])
def test_what_a_record_says_of_its_version_holds(said, version):
    record = both_families((1, 2), (3, 4)) + bytes([said])
    sent = message((2, template(256, [*FAMILIES, (0, 60, 1)])), (256, record * 2))
    (row,) = table([sent], 4739).to_dicts()
    assert row["ipVersion"] == version


def test_an_unknown_summand_makes_an_unknown_sum():
    key = [(0, 8, 4), (0, 12, 4), (0, 4, 1)]
    with_octets = message(
        (2, template(300, [*key, (0, 2, 8), (0, 1, 8)])),
        (300, struct.pack("!IIBQQ", 1, 2, 17, 3, 300)),
    )
    without = message(
        (2, template(301, [*key, (0, 2, 8)])), (301, struct.pack("!IIBQ", 1, 2, 17, 4))
    )
    (row,) = table([with_octets, without], 4739).to_dicts()
    assert (row["packets"], row["octets_l3"], row["octets_l2"]) == (7, None, None)


def test_records_without_a_key_make_no_flow():
    octets = message((2, template(300, [(0, 2, 8)])), (300, bytes(8)))
    assert table([octets], 4739).is_empty()
    assert table([], 4739).is_empty()


@pytest.mark.parametrize("port", [2055, 4739, 6343, 53])
def test_no_octets_make_a_flow_of_nothing(port):
    decoded = decode(Datagrams.of([b"", bytes(500)], port))
    assert flows(decoded).is_empty()
    assert decoded.summary.faults + sum(decoded.summary.unassigned_ports.values()) == 2


# ── the wire ──


def capture(tmp_path, frames):
    with Writer(tmp_path / "x.pcap") as writer:
        for number, frame in enumerate(frames):
            writer.write(1_000 + number, frame)
    return pcap.read(tmp_path / "x.pcap")


def tcp(sequence, flags, data=b"", ports=(1234, 80)):
    head = struct.pack("!HHIIBBHHH", *ports, sequence % 2**32, 0, 0x50, flags, 0, 0, 0)
    return MACS + ipv4(6, head + data)


def test_every_frame_is_in_one_flow(tmp_path):
    found = wire_flows(capture(tmp_path, [*FRAMES.values(), b"short"]), "s1-eth1")
    assert found["packets"].sum() == len(FRAMES)
    assert found["octets_l2"].sum() == sum(len(frame) for frame in FRAMES.values())
    assert found["observation_point"].unique().to_list() == ["s1-eth1"]
    assert not found.filter((pl.col("ipVersion") == 0) & pl.col("octets_l3").is_not_null()).height
    assert len({flow_key(row) for row in found.iter_rows(named=True)}) == len(found)


@pytest.mark.parametrize("start", [7, 2**32 - 3])
@pytest.mark.parametrize(
    ("segments", "payload"),
    [
        ([(0, 2, b""), (1, 0x10, b"abc"), (4, 0x11, b"")], 3),
        ([(0, 2, b""), (1, 0x10, b"abc"), (1, 0x10, b"abc"), (4, 0x11, b"")], 3),
        ([(0, 2, b""), (1, 0x10, b"abc"), (4, 0x11, b"de")], 5),
        ([(0, 2, b""), (0, 2, b""), (1, 0x11, b""), (1, 0x11, b"")], 0),
        ([(0, 2, b""), (1, 0x10, b"abc")], None),
        ([(1, 0x10, b"abc"), (4, 0x11, b"")], None),
        ([(0, 2, b""), (1, 0x11, b""), (900, 2, b""), (901, 0x11, b"")], None),
        ([(0, 2, b""), (1, 0x14, b"")], None),
    ],
)
def test_payload_of_tcp(tmp_path, start, segments, payload):
    frames = [tcp(start + at, flags, data) for at, flags, data in segments]
    (row,) = wire_flows(capture(tmp_path, frames), "x").to_dicts()
    assert row["payload_octets"] == payload
    assert row["first_ns"] == 1_000
    assert row["last_ns"] == 1_000 + len(frames) - 1


def test_an_empty_capture_has_no_flows(tmp_path):
    assert wire_flows(capture(tmp_path, []), "x").is_empty()
    assert wire_flows(capture(tmp_path, [b""]), "x").is_empty()


BASE = [(0, 8, 4), (0, 12, 4), (0, 4, 1), (0, 7, 2), (0, 11, 2), (0, 1, 8), (0, 2, 8)]
START = bytes([10, 0, 0, 1, 10, 0, 0, 2, 17, 0, 1, 0, 2])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("elements", "form", "said", "counts"),
    [
        ([34], "I", (1000,), (None, 2_000)),
        ([305, 306], "II", (2, 1), (3 * 2**61, 3)),
        ([311], "d", (0.5,), (None, 4)),
        ([311], "d", (1e-9,), (None, 2_000_000_000)),
        ([311], "d", (1e-300,), (2**62, 2)),
        ([311], "d", (5e-324,), (2**62, 2)),
    ],
)
def test_scaled_counts_do_not_wrap(elements, form, said, counts):
    fields = [(0, element, 8 if form == "d" else 4) for element in elements]
    record = START + struct.pack(f"!QQ{form}", 2**62, 2, *said)
    (row,) = table([message((2, template(300, BASE + fields)), (300, record))], 4739).to_dicts()
    assert (row["octets_l3"], row["packets"]) == counts


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([2**62, 5], 2**62 + 5),
        ([2**62] * 4, None),
        ([2**64 - 1, 2**64 - 1], None),
        ([1, None], None),
    ],
)
def test_sums_of_stored_rows_do_not_wrap(counts, expected):
    stored = pl.DataFrame({"key": 1, "packets": pl.Series(counts, dtype=pl.UInt64)})
    assert stored.group_by("key").agg(sums("packets"))["packets"].to_list() == [expected]


@pytest.mark.parametrize(
    ("elements", "form", "sent", "expected"),
    [
        ((152, 153), "QQ", (1_700_000_000_123, 2**63), (1_700_000_000_123_000_000, None)),
        ((152, 153), "QQ", (10_413_792_000_000, 10_413_792_001_000), (None, None)),
        ((152, 153), "QQ", (253_402_300_799_999, 2**64 - 1), (None, None)),
        ((152, 153), "QQ", (2**63 // 10**6, 2**63 // 10**6 + 1), (2**63 // 10**6 * 10**6, None)),
        ((150, 151), "II", (0, 2**32 - 1), (0, (2**32 - 1) * 10**9)),
        ((156, 157), "QQ", (0, 1 << 63), (None, None)),
        ((158, 159), "II", (10**9, 0), (1_700_000_000 * 10**9 - 10**12, 1_700_000_000 * 10**9)),
    ],
)
def test_what_is_no_time_is_no_time(elements, form, sent, expected):
    fields = [(0, element, struct.calcsize(f"!{form[0]}")) for element in elements]
    usual = (1_700_000_000_000, 1_700_000_000_000) if elements == (152, 153) else sent
    records = [
        START + struct.pack("!QQ", 1, 1) + struct.pack(f"!{form}", *times)
        for times in (sent, usual, sent)
    ]
    other = START[:3] + bytes([9]) + START[4:] + struct.pack("!QQ", 1, 1)
    records[1] = other + records[1][len(other) :]
    described = template(300, BASE + fields)
    rows = table([message((2, described), (300, b"".join(records)))], 4739).sort("source")
    assert (rows["first_ns"][0], rows["last_ns"][0]) == expected
    if elements == (152, 153):
        assert rows["first_ns"][1] == rows["last_ns"][1] == 1_700_000_000 * 10**9
