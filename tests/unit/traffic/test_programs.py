"""The traffic programs on loopback: exact counts, pacing, and giving up."""

from __future__ import annotations

import threading
import time
from ipaddress import IPv4Address, IPv6Address

import pytest

from lab.run.programs import held_to
from lab.traffic import KINDS, Ends, Line
from lab.traffic import base as traffic
from lab.traffic.base import Stalled, paced
from lab.traffic.tcp import stream_socket
from topologies import Host

HERE = Host("h1", "02:00:00:00:00:01", IPv4Address("127.0.0.1"), IPv6Address("::1"))


def run(declared, port):
    """Both programs of a step, as two threads; what they counted."""
    ends, line, counted = Ends(HERE, HERE, port), Line(), {}
    listening = threading.Event()

    def receive():
        counted["receive"] = declared.receive(ends, line, listening.set)

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    assert listening.wait(5)
    try:
        counted["send"] = declared.send(ends, line)
    finally:
        line.hang_up()
    receiver.join(10)
    return counted


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("udp", {"port": 45001, "datagrams": 50, "rate_pps": "20k"}),
        ("udp", {"port": 45002, "datagrams": 5, "flows": 3, "payload_octets": 0}),
        ("tcp", {"port": 45003, "send_octets": "300KiB", "receive_octets": 7}),
        ("tcp", {"port": 45004}),
        ("tcp", {"port": 45005, "receive_octets": "1MiB", "rate_bps": "1G"}),
        ("http", {"port": 45006, "connections": 3, "requests": 4, "page_octets": "20kB"}),
        ("http", {"port": 45007, "page_octets": 0}),
        ("dns", {"port": 45008, "questions": 5, "record": "AAAA", "records": 20}),
        ("dns", {"port": 45009, "questions": 2, "records": 0}),
    ],
)
def test_programs_count_what_was_declared(kind, settings):
    declared = KINDS[kind](source="h1", destination="h1", **settings)
    counted = run(declared, settings["port"] + 100)
    assert counted == {role: declared.declared(role) for role in ("send", "receive")}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("tcp", {"port": 45010, "send_octets": "1MB", "rate_bps": "8M"}),
        ("http", {"port": 45011, "page_octets": "10MB", "rate_bps": "80M"}),
    ],
)
def test_a_slow_rate_takes_the_time_that_it_takes(monkeypatch, kind, settings):
    for module in ("base", "tcp", "http"):
        monkeypatch.setattr(f"lab.traffic.{module}.PATIENCE_S", 0.3)
    declared = KINDS[kind](source="h1", destination="h1", **settings)
    counted = run(declared, settings["port"] + 100)
    assert counted == {role: declared.declared(role) for role in ("send", "receive")}


def test_a_sender_without_an_answer_gives_up(monkeypatch):
    monkeypatch.setattr(traffic, "PATIENCE_S", 0.05)
    with pytest.raises(Stalled, match="after 4 packets only 0 had arrived"):
        list(paced(10, 1e6, window=4, line=Line()))


def test_the_window_follows_what_arrives():
    line = Line()
    for number in paced(100, 1e6, window=1, line=line):
        assert line.arrived == number
        line.arrived += 1


def test_who_sees_to_arrivals_itself_does_so_while_the_window_is_full():
    line = Line()

    def look():
        line.arrived += 1

    assert list(paced(20, 1e6, 2, line, look)) == list(range(20))


def test_pacing_keeps_the_rate_on_average():
    line = Line()
    line.arrived = 10**6
    began_s = time.monotonic()
    assert len(list(paced(200, 1000, window=48, line=line))) == 200
    assert time.monotonic() - began_s >= 199 / 1000


def test_hanging_up_reaches_the_other_end():
    line = Line()
    assert not line.sender_done
    line.hang_up()
    assert line.sender_done


def test_nobody_is_held_to_what_links_may_lose():
    ends = {"source": "h1", "destination": "h2"}
    ping = KINDS["ping"](**ends, count=4)
    assert held_to(ping, "send", lossy=False) == {"requests": 4, "replies": 4}
    assert held_to(ping, "send", lossy=True) == {"requests": 4}
    udp = KINDS["udp"](**ends, datagrams=4, repeat=2)
    assert held_to(udp, "send", lossy=True)["datagrams"] == 8
    assert held_to(udp, "receive", lossy=True) == {}


def test_where_packets_are_lost_a_connection_is_not_held_back():
    stream_socket(4, 1 << 62, 1e8).close()
