"""Runs from outside the capsule, where that dies: there is a verdict, and the next one runs."""

from __future__ import annotations

import io
import shutil

import pytest
from rich.console import Console

from collector.check import Outcome
from collector.recording import Writer
from lab import batch, runner
from lab.capsule.outside import Way
from lab.corpus import find_cases
from lab.judge import EXPORTS, FAULTS, SENT, NotARun
from lab.report import terminal
from lab.report.page import write as page
from lab.scenario.load import inspect_octets

DIES = Way(("sh", "-c", "echo its last words >&2", "--"))
"""What should be run inside is not."""
SHORT = b"{title: t, topology: single, exporters: [netflow], traffic: [udp: {from: h1, to: h2}]}"


def scenario(name):
    inspected = inspect_octets(SHORT, f"{name}.yaml").scenario
    assert inspected is not None
    return inspected


@pytest.fixture
def said(monkeypatch):
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(terminal, "console", lambda **_: console)
    return console.file.getvalue


def test_a_capsule_that_dies_makes_its_run_invalid_and_the_batch_goes_on(tmp_path, said):
    plan = batch.Plan((scenario("one"), scenario("two")), tmp_path, 1, keep_going=True)
    finished = batch.run(plan, DIES, "text")
    assert [ran.verdict.scenario for ran in finished] == ["one", "two"]
    for ran in finished:
        assert ran.verdict.outcome is Outcome.INVALID
        assert "the capsule ended: its last words" in str(ran.verdict.breaks)
        assert (ran.folder / "report.html").is_file()
        assert (ran.folder.parent / "latest").resolve() == ran.folder.resolve()
    assert "its last words" in said()


def test_it_is_judged_again_as_it_was(tmp_path, said):
    ran = runner.Prepared(scenario("one"), tmp_path, DIES).run(lambda _: None)
    (ran.folder / "report.html").unlink()
    (again,) = batch.check([ran.folder], "text")
    assert again.verdict.outcome is Outcome.INVALID
    assert (ran.folder / "report.html").is_file()
    assert "its last words" in said()


@pytest.mark.usefixtures("said")
def test_a_run_that_was_killed_is_judged_and_has_its_page(tmp_path):
    folder = runner.Prepared(scenario("one"), tmp_path, DIES).run(lambda _: None).folder
    for name in ("witnesses.json", "verdict.json", "observed.json", "report.html"):
        (folder / name).unlink()
    with pytest.raises(NotARun, match="after `flowlab check`"):
        page.write([folder], tmp_path / "before.html")
    (killed,) = batch.check([folder], "text")
    assert killed.verdict.outcome is Outcome.INVALID
    assert (folder / "report.html").is_file()
    (told,) = page.write([folder], tmp_path / "page.html")
    assert told.state["verdict"]["verdict"] == "INVALID"


def test_what_a_dying_capsule_has_half_written_is_nothing(tmp_path):
    prepared = runner.Prepared(scenario("one"), tmp_path, DIES)
    (folder,) = (tmp_path / "one").iterdir()
    (folder / "witnesses.json").write_text('{"started_ns": 17')
    ran = prepared.run(lambda _: None)
    assert ran.verdict.outcome is Outcome.INVALID
    assert "its last words" in str(ran.verdict.breaks)


def test_an_event_that_a_dying_capsule_has_half_told_is_none(tmp_path):
    cut = Way(("sh", "-c", 'read -r it; printf \'{"event": "sta\'; echo its last words >&2', "--"))
    ran = runner.Prepared(scenario("one"), tmp_path, cut).run(lambda _: pytest.fail("told"))
    assert ran.verdict.outcome is Outcome.INVALID
    assert "its last words" in str(ran.verdict.breaks)


@pytest.mark.parametrize("struck", [None, '{"restarts": [], "struck": {}, "spoilt": []}'])
def test_a_capsule_that_dies_while_it_tells_what_faults_struck_is_invalid(tmp_path, struck):
    prepared = runner.Prepared(scenario("one"), tmp_path, DIES)
    (folder,) = (tmp_path / "one").iterdir()
    (case,) = find_cases(["one-datagram"])
    shutil.copy(case.exports, folder / EXPORTS)  # it arrived, and is not yet among what was sent
    with Writer(folder / SENT):
        pass
    if struck is not None:
        (folder / FAULTS).write_text(struck)
    ran = prepared.run(lambda _: None)
    assert ran.verdict.outcome is Outcome.INVALID
    assert "its last words" in str(ran.verdict.breaks)


def test_a_page_that_cannot_be_made_costs_no_verdict(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("nobody thought of that")

    monkeypatch.setattr("lab.report.page.write.write", broken)
    ran = runner.Prepared(scenario("one"), tmp_path, DIES).run(lambda _: None)
    assert ran.verdict.outcome is Outcome.INVALID
    assert "nobody thought of that" in (ran.folder / "logs" / "page.log").read_text()
