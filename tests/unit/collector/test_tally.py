"""Sums by observer and flow key, against plain sums of the same records."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.address import IPV4_MAPPED
from collector.tally import KEY_NUMBERS, LARGEST, OBSERVER_NUMBERS, Tally

pytestmark = pytest.mark.usefixtures("each_way")

ALL = (*OBSERVER_NUMBERS, *KEY_NUMBERS)
FLAGS = 0x3F


def record(version, end, port, packets, octets, flags, times, observer):
    """One record; None is what it does not say."""
    ipv4 = version == 4
    return {
        "protocol": "ipfix" if observer % 2 else "sflow5",
        "exporter_upper": 0,
        "exporter_lower": observer,
        "observation_domain": observer if observer % 2 else None,
        "agent_upper": None if observer % 2 else 7,
        "agent_lower": None if observer % 2 else observer,
        "sub_agent": None if observer % 2 else 0,
        "flowDirection": observer % 3 if observer % 2 else None,
        "ipVersion": version,
        "ethernetType": {4: 0x0800, 6: 0x86DD, 0: 0x0806}[version],
        "source_upper": 0 if ipv4 else end << 60,
        "source_lower": IPV4_MAPPED | end if ipv4 else end,
        "destination_upper": 0 if ipv4 else 1,
        "destination_lower": IPV4_MAPPED | 5 if ipv4 else 5,
        "protocolIdentifier": 6,
        "sourceTransportPort": port,
        "destinationTransportPort": 80,
        "packets": packets,
        "octets_l3": octets,
        "tcpControlBits": flags,
        "first_ns": times,
        "last_ns": times + 5,
    }


RECORDS = st.lists(
    st.builds(
        record,
        version=st.sampled_from([4, 6, 0]),
        end=st.integers(0, 3),
        port=st.integers(0, 1).map(lambda odd: 65_534 + odd),
        packets=st.integers(0, 1 << 40),
        octets=st.none() | st.integers(0, 1 << 40),
        flags=st.none() | st.integers(0, FLAGS),
        times=st.integers(0, 1 << 60),
        observer=st.integers(0, 4),
    ),
    min_size=1,
    max_size=30,
)


def batches(records):
    """Records as batches: those of one protocol together."""
    for protocol in ("ipfix", "sflow5"):
        rows = [row for row in records if row["protocol"] == protocol]
        if rows:
            columns = {"protocol": protocol}
            for name in rows[0].keys() - {"protocol"}:
                values = [row[name] for row in rows]
                if all(value is None for value in values):
                    continue
                unknown = np.array([value is None for value in values])
                kind = np.int64 if name.endswith("_ns") else np.uint64
                column = np.array([value or 0 for value in values], kind)
                columns[name] = np.ma.masked_array(column, unknown) if unknown.any() else column
            yield columns


def plain(records, by):
    """The same sums, record by record."""
    sums = defaultdict(lambda: {"packets": 0, "octets_l3": 0, "flags": None, "records": 0})
    for row in records:
        one = sums[tuple(row[name] for name in by)]
        one["packets"] += row["packets"]
        unknown = None in (one["octets_l3"], row["octets_l3"])
        one["octets_l3"] = None if unknown else one["octets_l3"] + row["octets_l3"]
        if row["tcpControlBits"] is not None:
            one["flags"] = (one["flags"] or 0) | row["tcpControlBits"]
        one["first"] = min(one.get("first", row["first_ns"]), row["first_ns"])
        one["last"] = max(one.get("last", row["last_ns"]), row["last_ns"])
        one["records"] += 1
    return dict(sums)


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_sums_are_those_of_plain_arithmetic(blocks):
    tally = Tally()
    for block in blocks:
        for columns in batches(block):
            tally.add(columns)
    found = {
        tuple(row[name] for name in ALL): {
            "packets": row["packets"],
            "octets_l3": row["octets_l3"],
            "flags": row["tcpControlBits"],
            "records": row["records"],
            "first": row["first_ns"],
            "last": row["last_ns"],
        }
        for row in tally.table().to_dicts()
    }
    everything = [row for block in blocks for row in block]
    assert found == plain(everything, ALL)
    assert len(tally.observers) == len({tuple(r[n] for n in OBSERVER_NUMBERS) for r in everything})


@given(RECORDS, st.sets(st.sampled_from(ALL)))
def test_what_nobody_asks_for_tells_no_rows_apart(records, by):
    tally = Tally(by)
    for columns in batches(records):
        tally.add(columns)
    table = tally.table()
    names = [name for name in ALL if name in by]
    assert set(table.columns) >= set(names)
    if names:
        table = table.group_by(names).agg(pl.col("packets", "records").sum())
    expected = plain(records, names)
    found = {tuple(row[name] for name in names): row for row in table.to_dicts()}
    if names:
        assert {key: row["packets"] for key, row in found.items()} == {
            key: one["packets"] for key, one in expected.items()
        }
    else:
        assert table["packets"].sum() == expected[()]["packets"]


def test_no_records_make_an_empty_table_of_the_same_columns():
    tally = Tally(("source_upper", "source_lower"))
    assert tally.table().is_empty()
    (columns,) = batches([record(4, 1, 1, 1, 1, 0, 1, 1)])
    tally.add(columns)
    assert tally.table().schema == Tally(("source_upper", "source_lower")).table().schema


@pytest.mark.parametrize("height", [1, 3])
def test_a_value_alone_is_that_of_all(height):
    (columns,) = batches([record(4, 1, 1, 5, 1, 0, 1, 1)] * height)
    same = columns | {"ipVersion": 4, "ethernetType": 0x0800, "source_upper": 0}
    one, other = Tally(), Tally()
    one.add(columns)
    other.add(same)
    assert one.table().equals(other.table())


M = LARGEST


@pytest.mark.parametrize(
    ("blocks", "expected", "too_large"),
    [
        ([[M]], M, 0),
        ([[M + 1]], None, 1),
        ([[2**64 - 1, 2**64 - 1]], None, 2),
        ([[M, 1]], M + 1, 0),  # still right, and fractions are not exact enough to tell
        ([[2**62, 2**62, 2**62]], None, 1),
        ([[M, M, M]], None, 1),
        ([[M], [M], [5]], None, 1),
        ([[2**62], [2**61], [7]], 2**62 + 2**61 + 7, 0),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_what_64_bits_do_not_hold_is_not_known(version, blocks, expected, too_large):
    tally = Tally()
    for counts in blocks:
        of_one = [record(version, 1, 1, 1, octets, 0, 1, 1) for octets in counts]
        for columns in batches([*of_one, record(version, 2, 1, 1, 3, 0, 1, 1)]):
            tally.add(columns)
    sums = tally.table().sort("packets", "source_lower")
    assert dict(zip(sums["source_lower"] & 3, sums["octets_l3"], strict=True)) == {
        1: expected,
        2: 3 * len(blocks),
    }
    assert tally.too_large == too_large
