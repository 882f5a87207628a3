"""Real labs in the tests: run where the machine can, skipped with the reason where it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import Flowlab, why_no_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
REAL = [HERE / folder for folder in ("lab", "faults")]
QUICK = HERE / "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a lab where there can be none; where one is demanded, fail instead.

    What takes long comes first: at the end, quick files keep all cores busy.
    """
    items.sort(key=lambda item: (item.path.is_relative_to(QUICK), not _is_long(item)))
    here = [item for item in items if any(item.path.is_relative_to(folder) for folder in REAL)]
    if not here:
        return
    for item in here:
        item.add_marker(pytest.mark.lab)
    reason = why_no_lab()
    if reason is None:
        return
    if os.environ.get("FLOWLAB_REQUIRE_LAB") == "1":
        pytest.exit(f"FLOWLAB_REQUIRE_LAB=1, but {reason}", returncode=1)
    for item in here:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of a session."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "library"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def flowlab(tmp_path: Path, library: Path) -> Iterator[Flowlab]:
    command = Flowlab(tmp_path, library)
    yield command
    command.end()


def _is_long(item: pytest.Item) -> bool:
    return item.path.name in ("test_runs.py", "test_twins.py")
