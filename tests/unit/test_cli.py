"""The command line: exit codes and what is said when the user is wrong."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner

from lab import outputs
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


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["new"], "file"),
        (["new", "--topo", "tree"], "file"),
        (["graph", "ring", "--out"], "file"),
        (["run", "one-ping", "--junit"], "file"),
        (["report", ".", "--out"], "file"),
        (["conform", "--collector", "flowlab", "--junit"], "file"),
        (["conform", "--collector", "flowlab", "--html"], "file"),
        (["limit", "--collector", "flowlab", "--svg"], "file"),
        (["run", "one-ping", "--runs"], "folder"),
        (["demo", "--runs"], "folder"),
        (["record", "one-ping", "--out"], "folder"),
        (["load", "exports.pcap", "--to"], "folder"),
        (["collect", "--listen", "netflow://:0", "--out"], "folder"),
        (["generate", "softflowd", "--out"], "folder"),
        (["grade", ".", "--exercise", "1", "--out"], "folder"),
        (["exercise", "start", "1"], "folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_where_nothing_can_be_written_is_the_users_mistake(tmp_path, monkeypatch, arguments, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    below = invoke(*arguments, "file/x")
    assert (below.exit_code, "'file' is no folder" in below.output) == (2, True), below.output
    if kind == "file":
        gone = invoke(*arguments, "gone/x")
        assert (gone.exit_code, "there is no folder 'gone'" in gone.output) == (2, True)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_capture_needs_its_folder_and_a_case_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = invoke("generate", "softflowd", "--records", "9", "--out", "gone/x.pcap")
    assert (gone.exit_code, "there is no folder 'gone'" in gone.output) == (2, True)
    assert invoke("generate", "softflowd", "--records", "9", "--out", "gone/x").exit_code == 0
    assert (tmp_path / "gone" / "x" / "exports.pcap").is_file()


def test_what_one_may_not_write_to_is_told(tmp_path, monkeypatch):
    (tmp_path / "mine").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert outputs.no_file(tmp_path / "mine") == f"you may not write to '{tmp_path}/mine'"
    for of in (outputs.no_file, outputs.no_folder):
        assert of(tmp_path / "new") == f"you may not write in '{tmp_path}'"


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


INTERRUPTED = """
import builtins, os, runpy, signal, sys

real = builtins.__import__

def imported(name, *rest, **named):
    if name == MODULE:
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest, **named)

builtins.__import__ = imported
signal.signal(signal.SIGINT, HANDLER)
sys.argv = ["flowlab", "list"]
runpy.run_module("lab", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "handler", "code", "said"),
    [
        ("click", "signal.default_int_handler", 130, "flowlab: interrupted\n"),
        (
            "lab.library",  # the command imports it
            "signal.default_int_handler",
            130,
            "flowlab: interrupted; what was running ends with it\n",
        ),
        ("click", "signal.SIG_IGN", 0, ""),  # as in the background of a script
    ],
)
def test_control_c_is_a_line_and_not_a_traceback_however_early(module, handler, code, said):
    text = INTERRUPTED.replace("MODULE", repr(module)).replace("HANDLER", handler)
    done = subprocess.run(
        (sys.executable, "-c", text), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, said)
