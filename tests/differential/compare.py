"""Our records against a peer's rows: what differs, after what is known to differ.

A peer is a module with `NAME`, `PROGRAMS`, `SAYS` (for people), `expected` (what it would say of a
record if it agreed with us; None: nothing, for it cannot express such records), and one of two ways
to answer:

- `read`, `found` and `record_offsets`: it is asked about each record (tshark, which shows where
  everything is);
- `rows`, `together` and `breaks`: it gives rows without saying of which record they are (nfdump,
  pmacct).

`instead` of a disagreement changes what is expected, record by record; the peer must then say
exactly that. So a disagreement holds only where it is declared, and one that is gone is noticed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.differential.records import Record

Row = dict[str, Any]
"""Name to value."""
ABSENT: Final = "(nothing)"
"""In place of a value: the peer does not say it."""
WRONG: Final = "(anything else)"
"""In place of values: the peer reads there what does not belong there. In a record or two it may
read our values by chance; where it does in all records of a disagreement, this is gone."""


@dataclass(frozen=True)
class Case:
    """A capture, and how we read it."""

    name: str
    capture: Path
    records: Sequence[Record]


def _nothing(_record: Record, _row: Row) -> Row:
    return {}


def _none(_case: str, _row: Row) -> bool:
    return False


@dataclass(frozen=True)
class Disagreement:
    """One thing that a peer reads otherwise."""

    peer: str
    where: str
    """Which records or fields it is of."""
    says: str
    """What the peer says there."""
    right: str
    """Who is right."""
    why: str
    """Why, and where that is written."""
    instead: Callable[[Record, Row], Row] = _nothing
    """From a record and what is expected of the peer: what it says otherwise, name to value or
    `ABSENT`; empty where the disagreement does not apply."""
    phantom: Callable[[str, Row], bool] = _none
    """Of a case and a row of the peer's that is of no record of ours: whether it is this."""
    breaks: str = ""
    """A case that the peer does not survive: it is tried by itself."""


@dataclass
class Result:
    """What came out."""

    differences: list[str] = field(default_factory=list)
    """Undeclared ones, in words."""
    met: set[Disagreement] = field(default_factory=set)
    """Those declared ones that were met."""
    fields: int = 0
    """How many values were compared."""


def compare(peer: Any, cases: Sequence[Case], declared: Sequence[Disagreement]) -> Result:
    """What a peer says of some captures, against what we say."""
    mine = [one for one in declared if one.peer == peer.NAME]
    breaking = {one.breaks: one for one in mine if one.breaks}
    usual = [case for case in cases if case.name not in breaking]
    by = _compare_rows if hasattr(peer, "rows") else _compare_placed
    result = by(peer, usual, mine)
    for case in cases:
        if case.name in breaking:
            if peer.breaks(case):
                result.met.add(breaking[case.name])
            else:
                result.differences.append(
                    f"{peer.NAME} survives {case.name}, which is not declared"
                )
    return result


def told(record: Record, row: Row, declared: Sequence[Disagreement], met: set[Disagreement]) -> Row:
    """What the peer is expected to say, its disagreements considered; empty: nothing at all."""
    for one in declared:
        changed = one.instead(record, row) if row else {}
        if changed:
            met.add(one)
            row = {name: value for name, value in {**row, **changed}.items() if value != ABSENT}
    return row


def _compare_placed(peer: Any, cases: Sequence[Case], declared: Sequence[Disagreement]) -> Result:
    """Ask about each record."""
    result = Result()
    agreeing: dict[Disagreement, str] = {}
    disagreeing: set[Disagreement] = set()
    answers = peer.read(cases)
    for case in cases:
        datagrams = answers[case.name]
        for record in case.records:
            datagram = datagrams[record.where[0] - 1]
            ours, found = peer.expected(record), peer.found(record, datagram)
            expected = told(record, ours, declared, result.met)
            result.fields += len(expected)
            wrong = [name for name, value in expected.items() if value == WRONG]
            blamed = [
                one for one in declared if wrong and WRONG in one.instead(record, ours).values()
            ]
            if any(found.get(name) != ours[name] for name in wrong):
                disagreeing.update(blamed)
            else:
                agreeing |= dict.fromkeys(blamed, f"{case.name}, {record.where}")
            for name in wrong:
                found.pop(name, None)
                del expected[name]
            result.differences += _differences(
                peer.NAME, case.name, str(record.where), expected, found
            )
        ours = {record.where for record in case.records}
        for number, datagram in enumerate(datagrams, 1):
            for offset in peer.record_offsets(datagram):
                if (number, offset) not in ours:
                    _extra(peer, case, {"datagram": number, "offset": offset}, declared, result)
    result.differences += [
        f"{peer.NAME}, {where}: agrees, against what is declared of {one.where}"
        for one, where in agreeing.items()
        if one not in disagreeing
    ]
    return result


def _compare_rows(peer: Any, cases: Sequence[Case], declared: Sequence[Disagreement]) -> Result:
    """Compare what is said of each case: alike rows first, the others with the nearest."""
    result = Result()
    answers = peer.rows(cases)
    for case in cases:
        expected = [
            told(record, row, declared, result.met)
            for record in case.records
            if (row := peer.expected(record)) is not None
        ]
        expected = peer.together([row for row in expected if row])
        result.fields += sum(map(len, expected))
        missing, extra = _without_alike(expected, answers[case.name])
        pairs = sorted(
            (
                (_alike(row, one), m, n)
                for m, row in enumerate(missing)
                for n, one in enumerate(extra)
            ),
            reverse=True,
        )
        ours, theirs = set(range(len(missing))), set(range(len(extra)))
        for _, m, n in pairs:
            if m in ours and n in theirs:
                ours.remove(m)
                theirs.remove(n)
                row = missing[m]
                result.differences += _differences(peer.NAME, case.name, _named(row), row, extra[n])
        result.differences += [
            f"{peer.NAME}, {case.name}: no row like {missing[m]}" for m in sorted(ours)
        ]
        extra = [extra[n] for n in sorted(theirs)]
        for row in extra:
            _extra(peer, case, row, declared, result)
    return result


def _extra(
    peer: Any, case: Case, row: Row, declared: Sequence[Disagreement], result: Result
) -> None:
    """A row of no record."""
    for one in declared:
        if one.phantom(case.name, row):
            result.met.add(one)
            return
    result.differences.append(f"{peer.NAME}, {case.name}: a row of no record of ours: {row}")


def _without_alike(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that only one side has."""
    count = Counter(map(_key, theirs))
    missing = []
    for row in ours:
        if count[_key(row)]:
            count[_key(row)] -= 1
        else:
            missing.append(row)
    extra = []
    for row in reversed(theirs):
        if count[_key(row)]:
            count[_key(row)] -= 1
            extra.insert(0, row)
    return missing, extra


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(sorted(row.items()))


def _alike(one: Row, other: Row) -> int:
    return sum(other.get(name) == value for name, value in one.items())


def _named(row: Row) -> str:
    """A row in short."""
    ends = [str(value) for name, value in row.items() if "Address" in name or "Port" in name]
    return " ".join(ends) or "a row"


def _differences(
    peer: str, case: str, where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> list[str]:
    """In which fields two rows differ."""
    return [
        f"{peer}, {case}, {where}: {name} is {ours.get(name, ABSENT)!r} by us, "
        f"{theirs.get(name, ABSENT)!r} by {peer}"
        for name in {**ours, **theirs}
        if ours.get(name, ABSENT) != theirs.get(name, ABSENT)
    ]
