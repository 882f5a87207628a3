"""Grading a class: nobody is harmed, nobody gets what he has not earned."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import unicodedata
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace

import pytest
import yaml
from click.testing import CliRunner

from lab.capsule.outside import CannotEnter, Way
from lab.cli import main
from lab.conform.run import way_in
from lab.exercises import jail
from lab.exercises.grade import grade
from lab.exercises.model import SOLUTION, find
from lab.exercises.questions import QUESTIONS
from lab.exercises.submissions import NotTaken, WrongRoster, handed_in, taken
from lab.exercises.work import made, start
from lab.report.grades.write import FORMS
from tests.exercises.hostile import EXERCISE, PROGRAM, PROGRAMS, hand_in

FIRST = "01-first-flows"
LEFT_OUT = ("flows", "octets")


def why_no_jail():
    return jail.missing() or way_in()[1]


@pytest.fixture(scope="module")
def shut_in():
    why = why_no_jail()
    if why and os.environ.get("FLOWLAB_REQUIRE_LAB") == "1":
        pytest.fail(why)
    if why:
        pytest.skip(why)


def one_check(name=EXERCISE):
    """The exercise with its first check only: a second instead of four."""
    exercise = find(name)
    parts = exercise.parts.model_copy(update={"checks": exercise.parts.checks[:1]})
    return replace(exercise, parts=parts)


def solution():
    return (find(EXERCISE).folder / SOLUTION / PROGRAM).read_text()


def graded(folder, exercise=None):
    return {
        one.submission.name: one
        for one in grade(handed_in(folder), exercise or one_check(), jobs=2)
    }


def words(one):
    return "\n".join([*one.says, *(line for part in one.parts for line in part.says)])


def answered(folder, learner, begun_as=None):
    """Right answers to the first exercise, as a learner hands them in."""
    exercise = find(FIRST)
    work = start(exercise, folder, begun_as or learner)
    truth = made(exercise, exercise.parts.exports, learner, folder / "x").truth()
    answers = {
        one.key: QUESTIONS[one.answer](truth.flows, truth.counts)
        for one in exercise.parts.questions
    }
    shutil.rmtree(folder / "x")
    (work.folder / "answers.yaml").write_text(yaml.safe_dump(answers))
    return folder


# ── programs that mean harm ──

TOLD = {
    "forks": "is not read",
    "fills-the-disk": "ended with status 1",
    "reads-others": "is not told",
    "ends-its-parent": "is not told",
    "says-it-is-right": "is not as described",
    "eats-memory": "ended with status 1",
    "nests": "is not as described",
    "infinite": "is not as described",
    "packed": "is not told",
}
"""What is said of each."""


@pytest.mark.usefixtures("shut_in")
def test_who_means_harm_gets_nothing_and_harms_nobody(tmp_path):
    for name, text in PROGRAMS.items():
        hand_in(tmp_path / name, text)
    hand_in(tmp_path / "zoe", solution())
    marks = graded(tmp_path)
    assert {name for name, one in marks.items() if one.points} == {"zoe"}
    for name, told in TOLD.items():
        assert told in words(marks[name]), name
        assert words(marks[name]).isprintable() or "\n" in words(marks[name])
        assert not set(words(marks[name])) & {"\x1b", "\r"}
        for reached in ("FOUND", "REACHED"):
            assert reached not in words(marks[name])


@pytest.mark.usefixtures("shut_in")
def test_a_jail_is_as_it_says(tmp_path):
    """Seen from inside: no rights, no other processes, nothing to write to but scratch."""
    looks = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
wrote = []
for place in ("/", "/tmp", "/dev", "/dev/shm", "/proc", "/submission", "/usr"):
    try:
        open(f"{place}/x", "w").close()
        wrote.append(place)
    except OSError:
        pass
print(json.dumps({
    "rights": status["CapEff"].strip(), "wrote": wrote, "user": os.getuid(),
    "processes": sum(name.isdigit() for name in os.listdir("/proc")),
    "environment": sorted(os.environ), "top": sorted(os.listdir("/")),
    "namespaces": os.system("unshare -U true 2>/dev/null"),
}))"""
    program = hand_in(tmp_path / "eve", looks) / PROGRAM
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    looked = subprocess.run(jail.Jail(0).command(program), capture_output=True, check=True)
    seen = json.loads(looked.stdout)
    assert int(seen["rights"], 16) == 0
    assert seen["processes"] <= 4
    assert seen["wrote"] == ["/tmp", "/dev/shm"]
    assert seen["user"] != 0 or os.geteuid() != 0
    assert set(seen["environment"]) <= {"HOME", "LANG", "LC_CTYPE", "PATH", "PWD"}
    assert "submission" in seen["top"]
    assert not {"home", "root", "work", "var", "etc"} & set(seen["top"])
    assert seen["namespaces"] != 0


