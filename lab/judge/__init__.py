"""Judging a run folder: from its recorded datagrams to ``observed.json`` and ``verdict.json``.

Reads and writes files; what it does with them is the collector's. Needs neither root, nor
Mininet, nor Open vSwitch, so a run can be judged again anywhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.check import Outcome, judge
from collector.check.plain import MOST_LISTED
from lab.jsonfile import write_json
from lab.judge.exports import decode_exports, habits_of, rows_of
from lab.judge.folder import EXPORTS, FAULTS, POLLED, SENT, NotARun
from lab.judge.run import Run, observed_rows, read_run
from lab.judge.wire import read_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from collector.check import Verdict

__all__ = [
    "EXPORTS",
    "FAULTS",
    "POLLED",
    "SENT",
    "NotARun",
    "Run",
    "decode_exports",
    "habits_of",
    "judge_folder",
    "judged",
    "observed_rows",
    "read_run",
]


def judge_folder(folder: Path) -> Verdict:
    """Judge a run from what its folder holds; write ``observed.json`` and ``verdict.json``.

    Raises:
        NotARun: the folder is not a run folder, or a file of it cannot be read.
    """
    recorded = read_run(folder)
    verdict = judged(folder, recorded)
    try:
        _write(folder / "observed", recorded.table, rows_of)
        _write(folder / "passed", None if verdict.plain is None else verdict.plain.as_table())
        write_json(folder / "verdict.json", verdict.to_json())
    except OSError as refused:
        return replace(verdict, notes=(*verdict.notes, f"could not be written down: {refused}"))
    return verdict


def judged(folder: Path, run: Run) -> Verdict:
    """Judge a run that was read from a folder.

    When packets left a switch matters only where an exporter tells wrong times; it is half of all
    captures, so it is read only then.
    """
    verdict = judge(run.expected, run.evidence)
    if any(one.measure == "times" and one.outcome is Outcome.FAIL for one in verdict.checks):
        return judge(run.expected, replace(run.evidence, left=read_left(folder)))
    return verdict


def _write(
    path: Path,
    table: pl.DataFrame | None,
    listed: Callable[[pl.DataFrame], list[dict[str, Any]]] | None = None,
) -> None:
    """Write a table, small ones as JSON if it is said how, others as Parquet; not as both."""
    json_file, parquet = path.with_suffix(".json"), path.with_suffix(".parquet")
    wanted = None
    if table is not None and listed is not None and len(table) <= MOST_LISTED:
        write_json(wanted := json_file, listed(table))
    elif table is not None:
        table.write_parquet(wanted := parquet)
    for other in {json_file, parquet} - {wanted}:
        other.unlink(missing_ok=True)
