"""Writes docs/conformance.md from a report of `flowlab conform`: `python -m tests.conform`."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector.conform import FLOW, Finding, flow_of
from tests.conform.known import ENDED, KNOWN, reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
_BEGINNING: Final = """\
# What collectors tell of the catalogue

<!-- Made from a report and tests/conform/known.py by `python -m tests.conform REPORT.json`. -->

Every scenario of the catalogue that exports anything was run and recorded, every profile and edge
case was generated ([generate.md](generate.md)), and each of these cases was given to each collector
([testing-collectors.md](testing-collectors.md) says how): {versions}.
Debian 12's packages; flowlab is this checkout.

```sh
flowlab record $(ls scenarios/*/*.yaml) --out recorded --jobs 2
flowlab generate --catalogue --out generated
flowlab conform --collector flowlab,nfdump,pmacct,tshark --cases recorded --cases generated \\
    --json > report.json
```

{summary}

A failed case is mostly one of a few reasons, which come with one exporter or one protocol: they are
below, each with the evidence of one case. What is said of a collector's inside is concluded from
what it prints. [differential.md](differential.md) has more, field by field, on generated captures.
"""
_NAMED: Final = 12
"""Cases of a reason that are named; the matrix has all."""
_ENDED: Final = ("crashed", "hung", "no result")
_COUNTS: Final = ("pass", "fail", "not expressible", "crashed", "hung", "no result")


def text(report: dict[str, Any], versions: str) -> str:
    """The document."""
    outcomes = report["outcomes"]
    names = tuple(dict.fromkeys(one["collector"] for one in outcomes))
    parts = [_BEGINNING.format(versions=versions, summary=_summary(outcomes, names))]
    for name in names:
        parts += _reasons(name, [one for one in outcomes if one["collector"] == name])
    parts.append(_matrix(outcomes, names))
    return "\n".join(parts)


def _summary(outcomes: Sequence[dict[str, Any]], names: Iterable[str]) -> str:
    heads = [kind for kind in _COUNTS if any(one["result"] == kind for one in outcomes)]
    columns = ("collector", *heads, "values compared")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in names:
        own = [one for one in outcomes if one["collector"] == name]
        counts = Counter(one["result"] for one in own)
        values = sum(one["compared"] for one in own)
        lines.append(f"| {name} | {' | '.join(str(counts[kind]) for kind in heads)} | {values} |")
    return "\n".join(lines)


def findings(outcome: dict[str, Any]) -> Iterable[tuple[dict[str, Any], Finding]]:
    """The examples of an outcome, as findings."""
    for one in outcome["examples"]:
        names = ("observer", "flow", "field", "expected", "observed", "why")
        yield one, Finding(**{name: one[name] for name in names})


def _reasons(name: str, outcomes: Sequence[dict[str, Any]]) -> Iterable[str]:
    cases: dict[int, dict[str, None]] = defaultdict(dict)
    first: dict[int, tuple[str, dict[str, Any], Finding]] = {}
    for outcome in outcomes:
        for example, finding in findings(outcome):
            known = reason(name, outcome["case"], finding)
            number = KNOWN.index(known) if known else -1
            cases[number][outcome["case"]] = None
            first.setdefault(number, (outcome["case"], example, finding))
    left_out = Counter[str]()
    for outcome in outcomes:
        left_out.update(outcome["not_expressible"])
    ended = [one for one in outcomes if one["result"] in _ENDED]
    if not cases and not left_out and not ended:
        return
    yield f"## {name}\n"
    for one in ended:
        if (name, one["case"]) not in ENDED:
            raise SystemExit(f"nobody explains {name}, {one['case']}: {one['why']}")
        yield f"### {one['case']}: {one['result']}\n\n{ENDED[name, one['case']]}\n"
        yield f"```\n{_told_of(one['why'])}\n```\n"
    for number in sorted(cases):
        if number < 0:
            case, _, finding = first[number]
            raise SystemExit(f"nobody explains {name}, {case}: {finding}")
        known = KNOWN[number]
        fields = ", ".join(f"`{field}`" for field in known.fields)
        yield f"### {', '.join(known.protocols)}: {known.says}\n\n{known.why} Fields: {fields}.\n"
        yield _evidence(*first[number])
        named = list(cases[number])
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        yield f"Cases ({len(named)}): {', '.join(named[:_NAMED])}{more}.\n"
    for why, times in left_out.items():
        yield f"Not expressible, and left out: {times} flows; {why}.\n"


def _told_of(why: str) -> str:
    """How it ended, and the last that it said."""
    lines = why.splitlines()
    return "\n".join([lines[0].rpartition(": ")[0] or lines[0], *lines[1:][-2:]])


def _evidence(case: str, example: dict[str, Any], finding: Finding) -> str:
    told = f"{finding.field}: expected {finding.expected}, observed {finding.observed}"
    if finding.field == FLOW:
        told = "no such flow is told" if finding.observed is None else "a flow that no record tells"
    lines = [f"{case}: {flow_of(finding.flow)}", told]
    evidence = example["evidence"]
    if evidence and evidence["datagram"]:
        where = f", record at octet {evidence['offset']}"
        lines.append(evidence["title"].rpartition(",")[0] + where)
        lines += [
            f"{line['offset']:>6}  {line['octets']:<23}  {line['name']}  {line['value']}"
            for line in evidence["explain"]
        ]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _matrix(outcomes: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for one in outcomes:
        fields = dict.fromkeys(example["field"] for example in one["examples"])
        told = f": {', '.join(fields)}" if fields else ""
        rows[one["case"]][one["collector"]] = one["result"] + told
    lines = [f"| case | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for case, row in rows.items():
        lines.append(f"| {case} | {' | '.join(row[name] for name in names)} |")
    said = "## The matrix\n\nFields are those that are wrong somewhere in the case.\n\n"
    return said + "\n".join(lines) + "\n"


if __name__ == "__main__":
    from collector.backends import BACKENDS

    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    examined = dict.fromkeys(one["collector"] for one in report["outcomes"])
    said = ", ".join(f"{name} {BACKENDS[name].version()}" for name in examined)
    DOCUMENT.write_text(text(report, said), encoding="utf-8")
