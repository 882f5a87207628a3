"""NetFlow v9, and what it shares with IPFIX: waiting data, limits, what options data teaches."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import OPEN_VSWITCH, Datagrams, Decoder, Habits, Limits, decode
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


@pytest.mark.parametrize("wraps", [0, 1, 2])
def test_ipfix_tells_in_the_record_when_uptime_was_0(wraps):
    (when_s,) = struct.unpack_from("!I", message((300, flow())), 4)
    booted_ms = (when_s - 10) * 1_000 - (wraps << 32)
    record = flow(start=8_500, end=2**32 - 1 if wraps else 9_000) + struct.pack("!Q", booted_ms)
    sent = message((2, template(300, [*FLOW, (0, 160, 8)])), (300, record))
    (row,) = flows(decode(of(sent))).to_dicts()
    assert row["first_ns"] == (when_s * 1_000 - 1_500) * 1_000_000
    last_ms = when_s * 1_000 - (10_001 if wraps else 1_000)
    assert row["last_ns"] == last_ms * 1_000_000


def test_times_are_known_of_those_whose_boot_is():
    """That one exporter of a block does not tell it takes nothing from the others."""
    (when_s,) = struct.unpack_from("!I", message((300, flow())), 4)
    boot = (3, ipfix_options(400, [(0, 149, 4), (0, 160, 8)], 1))
    sent = [
        message((2, template(300, FLOW)), (300, flow(7, start=8_500)), domain=1),
        message(boot, (400, struct.pack("!IQ", 0, (when_s - 10) * 1_000)), domain=2),
        message((2, template(300, FLOW)), (300, flow(8, start=8_500)), domain=2),
        message((300, flow(9, start=8_600)), domain=1),
        message((300, flow(10, start=8_700)), domain=2),
    ]
    decoded = decode(of(*sent))
    rows = {row["observation_domain"]: row for row in flows(decoded).to_dicts()}
    assert (rows[1]["packets"], rows[1]["first_ns"]) == (16, None)
    assert (rows[2]["packets"], rows[2]["first_ns"]) == (18, (when_s * 1_000 - 1_500) * 1_000_000)
    known, unknown = (batch for batch in decoded.batches if batch.kind == "data")
    assert (known.datagram.tolist(), unknown.datagram.tolist()) == ([3, 5], [1, 4])
    assert known.columns["packetDeltaCount"].tolist() == [8, 10]
    assert unknown.columns["flowStartSysUpTime"].tolist() == [8_500, 8_600]


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


def interface_rates(scopes, rates, version=10, number=400):
    """Options that tell a rate (34) by scopes of four octets each."""
    values = b"".join(struct.pack(f"!{len(one)}I", *one) for one in rates)
    if version == 9:
        head = options_template(number, [(scope, 4) for scope in scopes], [(34, 4)])
        return packet((1, head), (number, values))
    specification = [*((0, scope, 4) for scope in scopes), (0, 34, 4)]
    return message((3, ipfix_options(number, specification, len(scopes))), (number, values))


def interface_flows(numbers, element=10, version=10):
    """A record for each number of its interface; all of different packet counts."""
    octets = b"".join(
        struct.pack("!IIIH", 1, 2, count, number) for count, number in enumerate(numbers, 1)
    )
    make, kind = (packet, 0) if version == 9 else (message, 2)
    elements = [(0, 8, 4), (0, 12, 4), (0, 2, 4), (0, element, 2)]
    return make((kind, template(300, elements)), (300, octets))


def learned_rates(*sent):
    """The rate of each data record; None where none is known."""
    (batch,) = (batch for batch in decode(of(*sent)).batches if batch.kind == "data")
    if batch.sampling_rate is None:
        return [None] * len(batch)
    return [None if rate != rate else rate for rate in batch.sampling_rate.tolist()]  # noqa: PLR0124


@pytest.mark.parametrize(("version", "scope", "element"), [(10, 10, 10), (10, 14, 14), (9, 2, 10)])
def test_the_rate_of_an_interface_is_for_its_records_only(version, scope, element):
    """RFC 7011 section 3.4.2.1, RFC 3954 section 6.1."""
    told = interface_rates([scope], [(1, 100), (2, 1000)], version)
    sent = interface_flows([1, 2, 3, 1], element, version)
    assert learned_rates(told, sent) == [100, 1000, None, 100]
    (row,) = flows(decode(of(told, interface_flows([1, 2], element, version)))).to_dicts()
    assert (row["packets"], row["samples"]) == (100 + 2 * 1000, 3)


def test_what_an_interface_does_not_say_its_domain_does():
    of_domain = interface_rates([149], [(0, 7)], number=401)
    told = interface_rates([149, 10], [(0, 1, 100), (0, 2, 1000)])
    for sent in ((of_domain, told), (told, of_domain)):
        assert learned_rates(*sent, interface_flows([1, 2, 3])) == [100, 1000, 7]
        # The one's number is none of the other's.
        assert learned_rates(*sent, interface_flows([1, 2, 3], element=14)) == [7, 7, 7]
    assert learned_rates(told, interface_flows([1, 2], element=14)) == [None, None]
    only = interface_rates([10], [(1, 100)])
    assert learned_rates(only, interface_flows([1, 2], element=5)) == [100, 100]


@pytest.mark.parametrize("scopes", [[141], [145], [149, 141], [10, 14]])
def test_the_rate_of_a_part_that_cannot_be_told_is_for_nobody(scopes):
    told = interface_rates(scopes, [(*range(1, len(scopes) + 1), 100)])
    assert learned_rates(told, interface_flows([1, 2])) == [None, None]
    of_domain = interface_rates([143], [(0, 7)], number=401)
    assert learned_rates(of_domain, told, interface_flows([1, 2])) == [7, 7]


def test_a_sampler_is_more_exact_than_an_interface():
    samplers = struct.pack("!IBI", 0, 1, 10) + struct.pack("!IBI", 0, 2, 20)
    records = b"".join(flow() + bytes([sampler, number]) for sampler, number in ((2, 3), (9, 3)))
    told = [
        packet((1, options_template(400, [(1, 4)], [(48, 1), (50, 4)])), (400, samplers)),
        interface_rates([2], [(3, 500)], version=9, number=401),
    ]
    sent = packet((0, template(300, [*FLOW, (0, 48, 1), (0, 10, 1)])), (300, records))
    assert learned_rates(*told, sent) == [20, 500]


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


def test_what_waited_longest_is_displaced_and_counted_as_if_given_up():
    """A full house of sets whose template never comes keeps nobody out (RFC 7011 section 8.4)."""
    decoder = Decoder(most=Limits(waiting_sets=3))
    decoder.decode(of(packet((999, b"x"), (999, b"y"))))
    assert decoder.decode(of(packet((998, b"z")))).summary.waiting == 3
    summary = decoder.decode(of(packet((300, flow())), packet((300, flow(7))))).summary
    assert (summary.waiting, summary.limits) == (3, {"sets waiting for a template": 2})
    reason = "no template 999 in observation domain 1"
    assert summary.undecodable_by_reason == {reason: 2}
    assert [tuple(fault) for fault in summary.undecodable] == [
        (-1, 20, 0, 5, reason),
        (-1, 25, 0, 5, reason),
    ]
    served = decoder.decode(of(packet((0, template(300, FLOW)))))
    assert (served.summary.records, served.summary.waiting) == (2, 1)
    assert flows(served)["packets"].to_list() == [12]
    (fault,) = decoder.decode(of(), last=True).summary.undecodable
    assert fault.reason == "no template 998 in observation domain 1"
    assert (decoder.waiting.sets, decoder.waiting.octets) == (0, 0)


def test_octets_that_wait_are_limited():
    decoder = Decoder(most=Limits(waiting_octets=2 * len(flow()) + 1))
    sent = [packet((300, flow(1))), packet((300, bytes(500))), packet((300, flow(2)))]
    summary = decoder.decode(of(*sent)).summary
    assert (summary.waiting, summary.faults) == (2, 1)  # What fits nowhere displaces nobody.
    summary = decoder.decode(of(packet((301, flow(3))))).summary
    assert (summary.waiting, summary.faults) == (2, 1)
    assert decoder.waiting.octets == 2 * len(flow())
    served = decoder.decode(of(packet((0, template(300, FLOW)))))
    assert flows(served)["packets"].to_list() == [2]


def test_sets_of_nothing_do_not_wait():
    """One datagram of them was enough to keep all others from waiting, for good."""
    decoder = Decoder()
    summary = decoder.decode(of(message(*[(999, b"")] * 4096))).summary
    assert (summary.waiting, summary.limits) == (0, {})
    assert summary.undecodable_by_reason == {"no template 999 in observation domain 1": 4096}
    assert decoder.decode(of(message((300, flow())))).summary.waiting == 1
    assert decoder.decode(of(message((2, template(300, FLOW))))).summary.records == 1


def test_domains_that_share_a_template_are_limited():
    decoder = Decoder(OPEN_VSWITCH, most=Limits(templates=20))
    for domain in range(100):
        decoder.decode(of(message((2, template(300, FLOW)), domain=domain)))
    assert decoder.decode(of(message((300, flow()), domain=999))).summary.records == 1
    assert len(decoder.templates._shared) == 20
    (shared,) = decoder.templates._by_socket.values()
    assert sorted(shared) == list(range(80, 100))
    for number in range(301, 340):
        decoder.decode(of(message((2, template(number, FLOW)))))
    assert len(decoder.templates._by_socket) == 20


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
