"""The tutorial, as a reader types it: every command, every file, in order."""

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

BLOCK = re.compile(r"```(sh|yaml)\n(.*?)```", re.DOTALL)


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


def test_the_tutorial_works_as_it_is_written(tmp_path):
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    ran = []
    for kind, block in BLOCK.findall(text):
        if kind == "yaml":
            with (tmp_path / "mine.yaml").open("a", encoding="utf-8") as mine:
                mine.write(block)
            continue
        for line in block.splitlines():
            wanted = int(found[1]) if (found := re.search(r"# exit code (\d)", line)) else 0
            done = shell(line, tmp_path)
            assert done.returncode == wanted, f"{line}\n{done.stdout}\n{done.stderr}"
            ran.append(line)
    assert len(ran) > 12
