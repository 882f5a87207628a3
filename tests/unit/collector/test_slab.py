"""Many datagrams with one system call: all of them, whole, in order, and whose they were."""

from __future__ import annotations

import os
import select
import socket
import time

import pytest

from collector import kernel
from collector.decode.address import ip_texts
from collector.receive import Port, parse_endpoint
from collector.slab import DATAGRAMS, Slab, together
from lab.compiled import compile_kernel

HERE = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
FAMILIES = [socket.AF_INET, socket.AF_INET6]


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def port(request):
    host = HERE[request.param]
    text = f"[{host}]:0" if request.param == socket.AF_INET6 else f"{host}:0"
    opened = Port(parse_endpoint(text)).bind()
    yield opened
    opened.socket.close()


@pytest.fixture(params=["asked", "thread"])
def slab(request, port):
    made = Slab(port)
    if request.param == "thread":
        compile_kernel()
        if not kernel.there():
            pytest.skip("no compiler, or the kernel is switched off")
        made.start()
    yield made
    made.stop()


def sender(port, host=None):
    made = socket.socket(port.socket.family, socket.SOCK_DGRAM)
    if host is not None:
        made.bind((host, 0))
    made.connect((port.address, port.number))
    return made


def all_of(slab, count):
    """So many datagrams; what comes without being sent would come with them."""
    found, until_s = [], time.monotonic() + 10
    while sum(map(len, found)) < count and time.monotonic() < until_s:
        if (some := slab.receive()) is not None:
            found.append(some)
        else:
            select.select([slab], [], [], 1)
    assert slab.receive() is None
    return together(found)


def octets(received):
    spans = zip(received.offset.tolist(), received.length.tolist(), strict=True)
    return [received.buffer[at : at + size].tobytes() for at, size in spans]


@pytest.mark.parametrize(
    "lengths",
    [
        [1],
        [0, 5, 0],
        [300] * 5,
        [2047, 2048, 2049],
        [40_000, 1, 65_000, 2048],
        [2048] * 3,
        list(range(1, 2048)),
    ],
    ids=lambda lengths: f"{len(lengths)} up to {max(lengths)}",
)
def test_every_octet_comes_in_order(port, slab, lengths):
    sent = [bytes([n % 251]) * size for n, size in enumerate(lengths)]
    with sender(port) as out:
        before_ns = time.time_ns()
        for payload in sent:
            out.send(payload)
        received = all_of(slab, len(sent))
        assert octets(received) == sent
        assert set(received.source_port.tolist()) == {out.getsockname()[1]}
    assert port.datagrams == len(sent)
    assert not port.truncated
    assert set(ip_texts(received.source)) == {port.address}
    assert set(ip_texts(received.destination)) == {port.address}
    assert received.timestamp_ns.min() >= before_ns - 1_000_000_000
    assert received.timestamp_ns.max() <= time.time_ns()


def test_the_address_that_it_was_sent_to_is_told():
    port = Port(parse_endpoint("0.0.0.0:0")).bind()
    try:
        for host in ("127.0.0.1", "127.0.0.9"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(b"x", (host, port.number))
        received = all_of(Slab(port), 2)
    finally:
        port.socket.close()
    assert ip_texts(received.destination) == ["127.0.0.1", "127.0.0.9"]


def test_what_was_received_stays_when_the_slab_is_filled_again(port, slab):
    with sender(port) as out:
        out.send(b"a" * 2048)
        first = all_of(slab, 1)
        out.send(b"b" * 2048)
        second = all_of(slab, 1)
    assert octets(first) == [b"a" * 2048]
    assert octets(second) == [b"b" * 2048]


def test_a_ring_that_nobody_empties_waits(port, slab):
    sent = [bytes([n % 251]) * (n % 7) for n in range(3 * DATAGRAMS)]
    found = []
    with sender(port) as out:
        for begin in range(0, len(sent), 2 * DATAGRAMS):
            some = sent[begin : begin + 2 * DATAGRAMS]
            for payload in some:
                out.send(payload)
            found += octets(all_of(slab, len(some)))
    assert found == sent
    assert port.kernel_drops == 0


def test_nothing_there_is_nothing_and_a_refusal_is_no_end(port, slab):
    assert slab.receive() is None
    port.socket.sendto(b"", (port.address, 9))  # The answer of nobody is an error to be read.
    assert slab.receive() is None
    with sender(port) as out:
        out.send(b"after")
    assert octets(all_of(slab, 1)) == [b"after"]


def test_what_is_in_the_ring_at_the_end_is_still_there(port, slab):
    with sender(port) as out:
        out.send(b"last")
        select.select([slab], [], [], 1)
        slab.stop()
        out.send(b"very last")
    assert octets(all_of(slab, 2)) == [b"last", b"very last"]


def test_a_ring_is_filled_from_the_moment_the_port_opens():
    compile_kernel()
    port = Port(parse_endpoint("127.0.0.1:0"))
    slab = Slab(port)
    slab.start()
    try:
        assert slab.receive() is None
        with sender(port.bind()) as out:
            out.send(b"first")
        received = all_of(slab, 1)
        assert octets(received) == [b"first"]
        assert ip_texts(received.destination) == ["127.0.0.1"]
    finally:
        slab.stop()
        port.socket.close()


def test_it_is_filled_on_two_processors(port):
    compile_kernel()
    allowed = os.sched_getaffinity(0)
    slab = Slab(port)
    slab.start()
    try:
        places = [os.sched_getaffinity(number) for number in slab.native_ids]
        assert len(places) == min(2, len(allowed))
        assert all(len(place) == 1 for place in places)
        assert set().union(*places) <= allowed
    finally:
        slab.stop()


def test_a_closed_socket_is_an_error(port):
    slab = Slab(port)
    port.socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        slab.receive()
