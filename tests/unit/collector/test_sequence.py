"""Accounting for sequence numbers."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.account import Account
from collector.decode import OPEN_VSWITCH, STANDARD, Datagrams, Decoder, Limits, decode
from collector.decode.sequence import UNKNOWN, account
from collector.decode.sequence import Account as Counted


def judged(first, units):
    return account(np.array(first, np.int64), np.array(units, np.int64))


@pytest.mark.parametrize(
    ("first", "units", "expected"),
    [
        ([5], [1], Counted(1, 0, 0, 0, 0)),
        ([0, 1, 2], [1, 1, 1], Counted(3, 0, 0, 0, 0)),
        ([0, 30, 60], [30, 30, 5], Counted(65, 0, 0, 0, 0)),
        ([0, 3], [1, 1], Counted(2, 2, 1, 0, 0)),
        ([0, 2, 1, 3], [1, 1, 1, 1], Counted(4, 0, 2, 1, 0)),
        ([2**32 - 1, 0], [1, 1], Counted(2, 0, 0, 0, 0)),
        ([2**32 - 1, 1], [1, 1], Counted(2, 1, 1, 0, 0)),
        ([10**6, 0, 1], [1, 1, 1], Counted(3, 0, 0, 0, 1)),
        ([0, 9, 10], [UNKNOWN, 1, 1], Counted(2, 0, 0, 0, 0)),
        ([0, 0], [1, 1], Counted(2, 0, 0, 1, 0)),
        ([0, 1, 1, 4], [1, 1, 1, 1], Counted(4, 2, 1, 1, 0)),
        ([0, 5, 5, 0, 9], [2, 3, 3, 2, 1], Counted(11, 4, 2, 2, 0)),
        ([0, 5, 2, 2, 9], [2, 3, 2, 2, 1], Counted(10, 2, 2, 2, 0)),
    ],
)
def test_account(first, units, expected):
    assert judged(first, units) == expected


@pytest.mark.parametrize(
    ("first", "booted_ms", "restarts", "lost"),
    [
        ([7, 8, 0, 1], [0, 0, 5000, 5000], 1, 0),
        ([7, 8, 0, 1], [0, 0, 300, 300], 1, 0),
        ([7, 8, 0, 2], [0, 0, 5000, 5000], 1, 1),
        ([7, 9, 8, 10], [0, 0, 20, 0], 0, 0),
        ([0, 2, 1, 3], [0, 0, 20, 0], 0, 0),
        ([7, 10, 11], [0, 5000, 5000], 0, 2),
        ([3_000_000_000, 0, 1], [0, 5000, 5000], 1, 0),
        ([2**31 - 1, 0, 1], [0, 5000, 5000], 1, 0),
        ([2**32 - 1, 0, 1], [0, 5000, 5000], 0, 0),
    ],
)
def test_who_says_that_it_was_started_later_counts_anew(first, booted_ms, restarts, lost):
    units = np.ones(len(first), np.int64)
    found = account(np.array(first), units, booted_ms=np.array(booted_ms), within_ms=50)
    assert (found.restarts, found.missing) == (restarts, lost)


@given(st.lists(st.integers(1, 30), min_size=3, max_size=40), st.integers(0, 2**32 - 1), st.data())
def test_what_is_taken_out_of_the_middle_is_missed(units, start, data):
    numbers = [(start + sum(units[:index])) % 2**32 for index in range(len(units))]
    missing = data.draw(st.sets(st.integers(1, len(units) - 2)))
    kept = [index for index in range(len(units)) if index not in missing]
    result = judged([numbers[index] for index in kept], [units[index] for index in kept])
    assert result.missing == sum(units[index] for index in missing)
    assert not result.reordered


def netflow5(sequence, count, engine=1, uptime=1000, when=1_700_000_000):
    header = struct.pack("!HHIIIIBBH", 5, count, uptime, when, 0, sequence, 0, engine, 0)
    return header + bytes(48) * count


def test_netflow5_counts_to_the_first_or_the_last_record():
    first = Datagrams.of([netflow5(0, 3), netflow5(3, 1), netflow5(4, 30)], 2055)
    last = Datagrams.of([netflow5(2, 3), netflow5(3, 1), netflow5(33, 30)], 2055)
    for sent, habits in ((first, STANDARD), (last, OPEN_VSWITCH)):
        (stream,) = decode(sent, habits).summary.streams
        assert (stream.lost, stream.gaps, stream.units) == (0, 0, 34)
    (stream,) = decode(last, STANDARD).summary.streams
    assert stream.gaps


def test_streams_are_kept_apart():
    sent = [netflow5(0, 1, engine=1), netflow5(0, 1, engine=2), netflow5(1, 1, engine=1)]
    streams = decode(Datagrams.of(sent, 2055)).summary.streams
    assert [(stream.observation_domain, stream.lost) for stream in streams] == [(1, 0), (2, 0)]
    assert decode(Datagrams.of(sent, 2055)).summary.lost == 0


def test_what_is_lost_between_two_blocks_is_missed():
    decoder = Decoder()
    lost = [
        decoder.decode(Datagrams.of([netflow5(sequence, 2)], 2055)).summary.lost
        for sequence in (0, 2, 7, 9)
    ]
    assert lost == [0, 0, 3, 0]


def in_blocks(sent, ends):
    """The stream of datagrams that come in blocks that end there."""
    decoder, account = Decoder(), Account()
    for begin, end in zip([0, *ends], ends, strict=False):
        block = Datagrams.of(sent[begin:end], 2055)
        account.add(block, decoder.decode(block))
    (stream,) = account.summary().streams
    return stream


@pytest.mark.parametrize("before", [60, 3_000_000_000])
@pytest.mark.parametrize("ends", [[5], [3, 5], [1, 2, 3, 4, 5]])
def test_a_restart_between_two_blocks_is_one(ends, before):
    """It says in every header when it was started (Cisco, table B-3)."""
    sent = [netflow5(before - 60 + 30 * number, 30, uptime=90_000 + number) for number in range(3)]
    sent += [netflow5(number, 30, uptime=1_000, when=1_700_000_010) for number in (0, 60)]
    stream = in_blocks(sent, ends)
    assert (stream.lost, stream.restarts, stream.reordered) == (30, 1, 0)


@given(st.data())
def test_blocks_know_of_the_restarts_that_all_at_once_know(data):
    told = st.tuples(st.integers(0, 12), st.sampled_from([1_000, 1_040, 5_000, 9_000]))
    numbers = data.draw(st.lists(told, min_size=1, max_size=12))
    sent = [netflow5(number, 1, uptime=uptime) for number, uptime in numbers]
    cut = data.draw(st.sets(st.integers(1, len(sent))))
    assert in_blocks(sent, sorted(cut | {len(sent)})) == in_blocks(sent, [len(sent)])


def test_streams_remembered_are_limited():
    decoder = Decoder(most=Limits(exporters=3))
    sent = [netflow5(0, 2, engine=engine) for engine in range(9)]
    decoder.decode(Datagrams.of(sent, 2055))
    again = [netflow5(5, 2, engine=engine) for engine in range(9)]
    assert decoder.decode(Datagrams.of(again, 2055)).summary.lost <= 3 * 3


@given(st.data())
def test_blocks_lose_together_what_all_at_once_loses(data):
    numbers = st.lists(st.integers(0, 12), min_size=1, max_size=12)
    sent = [netflow5(number, 1) for number in data.draw(numbers)]
    cut = data.draw(st.sets(st.integers(1, len(sent))))
    together = in_blocks(sent, sorted(cut | {len(sent)}))
    assert (together,) == decode(Datagrams.of(sent, 2055)).summary.streams


@given(st.data())
def test_what_comes_twice_makes_up_for_nothing(data):
    sent = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=40))
    numbers = np.sort(np.array(sent))
    rows = data.draw(st.permutations(range(len(numbers))))
    found = judged(numbers[list(rows)], [1] * len(numbers))
    came = set(numbers.tolist())
    assert found.missing == max(came) - min(came) + 1 - len(came)


UNREAD = [3, 4, 5, 6, 8, 0, 9]
"""First numbers: the units of 4 and 5 are not known, 7 is lost, and 0 comes late."""
UNITS = [1, UNKNOWN, UNKNOWN, 1, 1, 3, 1]


@pytest.mark.parametrize("cut", range(1, len(UNREAD)))
def test_what_could_not_be_read_at_the_end_of_a_block_is_no_loss(cut):
    """As all at once: a late datagram is counted from the true numbers, not from those read."""
    whole = judged(UNREAD, UNITS)
    one = judged(UNREAD[:cut], UNITS[:cut])
    unread = UNITS[cut - 1] == UNKNOWN
    expected = UNREAD[cut - 1] + (0 if unread else UNITS[cut - 1])
    rest = (np.array(part[cut:], np.int64) for part in (UNREAD, UNITS))
    other = account(*rest, expected, one.covered, holes=one.holes, unread=unread)
    assert one.missing + other.missing == whole.missing == 1
    assert one.units + other.units == whole.units == 7
