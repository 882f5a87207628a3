"""Exercises whose exports come from a lab that runs: the solution, the starter, and wrong ideas."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lab.exercises.check import check
from lab.exercises.model import SOLUTION, all_exercises, find
from lab.exercises.work import start
from tests.support import ROOT

IN_THE_LAB = [one.name for one in all_exercises() if one.parts.needs_lab]
SAMPLE, OWN = "15-sample-what-you-choose", "16-your-own-question"
WRONG = [
    (SAMPLE, "app.py", "probability=65535", "probability=30000", "packets are not right"),
    (SAMPLE, "app.py", "udp_dst=CHOSEN", "udp_dst=CHOSEN + 1", "nothing at all is sampled"),
    (SAMPLE, "app.py", ", udp_dst=CHOSEN", "", "it is reported, and nobody asked for it"),
    (SAMPLE, "app.py", "[sample, out]", "[sample]", "the shortest way"),
    (SAMPLE, "app.py", "import re", "import gone", "controller did not start"),
    (OWN, "scenario.yaml", "its way?", "its way", "should end with a question mark"),
    (OWN, "scenario.yaml", "[s1, s2], packets: 10}", "s1, packets: 20}", "packets expected 20"),
    (OWN, "scenario.yaml", "expect:", None, "say what you think comes out"),
]  # fmt: skip
"""What is changed in which solution's file (None: it ends there), and what is said of it."""


@pytest.fixture
def solved(tmp_path):
    def solve(name):
        work = start(find(name), tmp_path / name, "ada")
        shutil.copytree(work.exercise.folder / SOLUTION, work.folder, dirs_exist_ok=True)
        if work.exercise.parts.questions:
            environment = {**os.environ, "FLOWLAB": str(ROOT / "flowlab")}
            subprocess.run(["sh", "solve.sh"], cwd=work.folder, env=environment, check=True)
        return work

    return solve


@pytest.mark.parametrize("name", IN_THE_LAB)
def test_the_solution_is_right_and_the_starter_is_not(solved, tmp_path, name):
    starter = check(start(find(name), tmp_path / "starter", "ada"))
    got = sum(one.points for one in starter if one.right)
    assert got <= find(name).points // 4, [one.name for one in starter if one.right]
    marked = check(solved(name))
    assert all(one.right for one in marked), [one.says for one in marked]
    assert sum(one.points for one in marked) == find(name).points


@pytest.mark.parametrize(("name", "file", "right", "wrong", "told"), WRONG)
def test_what_is_wrong_is_told(solved, name, file, right, wrong, told):
    work = solved(name)
    mine = work.folder / file
    text = mine.read_text(encoding="utf-8")
    assert right in text
    changed = text[: text.index(right)] if wrong is None else text.replace(right, wrong, 1)
    mine.write_text(changed, encoding="utf-8")
    marked = check(work)
    assert not all(one.right for one in marked)
    said = "\n".join(line for one in marked for line in (one.name, *one.says) if not one.right)
    assert told in said
