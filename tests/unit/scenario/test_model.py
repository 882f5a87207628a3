"""A scenario as a value: defaults, short forms, and JSON there and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from collector.check.tolerance import Region, Tolerance
from collector.key import flags_text
from lab.scenario.expectation import Expectation
from lab.scenario.load import inspect_octets
from lab.scenario.model import Scenario
from lab.traffic import KINDS
from topologies import SHAPES

LEAST = {
    "name": "least",
    "title": "The least",
    "topology": "single",
    "exporters": ["netflow"],
    "traffic": [{"ping": {"from": "h1", "to": "h2"}}],
}
CAPTURE = Path(__file__).parents[3] / "scenarios" / "protocols" / "replayed.pcap"
FLOW = {"from": "h1", "to": "h2", "protocol": "udp"}


def scenario(**sections):
    return Scenario.model_validate({**LEAST, **sections})


def expectation(**measures):
    return Expectation.model_validate({"flow": FLOW, **measures})


def test_what_is_left_out_has_defaults():
    least = scenario()
    assert least.topology == SHAPES["single"].parameters(hosts=2)
    assert [exporter.name for exporter in least.exporters] == ["netflow"]
    assert least.expect == ()
    assert least.tolerances.by_measure() == {"packets": Tolerance(), "octets": Tolerance()}
    assert not least.uses_ipv6


@pytest.mark.parametrize(
    "written", ["linear", {"linear": None}, {"linear": {}}, {"linear": {"switches": 2}}]
)
def test_ways_to_write_a_topology(written):
    assert scenario(topology=written).topology == SHAPES["linear"].parameters(switches=2)


@pytest.mark.parametrize(
    "written",
    [
        ["netflow", {"sflow": {"sampling": 2}}],
        {"netflow": None, "sflow": {"sampling": 2}},
        [{"netflow": {}}, {"sflow": {"sampling": 2}}],
        [{"netflow": None}, {"sflow": {"sampling": 2}}],
    ],
)
def test_ways_to_write_exporters(written):
    netflow, sflow = scenario(exporters=written).exporters
    assert (netflow.name, sflow.name) == ("netflow", "sflow")
    assert sflow.observes().sampling == 2


def test_one_exporter_needs_no_list():
    (ipfix,) = scenario(exporters="ipfix").exporters
    assert ipfix.name == "ipfix"


def test_a_step_is_a_stage_and_so_are_parallel_steps():
    ping = {"ping": {"from": "h1", "to": "h2"}}
    udp = {"udp": {"from": "h2", "to": "h1", "ip_version": 6}}
    several = scenario(traffic=[ping, {"parallel": [udp, ping]}])
    assert [[step.kind for step in stage] for stage in several.traffic] == [
        ["ping"],
        ["udp", "ping"],
    ]
    assert several.uses_ipv6


@pytest.mark.parametrize(
    ("written", "region", "read_back"),
    [
        (250, Region(250, 250), 250),
        ("10k", Region(10_000, 10_000), 10_000),
        ({"exactly": 3}, Region(3, 3), 3),
        ({"at_least": 2}, Region(2, None), {"at_least": 2}),
        ({"at_most": 2}, Region(None, 2), {"at_most": 2}),
        ({"at_least": 1, "at_most": 2}, Region(1, 2), {"at_least": 1, "at_most": 2}),
    ],
)
def test_bounds(written, region, read_back):
    expected = expectation(packets=written)
    assert expected.measures == {"packets": region}
    assert expected.model_dump(mode="json")["packets"] == read_back


def test_octets_may_have_units():
    assert expectation(octets_l2={"at_least": "1KiB"}).measures == {"octets_l2": Region(1024, None)}


def test_flags_are_bits_under_the_name_that_checks_use():
    expected = expectation(tcp_flags="syn | ACK|FIN")
    assert expected.measures == {"tcpControlBits": Region(0x13, 0x13)}
    assert expected.model_dump(mode="json")["tcp_flags"] == "SYN|ACK|FIN"


@pytest.mark.parametrize("bits", range(1, 256))
def test_flags_as_text_mean_the_same(bits):
    assert expectation(tcp_flags=flags_text(bits)).tcp_flags == bits


@pytest.mark.parametrize("written", ["s1", ["s1"]])
def test_one_switch_needs_no_list(written):
    assert expectation(at=written, packets=1).at == ("s1",)


@pytest.mark.parametrize(
    ("written", "tolerance", "read_back"),
    [
        (0, Tolerance(), 0),
        (3, Tolerance(absolute=3), 3),
        ("1%", Tolerance(relative=0.01), "1%"),
        ("0.5 %", Tolerance(relative=0.005), "0.5%"),
        ("100%", Tolerance(relative=1), "100%"),
    ],
)
def test_tolerances(written, tolerance, read_back):
    lenient = scenario(tolerances={"packets": written})
    assert lenient.tolerances.by_measure()["packets"] == tolerance
    assert lenient.to_json()["tolerances"] == {"packets": read_back, "octets": 0}


FULL = b"""\
name: full
title: All there is
description: |
  Two lines
  of text.
