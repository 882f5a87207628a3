"""Real exports of Open vSwitch 3.1.0 against the wire, against tshark, and against last time."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from collector import pcap
from collector.decode import OPEN_VSWITCH, STANDARD, decode
from collector.flows import FLOWS, KEY, WIRE_FLOWS, flow_json, flow_key, flows, wire_flows
from collector.key import FlowKey
from tests.golden.write_flows import EXPECTED, rows

HERE = Path(__file__).parent
COUNTS = ["packets", "octets_l2", "octets_l3"]


@pytest.fixture(scope="module")
def decoded():
    return decode(pcap.datagrams(pcap.read(HERE / "openvswitch.pcap")), OPEN_VSWITCH)


@pytest.fixture(scope="module")
def exported(decoded):
    return flows(decoded)


def on_the_wire(switch):
    """What came into a switch, less the multicast: some of it came before the exporters were on."""
    ports = (f"s{switch}-eth{port}" for port in (1, 2))
    found = [wire_flows(pcap.read(HERE / f"openvswitch-{port}-in.pcap"), port) for port in ports]
    return (
        without_multicast(pl.concat(found))
        .group_by(list(KEY))
        .agg(
            pl.col("packets", "octets_l2").sum(),
            pl.when(pl.col("octets_l3").null_count() == 0).then(pl.col("octets_l3").sum()),
            pl.col("tcpControlBits").bitwise_or(),
            pl.col("first_ns").min(),
            pl.col("last_ns").max(),
        )
    )


def without_multicast(table):
    return table.filter(~pl.col("destination").str.starts_with("ff02::"))


def seen(exported, protocol, switch):
    """What one exporter of one switch saw come in."""
    mine = (pl.col("agent") == f"10.255.0.{switch}") | (pl.col("observation_domain") == switch)
    ingress = pl.col("flowDirection").fill_null(0) == 0
    of_protocol = pl.col("protocol") == protocol
    return without_multicast(exported.filter(of_protocol & mine.fill_null(value=False) & ingress))


def values(table, columns):
    return {
        flow_key(row): {name: row[name] for name in columns} for row in table.iter_rows(named=True)
    }


@pytest.mark.parametrize("switch", [1, 2])
@pytest.mark.parametrize("protocol", ["netflow5", "ipfix", "sflow5"])
def test_exports_are_exactly_what_came_in(exported, protocol, switch):
    wire, table = on_the_wire(switch), seen(exported, protocol, switch)
    if protocol == "netflow5":
        wire = wire.filter(pl.col("ipVersion") == 4)
    columns = COUNTS[:2] if protocol == "netflow5" else COUNTS
    expected = values(wire, columns)
    assert values(table, columns) == expected
    assert len(expected) == {"netflow5": 9}.get(protocol, 16)


@pytest.mark.parametrize("switch", [1, 2])
@pytest.mark.parametrize("protocol", ["netflow5", "sflow5"])
def test_tcp_flags_are_those_of_the_wire(exported, protocol, switch):
    wire = values(on_the_wire(switch), ["tcpControlBits"])
    found = values(seen(exported, protocol, switch), ["tcpControlBits"])
    assert found == {key: wire[key] for key in found}
    assert any(flags["tcpControlBits"] for flags in found.values())


@pytest.mark.parametrize("switch", [1, 2])
def test_times_are_those_of_the_wire(exported, switch):
    wire = values(on_the_wire(switch), ["first_ns", "last_ns"])
    for protocol, count in (("ipfix", 16), ("netflow5", 9)):
        found = values(seen(exported, protocol, switch), ["first_ns", "last_ns", "packets"])
        off_ms = {
            key: max(abs(row[name] - wire[key][name]) for name in wire[key]) / 1e6
            for key, row in found.items()
        }
        assert len(off_ms) == count
        assert max(off_ms.values()) < 2


def test_netflow5_times_move_when_time_is_warped():
    """Warped before the export, sysUptime runs ahead of the wall clock: times come out early."""
    found = decode(pcap.datagrams(pcap.read(HERE / "openvswitch-warped.pcap")), OPEN_VSWITCH)
    (batch,) = found.batches
    columns = batch.columns
    boot_ms = columns["flowStartMilliseconds"] - columns["flowStartSysUpTime"].astype("int64")
    early_ms = boot_ms.max() - boot_ms
    one_packet = columns["packetDeltaCount"] == 1
    assert early_ms[~one_packet].max() <= 1
    # 1000 ms by warping, less 25 ms that the wall clock went on meanwhile.
    assert early_ms[one_packet].max() == 975
    # All of these packets were sent within 2 ms.
    burst = columns["destinationIPv4Address"] == 0x0A000009
    sent_ms = columns["flowEndMilliseconds"] + early_ms
    assert sent_ms[burst].max() - sent_ms[burst].min() <= 2


def test_what_is_not_said_stays_unknown(exported):
    by_protocol = {
        protocol: exported.filter(pl.col("protocol") == protocol)
        for protocol in ("netflow5", "ipfix", "sflow5")
    }
    assert by_protocol["netflow5"]["octets_l3"].null_count() == len(by_protocol["netflow5"])
    assert by_protocol["ipfix"]["tcpControlBits"].null_count() == len(by_protocol["ipfix"])
    assert by_protocol["ipfix"]["sampling_rate"].null_count() == len(by_protocol["ipfix"])
    assert by_protocol["sflow5"]["first_ns"].null_count() == len(by_protocol["sflow5"])
    not_tcp = exported.filter(pl.col("protocolIdentifier") != 6)
    assert not_tcp["tcpControlBits"].null_count() == len(not_tcp)
    assert by_protocol["sflow5"]["sampling_rate"].unique().to_list() == [1.0]
    assert by_protocol["netflow5"]["sampling_rate"].unique().to_list() == [1.0]


def test_summary(decoded):
    summary = decoded.summary
    assert not summary.faults
    assert summary.undecodable == ()
    assert not summary.lost
    assert not any(stream.gaps or stream.reordered for stream in summary.streams)
    assert summary.datagrams == 178
    assert summary.templates == 2 * 88 + 1
    assert not summary.unknown
    assert summary.borrowed_templates == 0
    assert len(summary.streams) == 6


def test_payload_octets_of_tcp():
    port = wire_flows(pcap.read(HERE / "openvswitch-s1-eth1-in.pcap"), "s1-eth1")
    tcp = port.filter(pl.col("protocolIdentifier") == 6)
    assert tcp["payload_octets"].to_list() == [3000, 3000]
    rest = port.filter(pl.col("protocolIdentifier") != 6)
    assert rest["payload_octets"].null_count() == len(rest)
    back = wire_flows(pcap.read(HERE / "openvswitch-s1-eth2-in.pcap"), "s1-eth2")
    assert back.filter(pl.col("protocolIdentifier") == 6)["payload_octets"].to_list() == [5000] * 2


def test_columns(exported):
    assert dict(exported.schema) == FLOWS
    port = pcap.read(HERE / "openvswitch-s1-eth1-in.pcap")
    assert dict(wire_flows(port, "s1-eth1").schema) == WIRE_FLOWS


def test_flow_names_are_ianas(exported):
    for row in exported.iter_rows(named=True):
        named = flow_json(row)
        assert FlowKey.from_json(named) == flow_key(row)


def test_nothing_changed_since_last_time():
    expected = [json.loads(line) for line in EXPECTED.read_text().splitlines()]
    assert rows() == expected


def test_templates_of_another_domain():
    """A flow exporter announces its templates to one domain; read strictly, the others are lost."""
    found = pcap.datagrams(pcap.read(HERE / "openvswitch-flow-sampling.pcap"))
    strict, lenient = decode(found, STANDARD).summary, decode(found, OPEN_VSWITCH).summary
    assert (strict.records, strict.faults, strict.borrowed_templates) == (3, 7, 0)
    assert (lenient.records, lenient.faults, lenient.borrowed_templates) == (10, 0, 7)
    assert lenient.lost == 0


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_sums_the_same(exported):
    fields = ["cflow.version", "cflow.direction", "cflow.packets", "cflow.octets"]
    command = ["tshark", "-r", str(HERE / "openvswitch.pcap"), "-T", "fields"]
    for port in ("2055", "4739"):
        command += ["-d", f"udp.port=={port},cflow"]
    for field in [*fields, "sflow.flow_sample.sampling_rate"]:
        command += ["-e", field]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    totals = {"netflow5": [0, 0], "ipfix": [0, 0], "sflow5": [0, 0]}
    for line in shown.splitlines():
        version, direction, *counts, rates = line.split("\t")
        if direction.startswith("1"):
            continue
        protocol = {"5": "netflow5", "10": "ipfix"}.get(version, "sflow5")
        texts = counts if version else [rates, ""]
        for at, text in enumerate(texts):
            totals[protocol][at] += sum(map(int, text.split(","))) if text else 0
    ingress = exported.filter(pl.col("flowDirection").fill_null(0) == 0)
    ours = {protocol: ingress.filter(pl.col("protocol") == protocol).sum() for protocol in totals}
    assert totals["netflow5"] == list(ours["netflow5"].select("packets", "octets_l2").row(0))
    assert totals["ipfix"] == list(ours["ipfix"].select("packets", "octets_l3").row(0))
    assert totals["sflow5"] == [ours["sflow5"]["packets"][0], 0]