def test_where_nothing_shuts_programs_in_none_is_run(tmp_path, monkeypatch):
    def refused(**_):
        raise CannotEnter("no namespaces for anybody")

    hand_in(tmp_path / "ada", solution())
    monkeypatch.setattr("lab.exercises.jail.missing", lambda: "")
    monkeypatch.setattr("lab.exercises.grade.find_way", refused)
    monkeypatch.setattr("lab.exercises.check.conform", lambda *_: pytest.fail("it was run"))
    done = CliRunner().invoke(main, ["grade", str(tmp_path), "--exercise", EXERCISE])
    assert done.exit_code == 4, done.output
    assert "cannot be shut in here: no namespaces for anybody" in done.output


def test_the_way_into_capsules_is_found_once_and_for_all(tmp_path, monkeypatch):
    """A probe that fails later would let a stranger's program into the machine's own network."""
    for name in ("ada", "ben"):
        hand_in(tmp_path / name, solution())
    found = iter([Way(("enter",))])
    taken_by = []

    def conform(*given):
        taken_by.append(given[2])
        raise RuntimeError("far enough")

    monkeypatch.setattr("lab.exercises.grade.find_way", lambda **_: next(found))
    monkeypatch.setattr("lab.exercises.check.way_in", lambda: (None, "refused this time"))
    monkeypatch.setattr("lab.exercises.check.conform", conform)
    marks = graded(tmp_path)
    assert "far enough" in words(marks["ada"])
    assert taken_by == [Way(("enter",))] * 2


# ── folders that mean harm ──


def test_a_copy_can_be_read_by_its_jails_user_whatever_the_umask(tmp_path):
    hand_in(tmp_path / "ada", solution())
    (tmp_path / "ada" / "more" / "below").mkdir(parents=True)
    (tmp_path / "ada" / "more" / "below" / "data.txt").write_text("x")
    before = os.umask(0o077)
    try:
        work, _ = taken(handed_in(tmp_path)[0], find(EXERCISE), tmp_path / ".copy")
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777
        for path in (work.folder, *work.folder.rglob("*"))
    }
    assert modes == {
        ".copy": 0o755,
        ".copy/more": 0o755,
        ".copy/more/below": 0o755,
        ".copy/more/below/data.txt": 0o644,
        f".copy/{PROGRAM}": 0o644,
    }


def test_links_lead_nowhere(tmp_path):
    good = hand_in(tmp_path / "ada", solution())
    (tmp_path / "ben").symlink_to(good)
    (tmp_path / "cyd").mkdir()
    (tmp_path / "cyd" / PROGRAM).symlink_to(find(EXERCISE).folder / SOLUTION / PROGRAM)
    (tmp_path / "dan").mkdir()
    (tmp_path / "dan" / "sub").symlink_to(good)
    os.mkfifo(hand_in(tmp_path / "eve", "x") / "pipe")
    (tmp_path / "fay").mkdir()
    os.mkfifo(tmp_path / "fay" / PROGRAM)
    every = {one.name: one for one in handed_in(tmp_path)}
    for name, told in (
        ("ben", "a link"),
        ("cyd", "no collector.py"),
        ("dan", "no collector.py"),
        ("fay", "no collector.py in it; collector.py is no plain file, and was left out"),
    ):
        with pytest.raises(NotTaken, match=told):
            taken(every[name], find(EXERCISE), tmp_path / "copies" / name)
    _, notes = taken(every["eve"], find(EXERCISE), tmp_path / "copies" / "eve")
    assert notes == ("pipe is no plain file, and was left out",)


