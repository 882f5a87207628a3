"""NetFlow v9, and what it shares with IPFIX: waiting data, limits, what options data teaches."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import Datagrams, Decoder, Habits, Limits, decode
from collector.flows import flows
from collector.recording import Writer, encapsulate_udp
from tests.unit.collector.columns import records
from tests.unit.collector.oracle import Oracle
from tests.unit.collector.test_layouts import data_records, fields, message, template

pytestmark = pytest.mark.usefixtures("each_way")

FLOW = [(0, 8, 4), (0, 12, 4), (0, 2, 4), (0, 1, 4), (0, 22, 4), (0, 21, 4)]
_COMPUTED = {"flowStartMilliseconds", "flowEndMilliseconds"}


def flow(packets=5, octets=500, start=100, end=200):
    return struct.pack("!6I", 0x0A000001, 0x0A000002, packets, octets, start, end)


def packet(*sets, source=1, sequence=0, uptime=1000):
    """A NetFlow v9 packet of (id, content) FlowSets."""
    body = b"".join(struct.pack("!HH", kind, len(octets) + 4) + octets for kind, octets in sets)
    return struct.pack("!HHIIII", 9, len(sets), uptime, 1_700_000_000, sequence, source) + body


def options_template(number, scopes, options):
    head = struct.pack("!HHH", number, 4 * len(scopes), 4 * len(options))
    return head + b"".join(struct.pack("!HH", *field) for field in (*scopes, *options))


def ipfix_options(number, specification, scopes):
    octets = template(number, specification)
    return octets[:4] + struct.pack("!H", scopes) + octets[4:]


def of(*payloads, when_s=0):
    return Datagrams.of(payloads, 2055, timestamp_ns=when_s * 1_000_000_000)


def plain(decoded):
    """Records without the columns that are computed, as the oracle has them."""
    return [
        (*head, {name: value for name, value in record.items() if name not in _COMPUTED})
        for *head, record in records(decoded)
    ]


def assert_agree(payloads):
    oracle = Oracle()
    for one in payloads:
        oracle.feed("netflow", one)
    decoded = decode(of(*payloads))
    flows(decoded)
    assert [tuple(record) for record in plain(decoded)] == [
        (*head, {name: value for name, value in record.items() if name not in _COMPUTED})
        for *head, record in oracle.records
    ]
    assert {fault.datagram for fault in decoded.summary.undecodable} == oracle.faulty
    for fault in decoded.summary.undecodable:
        assert 0 <= fault.offset <= len(payloads[fault.datagram - 1])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_round_trip(data):
    specification = data.draw(st.lists(fields(), min_size=1, max_size=6))
    specification = [(0, number, width) for _, number, width in specification]
    payloads = [packet((0, template(300, specification)))]
    for _ in range(data.draw(st.integers(1, 3))):
        written = data.draw(st.lists(data_records(specification), max_size=4))
        payloads.append(packet((300, b"".join(written)), (300, b"".join(written[:1]))))
    assert_agree(payloads)


EXPORTS = [
    packet((0, template(300, FLOW)), (1, options_template(400, [(2, 4)], [(82, 8), (34, 4)]))),
    packet((300, flow() + flow(7)), (400, struct.pack("!I8sI", 3, b"eth3", 100))),
]


@pytest.mark.parametrize("which", [0, 1])
def test_every_truncation_and_every_changed_octet(which):
    for at in range(len(EXPORTS[which])):
        for octets in (
            EXPORTS[which][:at],
            EXPORTS[which][:at] + bytes([EXPORTS[which][at] ^ 0xFF]) + EXPORTS[which][at + 1 :],
            EXPORTS[which][:at] + bytes([EXPORTS[which][at] ^ 0x01]) + EXPORTS[which][at + 1 :],
        ):
            changed = list(EXPORTS)
            changed[which] = octets
            assert_agree(changed)


def test_times_are_computed_from_uptime_even_when_it_wraps():
    sent = packet((0, template(300, FLOW)), (300, flow(start=2**32 - 500, end=100)))
    (row,) = flows(decode(of(sent))).to_dicts()
    assert row["protocol"] == "netflow9"
    assert row["first_ns"] == 1_699_999_998_500_000_000
    assert row["last_ns"] == 1_699_999_999_100_000_000


@pytest.mark.parametrize("wraps", [0, 1, 2])
def test_ipfix_tells_in_options_when_uptime_was_0(wraps):
    """Its header has no uptime (RFC 7011 section 3.1); 32 bits of ms wrap after 49 days."""
    (when_s,) = struct.unpack_from("!I", message((300, flow())), 4)
    booted_ms = (when_s - 10) * 1_000 - (wraps << 32)
    boot = (3, ipfix_options(400, [(0, 149, 4), (0, 160, 8)], 1))
    sent = [
        message(
            (2, template(300, FLOW)), (300, flow(start=8_500, end=2**32 - 1 if wraps else 9_000))
        ),
        message(boot, (400, struct.pack("!IQ", 0, booted_ms))),
    ]
    (row,) = flows(decode(of(*sent))).to_dicts()
    assert row["first_ns"] == (when_s * 1_000 - 1_500) * 1_000_000
    last_ms = when_s * 1_000 - (10_001 if wraps else 1_000)
    assert row["last_ns"] == last_ms * 1_000_000
    (unknown,) = flows(decode(of(sent[0]))).to_dicts()
    assert unknown["first_ns"] is None


def test_sampling_is_learned_and_applied_once():
    decoded = decode(of(*EXPORTS))
    (row,) = flows(decoded).to_dicts()
    assert (row["packets"], row["samples"], row["octets_l3"]) == (1200, 12, 100_000)
    assert row["sampling_rate"] == 100
    (row,) = flows(decode(of(*EXPORTS), Habits(counts_are_scaled=True))).to_dicts()
    assert (row["packets"], row["samples"]) == (12, None)


def test_interface_names_are_learned():
    decoder = Decoder()
    decoder.decode(of(*EXPORTS))
    (names,) = decoder.learned.interfaces.values()
    assert names == {3: "eth3"}


@pytest.mark.parametrize(
    ("options", "values", "rate"),
    [
        ([(0, 34, 4)], struct.pack("!I", 64), 64),
        ([(0, 50, 4)], struct.pack("!I", 64), 64),
        ([(0, 305, 4), (0, 306, 4)], struct.pack("!II", 1, 63), 64),
        ([(0, 309, 4), (0, 310, 4)], struct.pack("!II", 2, 128), 64),
        ([(0, 311, 8)], struct.pack("!d", 1 / 64), 64),
        ([(0, 311, 8)], struct.pack("!d", float("nan")), 1),
        ([(0, 34, 4)], struct.pack("!I", 0), 1),
    ],
)
def test_elements_of_sampling(options, values, rate):
    sent = [
        message((2, template(300, FLOW)), (300, flow())),
        message((3, ipfix_options(400, [(0, 149, 4), *options], 1)), (400, bytes(4) + values)),
    ]
    (row,) = flows(decode(of(*sent))).to_dicts()
    assert (row["packets"], row["samples"], row["sampling_rate"]) == (5 * rate, 5, rate)


def test_a_record_names_its_sampler():
    samplers = struct.pack("!IBI", 0, 1, 10) + struct.pack("!IBI", 0, 2, 20)
    sent = [
        packet((1, options_template(400, [(1, 4)], [(48, 1), (50, 4)])), (400, samplers)),
        packet((0, template(300, [*FLOW, (0, 48, 1)]))),
        packet((300, flow() + b"\2"), source=1),
    ]
    (row,) = flows(decode(of(*sent))).to_dicts()
    assert (row["packets"], row["samples"]) == (100, 5)
    unknown = [*sent[:2], packet((300, flow() + b"\3"))]
    (row,) = flows(decode(of(*unknown))).to_dicts()
    assert (row["packets"], row["samples"]) == (5, None)


@pytest.mark.parametrize("version", [9, 10])
def test_data_waits_for_its_template_across_blocks(version):
    make, kind = (packet, 0) if version == 9 else (message, 2)
    announced, data = make((kind, template(300, FLOW))), make((300, flow()))
    decoder = Decoder()
    first = decoder.decode(of(data, data))
    assert (first.summary.records, first.summary.faults, first.summary.waiting) == (0, 0, 2)
    second = decoder.decode(of(announced))
    assert (second.summary.records, second.summary.faults, second.summary.waiting) == (2, 0, 0)
    (batch,) = second.batches
    assert batch.datagram.tolist() == [-1, 0]
    assert batch.offset.tolist() == [24 if version == 9 else 20] * 2
    assert batch.columns["flowStartSysUpTime"].tolist() == [100, 100]
    assert ("flowStartMilliseconds" in batch.columns) == (version == 9)
    assert flows(second)["packets"].to_list() == [10]


def test_data_whose_template_never_comes_is_counted():
    decoder = Decoder()
    decoder.decode(of(packet((300, flow()))))
    end = decoder.decode(of(), last=True)
    assert end.summary.undecodable_by_reason == {"no template 300 in observation domain 1": 1}
    assert end.summary.waiting == 0


def test_waiting_is_limited():
    decoder = Decoder(most=Limits(waiting_sets=3))
    summary = decoder.decode(of(*[packet((300, flow()))] * 5)).summary
    assert (summary.waiting, summary.faults) == (3, 2)
    assert summary.limits == {"sets waiting for a template": 2}


def test_templates_are_limited_per_exporter_and_in_all():
    decoder = Decoder(most=Limits(templates_per_exporter=10, templates=15))
    many = [packet((0, template(256 + n, FLOW))) for n in range(100)]
    other = Datagrams.of([packet((0, template(999, FLOW)))], 2055, exporter="192.0.2.9")
    decoder.decode(other)
    summary = decoder.decode(of(*many)).summary
    assert summary.templates == 11
    assert summary.limits == {"templates of one exporter": 90}
    # The newest are kept, and those of others.
    data = Datagrams.of([packet((999, flow()))], 2055, exporter="192.0.2.9")
    assert decoder.decode(data).summary.records == 1
    assert decoder.decode(of(packet((355, flow())))).summary.records == 1
    for host in range(20):
        sent = [packet((0, template(999, FLOW)))]
        decoder.decode(Datagrams.of(sent, 2055, exporter=f"198.51.100.{host}"))
    assert len(decoder.templates) == 15


def test_fields_are_limited():
    long = packet((0, template(300, [(0, 1, 4)] * 30)))
    summary = Decoder(most=Limits(fields_per_template=29)).decode(of(long)).summary
    assert summary.undecodable_by_reason == {"more fields in a template than the limit": 1}
    decoder = Decoder(most=Limits(fields=50))
    different = [packet((0, template(300 + n, [(0, 1 + n, 4)] * 10))) for n in range(9)]
    assert decoder.decode(of(*different)).summary.templates == 5
    same = [packet((0, template(300 + n, [(0, 1, 4)] * 10))) for n in range(9)]
    assert decoder.decode(of(*same)).summary.templates == 9


def test_templates_expire():
    decoder = Decoder(template_lifetime_s=60)
    announced, data = packet((0, template(300, FLOW))), packet((300, flow()))
    decoder.decode(of(announced))
    assert decoder.decode(of(data, when_s=59)).summary.records == 1
    decoder.decode(of(announced, when_s=59))
    assert decoder.decode(of(data, when_s=100)).summary.records == 1
    assert decoder.decode(of(data, when_s=120)).summary.templates == 0


def test_sequence_counts_packets_per_source_id():
    sent = [packet(sequence=n, source=source) for source in (1, 2) for n in (7, 8, 11)]
    streams = decode(of(*sent)).summary.streams
    assert [(one.observation_domain, one.lost, one.unit) for one in streams] == [
        (1, 2, "datagrams"),
        (2, 2, "datagrams"),
    ]
    records_habit = Habits(netflow9_sequence="data records")
    counted = [
        packet((0, template(300, FLOW)), (300, flow() * 3), sequence=5),
        packet((300, flow()), sequence=8),
    ]
    (stream,) = decode(of(*counted), records_habit).summary.streams
    assert (stream.units, stream.lost) == (4, 0)


def test_versions_do_not_share_templates():
    sent = [packet((0, template(300, FLOW))), message((300, flow()))]
    assert decode(of(*sent)).summary.records == 0


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_reads_the_same(tmp_path):
    with Writer(tmp_path / "x") as writer:
        for payload in EXPORTS:
            writer.write(0, encapsulate_udp("192.0.2.1", 9, "192.0.2.2", 2055, payload))
    fields = ["cflow.packets", "cflow.octets", "cflow.sampling_interval", "cflow.if_name"]
    command = ["tshark", "-r", str(tmp_path / "x"), "-d", "udp.port==2055,cflow", "-T", "fields"]
    command += [part for field in fields for part in ("-e", field)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1].split("\t") == ["5,7", "500,500", "100", "eth3"]
