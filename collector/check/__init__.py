"""The verdict: what was expected, what was witnessed, and which link of the chain is to blame.

Pure: values in, values out. The same evidence gives the same verdict, anywhere and at any time.
"""

from __future__ import annotations

from dataclasses import replace

from collector.check import collected
from collector.check.chain import breaks
from collector.check.compare import checks
from collector.check.model import (
    Asked,
    Break,
    Check,
    Counted,
    Evidence,
    Expected,
    ExpectedFlow,
    Explicit,
    Lengths,
    Outcome,
    Point,
    Record,
    Verdict,
    together,
)
from collector.check.pattern import Pattern
from collector.check.plain import settle
from collector.check.sampling import notes as sampling_notes
from collector.check.tolerance import Region, Tolerance

__all__ = [
    "Asked",
    "Break",
    "Check",
    "Counted",
    "Evidence",
    "Expected",
    "ExpectedFlow",
    "Explicit",
    "Lengths",
    "Outcome",
    "Pattern",
    "Point",
    "Record",
    "Region",
    "Tolerance",
    "Verdict",
    "judge",
    "together",
]


def judge(expected: Expected, evidence: Evidence) -> Verdict:
    """Compare, and place every difference.

    Where the chain of witnesses broke elsewhere than at the exporter, what fails is INVALID: the
    experiment says nothing about the exporter. A run that compared nothing is INVALID too, and so
    is one with something in it that could not be judged.
    """
    lacking = evidence.witnesses.skipped
    if lacking is not None:
        return Verdict(expected.scenario, Outcome.SKIPPED, (), notes=(lacking,))
    settled = settle(expected, evidence)
    broken = breaks(expected, evidence, settled)
    strays = tuple(Break("exporter", stray) for stray in evidence.strays)
    compared = (*checks(expected, evidence, settled), *collected.checks(evidence))
    if broken:
        links = ", ".join(dict.fromkeys(one.link for one in broken))
        compared = tuple(_not_to_blame(check, links) for check in compared)
    outcomes = {check.outcome for check in compared}
    if settled.plain is not None and settled.plain.count:
        outcomes.add(Outcome.PASS)
    return Verdict(
        expected.scenario,
        _overall(
            outcomes,
            broken=bool(broken),
            stray=bool(strays),
            absent=bool(evidence.witnesses.absent),
        ),
        compared,
        (*broken, *strays),
        (*evidence.notes, *sampling_notes(expected, evidence)),
        expected.look_for,
        settled.plain,
    )


def _not_to_blame(check: Check, links: str) -> Check:
    if check.outcome is not Outcome.FAIL:
        return check
    why = f"{check.why}; no fault of the exporter can be told from this: {links} did not hold"
    return replace(check, outcome=Outcome.INVALID, why=why)


def _overall(seen: set[Outcome], *, broken: bool, stray: bool, absent: bool) -> Outcome:
    if absent and not broken and seen == {Outcome.SKIPPED}:
        return Outcome.SKIPPED
    if broken or not seen & {Outcome.PASS, Outcome.FAIL}:
        return Outcome.INVALID
    if stray or Outcome.FAIL in seen:
        return Outcome.FAIL
    return Outcome.INVALID if Outcome.INVALID in seen else Outcome.PASS
