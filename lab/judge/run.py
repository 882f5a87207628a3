"""Reading a run folder whole: what was expected, and what was witnessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.check import Evidence
from collector.check.plain import MOST_LISTED
from collector.check.records import ASKED
from lab.judge.attribution import attribute, by_target, records_by_place
from lab.judge.collected import after_faults, targets_compared, without_faults
from lab.judge.exports import decode_exports, habits_of
from lab.judge.folder import EXPORTS, POLLED, SENT, read_expected, read_witnesses
from lab.judge.wire import polled_amiss, read_from_controller, read_wire

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from collector.check import Expected


@dataclass(frozen=True)
class Run:
    """What a run folder holds, read and decoded: all that a verdict is reached from.

    Attributes:
        expected: what was expected.
        evidence: what was witnessed.
        table: what was exported, in the columns of `collector.flows.FLOWS`.
    """

    expected: Expected
    evidence: Evidence
    table: pl.DataFrame


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        NotARun: the folder is not a run folder, or a file of it cannot be read.
    """
    expected = read_expected(folder)
    witnesses = read_witnesses(folder)
    faulty = (folder / SENT).exists()
    asked = any(ASKED.keys() & one.measures.keys() for one in expected.explicit)
    exports = folder / (SENT if faulty else EXPORTS)
    recorded = decode_exports(exports, habits_of(expected.points), singly=asked)
    collected, faults_missed = (
        after_faults(folder, expected, witnesses) if faulty else without_faults(expected)
    )
    own, copied = by_target(recorded.table, expected.points)
    observed, egress, strays = attribute(own, expected.points)
    wire, at_ports, wire_problems = read_wire(folder, expected.points)
    from_controller, controller_problems = read_from_controller(folder)
    few = max(map(len, (wire, observed))) <= MOST_LISTED
    evidence = Evidence(
        wire=wire.listed() if few else wire,
        observed=observed.listed() if few else observed,
        egress=egress.listed() if few else egress,
        at_ports=at_ports.listed() if few else at_ports,
        from_controller=from_controller,
        polled={
            how: tuple(polled_amiss(folder, folder / file, how))
            for how, file in POLLED.items()
            if (folder / file).exists()
        },
        collected=(*collected, *targets_compared(copied, expected.points, observed)),
        faults_missed=faults_missed,
        strays=strays,
        decoding=recorded.problems,
        recorded_datagrams=recorded.datagrams,
        notes=recorded.notes,
        records=records_by_place(recorded.each, expected.points),
        wire_problems=(*wire_problems, *controller_problems),
        witnesses=witnesses,
    )
    return Run(expected, evidence, recorded.table)


def observed_rows(folder: Path) -> list[dict[str, Any]]:
    """What a run's exporters reported, a row per exporter, observation point and flow."""
    return decode_exports(folder / EXPORTS, habits_of(read_expected(folder).points)).rows
