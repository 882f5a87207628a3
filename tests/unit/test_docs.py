"""What the documents say is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
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


def commands_of(document):
    """The lines of shell in it that call flowlab, continued ones put together."""
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            names = [n for n, word in enumerate(words) if word in ("flowlab", "./flowlab")]
            if names and not set(words[: names[0]]) - {"nice", "time"}:
                yield words[names[0] + 1 :]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_document_is_one_with_options_that_exist(document):
    for words in commands_of(document):
        ends = [n for n, word in enumerate(words) if word in ("|", ">", "2>", "&", ";", "&&")]
        rest = words[: ends[0]] if ends else words
        if rest[:1] in ([], ["test"], ["setup"], ["bench"]):  # passed on to others
            continue
        command = main
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        try:
            command.make_parser(click.Context(command)).parse_args(rest)
        except click.UsageError as wrong:
            pytest.fail(f"{' '.join(words)}: {wrong.format_message()}")
