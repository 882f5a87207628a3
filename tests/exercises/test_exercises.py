"""Every exercise: its solution is right, its starter is not, and wrong answers are told apart."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from lab.cli import main
from lab.conform.run import Collector, conform, way_in
from lab.corpus import read_case
from lab.described import WrongFile, read_as
from lab.exercises.check import ask, check
from lab.exercises.demands import Staged
from lab.exercises.mixed import apart, in_turn
from lab.exercises.model import SOLUTION, NoSuchExercise, Parts, all_exercises, find
from lab.exercises.work import NotAnExercise, hint, opened, own_scenario, reset, start
from tests.exercises import strange
from tests.support import ROOT

OWN, SAMPLE = "16-your-own-question", "15-sample-what-you-choose"
EXERCISES = [one.name for one in all_exercises()]
WITHOUT_LAB = [one.name for one in all_exercises() if not one.parts.needs_lab]
BY_HAND, TEMPLATES, SFLOW = "02-netflow5-by-hand", "03-templates-by-hand", "04-sflow-by-hand"
TWICE, STANDS = "11-twice-and-out-of-order", "12-what-a-counter-stands-for"
FIRST, LOST = "01-first-flows", "05-what-got-lost"
TALKERS, ONE_IN, UNSEEN, LONG, SCAN, POLLING, CHAIN = (
    *("06-top-talkers", "07-one-in-n", "08-what-v5-cannot-see"),
    *("09-how-long-is-a-flow", "10-find-the-scan"),
    *("13-polling-and-push", "14-one-flow-three-switches"),
)
WRONG_PROGRAMS = [
    (BY_HAND, "one", "packets, octets, _, _, from", "octets, packets, _, _, from", "dPkts is"),
    (BY_HAND, "full", "range(min(count, whole))", "range(1)", "Did you print a line for each"),
    (BY_HAND, "sampled", "sampling & 0x3FFF or 1", "1", "The header's last 16 bits say how the"),
    (BY_HAND, "one", "from_port, to_port, *rest", "to_port, from_port, *rest", "32 and 34 octets"),
    (BY_HAND, "one", "import sys", "import sys\nraise SystemExit(3)", "ended before it was"),
    (TEMPLATES, "ipfix", "yield record", "yield record\n            return", "read to the end?"),
    (TEMPLATES, "redefined", "templates[sender, version, domain, template_id] = fields",
     "templates.setdefault((sender, version, domain, template_id), fields)",
     "it means what the new template says"),
    (TEMPLATES, "variable", "length == VARIABLE:", "length == 0:", "A length of 65535 in a templ"),
    (SFLOW, "all", "(frame_length - stripped)", "frame_length", "less the octets that were"),
    (SFLOW, "sampled", '"packets": rate', '"packets": 1', "A sample of 1 in N stands for N"),
    (TWICE, "overtaken", "if name in seen", "if name < max(seen, default=name)", "came late was"),
    (TWICE, "twice", "datagram[16:22]", "id(datagram)", "remember which ones you have seen"),
    (TWICE, "twice", "if name in seen", "if not seen or name in seen", "it has to be told"),
    (STANDS, "ipfix", "(other, one)", "(one, other)", "The rate is in options data"),
    (STANDS, "psamp", "(counted + passed_over)", "passed_over", "the rate is both together"),
    (STANDS, "netflow9", "{9: 1, 10: 3}", "{9: 3, 10: 3}", "how many octets of"),
    (STANDS, "psamp", "(counted + passed_over) // counted", "1 + passed_over", "So many packets"),
    (STANDS, "ipfix", "(sender, version, domain)", "()", "of the observation domain that its"),
    (TEMPLATES, "domain", "version, domain, ", "version, ", "What an id means is true of the obs"),
    (TEMPLATES, "variable", "version == 10 and element & 0x8000", "False", "ended before it was"),
    (TEMPLATES, "variable", "element = None  #", "element &= 0x7FFF  #", "whatever its other bits"),
    (TWICE, "overtaken", "seen.add(name)", "seen = {name}", "Either a datagram was counted twice"),
    (BY_HAND, "one", "rest[2]", "rest[3]", "The protocol is one octet, 38 octets into"),
    (SFLOW, "sampled", "if sample_type == FLOW_SAMPLE", "if length", "ended before it was told"),
    (SFLOW, "sampled", "if record_type == HEADER_RECORD", "if length", "ended before it was"),
    (SFLOW, "sampled", "if protocol == ETHERNET else None", "", "Step over samples, records"),
    (SFLOW, "sampled", "if kind != IPV4", "if not kind", "Step over samples, records"),
    (SFLOW, "sampled", "4 * (header[0] & 0x0F)", "20", "as long as its first octet says"),
    (SFLOW, "tagged", "while kind == TAG", "while kind == 0", "there are two octets of a tag"),
]  # fmt: skip
"""What is changed in which solution, which check sees it, and what is said of it."""
WRONG_ANSWERS = [
    (FIRST, "datagrams", "records", "that is how many records the datagrams carry"),
    (FIRST, "records", "flows", "some were told in several records"),
    (FIRST, "flows", "records", "A long flow is told again and again"),
    (FIRST, "octets", "packets", "those are packets"),
    (FIRST, "busiest_source", "busiest_destination", "that one received most"),
    (FIRST, "octets_of_busiest", "octets_of_largest_flow", "the busiest host has several"),
    (LOST, "records", "sent", "with those that never came"),
    (LOST, "missing", "records", "those came"),
    (LOST, "exported", "missing", "those are the ones that did not come"),
    (TALKERS, "sources", "destinations", "that is how many receive"),
    (TALKERS, "octets_of_three", "octets_of_busiest", "that is the first of the three"),
    (TALKERS, "octets_of_three", "octets", "those are the octets of all"),
    (ONE_IN, "samples", "datagrams", "each carries several"),
    (ONE_IN, "packets", "records", "those are the samples"),
    (ONE_IN, "error_percent", "error_percent_of_packets", "not of the packets that they stand for"),
    (UNSEEN, "in_netflow5", "ipv6_flows", "could not tell of"),
    (UNSEEN, "octets_missed", "ipv4_octets", "would not be missing"),
    (UNSEEN, "octets_missed", "ipv6_packets", "those are packets"),
    (SCAN, "scanner", "busiest_source", "a scan is small"),
    (SCAN, "victim", "busiest_destination", "a flood of SYNs is small"),
    (SCAN, "attackers", "sources", "those are all that send"),
    (LONG, "flows", "records", "those are records"),
    (LONG, "longest_s", "median_s", "a flow in the middle"),
    (LONG, "octets_of_longest", "octets_of_largest_flow", "another one lasts longer"),
    (POLLING, "packets_counted", "packets", "The port counts every frame"),
    (POLLING, "octets_counted", "flow_frame_octets", "that is what the flows tell"),
    (POLLING, "busiest", "source_of_most_packets", "that one sent most packets; small ones"),
    (POLLING, "not_told", "frames", "those are all that the port counted"),
    (CHAIN, "flows", "flows", "counts a flow again at each switch that it crosses"),
    (CHAIN, "packets", "packets", "counts a packet again at each switch that it crosses"),
    (CHAIN, "switch", "switch_of_least", "that one sees fewest"),
    (CHAIN, "all_the_way", "flows_once", "those are all"),
]
"""Which question is answered by what else, and what is said of it."""


@pytest.fixture
def begun(tmp_path):
    def begin(name, learner="ada"):
        return start(find(name), tmp_path / f"{name} of {learner}", learner)

    return begin


def solve(work):
    shutil.copytree(work.exercise.folder / SOLUTION, work.folder, dirs_exist_ok=True)
    if work.exercise.parts.program is None:
        environment = {**os.environ, "FLOWLAB": str(ROOT / "flowlab")}
        subprocess.run(["sh", "solve.sh"], cwd=work.folder, env=environment, check=True)


def only(work, profile):
    """The same with one of its checks; each takes a second."""
    checks = tuple(one for one in work.exercise.parts.checks if one.profile == profile)
    parts = work.exercise.parts.model_copy(update={"checks": checks})
    return replace(work, exercise=replace(work.exercise, parts=parts))


def says(marked):
    return "\n".join(line for one in marked for line in one.says)


def answers(work):
    """What is true of the exports of a learner, or of their scenario, by name of the question."""
    asked = ask(work, work.folder / "x")
    questions = work.exercise.parts.questions
    names = {name for one in questions for name in (one.answer, *one.mistakes)}
    return {name: asked(name) for name in names}


@pytest.mark.parametrize("name", WITHOUT_LAB)
def test_the_solution_is_right_and_the_starter_is_not(begun, name):
    work = begun(name)
    first = work.exercise.parts.checks[:1]
    starter = only(work, first[0].profile) if first else work
    assert not any(one.right for one in check(starter))
    solve(work)
    marked = check(work)
    assert all(one.right for one in marked), says(marked)
    assert sum(one.points for one in marked) == work.exercise.points


@pytest.mark.parametrize(("name", "profile", "right", "wrong", "told"), WRONG_PROGRAMS)
def test_a_wrong_program_is_told_what_is_wrong(begun, name, profile, right, wrong, told):
    work = begun(name)
    solve(work)
    work = only(work, profile)
    program = work.folder / work.exercise.parts.program
    text = program.read_text()
    assert right in text
    program.write_text(text.replace(right, wrong))
    marked = check(work)
    assert not all(one.right for one in marked)
    assert told in says(marked)


@pytest.mark.parametrize(("name", "key", "given", "told"), WRONG_ANSWERS)
def test_an_answer_to_another_question_is_told_so(begun, name, key, given, told):
    work = begun(name)
    true = answers(work)
    (asked,) = [one for one in work.exercise.parts.questions if one.key == key]
    assert true[given] != true[asked.answer]
    (work.folder / "answers.yaml").write_text(yaml.safe_dump({key: true[given]}))
    (marked,) = [one for one in check(work) if told in "".join(one.says)]
    assert not marked.right
    assert str(true[asked.answer]) not in "".join(marked.says)


def test_a_file_that_is_no_mapping_is_told_with_its_place(begun):
    work = begun(FIRST)
    (work.folder / "answers.yaml").write_text("- flows: 1")
    told = r"answers\.yaml:1:1: expected a mapping .*, found a list; write a line for each question"
    with pytest.raises(WrongFile, match=told):
        check(work)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[1]", "expected one value, found a list"),
        ("{a: [1]}", "expected one value, found a mapping"),
        ("yes", "yes: "),
        ("[]", "expected one value, found an empty list"),
    ],
)
def test_what_is_no_answer_costs_its_own_question_only(begun, given, told):
    work = begun(FIRST)
    true = answers(work)
    lines = {one.key: true[one.answer] for one in work.exercise.parts.questions}
    lines |= {"octets": given, "remarks": "[easy, quick]"}
    file = work.folder / "answers.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    (wrong,) = [one for one in check(work) if not one.right]
    assert wrong.says[0].startswith(told)


def test_a_fraction_is_an_answer_and_costs_the_others_nothing(begun):
    work = begun(ONE_IN)
    true = answers(work)
    given = {one.key: true[one.answer] for one in work.exercise.parts.questions}
    file = work.folder / "answers.yaml"
    file.write_text(yaml.safe_dump(given | {"error_percent": given["error_percent"] + 0.5}))
    marked = {one.name: one for one in check(work)}
    (wrong,) = [one for one in marked.values() if not one.right]
    assert wrong.says[0].startswith(f"{given['error_percent']}.5: ")
    file.write_text(yaml.safe_dump(given | {"error_percent": float(given["error_percent"])}))
    assert all(one.right for one in check(work))


def test_a_misspelt_key_costs_its_own_question_and_is_told_there(begun):
    work = begun(FIRST)
    true = answers(work)
    given = {one.key: true[one.answer] for one in work.exercise.parts.questions}
    (work.folder / "answers.yaml").write_text(
        yaml.safe_dump({"recods" if key == "records" else key: one for key, one in given.items()})
    )
    (wrong,) = [one for one in check(work) if not one.right]
    told = "answers.yaml: nobody asked for 'recods'; did you mean 'records'?"
    assert wrong.says == ("not answered yet", told)
    (work.folder / "answers.yaml").write_text(yaml.safe_dump({**given, "remark": "easy"}))
    marked = check(work)
    assert all(one.right for one in marked)
    assert says(marked) == "answers.yaml: nobody asked for 'remark'"


def test_every_learner_has_other_numbers_and_always_the_same(begun):
    ada, ben = answers(begun(FIRST, "ada")), answers(begun(FIRST, "ben"))
    assert ada["octets"] != ben["octets"]
    assert ada == answers(begun(FIRST, " ADA "))
    composed, decomposed = (unicodedata.normalize(form, "Zoë Möller") for form in ("NFC", "NFD"))
    assert answers(begun(FIRST, composed)) == answers(begun(FIRST, f"{decomposed.upper()}  "))


def test_hints_open_one_by_one_and_close_again(begun):
    work = begun(FIRST)
    every = list(work.exercise.parts.hints)
    for count in range(1, len(every) + 2):
        assert hint(opened(work.folder)) == every[:count]
    reset(opened(work.folder))
    assert opened(work.folder).hints == 0


def test_to_begin_again_keeps_what_was_there(begun):
    work = begun(BY_HAND)
    starter = (work.folder / "collector.py").read_text()
    (work.folder / "collector.py").write_text("mine")
    reset(work)
    assert (work.folder / "collector.py").read_text() == starter
    assert (work.folder / "collector.py.old").read_text() == "mine"


def test_a_program_that_is_gone_is_told(begun):
    work = begun(BY_HAND)
    (work.folder / "collector.py").unlink()
    assert "there is no collector.py" in says(check(work))


def test_a_folder_that_is_no_exercise_is_told(tmp_path):
    for text in (
        "",
        "[]",
        '{"exercise": "99"}',
        '{"exercise": "01", "learner": "x", "hints": "y"}',
    ):
        (tmp_path / "exercise.json").write_text(text)
        with pytest.raises(NotAnExercise, match="make one: flowlab exercise start NN"):
            opened(tmp_path)


def test_exercises_are_found_by_number_and_by_name():
    assert find("2").name == find("02").name == find(BY_HAND).name == BY_HAND
    with pytest.raises(NoSuchExercise, match="there is 01-first-flows"):
        find("99")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{title: x, goal: y, hints: [z]}", "has a program with checks, questions, or what is sta"),
        ("{title: x, goal: y, hints: [z], staged: a.yaml}", "what is staged has demands"),
        (
            "{title: x, goal: y, hints: [z], staged: a, demands: [{name: n, demand: no}]}",
            "nobody knows 'no'; there is asks",
        ),
        ("{title: x, goal: y, hints: [z], program: a.py}", "a program has checks"),
        ("{title: x, goal: y, hints: []}", "at least 1 item"),
    ],
)
def test_an_exercise_that_cannot_be_is_refused(tmp_path, text, told):
    (tmp_path / "exercise.yaml").write_text(text)
    with pytest.raises(WrongFile, match=told):
        read_as(Parts, tmp_path / "exercise.yaml")


def test_the_document_names_every_exercise_and_its_example_is_one(tmp_path):
    text = (ROOT / "docs" / "exercises.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d\d-[\w-]+) \|", text, re.MULTILINE) == EXERCISES
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "exercise.yaml").write_text(example)
    assert read_as(Parts, tmp_path / "exercise.yaml").questions[0].points == 2


def test_what_the_document_says_works_in_whatever_folder_one_is(tmp_path):
    text = (ROOT / "docs" / "exercises.md").read_text(encoding="utf-8")
    in_the_checkout, elsewhere = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[:2]
    lines = ["shopt -s expand_aliases", in_the_checkout, f"cd {tmp_path}", elsewhere, "pwd"]
    done = subprocess.run(
        ("bash", "-c", "\n".join(lines)), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "wrong   1  a datagram with one record" in done.stdout
    assert done.stdout.endswith(f"as it was in the beginning\n{tmp_path / BY_HAND}\n")
    assert done.stderr == ""


def test_the_commands_lead_from_the_list_to_the_points(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def said(*words, code=0):
        done = CliRunner().invoke(main, ["exercise", *words], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    assert all(name in said("list") for name in EXERCISES)
    assert "flowlab exercise check 01-first-flows" in said("start", "1", "--as", "ada")
    assert "is there already" in said("start", "1", code=2)
    assert "0 of 8 points" in said("check", FIRST, code=1)
    assert "1 of 3: 'flowlab decode" in said("hint", FIRST)
    told = json.loads(said("check", FIRST, "--json", code=1))
    assert (told["learner"], told["points"], told["of"], len(told["parts"])) == ("ada", 0, 8, 6)
    assert said("reset", FIRST) == "as it was in the beginning\n"
    Path(FIRST, "answers.yaml").write_text("x")
    assert "what you had is in answers.yaml.old" in said("reset", FIRST)
    assert "no folder of an exercise" in said("check", code=2)


def test_a_scenario_handed_in_stands_by_itself_and_is_small(begun):
    work = begun("16-your-own-question")
    short = "{title: t, topology: single, exporters: [netflow], traffic: [%s]}"
    for text, told in (
        (
            short % "{replay: {file: /etc/passwd, hosts: {10.0.0.1: h1, 10.0.0.2: h2}}}",
            "names a file",
        ),
        (short.replace("t,", "t, controller: {app: {file: a.py}},", 1) % "x", "names a file"),
        (short % "{udp: {from: h1, to: h2, datagrams: 20001}}", "20001 packets are too many"),
        (
            short.replace("single", "{single: {hosts: 17}}") % "{udp: {from: h1, to: h2}}",
            "17 hosts",
        ),
        (
            short.replace("single", "{custom: {hosts: [h1, h2], switches: [%s], links: [%s]}}")
            % (
                ", ".join(f"s{number}" for number in range(1, 34)),
                ", ".join(["[h1, s1]", "[h2, s33]", *(f"[s{n}, s{n + 1}]" for n in range(1, 33))]),
                "{udp: {from: h1, to: h2}}",
            ),
            "33 switches are too many; 32 have to do",
        ),
        (short % "{udp: {from: h1, too: h2}}", "scenario.yaml:1:"),
        ("", "scenario.yaml:1:1"),
    ):
        (work.folder / "scenario.yaml").write_text(text)
        first, *others = check(work)
        assert told in "".join(first.says), first.says
        assert not any(one.right for one in (first, *others))
    (work.folder / "scenario.yaml").unlink()
    assert "there is no scenario.yaml" in says(check(work))


@pytest.mark.parametrize(
    ("traffic", "more", "told"),
    [
        ("- flood: {from: h1, to: h2, packets: 1000000}", "", "1000000 packets are too many"),
        ("- flood: {from: h1, to: h2, packets: 5000}\n" * 41, "", "205000 packets are too"),
        ("- flood: {from: h1, to: h2, packets: 1000000}\n- nonsense: x", "", "1000000 packets"),
        ("- udp: {from: h1, to: h2, flows: 1000, repeat: 1000}", "", "1000000 packets are too"),
        ("- scan: {from: h1, to: h2, ports: 1-65535}\n" * 1000, "", "1000 steps are too many"),
        (
            "- parallel:\n" + "  - flood: {from: h1, to: h2}\n" * 51,
            "",
            "51 steps are too many; 50 have",
        ),
        (
            "- udp: {from: h1, to: h2}",
            "expect: [" + "{flow: {from: h1, to: h2}, packets: 1}, " * 101 + "]",
            "101 expectations are too many; 100 have to do",
        ),
    ],
)
def test_what_nobody_could_run_is_not_even_planned(begun, monkeypatch, traffic, more, told):
    """To plan it would take more memory than a teacher's machine has."""
    monkeypatch.setattr("lab.exercises.stage.inspect_octets", lambda *_: pytest.fail("planned"))
    work = begun("16-your-own-question")
    text = f"title: t\ntopology: single\nexporters: [netflow]\ntraffic:\n{traffic}\n{more}\n"
    assert len(text) < 1 << 16
    (work.folder / "scenario.yaml").write_text(text)
    first, *others = check(work)
    assert told in "".join(first.says), first.says
    assert not any(one.right for one in (first, *others))


