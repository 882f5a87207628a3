"""``flowlab collect``: a process of its own, real sockets, real signals."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from collector import pcap
from collector.listen import WrongListenError, parse
from collector.query import ask
from collector.store import files
from lab.cli import main

ROOT = Path(__file__).parents[3]
CAPTURE = ROOT / "tests" / "golden" / "openvswitch.pcap"


class Collect:
    """The running command."""

    def __init__(self, out, *arguments, schemes=("netflow",)):
        listen = [word for scheme in schemes for word in ("--listen", f"{scheme}://:0")]
        command = [sys.executable, "-m", "lab", "collect", *listen, "--out", str(out), *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.said = [self.process.stderr.readline() for _ in schemes]
        self.ports = [int(re.search(r"port (\d+),", line)[1]) for line in self.said]
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, payload, port=None):
        self.sender.sendto(payload, ("127.0.0.1", port or self.ports[0]))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        rest = self.process.communicate(timeout=30)[1]
        return rest.splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.sender.close()


def netflow5(number):
    """A datagram with one record, whose source address is the number."""
    header = struct.pack("!HHIIIIBBH", 5, 1, 1000, 1_700_000_000, 0, number, 0, 1, 0)
    fields = (number, 1, 1, 1, 1, 7, 700, 900, 950, 1, 2, 0, 17, 0, 0, 0, 0, 0)
    return header + struct.pack("!IIIHHIIIIHHxBBBHHBBxx", *fields)


def numbers(folder):
    """The numbers of all records in the files of a store, however often they are there."""
    texts = pl.concat([pl.Series([], dtype=pl.String), *read(folder, "sourceIPv4Address")])
    return sorted(struct.unpack("!I", socket.inet_aton(text))[0] for text in texts)


def read(folder, name):
    """A column of all files; once more if one was merged into another meanwhile."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return [pl.read_parquet(path)[name] for path in files(folder)["records"]]


def wait_for(condition, limit_s=10.0):
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        if condition():
            return True
        time.sleep(0.002)
    return False


def test_all_of_a_capture_arrives(tmp_path):
    found = pcap.datagrams(pcap.read(CAPTURE))
    schemes = ("netflow", "ipfix", "sflow")
    arguments = ("--exporter-habits", "openvswitch", "--rotate", "1s", "--metrics", "127.0.0.1:0")
    with Collect(tmp_path, *arguments, schemes=schemes) as running:
        metrics = int(re.search(r"port (\d+)", running.process.stderr.readline())[1])
        ports = dict(zip((2055, 4739, 6343), running.ports, strict=True))
        for at, size, port in zip(found.offset, found.length, found.destination_port, strict=True):
            payload = found.buffer[at : at + size].tobytes()
            running.send(payload, ports[int(port)])
        url = f"http://127.0.0.1:{metrics}/metrics"

        def shown():
            return urllib.request.urlopen(url).read().decode()

        assert wait_for(lambda: 'flowlab_records_total{protocol="sflow5"} 388.0' in shown())
        text = shown()
        assert 'flowlab_records_total{protocol="ipfix"} 102.0' in text
        assert 'flowlab_losses_total{cause="kernel"} 0.0' in text
        assert 'flowlab_losses_total{cause="sequence"} 0.0' in text
        assert "flowlab_templates 177.0" in text
        last = running.end()[-1]
    assert last == (
        "stored 178 datagrams, 512 records (102 ipfix, 22 netflow5, 388 sflow5), 177 templates; "
        "lost: nothing"
    )
    assert running.process.returncode == 0
    assert {len(paths) for paths in files(tmp_path).values()} <= {1, 2}
    counted = "SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM samples)"
    assert ask(counted, tmp_path).rows() == [(124, 158)]
    sums = dict(ask("SELECT protocol, sum(packets) FROM flows GROUP BY 1", tmp_path).rows())
    shown = CliRunner().invoke(
        main, ["flows", str(CAPTURE), "--by", "protocol", "--format", "csv"], catch_exceptions=False
    )
    packets = {line.split(",")[0]: float(line.split(",")[1]) for line in shown.stdout.split()[1:]}
    assert sums == packets
    stored = CliRunner().invoke(
        main,
        ["flows", str(tmp_path), "--by", "protocol", "--format", "csv"],
        catch_exceptions=False,
    )
    assert sorted(line.split(",")[:2] for line in stored.stdout.split()) == sorted(
        line.split(",")[:2] for line in shown.stdout.split()
    )
    assert "10.0.0.1:38110" in CliRunner().invoke(main, ["flows", str(tmp_path)]).stdout


def test_only_what_is_wanted_is_stored(tmp_path):
    found = pcap.datagrams(pcap.read(CAPTURE))
    sent = found.take(np.flatnonzero(found.destination_port == 2055))
    with Collect(tmp_path, "--store", "flows,exporters") as running:
        for at, size in zip(sent.offset, sent.length, strict=True):
            running.send(sent.buffer[at : at + size].tobytes())
        assert "22 records" in running.end()[-1]
    stored = files(tmp_path)
    assert {view for view, paths in stored.items() if paths} == {"flows", "exporters"}
    assert ask("SELECT sum(records) FROM flows", tmp_path).item() == 22


