"""The bundled corpus is well-formed and small; the bundled collector is right about all of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner

from collector.backends.custom import Settings
from collector.conform import Result
from collector.corpus.case import WrongCaseError, read_truth, truth_text
from lab.cli import main
from lab.conform.run import Collector, conform, way_in
from lab.corpus import CORPUS, find_cases, read_case, write_case
from lab.described import read_as

MOST_OCTETS = 1_000_000
EXAMPLES = CORPUS.parent / "docs" / "collectors"


def run(*arguments):
    return CliRunner().invoke(main, ["conform", *arguments])


def test_it_is_small_and_has_all_protocols():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MOST_OCTETS
    cases = find_cases([])
    protocols = {protocol for case in cases for protocol in case.manifest.protocols}
    assert protocols == {"netflow5", "netflow9", "ipfix", "sflow5"}
    for case in cases:
        assert case.truth().flows
        assert case.manifest.about


def test_ours_is_right_about_every_case():
    outcomes = conform(find_cases([]), [Collector("flowlab")], way_in()[0], 2, lambda _: None)
    wrong = [(one.case.name, one.result, one.why) for one in outcomes if one.result != Result.PASS]
    assert not wrong


def test_a_case_that_is_written_is_read_again(tmp_path):
    (case,) = find_cases(["one-datagram"])
    again = write_case(tmp_path / "again", case.manifest, case.truth(), case.exports)
    assert read_case(again.folder).manifest == case.manifest
    assert again.truth() == case.truth()
    assert again.exports.read_bytes() == case.exports.read_bytes()


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("case.yaml", "title: a\n", "case.yaml:1:1: the key 'about' is missing"),
        ("case.yaml", "title: [\n", "case.yaml:"),
        ("truth.json", "{", "is not of the format"),
        ("truth.json", '{"flows": [{"protocol": "netflow7"}]}', "flow 1: protocol is 'netflow7'"),
        (
            "truth.json",
            '{"flows": [{"protocol": "ipfix", "packets": 1.5}]}',
            "and must be a whole number or null",
        ),
    ],
)
def test_what_is_wrong_with_a_case_is_said(tmp_path, file, text, told):
    (case,) = find_cases(["one-datagram"])
    wrong = write_case(tmp_path / "wrong", case.manifest, case.truth(), case.exports)
    (wrong.folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(WrongCaseError, match=r".*") as refused:
        read_case(wrong.folder).truth()
    assert told in str(refused.value)


def test_a_feature_that_is_not_in_the_table_is_refused(tmp_path):
    (case,) = find_cases(["one-datagram"])
    again = write_case(tmp_path / "again", case.manifest, case.truth(), case.exports)
    path = again.folder / "case.yaml"
    path.write_text(path.read_text("utf-8").replace("- ipv4", "- ipv5"), encoding="utf-8")
    with pytest.raises(WrongCaseError, match="'ipv5' is none of ipv4"):
        read_case(again.folder)


def test_a_truth_is_a_flow_a_line():
    (case,) = find_cases(["ping-both-versions"])
    truth = case.truth()
    text = truth_text(truth)
    assert text == (case.folder / "truth.json").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(truth.flows) + 5
    assert json.loads(text)["counts"]["records"] == truth.counts["records"]
    with pytest.raises(WrongCaseError, match="cannot be read"):
        read_truth(case.folder / "nothing.json")


def test_the_command_says_it_in_all_forms(tmp_path):
    junit, html = tmp_path / "report.xml", tmp_path / "report.html"
    ran = run(
        *("--collector", "flowlab", "--cases", "one-datagram", "--json"),
        *("--junit", str(junit), "--html", str(html)),
    )
    assert ran.exit_code == 0, ran.output
    (outcome,) = json.loads(ran.stdout)["outcomes"]
    assert (outcome["case"], outcome["result"]) == ("one-datagram", "pass")
    assert outcome["compared"] == 19
    suite = ET.parse(junit).getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("flowlab", "1", "0")
    page = html.read_text(encoding="utf-8")
    assert "one-datagram" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--collector", "nobody"), 2, "there is no collector 'nobody'"),
        (("--collector", "flowlab", "--cases", "nothing"), 2, "no bundled case 'nothing'"),
        (("--collector", "none.yaml"), 2, "none.yaml: No such file"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(arguments, code, told):
    ran = run(*arguments)
    assert ran.exit_code == code
    assert told in ran.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\n", "the key 'command' is missing"),
        (
            "name: x\ncommand: [x]\noutput: {format: xml}\ncolumns: {}\n",
            "expected jsonl, json or csv, found the text 'xml'",
        ),
        (
            "name: x\ncommand: [x]\noutput: {format: json}\ncolumns: {colour: c}\n",
            "there is no column 'colour'",
        ),
        (
            "name: x\ncommand: [x]\noutput: {format: json, http: 'http://1.1.1.1'}\ncolumns: {}\n",
            "is not on this machine",
        ),
        ("name: x\nkommand: [x]\n", "there is no such key"),
    ],
)
def test_what_is_wrong_with_a_description_is_said_with_its_line(tmp_path, text, told):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    ran = run("--collector", str(path), "--cases", "one-datagram")
    assert ran.exit_code == 2
    assert told in ran.output
    assert f"{path}:" in ran.output


def test_a_collector_that_is_not_installed_cannot_be_examined(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: x\ncommand: [no-such-program]\noutput: {format: json}\n"
        "columns: {source: a, destination: b, packets: c}\n",
        encoding="utf-8",
    )
    ran = run("--collector", str(path), "--cases", "one-datagram")
    assert ran.exit_code == 4
    assert "no-such-program not installed" in ran.output


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_in_the_documents_are_of_the_form(path):
    assert read_as(Settings, path).name == path.stem