@pytest.mark.parametrize(("files", "octets"), [(201, 1), (1, (8 << 20) + 1), (9, 1 << 20)])
def test_what_is_too_much_is_not_taken(tmp_path, files, octets):
    folder = hand_in(tmp_path / "ada", solution())
    for number in range(files):
        (folder / f"{number}.bin").write_bytes(bytes(octets))
    with pytest.raises(NotTaken, match="more than 200 files or 8 MiB"):
        taken(handed_in(tmp_path)[0], find(EXERCISE), tmp_path / "copy")


def test_the_program_may_be_one_folder_down_but_not_in_two(tmp_path):
    hand_in(tmp_path / "ada" / "02-netflow5-by-hand", "x")
    one = handed_in(tmp_path)[0]
    assert taken(one, find(EXERCISE), tmp_path / ".copy")[0].folder.joinpath(PROGRAM).exists()
    hand_in(tmp_path / "ada" / "second", "x")
    with pytest.raises(NotTaken, match="there are 2 files called"):
        taken(one, find(EXERCISE), tmp_path / ".copy2")


# ── whose it is ──


def test_answers_are_judged_by_the_folders_name_not_by_what_they_say(tmp_path):
    answered(tmp_path / "ada", "ada")
    shutil.copytree(tmp_path / "ada", tmp_path / "ben")
    answered(tmp_path / "Cyd", "cyd", begun_as="ada")
    marks = graded(tmp_path, find(FIRST))
    assert (marks["ada"].points, marks["ada"].says) == (8, ())
    assert marks["ben"].points < 4
    assert "it was begun as 'ada', and is judged as 'ben'" in marks["ben"].says
    assert marks["Cyd"].points == 8


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("José Müller", unicodedata.normalize("NFD", "José Müller")),
        (unicodedata.normalize("NFD", "José Müller"), "josé MÜLLER"),
        ("Zoë  Two", "Zoë Two"),
        ("Zoë Two", "Zoë\u00a0Two"),
    ],
)
def test_whose_it_is_does_not_depend_on_how_the_name_is_written(tmp_path, name, folder):
    answered(tmp_path / "begun", name)
    (tmp_path / "in").mkdir()
    (tmp_path / "begun").rename(tmp_path / "in" / folder)
    (one,) = grade(handed_in(tmp_path / "in"), find(FIRST), 1)
    assert (one.points, one.says) == (8, ())
    roster = tmp_path / "class.csv"
    composed = unicodedata.normalize("NFC", folder)
    roster.write_text(f"submission,learner\n{composed},{name}\n", encoding="utf-8")
    (one,) = grade(handed_in(tmp_path / "in", roster), find(FIRST), 1)
    assert one.points == 8


def test_the_name_of_a_folder_keeps_the_lines_of_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "new\nline\x1b[31m").mkdir(parents=True)
    (tmp_path / "in" / "a\rloose.zip").touch()
    done = CliRunner().invoke(main, ["grade", "in", "--exercise", "1", "--report", "csv"])
    assert "new\\nline\\x1b[31m: 0 of 8" in done.output
    assert "a\\rloose.zip is no folder" in done.output
    assert not set(done.output) & {"\r", "\x1b"}


def test_what_lies_loose_beside_the_folders_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answered(tmp_path / "in" / "ada", "ada")
    for name in ("ben.zip", "loose.yaml", ".hidden"):
        (tmp_path / "in" / name).touch()
    done = CliRunner().invoke(main, ["grade", "in", "--exercise", "1"])
    assert done.exit_code == 0
    told = "ben.zip, loose.yaml are no folders, and were not graded; unpack archives"
    assert told in done.output
    shutil.rmtree(tmp_path / "in" / "ada")
    done = CliRunner().invoke(main, ["grade", "in", "--exercise", "1"])
    assert done.exit_code == 2
    assert "has no folders" in done.output
    assert told in done.output