look_for: [one thing, another]
topology: {tree: {depth: 2, fanout: 3}}
exporters: {netflow: {active_timeout_s: 1}, sflow: {sampling: 10}, ipfix: }
traffic:
  - udp: {from: h1, to: h2, payload_octets: 1kB, rate_pps: 1.5k, source_port: 9}
  - parallel:
      - tcp: {from: h3, to: h4, send_octets: 1MiB}
      - ping: {from: h5, to: h6, ip_version: 6}
expect:
  - {flow: {from: h1, to: h2, protocol: udp, port: 5001}, at: s2, packets: 1}
  - {flow: {from: h3, to: h4, protocol: tcp}, exporter: netflow, tcp_flags: SYN|ACK}
tolerances: {packets: 1, octets: 2.5%}
"""


def test_a_scenario_goes_through_json_and_comes_back_the_same():
    inspection = inspect_octets(FULL, "full.yaml")
    full = inspection.scenario
    assert full is not None, inspection.faults
    assert Scenario.model_validate_json(full.model_dump_json()) == full
    assert Scenario.model_validate(json.loads(json.dumps(full.to_json()))) == full


def test_the_json_has_the_shape_of_the_file():
    full = inspect_octets(FULL, "full.yaml").scenario
    assert full is not None
    written = full.to_json()
    assert written["topology"] == {"tree": {"depth": 2, "fanout": 3}}
    assert [list(exporter) for exporter in written["exporters"]] == [
        ["netflow"],
        ["sflow"],
        ["ipfix"],
    ]
    assert written["traffic"][0]["udp"]["from"] == "h1"
    assert [list(step) for step in written["traffic"][1]["parallel"]] == [["tcp"], ["ping"]]
    assert written["expect"][0]["flow"]["to"] == "h2"
    assert written["description"] == "Two lines\nof text."


def test_json_reads_as_yaml_too():
    """A run's scenario.json can be run again."""
    full = inspect_octets(FULL, "full.yaml").scenario
    assert full is not None
    again = inspect_octets(full.model_dump_json().encode(), "scenario.json")
    assert again.faults == ()
    assert again.scenario == full


def test_a_scenario_is_frozen():
    with pytest.raises(ValidationError):
        scenario().title = "other"


def test_every_topology_and_every_traffic_kind_can_be_written():
    for shape in set(SHAPES) - {"custom"}:
        assert scenario(topology=shape).build_topology().kind == shape
    own = {"hosts": ["h1", "h2"], "switches": ["s1"], "links": [["h1", "s1"], ["h2", "s1"]]}
    assert scenario(topology={"custom": own}).build_topology().kind == "custom"
    for kind in KINDS:
        given = {"from": "h1", "to": "h2", "layers": [{"UDP": {}}]}
        if kind == "replay":
            given = {"file": str(CAPTURE), "hosts": {"192.0.2.1": "h1", "192.0.2.2": "h2"}}
        fields = {field.alias or name for name, field in KINDS[kind].model_fields.items()}
        settings = {key: value for key, value in given.items() if key in fields}
        ((step,),) = scenario(traffic=[{kind: settings}]).traffic
        assert step.kind == kind


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("scenarios/basics/one-ping.yaml", "one-ping"),
        ("My first try.yaml", "My-first-try"),
        ("../..yaml", "scenario"),
        (".hidden.yaml", "hidden"),
        ("größe.yaml", "gr-e"),
        ("x" * 200, "x" * 64),
        ("---", "scenario"),
        ("_ -a.yaml", "a"),
    ],
)
def test_a_scenario_without_a_name_has_its_files(file, name):
    text = (
        b"title: t\ntopology: single\nexporters: netflow\ntraffic: [{ping: {from: h1, to: h2}}]\n"
    )
    inspection = inspect_octets(text, file)
    assert inspection.scenario is not None, inspection.faults
    assert inspection.scenario.name == name
