"""What can be known of datagrams that faults befell; who tells anything else is found out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collector import arrival, pcap
from collector.arrival import Sender, collect, knowable
from collector.decode import OPEN_VSWITCH, SOFTFLOWD, STANDARD, streams
from collector.decode.sequence import account

GOLDEN = Path(__file__).parents[2] / "golden"
HABITS = {
    "openvswitch": OPEN_VSWITCH,
    "softflowd-netflow9": SOFTFLOWD,
    "softflowd-ipfix": SOFTFLOWD,
    "pmacctd-ipfix": STANDARD,
    "pmacctd-sflow5": STANDARD,
}


def sent(name):
    return pcap.datagrams(pcap.read(GOLDEN / f"{name}.pcap"))


def habits_of(name):
    return {"127.0.0.1": HABITS[name]}


def told(name, order, lives=()):
    """What is knowable and what the collector tells, of these datagrams in this order."""
    all_ = sent(name)
    arrived = all_.take(np.array(order, np.int64))
    habits = habits_of(name)
    return knowable(all_, arrived, lives, habits), collect(arrived, lives, habits)


def rows(known):
    columns = ("protocol", "observation_domain", "agent", "flowDirection", "source", "destination")
    more = ("sourceTransportPort", "destinationTransportPort", "protocolIdentifier", "ipVersion")
    counts = ("packets", "octets_l2", "octets_l3")
    return sorted(map(repr, known.flows.select(*columns, *more, *counts).iter_rows()))


def same(name, order, lives=()):
    right, made = told(name, order, lives)
    assert rows(right) == rows(made)
    for sender in right.accounts.keys() | made.accounts.keys():
        one, other = right.accounts[sender], made.accounts[sender]
        assert (one.duplicates, one.waiting) == (other.duplicates, other.waiting), sender
        if one.missing is not None:
            assert one.missing == other.missing, sender
    return right


def chosen(name, seed, share):
    chance = np.random.default_rng(seed)
    return np.flatnonzero(chance.random(len(sent(name))) >= share).tolist()


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.parametrize("seed", range(4))
def test_the_collector_tells_what_is_knowable_when_datagrams_are_lost(name, seed):
    same(name, chosen(name, seed, 0.2))


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.parametrize("seed", range(4))
def test_and_when_they_come_twice_and_out_of_order(name, seed):
    chance = np.random.default_rng(seed)
    order = chosen(name, seed, 0.1)
    for at in range(len(order) - 1):
        if chance.random() < 0.2:
            order[at : at + 2] = order[at : at + 2][::-1]
    order = [row for row in order for _ in range(1 + (chance.random() < 0.2))]
    same(name, order)


@pytest.mark.parametrize("name", HABITS)
def test_and_when_it_is_started_anew(name):
    count = len(sent(name))
    same(name, range(count), [count // 3, count // 2])
    same(name, range(3, count))


def test_nothing_happened():
    right = same("openvswitch", range(len(sent("openvswitch"))))
    assert all(
        (one.missing, one.duplicates, one.waiting) == (0, 0, 0) for one in right.accounts.values()
    )


def test_sequence_numbers_show_exactly_what_is_missing_between_two_that_came():
    count = len(sent("pmacctd-sflow5"))
    right = same("pmacctd-sflow5", [row for row in range(count) if row not in (0, 5, 6, count - 1)])
    assert right.accounts[Sender("sflow5", "127.0.0.1")].missing == 2


def test_records_are_what_ipfix_counts():
    right = same("pmacctd-ipfix", [0, 1, 4, 5, 6, 7])
    all_, _ = told("pmacctd-ipfix", range(8))
    lost = len(all_.flows) - len(right.flows)
    assert right.accounts[Sender("ipfix", "127.0.0.1")].missing == lost > 5


def test_data_without_its_template_is_counted():
    right = same("softflowd-netflow9", [1, 2])
    assert len(right.flows) == 0
    assert right.accounts[Sender("netflow9", "127.0.0.1")].waiting == 5


def test_a_collector_that_adds_up_what_comes_twice_is_found_out(monkeypatch):
    monkeypatch.setattr(arrival, "without_duplicates", lambda _, rows: (rows, []))
    right, made = told("pmacctd-ipfix", [0, 0, 1])
    assert rows(right) != rows(made)
    assert right.accounts[Sender("ipfix", "127.0.0.1")].duplicates == 1


def test_a_collector_that_takes_reordering_for_loss_is_found_out(monkeypatch):
    def forgetful(*arguments, **named):
        counted = account(*arguments, **named)
        return replace(counted, missing=counted.missing + counted.reordered)

    monkeypatch.setattr(streams, "account", forgetful)
    right, made = told("pmacctd-ipfix", [0, 2, 1, 3, 4, 5, 6, 7])
    sender = Sender("ipfix", "127.0.0.1")
    assert (right.accounts[sender].missing, made.accounts[sender].missing) == (0, 1)


def test_what_was_never_sent_cannot_arrive():
    with pytest.raises(ValueError, match="datagram 1 arrived and was never sent"):
        knowable(sent("pmacctd-ipfix"), sent("softflowd-ipfix"), [], {})