def test_a_roster_says_whose_a_folder_is(tmp_path):
    answered(tmp_path / "in" / "12345_file", "ada")
    roster = tmp_path / "class.csv"
    roster.write_text("submission,learner\n12345_file,Ada\n")
    (one,) = grade(handed_in(tmp_path / "in", roster), find(FIRST), 1)
    assert (one.points, one.submission.learner) == (8, "Ada")
    for text, told in (
        ("submission,learner\nother,Ada\n", "no line for the submission '12345_file'"),
        ("name,learner\nother,Ada\n", ":2: expected the columns submission and learner"),
        ("submission,learner\na,b\na,c\n", ":3: 'a' has a line already"),
    ):
        roster.write_text(text)
        with pytest.raises(WrongRoster, match=told):
            handed_in(tmp_path / "in", roster)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[flows, 1]", "answers.yaml:1:1"),
        ("", "answers.yaml"),
    ],
)
def test_answers_that_cannot_be_read_are_told_to_their_maker(tmp_path, text, told):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "answers.yaml").write_text(text)
    one = graded(tmp_path, find(FIRST))["ada"]
    assert one.points == 0
    assert told in words(one)
    assert "/" not in one.says[0].partition(":")[0]


def test_a_misspelt_key_and_a_fraction_leave_the_other_points(tmp_path):
    answered(tmp_path / "ada", "ada")
    file = tmp_path / "ada" / "answers.yaml"
    given = yaml.safe_load(file.read_text())
    given["flowz"] = given.pop("flows")
    file.write_text(yaml.safe_dump(given | {"octets": given["octets"] + 0.5}))
    one = graded(tmp_path, find(FIRST))["ada"]
    lost = sum(part.points for part in find(FIRST).parts.questions if part.key in LEFT_OUT)
    assert one.points == 8 - lost
    assert "nobody asked for 'flowz'; did you mean 'flows'?" in words(one)


# ── reports ──


@pytest.fixture
def marks(tmp_path):
    answered(tmp_path / "ada", "ada")
    answered(tmp_path / "=1+1", "ben")
    return grade(handed_in(tmp_path), find(FIRST), 1)


def test_a_table_has_a_row_for_each_and_calculates_nothing(marks):
    exercise = find(FIRST)
    head, *rows = csv.reader(io.StringIO(FORMS["csv"][1](exercise, marks).decode()))
    assert head[:4] == ["submission", "learner", "points", "of"]
    assert [row[0] for row in rows] == ["'=1+1", "ada"]
    assert [int(row[2]) for row in rows] == [one.points for one in marks]
    assert sum(map(int, rows[1][4:-1])) == 8
    book = zipfile.ZipFile(io.BytesIO(FORMS["xlsx"][1](exercise, marks)))
    assert "<f>" not in book.read("xl/worksheets/sheet1.xml").decode()
    assert "=1+1" in book.read("xl/sharedStrings.xml").decode()


def test_pages_and_xml_name_each_part(marks):
    exercise = find(FIRST)
    page = FORMS["html"][1](exercise, marks).decode()
    suites = ET.fromstring(FORMS["junit"][1](exercise, marks))
    assert [int(suite.get("tests")) for suite in suites] == [6, 6]
    assert int(suites[1].get("failures")) == 0
    for part in exercise.parts.questions:
        assert page.count(part.asks.replace("'", "&#39;")) >= 3
    hurt = replace(marks[0], says=("<script>alert(1)</script>\x00",))
    assert "<script>" not in FORMS["html"][1](exercise, [hurt]).decode()
    ET.fromstring(FORMS["junit"][1](exercise, [hurt]))


def test_the_command_grades_and_writes_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answered(tmp_path / "in" / "ada", "ada")

    def said(*words_, code=0):
        done = CliRunner().invoke(main, ["grade", *words_], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    every = [word for form in FORMS for word in ("--report", form)]
    text = said("in", "--exercise", "1", *every, "--out", "marks")
    assert "8 of 8" in text
    assert sorted(path.suffix for path in (tmp_path / "marks").iterdir()) == [
        ".csv",
        ".html",
        ".xlsx",
        ".xml",
    ]
    assert "has no folders" in said("in/ada", "--exercise", "1", code=2)
    assert "No such file" in said("gone", "--exercise", "1", code=2)
    assert "there is no exercise" in said("in", "--exercise", "77", code=2)
    monkeypatch.setattr("lab.exercises.jail.shutil.which", lambda _: None)
    assert "bubblewrap" in said("in", "--exercise", "2", code=4)
