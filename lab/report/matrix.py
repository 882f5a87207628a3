"""Cases against collectors, for people and for machines: text, JSON, JUnit XML, one HTML page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from collector.backends.base import TIMES
from collector.conform import FLOW, Result, flow_of
from collector.key import flags_text
from lab.exit import Exit
from lab.printable import printable
from lab.report.terminal import console

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.conform import Finding
    from lab.conform.run import Example, Outcome

_BAD: Final = (Result.FAIL, Result.CRASHED, Result.HUNG)
_STYLE: Final = {
    Result.PASS: "green",
    Result.FAIL: "bold red",
    Result.NOT_EXPRESSIBLE: "dim",
    Result.CRASHED: "bold red",
    Result.HUNG: "bold red",
    Result.NO_RESULT: "bold yellow",
}
_TAG: Final = {
    Result.FAIL: "failure",
    Result.CRASHED: "failure",
    Result.HUNG: "failure",
    Result.NOT_EXPRESSIBLE: "skipped",
    Result.NO_RESULT: "error",
}


_NONE: Final[Mapping[str, str]] = {}


def code(outcomes: Iterable[Outcome]) -> Exit:
    """The exit code."""
    results = {outcome.result for outcome in outcomes}
    if results & set(_BAD):
        return Exit.FAILED
    passed = Result.PASS in results and Result.NO_RESULT not in results
    return Exit.PASSED if passed else Exit.NO_VERDICT


def line(outcome: Outcome) -> str:
    """An outcome as it comes."""
    wrong = Counter[str]()
    for one in outcome.examples:
        wrong[one.finding.field] += one.times
    fields = ", ".join(f"{field} ({times})" for field, times in wrong.items())
    said = fields or outcome.why.partition("\n")[0][:100] or _left_out(outcome)
    told = (
        f"{outcome.result.value:15} {outcome.collector:10} {outcome.case.name}  "
        f"{outcome.took_s:.1f} s" + (f"  {said}" if said else "")
    )
    return printable(told)


def _left_out(outcome: Outcome) -> str:
    return "; ".join(f"{times} flows: {why}" for why, times in outcome.compared.left_out.items())


def show(outcomes: Sequence[Outcome]) -> None:
    """The matrix, then the evidence of each failure."""
    screen = console()
    collectors = _collectors(outcomes)
    table = Table("case", *collectors, box=None, pad_edge=False, header_style="bold")
    for case, row in _by_case(outcomes).items():
        table.add_row(Text(printable(case)), *(_cell(row[name]) for name in collectors))
    for outcome in outcomes:
        if outcome.result in (*_BAD, Result.NO_RESULT):
            screen.print()
            for text in explained(outcome):
                screen.print(text, markup=False, soft_wrap=True)
    screen.print()
    screen.print(table)
    for name in collectors:
        own = [outcome.result for outcome in outcomes if outcome.collector == name]
        counts = ", ".join(f"{own.count(one)} {one.value}" for one in Result if one in own)
        screen.print(f"{name}: {counts}", highlight=False)


def _collectors(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Their names, in the order in which they were given."""
    return tuple(dict.fromkeys(outcome.collector for outcome in outcomes))


def _cell(outcome: Outcome) -> Text:
    return Text(outcome.result.value, _STYLE[outcome.result])


def _by_case(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Outcome]]:
    rows: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.case.name, {})[outcome.collector] = outcome
    return rows


def explained(outcome: Outcome) -> list[str]:
    """What went wrong, in lines: by field the first flow, its datagram, and what is in it."""
    lines = [f"{outcome.result.value.upper()}  {outcome.collector}, {outcome.case.name}"]
    if outcome.why:
        lines.append(f"  {outcome.why}")
    for one in outcome.examples:
        lines += _example(one)
    return list(map(printable, lines))


def _example(one: Example) -> list[str]:
    finding = one.finding
    also = f"  (and in {one.times - 1} more)" if one.times > 1 else ""
    lines = [
        f"  {finding.field}: expected {_value(finding, finding.expected)}, "
        f"observed {_value(finding, finding.observed)}"
        + (f"; {finding.why}" if finding.why else "")
        + also,
        f"    {flow_of(finding.flow)}, {observer(finding.observer)}",
    ]
    if one.evidence is not None:
        at = "" if one.evidence.offset is None else f", record at octet {one.evidence.offset}"
        lines.append(f"    {one.evidence.title}{at}")
        for offset, octets, name, value, meaning, section in one.evidence.lines:
            about = "".join(f"  ({text})" for text in (meaning, section) if text)
            lines.append(f"    {offset:>6}  {octets:<23}  {name}  {value}{about}")
    return lines


def _value(finding: Finding, value: Any) -> str:
    if finding.field == FLOW:
        return "no flow" if value is None else f"a flow of {value} packets"
    if value is None:
        return "nothing"
    if finding.field == "tcpControlBits":
        return f"{value} ({flags_text(value)})"
    return f"{value / 1e9:.6f} s" if finding.field in TIMES else str(value)


def observer(told: Mapping[str, Any]) -> str:
    """Who saw a flow, in words."""
    names = {"observation_domain": "observation domain", "flowDirection": "direction"}
    return ", ".join(
        f"{names.get(name, name)} {value}"
        for name, value in told.items()
        if value is not None and not (name == "family" and "protocol" in told)
    )


