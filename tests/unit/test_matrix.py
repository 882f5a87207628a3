"""Reports of cases against collectors: whatever a collector printed, and whatever it is called."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.backends import BACKENDS
from collector.check import Break, Outcome, Verdict
from collector.conform import Compared, Finding, Result
from collector.corpus.case import EXPORTS, TRUTH, Case, Manifest, Truth, WrongCaseError, read_truth
from collector.corpus.case import truth_text as text_of
from collector.recording import Writer
from lab.cli import main
from lab.conform.evidence import evidence
from lab.conform.run import Collector, NoCollector, _outcome, chosen, told_apart
from lab.conform.run import Outcome as Came
from lab.conform.session import Told, _by_exporter
from lab.profiles import Plan, read_profile, write
from lab.report import junit, matrix
from lab.runner import Ran

ODD = "\x1b[31mERROR\x1b[0m \x00 \x9b \ufffe \ud800 <x>"
MANIFEST = Manifest("a", "b", ["ipfix"], [], "c", "d")
LINE = "name: {}\ncommand: [sh]\noutput: {{format: csv, file: stdout}}\n"
COLUMNS = "columns: {source: s, destination: d, packets: p}\n"


def came(why="", result=Result.CRASHED, folder="cases/x", collector="mine"):
    return Came(Case(Path(folder), MANIFEST), collector, Compared(result), why)


def test_what_a_collector_printed_breaks_no_report():
    outcomes = [came(ODD)]
    (failure,) = ET.fromstring(matrix.junit(outcomes)).iter("failure")
    for text in (failure.get("message"), failure.text, matrix.line(outcomes[0])):
        assert "ERROR" in text
        assert not set(text) & set("\x1b\x00\x9b\ufffe\ud800")
    matrix.page(outcomes).encode()


def test_what_a_program_of_a_run_printed_breaks_no_report():
    verdict = Verdict("case", Outcome.INVALID, (), (Break("declared → sent", ODD),))
    (error,) = ET.fromstring(junit.document([Ran(Path("r"), verdict, 1.0, 1.0, 0.1)])).iter("error")
    assert "ERROR" in error.get("message")


def test_versions_are_in_all_reports():
    outcomes, versions = [came(result=Result.PASS)], {"mine": "mine 1.2"}
    assert matrix.plain(outcomes, versions)["collectors"] == [
        {"name": "mine", "version": "mine 1.2"}
    ]
    (told,) = ET.fromstring(matrix.junit(outcomes, versions)).iter("property")
    assert told.attrib == {"name": "version", "value": "mine 1.2"}
    assert "mine 1.2" in matrix.page(outcomes, versions)


def test_a_case_without_datagrams_is_no_pass(tmp_path):
    Writer(tmp_path / EXPORTS).close()
    (tmp_path / TRUTH).write_text(text_of(Truth([], {"datagrams": 0})), encoding="utf-8")
    case = Case(tmp_path, MANIFEST)
    one = _outcome(case, Collector("flowlab"), Told(0, None, [], {"datagrams": 0}), 0.0)
    assert one.result == Result.NO_RESULT
    assert "has no datagrams: there is nothing to compare" in one.why


def test_evidence_of_unapplied_sampling_has_the_octets_that_say_the_rate(tmp_path):
    for name in ("router-netflow5-sampled", "router-netflow5"):
        case = write(Plan.of(read_profile(name)), name, tmp_path / name)
        row = case.truth().flows[0]
        finding = Finding({"exporter": row["exporter"]}, row["flow"], "packets", 100, 1)
        (found,) = evidence(case, [finding], BACKENDS["flowlab"])
        names = [line[2] for line in found.lines]
        if name == "router-netflow5":
            assert names == ["packetDeltaCount"]
            assert "sampling" not in found.title
        else:
            assert names == ["sampling", "packetDeltaCount"]
            assert found.lines[0][:2] == (22, "80 64")
            assert found.title.endswith("; sampling 1 in 100")


def test_cases_of_one_name_are_called_by_their_paths():
    cases = [Case(Path(name), MANIFEST) for name in ("one/x", "two/x", "two/y")]
    assert [case.name for case in told_apart(cases)] == ["one/x", "two/x", "y"]


def test_collectors_of_one_name_are_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(LINE.format("x") + COLUMNS, encoding="utf-8")
    files = [str(tmp_path / f"{name}.yaml") for name in ("one", "two")]
    with pytest.raises(NoCollector, match="another collector that is called 'x'"):
        chosen([",".join(files)])
    with pytest.raises(NoCollector, match="no collector is named"):
        chosen([""])


def test_an_exporter_is_known_in_any_spelling():
    row = {"exporter": "::ffff:127.1.0.1", "packets": 1}
    assert _by_exporter(row, {"127.1.0.1": "192.0.2.1"})["exporter"] == "192.0.2.1"


@pytest.mark.parametrize(
    "text",
    [
        *('{"flows": 3}', '{"flows": {}}', '{"flows": [], "counts": [1]}', "[]"),
        '{"flows": [], "counts": {"missing": "1"}}',
        '{"flows": [{"protocol": "ipfix", "tolerance": {"packets": 0.5}}]}',
        '{"flows": [{"protocol": "ipfix", "tolerance": 3}]}',
    ],
)
def test_a_truth_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "truth.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongCaseError):
        read_truth(path)


def test_a_truth_that_is_none_is_refused_before_anything_runs(tmp_path):
    from lab.corpus import CORPUS

    case = tmp_path / "one"
    case.mkdir()
    for path in (CORPUS / "recorded" / "one-datagram").iterdir():
        (case / path.name).write_bytes(path.read_bytes())
    (case / "truth.json").write_text('{"flows": 3}', encoding="utf-8")
    ran = CliRunner().invoke(main, ["conform", "--collector", "flowlab", "--cases", str(case)])
    assert ran.exit_code == 2
    assert "flows is '3', and must be a list" in ran.output


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "127.0.0.1:²"],
        ["--to", "127.0.0.1:9" + "9" * 5000],
        ["--to", "x" * 70 + ":2055"],
        ["--to", "127.0.0.1:2055", "--source", "foo"],
    ],
)
def test_replay_refuses_what_is_no_address(words):
    ran = CliRunner().invoke(main, ["replay", "one-datagram", *words])
    assert ran.exit_code == 2
    assert words[-1] in ran.output


def test_who_takes_no_netflow_cannot_be_flooded_with_it(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(LINE.format("mine") + COLUMNS + "takes: [sflow]\n", encoding="utf-8")
    ran = CliRunner().invoke(main, ["limit", "--collector", str(mine)])
    assert (ran.exit_code, "does not take netflow" in ran.output) == (2, True)


def test_who_cannot_express_ipfix_is_not_flooded_with_it(tmp_path):
    mine = tmp_path / "mine.yaml"
    cannot = 'cannot: {ipfix: "reads v5 only"}\n'
    mine.write_text(LINE.format("mine") + COLUMNS + cannot, encoding="utf-8")
    ran = CliRunner().invoke(main, ["limit", "--collector", str(mine)])
    assert ran.exit_code == 2
    assert "mine cannot express what is sent, IPFIX: reads v5 only" in ran.output


def test_replay_of_a_pipe_is_refused_as_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    ran = CliRunner().invoke(main, ["replay", str(tmp_path / "pipe"), "--to", "127.0.0.1:2055"])
    assert ran.exit_code == 2
    assert "is a pipe or a device" in ran.output
