"""What the documents say is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lab.cli import main
from lab.scenario.load import inspect_octets

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_of_the_repository_exist(document):
    named = re.findall(
        r"`((?:lab|collector|exporters|topologies|tests|scenarios|docs)/[\w./-]*)`",
        document.read_text(encoding="utf-8"),
    )
    for path in named:
        assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), path


def test_the_readmes_scenario_is_a_good_one():
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert yaml.safe_load(text)["title"]
    assert inspect_octets(text.encode(), "README.md").faults == ()


def test_the_readme_names_every_command_and_no_other():
    table = README[README.index("| command |") : README.index("Each has `--help`")]
    named = {
        word
        for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
        for word in re.findall(r"`(\w+)", cell)
    }
    assert named == set(main.commands)