def test_a_record_is_visible_at_once(tmp_path):
    # Other tests run beside this one: not every time, but it can.
    with Collect(tmp_path) as running:
        for number in range(1, 60):
            began_s = time.monotonic()
            running.send(netflow5(number))
            assert wait_for(lambda wanted=number: wanted in numbers(tmp_path))
            if time.monotonic() - began_s < 0.1:
                return
    pytest.fail("no record was visible within a tenth of a second")


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_every_file_is_whole(tmp_path, seed):
    chance, sent_s = random.Random(seed), {}
    with Collect(tmp_path, "--rotate", "1s") as running:
        kill_at_s = time.monotonic() + 0.5 + chance.random() * 2
        number = 0
        while time.monotonic() < kill_at_s:
            for _ in range(20):
                number += 1
                running.send(netflow5(number))
                sent_s[number] = time.monotonic()
            time.sleep(0.004)
        running.process.kill()
        killed_s = time.monotonic()
        running.process.wait()
    for path in tmp_path.rglob("*"):
        pl.read_parquet(path)
    stored = numbers(tmp_path)
    # All of the beginning, nothing twice, and only what came in the last moments is not there.
    assert stored == list(range(1, len(stored) + 1))
    assert stored
    assert all(killed_s - sent_s[lost] < 1 for lost in range(len(stored) + 1, number + 1))
    with Collect(tmp_path) as again:
        again.send(netflow5(0xFFFF_FFFF))
        assert wait_for(lambda: 0xFFFF_FFFF in numbers(tmp_path))
        again.end()
    assert numbers(tmp_path) == [*stored, 0xFFFF_FFFF]
    assert len(files(tmp_path)["records"]) <= 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_with_all_that_arrived(tmp_path, number):
    with Collect(tmp_path) as running:
        for one in range(1, 501):
            running.send(netflow5(one))
        assert running.end(number)[-1].startswith("stored 500 datagrams, 500 records")
        assert running.process.returncode == 0
    assert numbers(tmp_path) == list(range(1, 501))
    assert all(len(paths) <= 1 for paths in files(tmp_path).values())


def stopped(process):
    """Whether all threads of a process stand still: one in a system call ends that first."""
    states = (task / "stat" for task in Path(f"/proc/{process}/task").iterdir())
    return all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in states)


def test_what_the_kernel_drops_is_told(tmp_path):
    with Collect(tmp_path) as running:
        running.process.send_signal(signal.SIGSTOP)
        assert wait_for(lambda: stopped(running.process.pid))
        buffer = int(re.search(r"(\d+) KiB", running.said[0])[1]) * 1024
        sent = buffer // 60_000 + 20
        for _ in range(sent):
            running.send(bytes(60_000))
        running.process.send_signal(signal.SIGCONT)
        last = running.end()[-1]
    received = int(re.search(r"stored (\d+) datagrams", last)[1])
    dropped = int(re.search(r"(\d+) dropped by the kernel", last)[1])
    assert received + dropped == sent
    assert f"{received} undecodable" in last


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("netflow://:2055", ("127.0.0.1", 2055)),
        ("sflow://", ("127.0.0.1", 6343)),
        ("ipfix://[::]", ("::", 4739)),
        ("netflow://[::1]:9995", ("::1", 9995)),
        ("sflow://192.0.2.1:1", ("192.0.2.1", 1)),
    ],
)
def test_places(text, address):
    (place,) = parse([text, text])
    assert (place.endpoint.host, place.endpoint.port) == address


@pytest.mark.parametrize(
    "texts", [["2055"], ["http://:80"], ["sflow://router:1"], ["netflow://:1", "sflow://:1"]]
)
def test_wrong_places(texts):
    with pytest.raises(WrongListenError):
        parse(texts)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--listen", "sflow://router"], 2, "host names are not looked up"),
        (["--listen", "sflow://", "--rotate", "5"], 2, "is not like 30s, 5m"),
        (["--listen", "sflow://192.0.2.77:0"], 4, "the machine refused"),
        (["--listen", "sflow://:0", "--metrics", "x"], 2, "ADDRESS:PORT"),
        (["--listen", "sflow://:0", "--store", "flow"], 2, "there is flows, records"),
        ([], 2, "--listen"),
    ],
)
def test_wrong_input_is_told(tmp_path, arguments, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "lab", "collect", *arguments, "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not list((tmp_path / "x").iterdir())


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        place = f"sflow://:{other.getsockname()[1]}"
        listen = ("--listen", "netflow://:0", "--listen", place)
        ran = CliRunner().invoke(main, ["collect", *listen, "--out", str(tmp_path / "store")])
    assert ran.exit_code == 4
    assert f"Address already in use: '{place}'" in ran.output
