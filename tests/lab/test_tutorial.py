"""Tutorial and how-tos, as a reader types them: every command, every file, in order."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import FLOWLAB, ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab

FILES = {"yaml": "yaml", "python": "py"}
BLOCK = re.compile(r"```(sh|yaml|python)\n(.*?)```", re.DOTALL)


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    flowlab = " ".join(FLOWLAB)
    return subprocess.run(
        ("bash", "-c", f'flowlab() {{ {flowlab} "$@"; }}\n{line}'),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def follow(text: str, folder: Path) -> list[str]:
    """Do what a text says; the commands that were run."""
    ran = []
    for kind, block in BLOCK.findall(text):
        if kind != "sh":
            with (folder / f"mine.{FILES[kind]}").open("a", encoding="utf-8") as mine:
                mine.write(block)
            continue
        for line in block.splitlines():
            wanted = int(found[1]) if (found := re.search(r"# exit code (\d)", line)) else 0
            done = shell(line, folder)
            assert done.returncode == wanted, f"{line}\n{done.stdout}\n{done.stderr}"
            ran.append(line)
    return ran


def test_the_tutorial_works_as_it_is_written(tmp_path):
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert len(follow(text, tmp_path)) > 12


HOW_TO = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8").split("\n### ")[1:]


@pytest.mark.parametrize("text", HOW_TO, ids=lambda text: text.partition("\n")[0])
def test_a_how_to_works_as_it_is_written(text, tmp_path):
    assert follow(text, tmp_path)
