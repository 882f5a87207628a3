"""The player's share of the switches' queues, and its sinks."""

from __future__ import annotations

import itertools
import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from collector.key import UDP
from lab.traffic import player
from lab.traffic.base import Stalled
from lab.traffic.player import NOTHING_QUEUED, Queued
from lab.traffic.schedule import Cast, Sink
from topologies import Host

HERE = Cast((Host("h1", "02:00:00:00:00:01", IPv4Address("127.0.0.1"), IPv6Address("::1")),))
FULL_FRAME_OCTETS = 2304
QUEUE_OCTETS = 212_992


def room(octets=0, queued=NOTHING_QUEUED, players=1):
    return player._Room(lambda: octets, lambda: queued, lambda: None, players)


def test_two_players_may_have_the_same_sink_at_once_for_each_version_of_ip():
    sinks = [Sink("h1", version, UDP, 45_900) for version in (4, 6, 4, 6)]
    opened = [player._open(sink, HERE) for sink in sinks]
    assert {own.getsockname()[0] for own in opened} == {"127.0.0.1", "::1"}
    for own in opened:
        own.close()


def test_nobody_else_can_listen_where_a_sink_is_and_everybody_can_beside_it():
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with player._open(Sink("h1", 4, UDP, 45_901), HERE), other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", 45_901))
        other.bind(("127.0.0.2", 45_901))


@pytest.mark.parametrize("players", [1, 2, 3, 4, 8, 24])
def test_all_players_together_fit_into_a_queue(players):
    share = room(players=players)
    batches = players * share.batch * FULL_FRAME_OCTETS
    assert player.MOST_WAITING_OCTETS + batches <= QUEUE_OCTETS
    most = player.MOST_WAITING_OCTETS // players
    assert replace(share, octets=lambda: most).lacking() == 0
    assert replace(share, octets=lambda: most + 1).lacking() == 1


def test_a_slow_link_holds_back_before_the_switch_could_lose_anything():
    most = player.MOST_QUEUED_PACKETS
    assert room(queued=Queued(500, most)).lacking() == 0
    assert room(queued=Queued(500, most + 2)).lacking() == 2
    waiting = player.MOST_WAITING_OCTETS // FULL_FRAME_OCTETS
    assert (most + waiting + player.BATCH) * FULL_FRAME_OCTETS <= QUEUE_OCTETS


def test_a_queue_that_others_fill_again_is_waited_for(monkeypatch):
    monkeypatch.setattr(player, "PATIENCE_S", 0.1)
    up_and_down = itertools.chain(itertools.islice(itertools.cycle((200_000, 150_000)), 4000), [0])
    player._hold_back(replace(room(), octets=lambda: next(up_and_down)), 1)
    with pytest.raises(Stalled, match="after 7 packets"):
        player._hold_back(room(octets=200_000), 7)


def test_what_is_held_back_is_waited_for_as_long_as_it_gets_less(monkeypatch):
    monkeypatch.setattr(player, "PATIENCE_S", 0.02)
    left = iter([*range(40, 0, -1), 0, 0, 0, "asked once more"])
    player._await_quiet(lambda: next(left))
    assert list(left) == ["asked once more"]


@pytest.mark.parametrize(
    ("handled", "looks"),
    [
        ([0, 0], 1),  # nobody asked: once is enough
        ([7, 7], 1),
        ([7, 9, 12, 12], 3),  # what it hands back comes to it again at the next switch
    ],
)
def test_sinks_stay_open_until_nothing_more_comes_to_the_controller(monkeypatch, handled, looks):
    happened = []
    monkeypatch.setattr(player, "_await_quiet", lambda waiting: happened.append(waiting()))
    answers = iter(handled)
    player._await_end(lambda: 0, lambda: next(answers))
    assert (len(happened), list(answers)) == (looks, [])


def test_packets_that_go_in_a_circle_are_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(player, "_HANDED_ON_S", 0.01)
    player._await_end(lambda: 0, itertools.count().__next__)


def test_a_controller_is_asked_less_and_less_often_while_nothing_comes_to_it():
    handled, asked, batch = [*range(5), *[4] * 40, 5, 6, 7], [], 0

    def controller():
        asked.append(batch)
        return handled[batch]

    hold = player._now_and_then(controller)
    for batch in range(len(handled)):  # noqa: B007 (the controller looks at it)
        hold()
    assert asked == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35]
