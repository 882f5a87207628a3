"""Every fault that a scenario file can have: where it is, what is said of it, what to do next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.scenario.load import ScenarioFaults, inspect_octets, load
from lab.traffic import KINDS

RIGHT = {
    "title": "title: A test",
    "topology": "topology: {linear: {switches: 2}}",
    "exporters": "exporters: [netflow, sflow, ipfix]",
    "traffic": "traffic:\n  - udp: {from: h1, to: h2}",
}
"""A scenario without faults, section by section; a case replaces some and adds some."""

HERE = Path(__file__).parent
CASES = yaml.safe_load((HERE / "faults.yaml").read_text(encoding="utf-8"))
SYNTAX = yaml.safe_load((HERE / "syntax.yaml").read_text(encoding="utf-8"))


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["what"]) for case in cases]


def faults_of(text: str | bytes) -> list[str]:
    octets = text.encode() if isinstance(text, str) else text
    return [str(fault).removeprefix("x.yaml:") for fault in inspect_octets(octets, "x.yaml").faults]


def told(case: dict[str, Any]) -> str:
    text: str = case["faults"]
    return text.replace("<traffic kinds>", ", ".join(KINDS))


@pytest.mark.parametrize("case", named(CASES))
def test_what_is_said_of_a_fault(case: dict[str, Any]):
    sections = (RIGHT | case["with"]).values()
    assert faults_of("\n".join(filter(None, sections)) + "\n") == told(case).splitlines()
    assert case["faults"]


@pytest.mark.parametrize("case", named(SYNTAX))
def test_what_is_said_of_text_that_is_no_yaml(case: dict[str, Any]):
    assert faults_of(case["text"]) == [case["faults"].rstrip("\n")]


def test_the_base_of_the_cases_has_no_faults():
    assert faults_of("\n".join(RIGHT.values())) == []


@pytest.mark.parametrize(
    "sections",
    [
        # a source port that is given is the same each time
        {
            "traffic": "traffic:\n  - parallel:\n"
            "      - udp: {from: h1, to: h2, source_port: 50000, port: 1000, repeat: 5}\n"
            "      - udp: {from: h1, to: h2, source_port: 50001, port: 2000}"
        },
        # players' sinks can share a port; those of the two IP versions are apart anyway
        {
            "traffic": "traffic:\n  - parallel:\n      - fragments: {from: h1, to: h2}\n"
            "      - fragments: {from: h1, to: h2}\n      - udp: {from: h1, to: h2, ip_version: 6}"
        },
        # of a range of ports some are reported
        {
            "exporters": "exporters: [ipfix]",
            "traffic": "traffic:\n  - udp: {from: h1, to: h2, port: 3786}",
            "expect": "expect:\n  - {flow: {from: h1, to: h2, protocol: udp, port: 3784-3790}, "
            "packets: 1}",
        },
        {
            "exporters": "exporters: [{ipfix-flow: {only: udp, port: 5001}}]",
            "expect": "expect:\n  - {flow: {from: h1, to: h2, protocol: udp, port: 5000-5010}, "
            "packets: 1}",
        },
    ],
)
def test_what_can_work_is_no_fault(sections: dict[str, str]):
    assert faults_of("\n".join((RIGHT | sections).values()) + "\n") == []


def test_no_message_is_in_the_schema_librarys_words():
    told = " ".join(case["faults"] for case in CASES).lower()
    for word in ("input", "field required", "permitted", "tuple", "dictionary", "pydantic"):
        assert word not in told


def test_all_faults_are_told_at_once_in_the_order_of_the_file():
    text = """\
titel: A test
topology: {linear: {switches: 2}}
exporters: [netflow, sflo]
traffic:
  - udp: {from: h1, to: h9, pakets: 3}
  - parallel:
      - udp: {from: h1, to: h2, payload_octets: 1500}
      - pign: {from: h1, to: h2}
expect:
  - {flow: {from: h1, to: h2, protocol: udp}, at: s4, packets: 0755}
