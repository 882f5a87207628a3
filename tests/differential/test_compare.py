"""The comparison itself: what is missing, too much, wrong, declared and gone is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from collector.records import OFFSET
from tests.differential.compare import ABSENT, WRONG, Case, Disagreement, compare
from tests.differential.records import Record

OURS = [{"port": 1, "octets": 10}, {"port": 2, "octets": 20}]
CASE = Case("case", Path("none"), [Record("case", values) for values in OURS])
WRONG_COUNT = Disagreement(
    "peer", "", "", "", "", lambda record, _: {"octets": 99} if record["port"] == 2 else {}
)
DROPPED = Disagreement(
    "peer", "", "", "", "", lambda _, row: dict.fromkeys(row, ABSENT) if row["port"] == 2 else {}
)
PHANTOM = Disagreement("peer", "", "", "", "", phantom=lambda _, row: row["port"] == 3)


def result(theirs, *declared):
    peer = SimpleNamespace(
        NAME="peer",
        expected=lambda record: dict(record.values),
        rows=lambda _: {"case": theirs},
        together=lambda rows: rows,
    )
    return compare(peer, [CASE], declared)


CHANGED = [OURS[0], {"port": 2, "octets": 99}]


@pytest.mark.parametrize(
    ("theirs", "declared", "told"),
    [
        (OURS, (), []),
        (OURS[::-1], (), []),
        (OURS[:1], (), ["no row like {'port': 2, 'octets': 20}"]),
        ([*OURS, {"port": 3}], (), ["a row of no record of ours: {'port': 3}"]),
        ([*OURS, OURS[0]], (), ["a row of no record of ours: {'port': 1, 'octets': 10}"]),
        (CHANGED, (), ["octets is 20 by us, 99 by peer"]),
        (CHANGED, (WRONG_COUNT,), []),
        (OURS, (WRONG_COUNT,), ["octets is 99 by us, 20 by peer"]),
        (OURS[:1], (DROPPED,), []),
        (OURS, (DROPPED,), ["a row of no record of ours: {'port': 2, 'octets': 20}"]),
        ([*OURS, {"port": 3}], (PHANTOM,), []),
    ],
)
def test_differences(theirs, declared, told):
    found = result(theirs, *declared)
    assert len(found.differences) == len(told)
    assert all(words in text for words, text in zip(told, found.differences, strict=True))


def test_what_is_declared_and_not_met_is_known():
    assert result(OURS, PHANTOM).met == set()
    assert result([*OURS, {"port": 3}], PHANTOM).met == {PHANTOM}


PLACED = [Record("case", {"datagram": 1, OFFSET: 40 * n, "octets": n}) for n in (1, 2, 3)]
LOST = Disagreement(
    "peer", "", "", "", "", lambda record, _: {"octets": WRONG} if record["octets"] > 1 else {}
)


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ([1, None, None], []),
        ([1, 2, 7], []),  # right by chance, once
        ([1, 2, 3], ["case, (1, 120): agrees, against what is declared"]),
        ([0, None, None], ["octets is 1 by us, 0 by peer"]),
    ],
)
def test_a_disagreement_is_gone_when_no_record_shows_it(theirs, told):
    peer = SimpleNamespace(
        NAME="peer",
        expected=lambda record: {"octets": record["octets"]},
        read=lambda _: {"case": [theirs]},
        found=lambda record, datagram: {"octets": datagram[record["octets"] - 1]},
        record_offsets=lambda _: [],
    )
    found = compare(peer, [Case("case", Path("none"), PLACED)], (LOST,)).differences
    assert len(found) == len(told)
    assert all(words in text for words, text in zip(told, found, strict=True))
