"""Scenarios as text, and how quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.library import all_scenarios, find, theme_of
from lab.scenario.load import inspect_octets, load
from lab.show import describe, expected_table, listing, title

NAMES = [file.stem for file in all_scenarios()]


def described(text: str) -> list[str]:
    inspection = inspect_octets(text.encode(), "x.yaml")
    assert inspection.scenario is not None, inspection.faults
    return describe(inspection.scenario).splitlines()


def test_the_list_has_each_scenario_and_its_title():
    sections = [section.splitlines() for section in listing().split("\n\n")]
    names = [line.split()[0] for _, *lines in sections for line in lines]
    assert names == NAMES
    assert [theme for theme, *_ in sections] == list(dict.fromkeys(map(theme_of, all_scenarios())))
    basics = next(lines for theme, *lines in sections if theme == "basics")
    titles = dict(line.split(maxsplit=1) for line in basics)
    assert titles["one-udp-stream"] == "One UDP stream across two switches"


def test_the_flagship_is_shown_whole():
    text = describe(load(find("one-udp-stream")))
    for part in (
        "One UDP stream across two switches\n==========",
        "linear: switches 2, hosts_per_switch 1",
        "│   s1  2├───┤2   s2  │",
        "h1  10.0.0.1  2001:db8::1  02:00:00:00:00:01",
        "sflow    sFlow v5    targets ipv4, sampling 1, polling_s 0, header_octets 128",
        "1. h1 → h2: 250 UDP datagrams of 1000 octets to port 5001",
        """\
  udp 10.0.0.1:40000 → 10.0.0.2:5001  at s1, s2
    netflow   2x      250     260500          -
    sflow     2x      250     260500     257000
    ipfix     2x      250     260500     257000
""",
        "10.0.0.1:80  at s2, s1, 1048576 octets inside\n    netflow   2x     wire       wire",
        "udp h1 → h2 to port 5001 at s1, s2: packets 250, octets_l2 260500",
    ):
        assert part in text


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_can_be_shown(name):
    text = describe(load(find(name)))
    assert text == "\n".join(line.rstrip() for line in text.splitlines())
    assert "What each exporter must report" in text


def test_what_an_exporter_cannot_see_is_said_and_why():
    text = describe(load(find("ipv6")))
    assert "netflow   not seen: NetFlow v5 has no room for IPv6 addresses" in text


def test_parallel_steps_sampling_and_bounds():
    lines = described("""\
title: A test
topology: {single: {hosts: 20}}
exporters: [{sflow: {sampling: 10}}]
traffic:
  - parallel:
      - udp: {from: h1, to: h2, datagrams: 100}
      - tcp: {from: h3, to: h4}
expect:
  - flow: {from: h1, to: h2, protocol: udp, source_port: 40000}
    exporter: sflow
    packets: {at_least: 1, at_most: 100}
look_for: [one thing, another]
""")
    text = "\n".join(lines)
    for part in (
        "Look for\n  - one thing\n  - another",
        "  h1…h20\n",
        "… h20  10.0.0.20",
        "1. at the same time:",
        "~100",
        "~: estimated from samples",
        "udp h1 → h2 from port 40000 by sflow: packets 1 to 100",
    ):
        assert part in text
    assert sum(line.strip().startswith("- h") for line in lines) == 2


def test_many_flows_are_cut_short_but_not_in_the_table_that_is_asked_for():
    scenario = load(find("one-packet-flows"))
    assert "… and 38 more flows like these" in describe(scenario)
    table = expected_table(scenario)
    assert "more flows" not in table
    assert table.count("udp 10.0.0.1") == 50


def test_a_flow_at_several_switches_is_said_to_be_told_so_many_times():
    lines = expected_table(load(find("neighbours"))).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("  netflow")] == ["1x", "3x"]
    assert "at: how many switches report all of it" in lines[-1]


def test_an_exporter_that_is_elsewhere_does_not_see_a_flow():
    table = expected_table(load(find("one-switch-is-enough")))
    assert "not seen: it is at no switch that the flow crosses" in table


def test_the_title_of_a_wrong_file_is_shown_all_the_same(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("title: Half a\n  scenario\ntraffic: 5\n", encoding="utf-8")
    assert title(file) == "Half a scenario"
    file.write_text("title: [\n", encoding="utf-8")
    assert title(file) == "(cannot be read; see lint)"
    assert title(tmp_path / "none.yaml") == "(cannot be read; see lint)"


@pytest.mark.parametrize("module", ["lab.library", "lab.show", "lab.scenario.document"])
def test_what_lists_scenarios_imports_no_schema_library(module):
    heavy = "{'pydantic', 'polars', 'numpy', 'rich'} & set(sys.modules)"
    program = f"import sys, {module}; print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_what_shows_a_scenario_imports_no_columns():
    program = (
        "import sys; from lab.show import describe; from lab.library import find;"
        "from lab.scenario.load import load; describe(load(find('one-ping')));"
        "print({'polars', 'numpy', 'scipy', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