def test_an_application_is_not_graded_since_nothing_shuts_it_in(tmp_path):
    (tmp_path / "in" / "ada").mkdir(parents=True)
    arguments = ["grade", str(tmp_path / "in"), "--exercise", "15"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 4
    assert "is not shut in" in done.output


def test_numbers_of_a_scenario_are_each_learners_own_and_the_same_where_they_are_called_the_same():
    exercise = find("15-sample-what-you-choose")
    ada, ben = (own_scenario(exercise, name) for name in ("ada", "ben"))
    assert ada != ben
    assert ada == own_scenario(exercise, " Ada")
    chosen = re.findall(r"port: (50[1-4]\d)", ada)
    assert len(chosen) == 2
    assert len(set(chosen)) == 1


# ── what the lab came to ──


def verdict(outcome, link=None, what="", notes=()):
    """A verdict of a scenario that two exporters tell of, with a link of the chain that broke."""
    told = [{"exporter": name, "observation_point": "s1"} for name in ("netflow", "ipfix")]
    compared = {"flow": {}, "measure": "packets", "expected": 10, "observed": 9, "why": ""}
    checks = [{**one, **compared, "verdict": outcome} for one in told]
    experiment = [{"link": link, "what": what}] if link else []
    return {"verdict": outcome, "experiment": experiment, "notes": list(notes), "checks": checks}


LAB_GONE = verdict("INVALID", "the lab itself", "SwitchFailed: ovsdb-server is missing")
BROKEN = verdict("INVALID", "exported → received", "the kernel lost 3 datagrams")


@pytest.fixture
def came_to(begun, monkeypatch):
    """A solved exercise whose runs come to these verdicts."""

    def come(*verdicts, name=OWN):
        work = begun(name)
        shutil.copytree(work.exercise.folder / SOLUTION, work.folder, dirs_exist_ok=True)
        left = iter(verdicts)
        monkeypatch.setattr(
            "lab.exercises.stage._run", lambda scenario, *_: Staged(scenario, next(left))
        )
        return work

    return come


def checked(folder):
    return CliRunner().invoke(main, ["exercise", "check", str(folder)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ((LAB_GONE, LAB_GONE), "cannot be run here: SwitchFailed: ovsdb-server is missing"),
        ((verdict("SKIPPED", notes=["no netem"]),), "here: the run was SKIPPED: no netem"),
    ],
)
def test_what_this_machine_cannot_run_is_not_marked(came_to, verdicts, told):
    work = came_to(*verdicts)
    done = checked(work.folder)
    assert done.exit_code == 4
    assert told in done.output
    assert "wrong" not in done.output


def test_an_experiment_that_broke_is_run_once_more(came_to):
    marked = check(came_to(BROKEN, verdict("PASS")))
    assert all(one.right for one in marked)


def test_an_experiment_that_broke_twice_is_held_against_nobody(came_to):
    work = came_to(*[BROKEN] * 4)
    *others, holds = check(work)
    assert all(one.right for one in others)
    assert not holds.judged
    assert "the kernel lost 3 datagrams" in "".join(holds.says)
    assert "either the expectation is wrong" not in "".join(holds.says)
    done = checked(work.folder)
    assert done.exit_code == 3
    assert "open    2  it comes out like that" in done.output
    assert "4 of 6 points" in done.output


def test_an_expectation_that_fails_is_wrong_at_once_and_told_what_that_means(came_to):
    *_, holds = check(came_to(verdict("FAIL")))
    assert holds.judged
    assert not holds.right
    assert "either the expectation is wrong" in holds.says[-1]


def test_an_application_that_does_not_start_is_its_makers_fault(came_to):
    failed = verdict("INVALID", "the lab itself", "ControllerFailed: the controller did not start")
    marked = check(came_to(failed, name=SAMPLE))
    assert all(one.judged for one in marked)
    assert not any(one.right for one in marked)


@pytest.mark.parametrize(
    ("packets", "right"),
    [
        ("10", True),
        ("0", True),
        ("{at_least: 1}", True),
        ("{at_least: 5, at_most: 20}", True),
        ("{at_least: 0}", False),
        ("{at_most: 1000000}", False),
        ("{at_least: 0, at_most: 1000000}", False),
    ],
)
def test_an_expectation_has_to_be_one_that_can_fail(came_to, packets, right):
    work = came_to(verdict("PASS"))
    file = work.folder / "scenario.yaml"
    text = file.read_text()
    assert text.count("packets: 10}") == 2
    file.write_text(text.replace("packets: 10}", f"packets: {packets}}}"))
    *_, expects, holds = check(work)
    assert (expects.right, holds.right) == (right, right)
    assert right or "either the expectation is wrong" not in "".join(holds.says)


def test_a_class_is_graded_but_for_whom_the_lab_does_not_run(came_to, tmp_path, monkeypatch):
    monkeypatch.setattr("lab.exercises.stage.lacking", lambda: "")
    work = came_to(LAB_GONE, LAB_GONE, verdict("PASS"))
    for name in ("ada", "ben"):
        shutil.copytree(work.folder, tmp_path / "in" / name)
    arguments = ["grade", str(tmp_path / "in"), "--exercise", "16", "--jobs", "1"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 4
    assert "ben: 6 of 6" in done.output
    assert "flowlab: ada is not marked: SwitchFailed: ovsdb-server is missing" in done.output


def test_without_a_lab_no_class_is_graded_that_needs_one(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.exercises.stage.lacking", lambda: "Open vSwitch: not installed")
    monkeypatch.setattr("lab.exercises.stage._run", lambda *_: pytest.fail("it was run"))
    (tmp_path / "in" / "ada").mkdir(parents=True)
    shutil.copy(find(OWN).folder / SOLUTION / "scenario.yaml", tmp_path / "in" / "ada")
    arguments = ["grade", str(tmp_path / "in"), "--exercise", "16"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 4
    assert "cannot here: Open vSwitch: not installed" in done.output


def test_a_wrong_protocol_is_not_blamed_on_the_ports(begun):
    """Of a protocol without ports none are taken, so that right ones look wrong."""
    work = only(begun(BY_HAND), "one")
    solve(work)
    program = work.folder / work.exercise.parts.program
    program.write_text(program.read_text().replace("rest[2]", "rest[3]"))
    (marked,) = check(work)
    assert "protocol of " in says([marked])
    assert "port of" not in says([marked])


@pytest.mark.parametrize("given", ["{}%", " {} % "])
def test_a_percent_sign_costs_no_point(begun, given):
    for name in (TALKERS, ONE_IN, UNSEEN):
        work = begun(name, given.strip())
        true = answers(work)
        asked = {one.key: one for one in work.exercise.parts.questions}
        (percent,) = [one for one in asked.values() if "percent" in one.key]
        file = work.folder / "answers.yaml"
        file.write_text(yaml.safe_dump({percent.key: given.format(true[percent.answer])}))
        assert [one.name for one in check(work) if one.right] == [percent.asks]
        other = next(one for one in asked.values() if one.key != percent.key)
        file.write_text(yaml.safe_dump({other.key: f"{true[other.answer]}%"}))
        assert not any(one.right for one in check(work))


def test_answers_that_are_gone_or_empty_are_told_what_to_do(begun):
    work = begun(FIRST)
    file = work.folder / "answers.yaml"
    file.write_text("")
    with pytest.raises(WrongFile, match=r"write a line for each question, such as datagrams: 12"):
        check(work)
    file.unlink()
    assert "there is no answers.yaml; flowlab exercise reset" in says(check(work))
    assert checked(work.folder).exit_code == 1


def test_to_begin_again_twice_loses_nothing(begun):
    work = begun(BY_HAND)
    program = work.folder / "collector.py"
    for text in ("first", "second", "third"):
        program.write_text(text)
        reset(work)
    kept = [(work.folder / f"collector.py.old{more}").read_text() for more in ("", ".2", ".3")]
    assert kept == ["first", "second", "third"]
    assert reset(work) == []


def test_to_begin_again_keeps_whatever_was_changed_and_nothing_else(begun):
    work = begun(POLLING)
    (work.folder / "port.yaml").write_text("mine")
    assert reset(work) == ["port.yaml.old"]
    assert (work.folder / "port.yaml.old").read_text() == "mine"
    assert not (work.folder / "answers.yaml.old").exists()


def test_copies_come_late_and_others_come_in_turn():
    assert apart(list("aabcbdefgg"), 3) == list("abcdaebfgg")
    assert apart(list("aab"), 0) == list("aab")
    assert in_turn("abc", "12345") == list("a1b2c345")
    assert in_turn("abc", "") == list("abc")


def test_the_case_beside_samples_is_the_one_that_is_written(tmp_path):
    strange.write(tmp_path)
    for file in strange.FOLDER.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_flowlab_tells_the_case_beside_samples_as_it_is():
    case = read_case(strange.FOLDER)
    (ran,) = conform([case], [Collector("flowlab")], way_in()[0], 1, lambda _: None)
    assert ran.result.name == "PASS", ran.compared.findings
