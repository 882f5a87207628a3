"""What is replayed arrives: every octet, in order, exporters apart, as fast as is asked for."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import numpy as np
import pytest

from collector.decode import Datagrams
from collector.decode.address import halves
from collector.replay import KEEP, Target, WrongSourceError, as_recorded, at_rate, replay


def recording(*who):
    """A datagram from each address and port, the n-th with n as its content, 10 ms apart."""
    payloads = [bytes((0, 5, n)) for n in range(len(who))]
    datagrams = Datagrams.of(payloads, 2055)
    datagrams.source[:] = [halves(address) for address, _ in who]
    datagrams.source_port[:] = [port for _, port in who]
    datagrams.timestamp_ns[:] = 10**18 + np.arange(len(who)) * 10_000_000
    return datagrams


@pytest.fixture
def listening():
    with ExitStack() as stack:

        def listen(address="127.0.0.1"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            one = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            one.bind((address, 0))
            one.settimeout(5)
            return one

        yield listen


def sent_to(one, datagrams, due=None, **options):
    target = Target(*one.getsockname()[:2])
    due = due or at_rate(len(datagrams), 1e6)
    sent = replay(datagrams, {"netflow": target, "sflow": target}, due, **options)
    return sent, [one.recvfrom(2048) for _ in range(len(datagrams))]


TWO = [("127.8.0.1", 4000), ("127.8.0.2", 4000), ("127.8.0.1", 4000), ("127.8.0.1", 4001)]


def test_exporters_keep_their_addresses_of_the_loopback(listening):
    sent, came = sent_to(listening(), recording(*TWO))
    assert [payload[2] for payload, _ in came] == [0, 1, 2, 3]
    assert [sender[0] for _, sender in came] == [address for address, _ in TWO]
    assert came[0][1] == came[2][1] != came[3][1]
    assert len(sent.senders) == 3
    assert (sent.datagrams, sent.octets) == (4, 12)


def test_other_addresses_become_some_of_the_loopback(listening):
    who = [("203.0.113.1", 1), ("203.0.113.2", 1), ("203.0.113.1", 1)]
    _, came = sent_to(listening(), recording(*who))
    senders = [sender[0] for _, sender in came]
    assert senders == ["127.1.0.1", "127.1.0.2", "127.1.0.1"]


def test_where_there_is_one_address_ports_keep_exporters_apart(listening):
    _, came = sent_to(listening("::1"), recording(*TWO[:2]))
    assert came[0][1][1] != came[1][1][1]
    _, came = sent_to(listening(), recording(*TWO[:2]), source="127.9.9.9")
    assert {sender[0] for _, sender in came} == {"127.9.9.9"}
    assert came[0][1] != came[1][1]


def test_to_insist_on_an_address_that_is_not_there_is_refused(listening):
    with pytest.raises(WrongSourceError, match=r"203\.0\.113\.1 cannot be sent from"):
        sent_to(listening(), recording(("203.0.113.1", 1)), source=KEEP)


def test_nobody_listening_is_told(listening):
    one = listening()
    target = Target(*one.getsockname()[:2])
    one.close()
    datagrams = recording(*TWO[:1])
    sent = replay(datagrams, {"netflow": target}, at_rate(1, 1e6))
    assert sent.refused == {target}


def test_the_pace_is_that_of_the_recording_or_a_rate(listening):
    datagrams = recording(*[("127.0.0.1", 5)] * 11)
    for due, least_s in (
        (as_recorded(datagrams), 0.09),
        (as_recorded(datagrams, 2), 0.045),
        (at_rate(11, 200), 0.045),
    ):
        began_s = time.perf_counter()
        sent, _ = sent_to(listening(), datagrams, due)
        assert least_s < sent.took_s <= time.perf_counter() - began_s
