"""``flowlab flows``: sums by any key, against the flow table and against plain Python."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from collector import aggregate, pcap, source
from collector.aggregate import of_source, ordered, question
from collector.decode import OPEN_VSWITCH, decode
from collector.flows import FLOWS, flows
from collector.where import parse
from lab.cli import main

CAPTURE = str(Path(__file__).parents[2] / "golden" / "openvswitch.pcap")
OVS = ("--exporter-habits", "openvswitch")
ONE_VIEW = "protocol = 'ipfix' AND observation_domain = 1 AND flowDirection = 0"


def flowlab(*arguments, code=0):
    result = CliRunner().invoke(main, ["flows", *arguments])
    assert result.exit_code == code, result.output
    return result


def asked(*arguments):
    shown = flowlab(CAPTURE, "--format", "jsonl", *OVS, *arguments).stdout
    return [json.loads(line) for line in shown.splitlines()]


@pytest.fixture(scope="module")
def table():
    return flows(decode(pcap.datagrams(pcap.read(CAPTURE)), OPEN_VSWITCH))


def summed(by=None, where=None, *, bidirectional=False):
    wanted = question(by, None if where is None else parse(where), bidirectional=bidirectional)
    return of_source(source.open_source(CAPTURE, OPEN_VSWITCH), wanted)[0].table()


@pytest.mark.parametrize("size", [900, 20_000, 1 << 20])
def test_without_a_key_it_is_the_flow_table(monkeypatch, table, size):
    monkeypatch.setattr(aggregate, "BLOCK_OCTETS", size)
    found = summed()
    same = [name for name in FLOWS if name in found.columns]
    assert len(same) == len(FLOWS) - 5
    rows = [sorted(map(str, one.select(same).rows())) for one in (found, table)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "by", ["proto", "source,dstport", "exporter,agent", "protocol,srcip,dstip,flowDirection"]
)
def test_sums_by_any_key(table, by):
    names = question(by, None, bidirectional=False).by
    expected = defaultdict(lambda: [0, 0, 0])
    for row in table.iter_rows(named=True):
        sums = expected[tuple(row[name] for name in names)]
        for at, name in enumerate(("packets", "octets_l2", "octets_l3")):
            unknown = sums[at] is None or row[name] is None
            sums[at] = None if unknown else sums[at] + row[name]
    found = {
        tuple(row[name] for name in names): [row["packets"], row["octets_l2"], row["octets_l3"]]
        for row in summed(by).iter_rows(named=True)
    }
    assert found == expected


def test_both_directions_are_one_row():
    one_way = summed("source,destination,srcport,dstport,proto", ONE_VIEW)
    both = summed("source,destination,srcport,dstport,proto", ONE_VIEW, bidirectional=True)
    assert both["packets"].sum() + both["reverse_packets"].sum() == one_way["packets"].sum()
    assert len(both) < len(one_way)
    tcp = both.filter(pl.col("protocolIdentifier") == 6).sort("source")
    assert tcp.select(
        "source", "destinationTransportPort", "packets", "reverse_packets"
    ).rows() == [
        ("10.0.0.1", 80, 11, 9),
        ("2001:db8::1", 80, 11, 9),
    ]
    ping = both.filter(pl.col("protocolIdentifier") == 1)
    shown = ("source", "destination", "destinationTransportPort", "packets", "reverse_packets")
    assert ping.select(shown).rows() == [("10.0.0.1", "10.0.0.2", 8 << 8, 3, 3)]


def test_who_began_is_the_source_even_without_times():
    samples = "protocol = 'sflow5' AND agent = '10.255.0.1' AND protocolIdentifier IN (1, 6, 58)"
    both = summed("source,destination,srcport,dstport,proto", samples, bidirectional=True)
    ends = Counter(both.select("source", "destinationTransportPort").rows())
    assert ends[("10.0.0.1", 80)] == ends[("2001:db8::1", 80)] == ends[("10.0.0.1", 2048)] == 1
    assert both["first"].null_count() == len(both)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("sourceIPv6Address IS NOT NULL", lambda r: r["ipVersion"] == 6),
        ("source = '10.0.0.2'", lambda r: r["source"] == "10.0.0.2"),
        ("exporter LIKE '10.%'", lambda _: False),
        ("agent = '10.255.0.1'", lambda r: r["agent"] == "10.255.0.1"),
        (
            "destinationTransportPort = 80 AND protocol = 'netflow5'",
            lambda r: r["destinationTransportPort"] == 80 and r["protocol"] == "netflow5",
        ),
    ],
)
def test_filters(table, where, wanted):
    expected = {r["source"] for r in table.iter_rows(named=True) if wanted(r)}
    assert set(summed("source", where).to_dict()["source"]) == expected


def test_a_filter_of_times():
    late = summed("source", "first >= TIMESTAMP '2026-11-22 19:14:21.1'")
    early = summed("source", "first < TIMESTAMP '2026-11-22 19:14:21.1'")
    assert len(late) > 0
    assert late["first"].min() > early["first"].max()


def test_the_largest_first():
    rows = asked("--by", "source,proto", "--where", ONE_VIEW, "--order", "packets", "--top", "3")
    counts = [row["packets"] for row in rows]
    assert len(rows) == 3
    assert counts == sorted(counts, reverse=True)
    everything = summed("source", ONE_VIEW)
    assert ordered(everything, "first", None)["first"].is_sorted()


def test_all_formats(tmp_path):
    rows = asked("--by", "source", "--where", ONE_VIEW)
    arguments = (CAPTURE, *OVS, "--by", "source", "--where", ONE_VIEW, "--format")
    text = flowlab(*arguments, "csv").stdout.splitlines()
    assert [line.split(",")[0] for line in text[1:]] == [row["source"] for row in rows]
    file = tmp_path / "x.parquet"
    file.write_bytes(flowlab(*arguments, "parquet").stdout_bytes)
    assert pl.read_parquet(file)["packets"].to_list() == [row["packets"] for row in rows]
    shown = flowlab(*arguments, "table").stdout.splitlines()
    assert shown[0].split()[:2] == ["source", "packets"]
    assert len(shown) == 1 + len(rows)


def test_a_flow_on_a_terminal_is_one_word():
    shown = flowlab(CAPTURE, *OVS, "--where", ONE_VIEW, "--bidirectional").stdout
    assert "ipfix     127.0.0.1  1            tcp 10.0.0.1:38110 → 10.0.0.2:80" in shown


def test_who_is_counted_twice_is_told():
    note = "a packet that was seen several times"
    assert note in flowlab(CAPTURE, "--by", "proto").stderr
    assert note not in flowlab(CAPTURE, "--by", "proto", "--where", ONE_VIEW).stderr
    assert note not in flowlab(CAPTURE).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "port"], "--by 'port': there is protocol, exporter"),
        (["--by", "source", "--bidirectional"], "needs source and destination"),
        (["--where", "octets > 1"], "did you mean octets_l"),
        (["--top", "0"], "0"),
        (["--order", "size"], "size"),
    ],
)
def test_wrong_input_is_told(arguments, words):
    result = flowlab(CAPTURE, *arguments, code=2)
    assert words in result.stderr
    assert "Traceback" not in result.output
