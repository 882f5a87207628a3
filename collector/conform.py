"""What a collector says of a case against what is true of it: flow by flow, field by field.

Pure: rows in, findings out. What a collector cannot express is left out on both sides, and counted,
so that it is neither held against it nor taken for a pass.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from collector.backends.base import OBSERVER, TIMES, Backend, Row, Tells
from collector.key import FlowKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MEASURES: Final = (
    *("packets", "octets", "octets_l2", "octets_l3", "tcpControlBits", "first_ns", "last_ns"),
)
"""What is compared, in this order."""
FLOW: Final = "flow"
"""The field of a finding about a flow as such: one too few, or one too many."""
_FLAGS: Final = "tcpControlBits"
_SFLOW: Final = "sflow5"
_ALIKE: Final = 3
"""A flow that is missing was read as another one if they have so many parts in common."""

Place = tuple[tuple[str, Any], ...]
"""Who saw a flow, and which: names and values."""


class Result(StrEnum):
    """What came of a case and a collector."""

    PASS = "pass"  # noqa: S105 (not a password)
    FAIL = "fail"
    NOT_EXPRESSIBLE = "not expressible"
    CRASHED = "crashed"
    HUNG = "hung"
    NO_RESULT = "no result"
    """The experiment broke: nothing can be said of the collector."""


@dataclass(frozen=True)
class Finding:
    """One field of one flow that is not as it should be.

    Attributes:
        observer: who saw the flow, as far as the collector says it.
        flow: its key, as far as the collector says it.
        field: the name of the field; `FLOW`: the flow itself.
        expected: what is true; None: there is no such flow.
        observed: what the collector says; None: nothing.
        why: in words.
    """

    observer: Mapping[str, Any]
    flow: Mapping[str, Any]
    field: str
    expected: Any
    observed: Any
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "observer": dict(self.observer),
            "flow": dict(self.flow),
            "field": self.field,
            "expected": self.expected,
            "observed": self.observed,
            "why": self.why,
        }


@dataclass(frozen=True)
class Compared:
    """A comparison.

    Attributes:
        result: what came out.
        findings: what is wrong.
        compared: how many values were compared.
        left_out: why flows were left out, with how many.
    """

    result: Result
    findings: tuple[Finding, ...] = ()
    compared: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


def compare(
    truth: Sequence[Row],
    told: Iterable[Row],
    backend: Backend,
    counts: Mapping[str, tuple[int, int]] | None = None,
) -> Compared:
    """Compare what a collector told of a case with what is true.

    Args:
        truth: flows as `truth.json` has them.
        told: flows as a back end gives them.
        backend: says how much of a flow the collector can say.
        counts: of the whole case, by name: what is true, and what the collector says.
    """
    left_out: Counter[str] = Counter()
    ours: dict[Place, list[Row]] = defaultdict(list)
    unsaid: dict[Place, str] = {}
    for row in map(with_family, truth):
        place = _place(row, backend)
        why = backend.cannot(row)
        if why:
            left_out[why] += 1
            unsaid[place] = why
        else:
            ours[place].append(row)
    theirs: dict[Place, list[Row]] = defaultdict(list)
    for row in told:
        theirs[_place(row, backend)].append(row)
    for place, why in unsaid.items():
        # A flow that can be said in part only: what is said of it is neither right nor wrong.
        theirs.pop(place, None)
        left_out[why] += len(ours.pop(place, ()))
    if truth and not ours and not theirs:
        return Compared(Result.NOT_EXPRESSIBLE, left_out=dict(left_out))
    expected = {place: _summed(rows) for place, rows in ours.items()}
    observed = {place: _summed(rows) for place, rows in theirs.items()}
    findings = (
        *_findings(expected, observed, backend),
        *(
            Finding({}, {}, name, right, seen, "counted over the whole case")
            for name, (right, seen) in (counts or {}).items()
            if right != seen
        ),
    )
    compared = len(counts or {}) + sum(
        len(_asked(place, row, backend)) for place, row in expected.items()
    )
    # Of a case whose datagrams tell no flow, it is compared that none is told.
    compared += not truth
    outcome = Result.FAIL if findings else Result.PASS if compared else Result.NOT_EXPRESSIBLE
    return Compared(outcome, findings, compared, dict(left_out))


def flow_of(place: Mapping[str, Any]) -> str:
    """A flow as people write it; without a key it is all of them."""
    return "the whole case" if not place else str(FlowKey.from_json(dict(place)))


def with_family(row: Row) -> Row:
    """A row of the truth, with the kind of datagrams that it came in."""
    return {**row, "family": "sflow" if row["protocol"] == _SFLOW else "netflow"}


def _place(row: Row, backend: Backend) -> Place:
    """Who saw which flow, as far as the collector can say it."""
    tells = backend.tells(row["family"])
    observer = [(name, _observer(row, name)) for name in OBSERVER if name in tells.observer]
    return (*observer, *sorted(backend.told(row["flow"]).items()))


def _observer(row: Row, name: str) -> Any:
    value = row.get(name)
    return value or 0 if name == "flowDirection" else value


def _tells(place: Place, backend: Backend) -> Tells:
    return backend.tells(str(dict(place).get("family", "")))


def _summed(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows of one place as one; what one of them does not say is not said."""
    one: dict[str, Any] = {}
    rows = [_with_octets(row) for row in rows]
    for name in MEASURES:
        values = [row.get(name) for row in rows]
        if None not in values:
            one[name] = _TOGETHER.get(name, sum)(values)
    slack: Counter[str] = Counter()
    for row in rows:
        slack.update(row.get("tolerance") or {})
    return {**one, "tolerance": dict(slack)}