def plain(outcomes: Sequence[Outcome], versions: Mapping[str, str] = _NONE) -> dict[str, Any]:
    """All of it as plain data.

    Args:
        outcomes: what came of each pair.
        versions: what collectors say of their version, by name.
    """
    return {
        "collectors": [
            {"name": name, "version": versions.get(name, "")} for name in _collectors(outcomes)
        ],
        "cases": [
            {"name": name, **dict(next(iter(row.values())).case.manifest.to_json())}
            for name, row in _by_case(outcomes).items()
        ],
        "outcomes": [
            {
                "case": outcome.case.name,
                "collector": outcome.collector,
                "result": outcome.result.value,
                "why": outcome.why,
                "compared": outcome.compared.compared,
                "not_expressible": dict(outcome.compared.left_out),
                "findings": len(outcome.compared.findings),
                "took_s": round(outcome.took_s, 3),
                "examples": [
                    {
                        **one.finding.to_json(),
                        "times": one.times,
                        "evidence": one.evidence and one.evidence.to_json(),
                    }
                    for one in outcome.examples
                ],
            }
            for outcome in outcomes
        ],
    }


def junit(outcomes: Sequence[Outcome], versions: Mapping[str, str] = _NONE) -> bytes:
    """JUnit XML: a suite for each collector, a case for each case; in UTF-8."""
    root = ET.Element("testsuites", name="flowlab conform")
    for name in _collectors(outcomes):
        own = [outcome for outcome in outcomes if outcome.collector == name]
        tags = [_TAG.get(outcome.result) for outcome in own]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(own)),
            failures=str(tags.count("failure")),
            errors=str(tags.count("error")),
            skipped=str(tags.count("skipped")),
            time=f"{sum(outcome.took_s for outcome in own):.3f}",
        )
        if version := versions.get(name):
            told = ET.SubElement(suite, "properties")
            ET.SubElement(told, "property", name="version", value=printable(version))
        for outcome, tag in zip(own, tags, strict=True):
            attributes = {"classname": name, "name": printable(outcome.case.name)}
            case = ET.SubElement(suite, "testcase", attributes, time=f"{outcome.took_s:.3f}")
            if tag is not None:
                text = "\n".join(explained(outcome)) if tag != "skipped" else _left_out(outcome)
                message = line(outcome)
                ET.SubElement(case, tag, message=message).text = printable(text)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


_STYLE_SHEET: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #1c2024; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { text-align: left; padding: .25rem .8rem; border-bottom: 1px solid #e0e3e7 }
thead th { position: sticky; top: 0; background: #fff }
.pass { color: #18794e } .fail, .crashed, .hung { color: #c62a2f; font-weight: 600 }
.not-expressible { color: #687076 } .no-result { color: #ad5700 }
details { margin: .4rem 0; border-left: 3px solid #e0e3e7; padding-left: .8rem }
summary { cursor: pointer }
pre { overflow-x: auto; font-size: 13px; background: #f6f7f8; padding: .6rem }
@media (prefers-color-scheme: dark) {
  body, thead th { background: #16181a; color: #e6e8ea } pre { background: #202325 }
  th, td, details { border-color: #34383c } .pass { color: #4cc38a }
  .fail, .crashed, .hung { color: #ff8589 } .no-result { color: #f1a10d } a { color: #6cb6ff }
}
"""


def page(outcomes: Sequence[Outcome], versions: Mapping[str, str] = _NONE) -> str:
    """A page that needs nothing else: the matrix, and what is behind each cell."""
    collectors = _collectors(outcomes)
    rows = "".join(
        f'<tr><th scope="row">{escape(printable(name))}</th>'
        + "".join(_html_cell(row[one]) for one in collectors)
        + "</tr>\n"
        for name, row in _by_case(outcomes).items()
    )
    named = {name: f"{name} {printable(versions.get(name, ''))}".strip() for name in collectors}
    heads = "".join(f'<th scope="col">{escape(named[name])}</th>' for name in collectors)
    details = "".join(_html_details(outcome) for outcome in outcomes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>flowlab conform</title><style>{_STYLE_SHEET}</style></head><body>\n"
        "<h1>Cases against collectors</h1>\n"
        f'<table><thead><tr><th scope="col">case</th>{heads}</tr></thead>\n<tbody>{rows}</tbody>'
        f"</table>\n<h2>What is behind it</h2>\n{details}</body></html>\n"
    )


def _anchor(outcome: Outcome) -> str:
    return escape(printable(f"{outcome.case.name}--{outcome.collector}"), quote=True)


def _html_cell(outcome: Outcome) -> str:
    kind = outcome.result.value.replace(" ", "-")
    count = f" ({len(outcome.compared.findings)})" if outcome.compared.findings else ""
    link = f'<a href="#{_anchor(outcome)}" class="{kind}">{outcome.result.value}{count}</a>'
    return f"<td>{link}</td>"


def _html_details(outcome: Outcome) -> str:
    said = "\n".join(explained(outcome)[1:])
    if outcome.result is Result.PASS:
        said = f"{outcome.compared.compared} values are right.\n{said}".strip()
    left = _left_out(outcome)
    text = said + (f"\nNot expressible: {left}" if left else "")
    kind = outcome.result.value.replace(" ", "-")
    return (
        f'<details id="{_anchor(outcome)}"><summary><span class="{kind}">'
        f"{outcome.result.value}</span> {escape(outcome.collector)}, "
        f"{escape(printable(outcome.case.name))}</summary>"
        f"<p>{escape(outcome.case.manifest.about)}</p>"
        f"<pre>{escape(printable(text))}</pre></details>\n"
    )