"""
    assert [line.split(";")[0] for line in faults_of(text)] == [
        "1:1: unknown key 'titel'",
        "3:22: unknown exporter 'sflo'",
        "5:25: there is no host 'h9' in this topology",
        "5:29: unknown key 'pakets' in udp",
        "7:49: expected at most 1472, found the number 1500",
        "8:9: unknown traffic kind 'pign'",
        "10:51: there is no switch 's4' in this topology",
        "10:64: '0755' is octal to some readers of YAML and not to others",
    ]


def test_paths_are_in_the_scenarios_own_words():
    text = "\n".join(
        (RIGHT | {"traffic": "traffic:\n  - udp: {from: h1, to: h2, pakets: 3}"}).values()
    )
    (fault,) = inspect_octets(text.encode(), "x.yaml").faults
    assert fault.path == "traffic[0].udp.pakets"
    assert (fault.line, fault.column) == (5, 29)
    assert fault.hint == "did you mean 'datagrams'?"


def test_a_place_that_an_alias_shows_twice_is_told_once():
    text = "\n".join(RIGHT.values()).replace("- udp", "- &a\n    udp").replace("to: h2", "to: h3")
    assert len(faults_of(f"{text}\n  - *a\n")) == 1


# ------------------------------------------------------------------ files


def test_octets_that_are_not_utf8_are_placed():
    assert faults_of("title: é".encode() + b"\nname: \xe9") == [
        "2:7: the octet 0xe9 is not UTF-8 text; save the file as text, in the encoding UTF-8"
    ]


def test_a_byte_order_mark_is_no_fault():
    assert faults_of("\ufeff" + "\n".join(RIGHT.values())) == []


def test_a_large_file_is_refused():
    (fault,) = inspect_octets(b" " * (2**20 + 1), "x.yaml").faults
    assert str(fault).startswith("x.yaml: the file is larger than 1 MiB; ")


def test_aliases_that_grow_are_refused():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    (fault,) = inspect_octets("\n".join(lines).encode(), "x.yaml").faults
    assert "more than 20000 values" in fault.message
    assert fault.line == 5


def test_aliases_that_nest_are_refused():
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40))]
    (fault,) = inspect_octets("\n".join(lines).encode(), "x.yaml").faults
    assert "nested more than 20 deep" in fault.message


def test_text_that_nests_is_refused():
    (fault,) = inspect_octets(b"[" * 100_000, "x.yaml").faults
    assert str(fault) == "x.yaml:1:22: this is nested more than 20 deep; write it flatter"


def test_characters_that_yaml_excludes_are_placed():
    assert faults_of("a: é\0") == ["1:5: the character U+0000 may not be in YAML; delete it"]


def test_many_values_are_refused():
    (fault,) = inspect_octets(b"- a\n" * 30_000, "x.yaml").faults
    assert "more than 20000 values" in fault.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ScenarioFaults) as caught:
        load(tmp_path / "none.yaml")
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"{tmp_path}/none.yaml: the file cannot be read: No such file")
    assert str(caught.value) == str(fault)


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ScenarioFaults, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_files_name_is_printable_whatever_it_is(tmp_path):
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\n\x1b[2J.yaml"))
    path.write_bytes(b"x: 1")
    with pytest.raises(ScenarioFaults) as caught:
        load(path)
    assert str(caught.value).startswith(f"{tmp_path}/\\xff\\n\\x1b[2J.yaml:1:1: ")
    assert str(caught.value).encode("utf-8").decode("utf-8").replace("\n", "").isprintable()


NETWORK = """\
# what would stand below 'topology'
custom:
  hosts: [ada, bob]
  switches: [s1]
  links: [[ada, s1], [bob, s1]]
"""
IN_A_FILE = """\
title: A test
topology: {file: networks/mine.yaml}
exporters: [netflow]
traffic:
  - udp: {from: ada, to: bob}
"""


def in_a_file(tmp_path: Path, network: str | None, scenario: str = IN_A_FILE) -> Path:
    (tmp_path / "networks").mkdir()
    if network is not None:
        (tmp_path / "networks" / "mine.yaml").write_text(network, encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(scenario, encoding="utf-8")
    return file


def test_a_network_may_have_a_file_of_its_own_and_what_comes_out_needs_it_no_more(tmp_path):
    scenario = load(in_a_file(tmp_path, NETWORK))
    assert [host.name for host in scenario.build_topology().hosts] == ["ada", "bob"]
    assert scenario.to_json()["topology"]["custom"]["hosts"] == ["ada", "bob"]


@pytest.mark.parametrize(
    ("network", "faults"),
    [
        (
            NETWORK.replace("hosts", "host"),
            ["networks/mine.yaml:3:3: unknown key 'host' in custom"],
        ),
        (NETWORK.replace("bob, s1", "bo, s1"), ["networks/mine.yaml:3:3: a link ends at bo"]),
        (NETWORK.replace("[s1]", "[s1"), ["networks/mine.yaml:4:13: this '[' is not closed"]),
        (NETWORK.replace("[s1]", "[007]"), ["networks/mine.yaml:4:14: '007' is octal"]),
        ("", ["networks/mine.yaml:1:1: the file is empty; write what would stand"]),
        ("file: x.yaml", ["networks/mine.yaml:1:1: unknown topology 'file'"]),
        (None, ["mine.yaml:2:18: the file cannot be read: there is no such file; name it as"]),
        ("star", ["mine.yaml:5:17: there is no host 'ada'", "mine.yaml:5:26: there is no host"]),
    ],
)
def test_a_networks_file_is_told_with_its_own_lines(tmp_path, network, faults):
    with pytest.raises(ScenarioFaults) as caught:
        load(in_a_file(tmp_path, network))
    told = [str(fault).removeprefix(f"{tmp_path}/") for fault in caught.value.faults]
    assert len(told) == len(faults)
    for fault, begins in zip(told, faults, strict=True):
        assert fault.startswith(begins)


@pytest.mark.parametrize("name", ["networks", "/dev/zero", '"\\0"'])
def test_only_a_file_is_read_for_a_network(tmp_path, name):
    text = IN_A_FILE.replace("networks/mine.yaml", name)
    with pytest.raises(ScenarioFaults) as caught:
        load(in_a_file(tmp_path, None, text))
    assert len(caught.value.faults) == 1
