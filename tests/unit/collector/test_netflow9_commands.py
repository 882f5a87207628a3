"""``flowlab decode``, ``flows`` and ``explain`` of NetFlow v9, and of what IPFIX shares with it."""

from __future__ import annotations

import json
import struct

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from collector import aggregate, pcap, source
from collector.account import Account
from collector.decode import NETFLOW, Datagrams, Decoder, Habits, decode
from collector.decode.template_store import Templates
from collector.explain import explain
from collector.explain.walk import Walk
from collector.records import known_types, schema, table
from collector.texts import with_texts
from lab.cli import main
from tests.unit.collector.test_explain_command import covered
from tests.unit.collector.test_layouts import message, template
from tests.unit.collector.test_netflow9 import EXPORTS, FLOW, flow, of, options_template, packet

ANNOUNCED, DATA = packet((0, template(300, FLOW)), sequence=7), packet((300, flow()), sequence=8)
STEPPED_OVER = {"protocol", "exporter", "template", "datagram", "export_time", "kind", "offset"}


def capture(path, *payloads):
    with pcap.Writer(path) as writer:
        for payload in payloads:
            writer.write(0, pcap.encapsulate_udp("192.0.2.1", 5, "192.0.2.2", 2055, payload))
    return str(path)


def flowlab(*arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


def json_lines(*arguments):
    return [
        json.loads(line)
        for line in flowlab(*arguments, "--format", "jsonl").stdout.split("\n")[:-1]
    ]


def test_a_record_of_each_kind(tmp_path):
    first, second, options = json_lines("decode", capture(tmp_path / "x.pcap", *EXPORTS))
    assert first == {
        "protocol": "netflow9",
        "exporter": "192.0.2.1",
        "observation_domain": 1,
        "template": 300,
        "datagram": 2,
        "export_time": "2023-11-14T22:13:20Z",
        "flowStartMilliseconds": "2023-11-14T22:13:19.100Z",
        "flowEndMilliseconds": "2023-11-14T22:13:19.200Z",
        "sourceIPv4Address": "10.0.0.1",
        "destinationIPv4Address": "10.0.0.2",
        "packetDeltaCount": 5,
        "octetDeltaCount": 500,
        "flowStartSysUpTime": 100,
        "flowEndSysUpTime": 200,
    }
    assert second["packetDeltaCount"] == 7
    assert (options["kind"], options["ingressInterface"], options["interfaceName"]) == (
        "options",
        3,
        "eth3",
    )


def test_sampling_is_applied_to_sums(tmp_path):
    (row,) = json_lines("flows", capture(tmp_path / "x.pcap", *EXPORTS), "--by", "protocol,source")
    assert (row["protocol"], row["source"], row["packets"]) == ("netflow9", "10.0.0.1", 1200)
    assert row["sampling_rate"] == 100


@pytest.mark.parametrize("size", [1, 200, 1 << 20])
def test_data_waits_for_its_template_from_block_to_block(tmp_path, monkeypatch, size):
    monkeypatch.setattr(source, "BLOCK_OCTETS", size)
    monkeypatch.setattr(aggregate, "BLOCK_OCTETS", size)
    place = capture(tmp_path / "x.pcap", DATA, ANNOUNCED, packet((300, flow(9)), sequence=9))
    told = json_lines("decode", place)
    assert [(one["datagram"], one["packetDeltaCount"]) for one in told] == [(1, 5), (3, 9)]
    summary = flowlab("decode", place).stderr
    assert "3 datagrams, 2 records (2 netflow9), 1 templates" in summary
    assert "undecodable: none" in summary
    assert json_lines("flows", place, "--by", "source")[0]["packets"] == 14


@pytest.mark.parametrize("size", [1, 200, 1 << 20])
def test_a_template_that_never_comes_is_told(tmp_path, monkeypatch, size):
    monkeypatch.setattr(source, "BLOCK_OCTETS", size)
    place = capture(tmp_path / "x.pcap", ANNOUNCED, DATA, packet((301, flow())), DATA)
    summary = flowlab("decode", place).stderr
    assert (
        "no template 301 in observation domain 1, 1 times (first: datagram 3, offset 20" in summary
    )


@pytest.mark.parametrize("lost", [0, 1, 5])
@pytest.mark.parametrize("unit", ["datagrams", "data records"])
def test_what_is_lost_between_two_blocks_is_seen(lost, unit):
    account, decoder = Account(), Decoder(Habits(netflow9_sequence=unit))
    first = packet((0, template(300, FLOW)), (300, flow() * 3), sequence=2**32 - 1)
    step = 1 if unit == "datagrams" else 3
    later = packet((300, flow()), sequence=(2**32 - 1 + step + lost) % 2**32)
    for block in (of(first), of(later)):
        account.add(block, decoder.decode(block))
    assert account.lost == lost
    assert len(account.summary().streams) == 1


@pytest.mark.parametrize("kind", [0, 2])
def test_after_what_waits_no_sequence_is_judged(kind):
    make = packet if kind == 0 else message
    account, decoder = Account(), Decoder(Habits(netflow9_sequence="data records"))
    for one in ((300, flow() * 3), (kind, template(300, FLOW)), (300, flow())):
        account.add(of(make(one)), decoder.decode(of(make(one))))
    assert (account.records, account.lost) == (4, 0)


def test_limits_are_told(tmp_path):
    many = [
        packet(*((0, template(256 + n, FLOW)) for n in range(at, at + 50)))
        for at in range(0, 4200, 50)
    ]
    summary = flowlab("decode", capture(tmp_path / "x.pcap", *many)).stderr
    assert "more than is kept: templates of one exporter, 104 times" in summary


def explained(tmp_path, *payloads):
    opened = source.open_source(capture(tmp_path / "x.pcap", *payloads))
    return [explain(opened, number + 1) for number in range(len(payloads))]


def test_every_value_is_explained_where_it_is(tmp_path):
    found = explained(tmp_path, *EXPORTS)
    told = [{(line.name, line.value) for line in one.lines} for one in found]
    for one in found:
        covered(one.payload, one.lines)
        assert not [line for line in one.lines if line.name == "rest"]
    computed = {"flowStartMilliseconds", "flowEndMilliseconds", "observation_domain"}
    for batch in decode(of(*EXPORTS)).batches:
        for row in with_texts(table(batch)).iter_rows(named=True):
            for name, value in row.items():
                if name not in STEPPED_OVER | computed and value is not None:
                    assert (name, str(value)) in told[row["datagram"] - 1]


def test_what_is_shown(tmp_path):
    fields = template(301, [(0, 57_472 + 180, 4), (0, 8, 4)])
    padded = packet((0, fields + bytes(4) + template(302, FLOW)), (301, bytes(8)), (7, b"abcd"))
    place = capture(tmp_path / "x.pcap", *EXPORTS, padded)
    shown = [flowlab("explain", place, "--datagram", str(n)).stdout for n in (1, 2, 3)]
    for part in (
        "NetFlow v9 packet header  [RFC 3954 section 5.1]",
        "version  9  (version 9; of the export format)",
        "source_id  1  (template ids",
        "flowSetId  0  (0 templates, 1 options",
        "sourceIPv4Address  field type 8, 4 octets  (who sent the packets)  [RFC 3954 section 8]",
        "options template FlowSet",
        "optionScopeLength  4",
        "optionLength  8",
        "ingressInterface  scope type 2, 4 octets",
        "interfaceName  field type 82, 8 octets",
    ):
        assert part in shown[0]
    assert "packetDeltaCount  7" in shown[1]
    assert "[RFC 3954 section 5.3; field type 2]" in shown[1]
    assert "ingressInterface  3  (came in here)  [RFC 3954 section 6.2]" in shown[1]
    for part in ("field type 57652, 4 octets", "template 302, 6 fields", "set id is reserved"):
        assert part in shown[2]
    assert "field type 57652]" in shown[2]


@pytest.mark.parametrize("which", [0, 1])
def test_any_truncation_and_any_changed_octet_is_covered(which):
    decoder = Decoder()
    decoder.decode(of(*EXPORTS))
    octets = EXPORTS[which]
    cut = [octets[:at] for at in range(len(octets))]
    changed = [
        octets[:at] + bytes([octets[at] ^ bits]) + octets[at + 1 :]
        for at in range(2, len(octets))
        for bits in (0x01, 0x80, 0xFF)
    ]
    for one in (*cut, *changed):
        for templates in (decoder.templates, Templates()):
            walk = Walk(one, templates, exporter=0xFFFF_C000_0201, socket=5, lend=True)
            covered(one, list(walk.lines(NETFLOW)))


def test_options_templates_and_padding_inside_sets_are_walked(tmp_path):
    both = options_template(400, [(1, 4)], [(34, 4)]) + options_template(401, [], [(34, 4)])
    (found,) = explained(tmp_path, packet((1, both + bytes(2)), sequence=1))
    covered(found.payload, found.lines)
    heads = [line.name for line in found.lines if line.name.startswith("template ")]
    assert heads == ["template 400, 2 fields", "template 401, 1 fields"]
    withdrawn = message((2, bytes(4) + template(300, FLOW)), (2, struct.pack("!HH", 300, 0)))
    (found,) = explained(tmp_path, withdrawn)
    covered(found.payload, found.lines)
    heads = [line.name for line in found.lines if line.name.startswith("template ")]
    assert heads == [
        "template set",
        "template 300, 6 fields",
        "template set",
        "template 300, withdrawn",
    ]


NTP = struct.pack("!II", 2_208_988_800 + 1_700_000_000, 1 << 31)
TYPED = [
    ((0, 154, 8), NTP, "flowStartMicroseconds", "2023-11-14T22:13:20.500000Z"),
    ((0, 156, 8), NTP, "flowStartNanoseconds", "2023-11-14T22:13:20.500Z"),
    ((0, 156, 8), bytes(8), "flowStartNanoseconds", None),
    ((0, 291, 5), b"\x03\0\x01\0\x04", "basicList", "0300010004"),
    ((0, 291, 65_535), b"\x03\x04\0\x01", "basicList", "040001"),
    ((0, 520, 4), b"\0\0\x01\x02", "tcpOptionsFull", "102"),
    ((0, 520, 16), bytes(14) + b"\x01\x02", "tcpOptionsFull", "102"),
    ((29_305, 1, 8), bytes(7) + b"\x05", "reverseOctetDeltaCount", 5),
    ((0, 276, 1), b"\x02", "dataRecordsReliability", False),
]


@pytest.mark.parametrize(("field", "octets", "name", "value"), TYPED)
def test_every_type_has_one_column_type(field, octets, name, value):
    sent = message((2, template(300, [field])), (300, octets))
    (batch,) = decode(Datagrams.of([sent], 4739)).batches
    found = table(batch)
    assert dict(found.schema) == schema(batch)
    assert found.schema[name] == known_types()[name]
    assert with_texts(found)[name].to_list() == [value]


def test_widths_of_one_element_go_into_one_table():
    tables = [
        table(batch)
        for field, octets, *_ in TYPED[5:7]
        for batch in decode(
            Datagrams.of([message((2, template(300, [field])), (300, octets))], 4739)
        ).batches
    ]
    assert pl.concat(tables)["tcpOptionsFull"].to_list() == ["102", "102"]
    assert np.array_equal(*(one["datagram"].to_numpy() for one in tables))
