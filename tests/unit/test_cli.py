"""The command line: exit codes and what is said when the user is wrong."""

from __future__ import annotations

import json
import os
import shlex
import subprocess

import pytest
from click.testing import CliRunner

from lab.cli import main
from tests.support import FLOWLAB, ROOT

CAPTURE = str(ROOT / "tests" / "golden" / "openvswitch.pcap")
BAD = "title: x\ntopology: linear\nexporters: [netflow]\ntraffic:\n  - ping: {from: h1, too: h2}\n"


def invoke(*arguments):
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--help"], 0, "Exit codes"),
        (["--version"], 0, "flowlab, version"),
        (["list"], 0, "one-udp-stream"),
        (["show", "one-udp-stream"], 0, "What each exporter must report"),
        (["show", "one-udp-stream", "--expected"], 0, "udp 10.0.0.1:40000"),
        (["new", "scenarios/basics/one-ping.yaml"], 2, "is there already; choose another name"),
        (["new", "nosuch.yaml", "--like", "one-pong"], 2, "did you mean 'one-ping'?"),
        (["new", "my.yaml", "--custom", "README.md"], 2, "--custom needs --topo NAME"),
        (["new", "my.yaml", "--topo", "tree", "--like", "one-ping"], 2, "choose one"),
        (["show", "one-udp-strem"], 2, "one-udp-stream"),
        (["lint"], 0, "no faults"),
        (["run"], 2, "name the scenarios to run, or give --all"),
        (["run", "--all", "one-ping"], 2, "name the scenarios to run, or give --all"),
        (["run", "nosuch"], 2, "nosuch"),
        (["check", "nosuch"], 2, "not a run folder"),
        (["nosuch"], 2, "No such command"),
    ],
)
def test_commands_answer_with_the_right_code(arguments, code, says):
    result = invoke(*arguments)
    assert result.exit_code == code
    assert says in result.output


def test_every_fault_of_a_file_is_told_with_its_place(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    result = invoke("lint", str(file))
    assert result.exit_code == 2
    assert f"{file}:5:22: unknown key 'too' in ping; did you mean 'to'?" in result.output


@pytest.mark.parametrize("like", [[], ["--like", "one-ping"]])
def test_a_new_file_has_no_faults_and_leads_editors_to_the_schema(tmp_path, monkeypatch, like):
    monkeypatch.chdir(tmp_path)
    assert invoke("new", "my.yaml", *like).exit_code == 0
    first = (tmp_path / "my.yaml").read_text().splitlines()[0]
    schema = tmp_path / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(schema.read_text())["title"] == "flowlab scenario"
    assert invoke("lint", "my.yaml").exit_code == 0


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"points": 1}', '{"scenario": "x", "points": [], "flows": [{}]}', "\xff{"],
)
def test_a_folder_that_is_no_run_is_the_users_mistake(tmp_path, content):
    (tmp_path / "expected.json").write_text(content, encoding="latin-1")
    result = invoke("check", str(tmp_path))
    assert result.exit_code == 2
    assert "expected.json" in result.output


def test_a_run_that_left_nothing_but_its_expectation_has_no_verdict(tmp_path):
    empty = {"scenario": "x", "points": [], "flows": [], "explicit": [], "tolerances": {}}
    (tmp_path / "expected.json").write_text(json.dumps(empty))
    result = invoke("check", str(tmp_path))
    assert result.exit_code == 3
    assert "INVALID" in result.output


@pytest.mark.parametrize(
    "witnesses",
    [
        "[]",
        "5",
        "{",
        '{"programs": "x"}',
        '{"programs": [{"step": 1}]}',
        '{"datagrams": 5}',
        '{"traffic_started_ns": "abc"}',
        '{"switches": {"s1": {"packets": "many"}}}',
        "[" * 100_000,
    ],
)
def test_odd_witnesses_are_told_and_no_traceback(tmp_path, witnesses):
    empty = {"scenario": "x", "points": [], "flows": [], "explicit": [], "tolerances": {}}
    (tmp_path / "expected.json").write_text(json.dumps(empty))
    (tmp_path / "witnesses.json").write_text(witnesses)
    result = invoke("check", str(tmp_path))
    assert result.exit_code == 2
    assert "witnesses.json is not what a run writes" in result.output


def command(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [*FLOWLAB, *arguments], env=environment, encoding="latin-1", check=False, **options
    )


def test_an_old_locale_costs_arrows_and_nothing_else():
    done = command("show", "one-ping", capture_output=True, env={"PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["explain", CAPTURE, "--datagram", "27"],
        ["flows", CAPTURE],
        *(["decode", CAPTURE, "--format", form] for form in ("table", "jsonl", "csv", "parquet")),
    ],
)
def test_a_reader_that_leaves_is_no_fault(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = command(*arguments, stdout=gone, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", ["decode FILE", "flows FILE", "query 'SELECT 1' ."])
def test_a_closed_output_is_told(command):
    line = shlex.join(FLOWLAB) + " " + command.replace("FILE", shlex.quote(CAPTURE)) + " >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2,
        "standard output is closed: there is nowhere to write to\n",
    )


def test_a_crash_is_no_verdict(monkeypatch):
    monkeypatch.setattr("lab.show.listing", lambda: 1 / 0)
    result = invoke("list")
    assert result.exit_code == 3
    assert "a fault of flowlab itself: ZeroDivisionError" in result.output
