"""A verdict on a terminal: a table, what was wrong, and one last line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from collector.check.model import Outcome
from collector.key import FlowKey
from lab.report.rows import Row, about, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.check.model import Check, Verdict
    from lab.runner import Ran

MOST_ROWS: Final = 60
"""A table longer than this is of no use to anyone; the rest is in verdict.json."""
MOST_COMPLAINTS: Final = 20

_PLAIN_WIDTH: Final = 140
_DIRECTION: Final = {0: "ingress", 1: "egress"}
_STYLE: Final = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.INVALID: "bold yellow",
    Outcome.SKIPPED: "dim",
}


class _Console(Console):
    """A console that leaves it to the command what to do when nobody reads."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console: coloured and as wide as the terminal, or plain and wide enough for files."""
    plain = _Console(stderr=stderr)
    if plain.is_terminal:
        return _Console(stderr=stderr, highlight=False)
    return _Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH, color_system=None)


def table(verdict: Verdict) -> Table:
    """One line per flow, switch and exporter."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("flow", "at", "exporter", "packets", "octets", "verdict"):
        _add_column(drawn, title)
    lines = rows(verdict.checks)
    shown, among, count = lines[:MOST_ROWS], "verdict.json", len(lines)
    if verdict.plain is not None:
        shown += rows(verdict.plain.checks(MOST_ROWS - len(shown)))
        among, count = "verdict.json and passed.parquet", count + len(verdict.plain.table)
    last = None
    for row in shown:
        drawn.add_row(
            "" if row.key == last else escape(row.about),
            row.observation_point,
            row.exporter,
            _number(row, "packets"),
            _number(row, "octets_l2") or _number(row, "octets_l3"),
            _outcome(row),
        )
        last = row.key
    if count > len(shown):
        drawn.add_row(f"… and {count - len(shown)} lines more, in {among}")
    return drawn


def observed_table(reported: Iterable[Mapping[str, Any]]) -> Table:
    """What was exported, whatever was expected: a line per exporter, place and flow."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("protocol", "observed by", "direction", "flow", "packets", "octets"):
        _add_column(drawn, title)
    for row in reported:
        octets = row["octets_l3"] if row["octets_l2"] is None else row["octets_l2"]
        drawn.add_row(
            row["protocol"],
            str(row["agent"] or row["observation_domain"]),
            _DIRECTION.get(row["flowDirection"], ""),
            escape(str(FlowKey.from_json(row["flow"]))),
            str(row["packets"]),
            "" if octets is None else str(octets),
        )
    return drawn


def _add_column(drawn: Table, title: str) -> None:
    """Numbers to the right and never shortened: one that is cut is another one."""
    number = title in {"packets", "octets"}
    drawn.add_column(title, justify="right" if number else "left", overflow="fold", no_wrap=False)


def _number(row: Row, measure: str) -> str:
    """What was observed, and what was expected if that is something else."""
    check = row.checks.get(measure)
    if check is None or check.observed is None:
        return ""
    if check.outcome is Outcome.PASS:
        return str(check.observed)
    return f"{check.observed} (expected {_expected(check)})"


def _expected(check: Check) -> str:
    wanted = check.expected
    if isinstance(wanted, dict):
        return ", ".join(f"{end.replace('_', ' ')} {value}" for end, value in wanted.items())
    return str(wanted)


def _outcome(row: Row) -> str:
    style = _STYLE[row.outcome]
    why = ""
    if row.outcome is Outcome.SKIPPED:
        why = next((f"  {escape(c.why)}" for c in row.checks.values() if c.why), "")
    return f"[{style}]{row.outcome}[/{style}]{why}"


def complaints(verdict: Verdict) -> list[str]:
    """What was wrong, a line each, up to `MOST_COMPLAINTS` and a line that tells of the rest.

    Where the experiment broke, its broken links; the checks that say nothing because of that
    are counted in the summary and listed in verdict.json.
    """
    if verdict.breaks:
        style = _STYLE[verdict.outcome]
        lines = [
            f"[{style}]{verdict.outcome}[/{style}] {escape(one.link)}: {escape(one.what)}"
            for one in verdict.breaks
        ]
    else:
        lines = [_complaint(check) for row in rows(verdict.checks) for check in row.complaints]
    if len(lines) > MOST_COMPLAINTS:
        more = len(lines) - MOST_COMPLAINTS
        lines[MOST_COMPLAINTS:] = [f"… and {more} more, in verdict.json"]
    return lines


def print_looked_for(console: Console, verdict: Verdict) -> None:
    """What the scenario's author wants one to look for in the table above; nothing if nothing."""
    if verdict.look_for:
        console.print("Look for", style="bold")
    for line in verdict.look_for:
        console.print(f"  - {line}", markup=False, soft_wrap=True)


def _complaint(check: Check) -> str:
    """Flow, switch, exporter, measure, expected, observed, and why."""
    style = _STYLE[check.outcome]
    return (
        f"[{style}]{check.outcome}[/{style}] {escape(about(check.key))} at "
        f"{check.observation_point}, {check.exporter}: {check.measure} expected "
        f"{_expected(check)}, observed {check.observed}"
        + (f" ({escape(check.why)})" if check.why else "")
    )


def summary(ran: Ran) -> str:
    """One line about a run."""
    verdict = ran.verdict
    style = _STYLE[verdict.outcome]
    done = verdict.counted
    counted = ", ".join(
        f"{done[outcome]} {word}"
        for outcome, word in (
            (Outcome.PASS, "checks passed"),
            (Outcome.FAIL, "failed"),
            (Outcome.INVALID, "invalid"),
            (Outcome.SKIPPED, "skipped"),
        )
        if done[outcome]
    )
    return (
        f"[{style}]{verdict.outcome:<7}[/{style}] {escape(verdict.scenario)}  "
        f"{counted or 'nothing checked'}  {ran.duration_s:.1f} s"
    )
