"""``flowlab decode``: every format says the same, and what is wrong is said to people."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from collector import pcap, source
from collector.account import Account
from collector.decode import OPEN_VSWITCH, Datagrams, Decoder, decode
from collector.records import known_types, schema, table
from collector.where import WrongFilterError, parse
from lab.cli import main

GOLDEN = Path(__file__).parents[2] / "golden"
CAPTURE = str(GOLDEN / "openvswitch.pcap")
OVS = ("--exporter-habits", "openvswitch")


def flowlab(*arguments, code=0, octets=None):
    result = CliRunner().invoke(main, arguments, input=octets)
    assert result.exit_code == code, result.output
    return result


def json_lines(*arguments):
    found = flowlab("decode", CAPTURE, "--format", "jsonl", *OVS, *arguments)
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.fixture(scope="module")
def records():
    return json_lines()


def one(records, **values):
    chosen = [r for r in records if all(r.get(name) == value for name, value in values.items())]
    assert chosen
    return chosen[0]


def test_a_record_of_each_protocol(records):
    assert one(records, protocol="netflow5", protocolIdentifier=6) == {
        "protocol": "netflow5",
        "exporter": "127.0.0.1",
        "observation_domain": 1,
        "template": 5,
        "datagram": 27,
        "export_time": "2026-11-22T19:14:21.257426192Z",
        "samplingInterval": 0,
        "samplingAlgorithm": 0,
        "flowStartMilliseconds": "2026-11-22T19:14:20.862Z",
        "flowEndMilliseconds": "2026-11-22T19:14:20.864Z",
        "sourceIPv4Address": "10.0.0.1",
        "destinationIPv4Address": "10.0.0.2",
        "ipNextHopIPv4Address": "0.0.0.0",  # noqa: S104 - it says that there is none
        "ingressInterface": 1,
        "egressInterface": 2,
        "packetDeltaCount": 11,
        "octetDeltaCount": 3734,
        "flowStartSysUpTime": 613,
        "flowEndSysUpTime": 615,
        "sourceTransportPort": 38110,
        "destinationTransportPort": 80,
        "tcpControlBits": 27,
        "protocolIdentifier": 6,
        "ipClassOfService": 0,
        "bgpSourceAsNumber": 0,
        "bgpDestinationAsNumber": 0,
        "sourceIPv4PrefixLength": 0,
        "destinationIPv4PrefixLength": 0,
    }
    sample = one(records, protocol="sflow5", ipVersion=6, protocolIdentifier=6)
    assert list(sample)[:7] == [
        "protocol",
        "exporter",
        "agent",
        "sub_agent",
        "template",
        "datagram",
        "export_time",
    ]
    assert sample["sourceIPv6Address"] == "2001:db8::1"
    assert sample["sourceMacAddress"] == "00:00:00:00:00:01"
    assert (sample["samplingInterval"], sample["frameLength"]) == (1, 98)
    assert "observation_domain" not in sample
    assert "sourceIPv4Address" not in sample
    ipfix = one(records, protocol="ipfix", destinationTransportPort=80)
    assert ipfix["export_time"].endswith("Z")
    assert "agent" not in ipfix


def test_fields_that_a_packet_does_not_have_are_not_there(records):
    ping = one(records, protocol="sflow5", protocolIdentifier=1)
    assert ping["icmpTypeCodeIPv4"] == 8 << 8
    assert not {"sourceTransportPort", "tcpControlBits", "vlanId", "kind"} & set(ping)
    arp = one(records, protocol="sflow5", ethernetType=0x0806)
    assert not {"ipVersion", "protocolIdentifier", "ipTotalLength"} & set(arp)
    assert {r["kind"] for r in records if "kind" in r} == {
        "options",
        "counters",
        "extended",
    }


def test_records_are_in_order_and_none_is_missing(records):
    numbers = [record["datagram"] for record in records]
    assert numbers == sorted(numbers)
    decoded = decode(pcap.datagrams(pcap.read(CAPTURE)), OPEN_VSWITCH)
    assert len(records) == decoded.summary.records
    assert not [name for record in records for name in record if name.startswith("padding")]


def test_all_formats_say_the_same(records, tmp_path):
    text = flowlab("decode", CAPTURE, "--format", "csv", *OVS).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    file = tmp_path / "x.parquet"
    file.write_bytes(flowlab("decode", CAPTURE, "--format", "parquet", *OVS).stdout_bytes)
    stored = pl.read_parquet(file)
    assert len(rows) == len(stored) == len(records)
    assert list(rows[0]) == stored.columns
    for name in ("sourceIPv4Address", "sourceMacAddress", "octetDeltaCount", "flowEndMilliseconds"):
        expected = [str(record.get(name, "")) for record in records]
        assert [row[name] for row in rows] == expected
    octets = [record.get("octetDeltaCount") for record in records]
    assert stored["octetDeltaCount"].to_list() == octets
    assert stored.schema["export_time"] == pl.Datetime("ns", "UTC")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--protocol", "netflow5"], lambda r: r["protocol"] == "netflow5"),
        (["--protocol", "netflow5", "--protocol", "ipfix"], lambda r: r["protocol"] != "sflow5"),
        (
            ["--where", "destinationTransportPort = 80"],
            lambda r: r.get("destinationTransportPort") == 80,
        ),
        (["--where", "kind = 'options'"], lambda r: r.get("kind") == "options"),
        (
            ["--where", "sourceIPv6Address LIKE '2001:%' AND frameLength > 500"],
            lambda r: "sourceIPv6Address" in r and r.get("frameLength", 0) > 500,
        ),
        (
            ["--where", "export_time >= TIMESTAMP '2026-11-22 19:14:22'"],
            lambda r: r["export_time"] >= "2026-11-22T19:14:22",
        ),
        (["--where", "\"9/123\" = 'ff'"], lambda _: False),
    ],
)
def test_choosing(records, arguments, wanted):
    assert json_lines(*arguments) == [record for record in records if wanted(record)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.pcap"], "nowhere.pcap: No such file"),
        ([str(GOLDEN / "README.md")], "not a pcap file"),
        ([str(GOLDEN)], "neither a capture nor a run folder"),
        ([CAPTURE, "--where", "sourceipv4address = 'x'"], "did you mean sourceIPv4Address"),
        ([CAPTURE, "--where", "a ==="], "unable to parse"),
        ([CAPTURE, "--where", "1 = 1"], "names no column"),
        ([CAPTURE, "--where", "datagram + 1"], "no condition"),
        ([CAPTURE, "--where", "sum(datagram) > 1"], "no condition"),
        ([CAPTURE, "--where", "export_time > 'noon'"], "TIMESTAMP '"),
        ([CAPTURE, "--port", "9996"], "is not like 9996=netflow"),
        ([CAPTURE, "--format", "xml"], "xml"),
    ],
)
def test_wrong_input_is_told(arguments, words):
    result = flowlab("decode", *arguments, code=2)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_the_summary_comes_last():
    strict = flowlab("decode", str(GOLDEN / "openvswitch-flow-sampling.pcap")).stderr
    assert "29 datagrams, 3 records (3 ipfix), 89 templates; read as the formats say" in strict
    assert "undecodable: 7\n  no template 284 in observation domain 2, 4 times (first:" in strict
    lenient = flowlab("decode", CAPTURE, *OVS).stderr
    assert lenient.splitlines()[1:3] == ["sequence gaps: none", "undecodable: none"]


def test_standard_input_and_other_ports(tmp_path):
    octets = Path(CAPTURE).read_bytes()
    assert "178 datagrams" in flowlab("decode", "-", octets=octets).stderr
    payload = pcap.datagrams(pcap.read(CAPTURE))
    file = tmp_path / "x.pcap"
    with pcap.Writer(file) as writer:
        row = int((payload.destination_port == 2055).nonzero()[0][0])
        at, size = int(payload.offset[row]), int(payload.length[row])
        data = payload.buffer[at : at + size].tobytes()
        writer.write(0, pcap.encapsulate_udp("192.0.2.1", 1, "192.0.2.2", 9996, data))
    assert "1 to port 9996; if they are" in flowlab("decode", str(file)).stderr
    assert "1 netflow5" in flowlab("decode", str(file), "--port", "9996=netflow").stderr


def test_a_run_folder_is_read_with_the_habits_of_its_switch(tmp_path):
    shutil.copy(CAPTURE, tmp_path / "exports.pcap")
    assert "read as the formats say" in flowlab("decode", str(tmp_path)).stderr
    (tmp_path / "witnesses.json").write_text("{}")
    assert "read Open vSwitch" in flowlab("decode", str(tmp_path)).stderr


@pytest.mark.parametrize("size", [60, 700, 5_000, 1 << 20])
@pytest.mark.parametrize("name", ["openvswitch.pcap", "openvswitch-flow-sampling.pcap"])
def test_blocks_make_no_difference(monkeypatch, size, name):
    whole = decode(pcap.datagrams(pcap.read(GOLDEN / name)), OPEN_VSWITCH)
    monkeypatch.setattr(source, "BLOCK_OCTETS", size)
    account = Account()
    blocks = list(source.open_source(str(GOLDEN / name), OPEN_VSWITCH).decoded(account))
    counted, expected = account.summary(), whole.summary
    assert set(counted.streams) == set(expected.streams)
    assert counted.records == expected.records
    assert counted.undecodable == expected.undecodable
    places = [
        sorted(
            (batch.protocol, int(number), int(offset))
            for one in decoded
            for batch in one.batches
            for number, offset in zip(batch.datagram, batch.offset, strict=True)
        )
        for decoded in (blocks, [whole])
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("lost", [0, 1, 5])
@pytest.mark.parametrize("port", [2055, 4739, 6343])
def test_what_is_lost_between_two_blocks_is_seen(port, lost):
    found = pcap.datagrams(pcap.read(CAPTURE))
    rows = (found.destination_port == port).nonzero()[0]
    account, decoder = Account(), Decoder(OPEN_VSWITCH)
    for part in (rows[: len(rows) // 2], rows[len(rows) // 2 + lost :]):
        block = found.take(part)
        account.add(block, decoder.decode(block))
    at_once = decode(found.take([*rows[: len(rows) // 2], *rows[len(rows) // 2 + lost :]]))
    habitual = decode(
        found.take([*rows[: len(rows) // 2], *rows[len(rows) // 2 + lost :]]), OPEN_VSWITCH
    )
    assert at_once.summary.datagrams == account.datagrams
    assert account.lost == habitual.summary.lost
    if not lost:
        assert account.lost == 0


def test_every_table_has_the_columns_that_its_schema_says():
    decoded = decode(pcap.datagrams(pcap.read(CAPTURE)), OPEN_VSWITCH)
    for batch in decoded.batches:
        found = table(batch)
        assert dict(found.schema) == schema(batch)
        names = {name.partition("#")[0] for name in found.columns} - {"offset"}
        assert names <= set(known_types())


def test_unknown_elements_are_hex_and_strange_times_null():
    fields = b"\x80\x05\x00\x03\x00\x00\x04\xd2" + b"\x00\x98\x00\x08" + b"\x00\x52\xff\xff"
    template = b"\x00\x02\x00\x18" + b"\x01\x00\x00\x03" + fields
    values = b"\x01\x02\x03" + b"\xff" * 8 + b"\x03eth"
    data = b"\x01\x00" + (4 + len(values)).to_bytes(2, "big") + values
    body = template + data
    message = b"\x00\x0a" + (16 + len(body)).to_bytes(2, "big") + bytes(12) + body
    (batch,) = decode(Datagrams.of([message], 4739)).batches
    row = table(batch).row(0, named=True)
    assert row["1234/5"] == "010203"
    assert row["flowStartMilliseconds"] is None
    assert row["interfaceName"] == "eth"


def test_a_filter_drops_rows_that_do_not_say():
    rows = pl.DataFrame({"datagram": [1, 2], "frameLength": [5, None]})
    assert parse("frameLength > 1")(rows)["datagram"].to_list() == [1]
    assert parse("vlanId IS NULL")(rows)["datagram"].to_list() == [1, 2]
    assert not len(parse("vlanId = 3").over(known_types())(rows))
    with pytest.raises(WrongFilterError):
        parse("select 1")


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_has_the_same_flows(records):
    fields = ("cflow.srcaddr", "cflow.dstaddr", "cflow.packets", "cflow.octets")
    command = ["tshark", "-r", CAPTURE, "-d", "udp.port==2055,cflow", "-Y", "cflow.version==5"]
    command += ["-T", "fields", *(part for field in fields for part in ("-e", field))]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = []
    for line in shown.splitlines():
        columns = [cell.split(",") for cell in line.split("\t")]
        theirs += list(zip(*columns, strict=True))
    names = ("sourceIPv4Address", "destinationIPv4Address", "packetDeltaCount", "octetDeltaCount")
    ours = [
        tuple(str(record[name]) for name in names)
        for record in records
        if record["protocol"] == "netflow5"
    ]
    assert sorted(ours) == sorted(theirs)
