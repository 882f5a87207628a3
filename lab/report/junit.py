"""JUnit XML, as continuous integration reads it: a suite per run, a case per flow and place.

Of very many flows those that were plainly right are one case per place.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Final

from collector.check.model import Outcome
from lab.printable import printable
from lab.report.rows import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.report.rows import Row
    from lab.runner import Ran

_TAG: Final = {Outcome.FAIL: "failure", Outcome.INVALID: "error", Outcome.SKIPPED: "skipped"}


def document(runs: Iterable[Ran]) -> bytes:
    """The XML of several runs, in UTF-8."""
    root = ET.Element("testsuites", name="flowlab")
    for ran in runs:
        lines = rows(ran.verdict.checks)
        plain = [] if ran.verdict.plain is None else list(ran.verdict.plain.by_point())
        suite = ET.SubElement(
            root,
            "testsuite",
            name=ran.verdict.scenario,
            tests=str(len(lines) + len(plain) + 1),
            failures=str(sum(row.outcome is Outcome.FAIL for row in lines)),
            errors=str(
                sum(row.outcome is Outcome.INVALID for row in lines) + bool(ran.verdict.breaks)
            ),
            skipped=str(sum(row.outcome is Outcome.SKIPPED for row in lines)),
            time=f"{ran.duration_s:.3f}",
        )
        _experiment(suite, ran)
        for row in lines:
            _case(suite, ran, row)
        for point, flows in plain:
            name = f"{flows} flows at {point.observation_point}, {point.exporter}"
            ET.SubElement(suite, "testcase", classname=ran.verdict.scenario, name=name)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _experiment(suite: ET.Element, ran: Ran) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=ran.verdict.scenario, name="the chain of witnesses"
    )
    text = printable("\n".join(f"{one.link}: {one.what}" for one in ran.verdict.breaks))
    if text:
        ET.SubElement(case, "error", message=text.splitlines()[0]).text = text


def _case(suite: ET.Element, ran: Ran, row: Row) -> None:
    name = printable(f"{row.about} at {row.observation_point}, {row.exporter}")
    case = ET.SubElement(suite, "testcase", classname=ran.verdict.scenario, name=name)
    if row.outcome in _TAG:
        told = row.complaints or tuple(row.checks.values())
        text = "\n".join(
            f"{check.measure}: expected {check.expected}, observed {check.observed}; {check.why}"
            for check in told
        )
        text = printable(text)
        ET.SubElement(case, _TAG[row.outcome], message=text.splitlines()[0]).text = text