def _either(flags: Iterable[int]) -> int:
    found = 0
    for one in flags:
        found |= one
    return found


_TOGETHER: Final[Mapping[str, Callable[[Any], int]]] = {
    _FLAGS: _either,
    "first_ns": min,
    "last_ns": max,
}


def _asked(place: Place, row: Row, backend: Backend) -> dict[str, Any]:
    """What is true of a flow, as far as the collector counts it."""
    measures = _tells(place, backend).measures
    return {name: row[name] for name in MEASURES if name in measures and name in row}


def _with_octets(row: Row) -> Row:
    """A row with one octet count: sFlow's of the frame, of the others that of the packet.

    Of each row before rows are summed: those of one flow may have come by either.
    """
    if "octets" in row:
        return row
    sampled = row.get("protocol") == _SFLOW
    names = ("octets_l2", "octets_l3") if sampled else ("octets_l3", "octets_l2")
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        return row
    slack = row.get("tolerance") or {}
    more = {"tolerance": {**slack, "octets": slack[name]}} if name in slack else {}
    return {**row, "octets": row[name], **more}


def _findings(
    expected: Mapping[Place, Row], observed: Mapping[Place, Row], backend: Backend
) -> Iterator[Finding]:
    """All that differs; a flow that was read as another one is named by what was read wrongly."""
    missing = [place for place in expected if place not in observed]
    extra = [place for place in observed if place not in expected]
    for place, near in list(_pairs(missing, extra, expected, observed)):
        missing.remove(place)
        extra.remove(near)
        right, seen = dict(place), dict(near)
        for name in dict.fromkeys((*right, *seen)):
            if right.get(name) != seen.get(name):
                why = "the flow is told, but for this"
                yield _finding(place, name, right.get(name), seen.get(name), why)
        yield from _measured(place, expected[place], observed[near], backend)
    for place in missing:
        packets = expected[place].get("packets")
        yield _finding(place, FLOW, packets, None, "no such flow is told; its packets are missing")
    for place in extra:
        packets = observed[place].get("packets")
        yield _finding(place, FLOW, None, packets, "a flow that no record tells")
    for place in expected:
        if place in observed:
            yield from _measured(place, expected[place], observed[place], backend)


def _measured(place: Place, right: Row, seen: Row, backend: Backend) -> Iterator[Finding]:
    """Values that differ."""
    resolution_ns = _tells(place, backend).resolution_ns
    for name, value in _asked(place, right, backend).items():
        other = seen.get(name)
        slack = (right.get("tolerance") or {}).get(name, 0)
        if name in TIMES:
            slack = max(slack, resolution_ns - 1)
        if other is None or abs(other - value) > slack or (name == _FLAGS and other != value):
            yield _finding(place, name, value, other, _how(name, value, other))


def _how(name: str, value: int, other: int | None) -> str:
    """A difference in words."""
    if other is None:
        return "is not told"
    if name in TIMES:
        return f"{(other - value) / 1e6:+.3f} ms"
    if name == _FLAGS or not value:
        return ""
    return f"{other - value:+d}, {other / value:.4g} times as much"


def _finding(place: Place, name: str, expected: Any, observed: Any, why: str) -> Finding:
    values = dict(place)
    observer: dict[str, Any] = {name: values[name] for name in OBSERVER if name in values}
    flow = {name: value for name, value in values.items() if name not in observer}
    return Finding(observer, flow, name, expected, observed, why)


def _pairs(
    missing: Sequence[Place],
    extra: Sequence[Place],
    expected: Mapping[Place, Row],
    observed: Mapping[Place, Row],
) -> Iterator[tuple[Place, Place]]:
    """Flows that are missing, with those that they were read as: the most alike first."""
    ours_of = [_parts(place, expected[place]) for place in missing]
    theirs_of = [_parts(place, observed[place]) for place in extra]
    by_part: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for other, parts in enumerate(theirs_of):
        for part in parts:
            by_part[part].append(other)
    alike = []
    for number, parts in enumerate(ours_of):
        # What nearly all have in common finds nothing, and would take for ever.
        rare = [by_part[part] for part in parts if len(by_part[part]) <= _COMMON]
        own = dict(missing[number])
        for other in {other for some in rare for other in some}:
            count = len(parts & theirs_of[other])
            near = dict(extra[other])
            if count >= _ALIKE and near.get("family") == own.get("family"):
                same = near.get("flowDirection") == own.get("flowDirection")
                alike.append((count, same, -number, -other))
    ours, theirs = set(range(len(missing))), set(range(len(extra)))
    for *_, number, other in sorted(alike, reverse=True):
        if -number in ours and -other in theirs:
            ours.remove(-number)
            theirs.remove(-other)
            yield missing[-number], extra[-other]


_COMMON: Final = 50


def _parts(place: Place, row: Row) -> frozenset[tuple[str, Any]]:
    """By what a flow is known again: its key, who saw it, what it counts, and when it was."""
    told = {part for part in place if part[0] not in _EVERYBODYS and part[1] is not None}
    told |= {(name, row[name]) for name in ("packets", *TIMES) if row.get(name) is not None}
    # Octets go by several names.
    told |= {("octets", row[name]) for name in _OCTETS if row.get(name) is not None}
    return frozenset(told)


_EVERYBODYS: Final = ("family", "protocol", "flowDirection")
_OCTETS: Final = ("octets", "octets_l2", "octets_l3")
