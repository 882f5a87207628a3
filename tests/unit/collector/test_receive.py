"""The receiver: a program of its own, spoken to as the lab does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from collector import pcap
from collector.decode.address import ip_texts
from collector.receive import parse_endpoint

ROOT = Path(__file__).parents[3]


class Receiver:
    """The receiver process."""

    def __init__(self, out, *listen):
        addresses = [part for address in listen for part in ("--listen", address)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "collector.receive", *addresses, "--out", str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.ready = self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def send(family, port, payloads, address):
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, (address, port))
        return sender.getsockname()[1]


def test_a_conversation(tmp_path):
    four, six = "127.0.0.1:0", "[::]:0"
    with Receiver(tmp_path / "x.pcap", four, six) as receiver:
        ready = receiver.ready
        assert ready["ready"] is True
        assert ready["receive_buffer_octets"] > 0
        many = [str(number).encode() for number in range(500)]
        source_port = send(socket.AF_INET, ready["ports"][four], many, "127.0.0.1")
        # Dual stack, and an address that the wildcard does not tell.
        send(socket.AF_INET, ready["ports"][six], [b"", b"v4"], "127.0.0.9")
        send(socket.AF_INET6, ready["ports"][six], [b"v6" * 20_000], "::1")
        counts = receiver.ask("drain")
        assert counts["datagrams"] == {four: 500, six: 3}
        assert counts["kernel_drops"] == {four: 0, six: 0}
        assert counts["truncated"] == 0
        found = pcap.datagrams(pcap.read(tmp_path / "x.pcap"))
        assert len(found) == 503
        assert "unknown command" in receiver.ask("dance")["error"]
        assert receiver.ask("stop") == counts
        assert receiver.process.wait(10) == 0
    assert set(found.source_port[:500].tolist()) == {source_port}
    texts = [
        found.buffer[at : at + size].tobytes()
        for at, size in zip(found.offset, found.length, strict=True)
    ]
    assert texts == [*many, b"", b"v4", b"v6" * 20_000]
    assert ip_texts(found.source)[-3:] == ["127.0.0.1", "127.0.0.1", "::1"]
    assert ip_texts(found.destination)[-3:] == ["127.0.0.9", "127.0.0.9", "::1"]
    assert (abs(found.timestamp_ns[1:] - found.timestamp_ns[:-1]) < 10**10).all()


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_it_stops_with_all_that_arrived(tmp_path, end):
    with Receiver(tmp_path / "x.pcap", "127.0.0.1:0") as receiver:
        port = receiver.ready["ports"]["127.0.0.1:0"]
        send(socket.AF_INET, port, [b"x"] * 100, "127.0.0.1")
        if end == "close":
            receiver.process.stdin.close()
        else:
            receiver.process.send_signal(signal.SIGTERM)
        assert receiver.answer()["datagrams"] == {"127.0.0.1:0": 100}
        assert receiver.process.wait(10) == 0
    assert len(pcap.read(tmp_path / "x.pcap")) == 100


def test_a_full_socket_buffer_is_told(tmp_path):
    with Receiver(tmp_path / "x.pcap", "127.0.0.1:0") as receiver:
        port = receiver.ready["ports"]["127.0.0.1:0"]
        receiver.process.send_signal(signal.SIGSTOP)
        size = 60_000
        sent = receiver.ready["receive_buffer_octets"] // size + 20
        send(socket.AF_INET, port, [b"x" * size] * sent, "127.0.0.1")
        receiver.process.send_signal(signal.SIGCONT)
        counts = receiver.ask("drain")
        received, dropped = counts["datagrams"], counts["kernel_drops"]
        assert dropped["127.0.0.1:0"] > 0
        assert received["127.0.0.1:0"] + dropped["127.0.0.1:0"] == sent


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost:1", "192.0.2.77:2055", "127.0.0.1:x"])
def test_it_says_why_it_cannot_start(tmp_path, listen):
    with Receiver(tmp_path / "x.pcap", listen) as receiver:
        assert receiver.ready["ready"] is False
        assert receiver.ready["error"]
        assert receiver.process.wait(10) == 1


def test_endpoints():
    assert parse_endpoint("[::1]:6343").port == 6343
    assert parse_endpoint("[::1]:6343").family == socket.AF_INET6
    assert parse_endpoint("0.0.0.0:0").host == "0.0.0.0"  # noqa: S104 - it is only parsed
    for bad in ("::1:5", "[127.0.0.1]:5", "127.0.0.1:65536", ":5", "127.0.0.1:"):
        with pytest.raises(ValueError, match="ADDRESS:PORT"):
            parse_endpoint(bad)


def test_it_imports_nothing_heavy():
    code = "import sys, collector.receive; print('numpy' in sys.modules, 'polars' in sys.modules)"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]
