"""The commands with lists, tunnels, extended data and packed files."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from collector import pcap, source
from collector.decode import Datagrams, decode
from collector.decode.elements import LISTS
from collector.explain import explain
from collector.records import known_types, schema, table
from lab.cli import main
from tests.unit.collector.test_explain_command import covered
from tests.unit.collector.test_layouts import message, template
from tests.unit.collector.test_lists import BASIC, MULTI, SUB
from tests.unit.collector.test_packet import FRAMES, TUNNELS
from tests.unit.collector.test_sflow import (
    EXTENDED,
    IPV4_PACKET,
    datagram,
    flow_sample,
    item,
    raw_header,
)

GOLDEN = str(Path(__file__).parents[2] / "golden" / "openvswitch.pcap")
ALL_OF_IT = [item(kind, content) for kind, content in EXTENDED.items()]
SAMPLES = datagram(
    flow_sample(raw_header(FRAMES["tcp"]), *ALL_OF_IT, item(4413 << 12 | 7, b"\1\2\3\4")),
    flow_sample(raw_header(TUNNELS["vxlan"][0])),
    flow_sample(IPV4_PACKET),
)
LISTED = message(
    (
        2,
        template(300, [(0, 7, 2), (0, 82, 65_535)])
        + template(301, [(0, 291, 65_535)])
        + template(400, [(0, 8, 4), *((0, number, 65_535) for number in (291, 292, 293))]),
    ),
    (400, b"\x0a\0\0\1" + b"".join(bytes([len(one)]) + one for one in (BASIC, SUB, MULTI))),
)
PORTS = {"allOf": [80, 443, 53]}
NAMES = [
    {"sourceTransportPort": 80, "interfaceName": "eth0"},
    {"sourceTransportPort": 443, "interfaceName": "lo"},
]
LISTS_SHOWN = {
    "basicList": PORTS,
    "subTemplateList": {"ordered": NAMES},
    "subTemplateMultiList": {"exactlyOneOf": [*NAMES, {"basicList": PORTS}]},
}


def capture(path, port, *payloads):
    with pcap.Writer(path) as writer:
        for payload in payloads:
            writer.write(0, pcap.encapsulate_udp("192.0.2.1", 5, "192.0.2.2", port, payload))
    return str(path)


def flowlab(*arguments, octets=None):
    result = CliRunner().invoke(main, arguments, input=octets)
    assert result.exit_code == 0, result.output
    return result


def json_lines(*arguments, octets=None):
    shown = flowlab(*arguments, "--format", "jsonl", octets=octets).stdout
    return [json.loads(line) for line in shown.split("\n")[:-1]]


def test_lists_are_json_in_every_format(tmp_path):
    place = capture(tmp_path / "x.pcap", 4739, LISTED)
    (record,) = json_lines("decode", place)
    assert {name: json.loads(record[name]) for name in LISTS} == LISTS_SHOWN
    assert record["sourceIPv4Address"] == "10.0.0.1"
    (row,) = csv.DictReader(io.StringIO(flowlab("decode", place, "--format", "csv").stdout))
    stored = pl.read_parquet(flowlab("decode", place, "--format", "parquet").stdout_bytes)
    for name in LISTS:
        assert row[name] == stored[name][0] == record[name]
    assert json_lines("decode", place, "--where", "basicList LIKE '%443%'") == [record]


def test_what_of_a_list_cannot_be_read_is_shown(tmp_path):
    sent = message((2, template(400, [(0, 292, 65_535)])), (400, bytes([len(SUB)]) + SUB))
    (record,) = json_lines("decode", capture(tmp_path / "x.pcap", 4739, sent))
    assert json.loads(record["subTemplateList"]) == {"ordered": [], "rest": SUB[3:].hex()}
    (batch,) = decode(Datagrams.of([sent], 4739)).batches
    assert table(batch)["subTemplateList"].to_list() == [SUB.hex()]


def test_samples_and_what_is_said_of_them(tmp_path):
    place = capture(tmp_path / "x.pcap", 6343, SAMPLES)
    records = json_lines("decode", place)
    assert [one.get("kind") for one in records] == [None, *["extended"] * 9, None, None]
    extended = {one["template"]: one for one in records[1:10]}
    assert extended[4413 << 12 | 7]["4413/7"] == "01020304"
    assert extended[1003]["bgpDestinationAsPath"] == [64503, 64504, 64505]
    assert extended[1003]["bgpNextHopAddress"] == extended[1007]["postNATSourceAddress"]
    assert extended[1002]["ipNextHopAddress"].startswith("2020:")
    assert extended[1006]["mplsOutLabelStack"] == [0x2000, 0x3000]
    assert (extended[1001]["postVlanId"], extended[1029]["egressLayer2SegmentId"]) == (20, 42)
    plain, tunnel, without_frame = records[0], records[10], records[11]
    assert (tunnel["layer2SegmentId"], tunnel["innerDestinationTransportPort"]) == (77, 80)
    assert tunnel["innerSourceIPv4Address"] == "192.0.2.1"
    assert not [name for name in plain if name.startswith("inner")]
    assert "layer2SegmentId" not in plain
    assert not {"sourceMacAddress", "frameLength", "vlanId"} & set(without_frame)
    assert without_frame["destinationTransportPort"] == 80
    chosen = json_lines("decode", place, "--where", "innerDestinationTransportPort = 80")
    assert chosen == [tunnel]
    assert "4413/7 01020304" in flowlab("decode", place).stdout


def test_numbers_in_lists_fit_into_tables(tmp_path):
    place = capture(tmp_path / "x.pcap", 6343, SAMPLES)
    stored = pl.read_parquet(flowlab("decode", place, "--format", "parquet").stdout_bytes)
    rows = list(csv.DictReader(io.StringIO(flowlab("decode", place, "--format", "csv").stdout)))
    assert stored["bgpCommunities"].drop_nulls().to_list() == [[100, 200]]
    assert [row["bgpCommunities"] for row in rows if row["bgpCommunities"]] == ["100 200"]
    decoded = decode(Datagrams.of([SAMPLES], 6343))
    for batch in decoded.batches:
        assert dict(table(batch).schema) == schema(batch)
        known = {name for name in schema(batch) if "/" not in name} - {"offset"}
        assert {name: schema(batch)[name] for name in known} == {
            name: known_types()[name] for name in known
        }


def test_flows_count_the_outer_packets_only(tmp_path):
    place = capture(tmp_path / "x.pcap", 6343, SAMPLES)
    rows = json_lines("flows", place, "--by", "proto", "--order", "packets")
    assert {row["protocolIdentifier"]: row["packets"] for row in rows} == {6: 2, 17: 1}


def test_every_octet_of_extended_data_is_explained(tmp_path):
    name = item(1005, b"\0\0\0\6s1-eth\0\0")
    counters = item(2, bytes(8) + b"\0\0\0\1" + name)
    cut = flow_sample(item(1003, EXTENDED[1003][:-4]), item(1001, b"123"))
    place = capture(tmp_path / "x.pcap", 6343, SAMPLES, datagram(counters), datagram(cut))
    opened = source.open_source(place)
    found = [explain(opened, number) for number in (1, 2, 3)]
    for one in found:
        covered(one.payload, one.lines)
    told = {(line.name, line.value) for one in found for line in one.lines}
    assert {
        ("postVlanId", "20"),
        ("interfaceName", "s1-eth"),
        ("destinationIPv4Address", "10.0.0.2"),
    } <= told
    (path,) = [value for name, value in told if name == "fields" and "bgpCommunities" in value]
    assert "bgpDestinationAsPath [64503, 64504, 64505]" in path
    rest = [line.meaning for line in found[2].lines if line.name == "rest"]
    assert rest == ["a record that is not known, or cut short"] * 2


def packed(octets, form):
    if form == "zstd":
        zstandard = pytest.importorskip("zstandard", reason="older than the lock")
        return zstandard.compress(octets)
    return gzip.compress(octets) if form == "gzip" else octets


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("through", ["file", "standard input"])
def test_packed_captures_and_standard_input(tmp_path, form, through):
    octets = packed(Path(GOLDEN).read_bytes(), form)
    place, given = "-", octets
    if through == "file":
        (tmp_path / "x").write_bytes(octets)
        place, given = str(tmp_path / "x"), None
    assert json_lines("decode", place, octets=given) == json_lines("decode", GOLDEN)
    for arguments in (("decode", "--format", "csv"), ("flows", "--by", "proto", "--format", "csv")):
        found = flowlab(arguments[0], place, *arguments[1:], octets=given)
        assert found.stdout == flowlab(arguments[0], GOLDEN, *arguments[1:]).stdout
    shown = flowlab("explain", place, "--datagram", "60", octets=given).stdout
    assert shown == flowlab("explain", GOLDEN, "--datagram", "60").stdout


@pytest.mark.parametrize("command", ["decode", "flows", "explain"])
def test_input_that_is_no_capture_is_told(command):
    arguments = ["--datagram", "1"] if command == "explain" else []
    for octets, words in (
        (b"", "it is empty"),
        (b"\x1f\x8bnothing", "not a pcap"),
        (b"abc", "616263"),
    ):
        result = CliRunner().invoke(main, [command, "-", *arguments], input=octets)
        assert result.exit_code == 2
        assert result.stderr.startswith("standard input is ")
        assert words in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize("form", ["table", "jsonl", "csv", "parquet"])
def test_a_packed_file_that_is_cut_is_told(form):
    octets = gzip.compress(Path(GOLDEN).read_bytes())[:-2_000]
    for command, words in (
        ("decode", "the gzip file ends too early"),
        ("flows", ", 1 undecodable"),
    ):
        assert words in flowlab(command, "-", "--format", form, octets=octets).stderr


CORPUS = Path(__file__).parents[3] / "corpus" / "recorded"


@pytest.mark.parametrize(
    ("options", "layer"),
    [((), "octets_l2"), (("--exporter-habits", "standard"), "octets_l3")],
)
def test_a_case_is_read_by_the_habits_that_it_says(options, layer):
    rows = json_lines("flows", str(CORPUS / "one-datagram"), *options)
    (row,) = [row for row in rows if row["protocol"] == "netflow5" and row["packets"]]
    assert [name for name in ("octets_l2", "octets_l3") if row[name]] == [layer]


def test_exporters_of_several_habits_are_read_by_none_of_them_silently(tmp_path):
    place = CORPUS / "five-exporters-agree"
    ran = CliRunner().invoke(main, ["flows", str(place)])
    assert ran.exit_code == 2
    assert "127.0.0.1 Open vSwitch, 127.1.0.1 softflowd" in ran.output
    assert json_lines("flows", str(place), "--exporter-habits", "openvswitch")
    assert source.open_source(str(place / "exports.pcap")).habits == source.STANDARD
    (tmp_path / "exports.pcap").write_bytes((place / "exports.pcap").read_bytes())
    (tmp_path / "case.yaml").write_text("habits: {127.0.0.1: nobody}", encoding="utf-8")
    with pytest.raises(source.NoExportsError, match="does not say its exporters"):
        source.open_source(str(tmp_path))


def test_what_is_not_decoded_is_told_by_every_command(tmp_path):
    unknown = capture(tmp_path / "9999.pcap", 9999, LISTED)
    broken = capture(tmp_path / "broken.pcap", 4739, message((999, b"1234")))
    for command in (["decode"], ["flows"], ["load", "--to", str(tmp_path / "store")]):
        told = flowlab(command[0], unknown, *command[1:]).stderr
        assert "1 to port 9999; if they are, say which with --port 9999=netflow" in told
        told = flowlab(command[0], broken, *command[1:]).stderr
        assert "  no template 999 in observation domain 1, 1 times (first: datagram 1" in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jeth\r\n\x07", "\\x1b[2Jeth\\r\\n\\x07"),
        ("\u202ertl\x9b", "\\u202ertl\\x9b"),
        ("日本 eth0", "日本 eth0"),
    ],
)
def test_texts_of_exporters_are_not_obeyed_by_terminals(tmp_path, text, shown):
    octets = text.encode()
    record = bytes([len(octets)]) + octets
    sent = message((2, template(300, [(0, 82, 65_535)])), (300, record))
    file = capture(tmp_path / "x.pcap", 4739, sent)
    store = str(tmp_path / "store")
    flowlab("load", file, "--to", store)
    asked = ("query", "SELECT interfaceName FROM records", store)
    for command in (("decode", file), ("explain", file, "--datagram", "1"), asked):
        told = flowlab(*command).stdout
        assert shown in told
        assert all(line.isprintable() for line in told.split("\n"))
    assert json_lines("decode", file)[0]["interfaceName"] == text
    assert json_lines(*asked) == [{"interfaceName": text}]


def test_records_without_a_flow_are_counted(tmp_path):
    layout = template(300, [(0, 8, 4), (0, 2, 4)]) + template(301, [(0, 8, 4), (0, 12, 4)])
    sent = message((2, layout), (300, bytes(24)), (301, bytes(8)))
    told = flowlab("flows", capture(tmp_path / "x.pcap", 4739, sent)).stderr
    assert "note: 3 records are in no row" in told
    assert "in no row" not in flowlab("flows", GOLDEN).stderr
