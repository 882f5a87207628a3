"""Programs under test: what is waited for, and what it means when they are gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from collector.backends import BACKENDS
from collector.backends.base import Given
from collector.backends.daemons import (
    Burst,
    Crashed,
    Daemon,
    Failed,
    Hung,
    end_all,
    fed,
    free_port,
    free_ports,
    running,
    wait_until_said,
)
from collector.backends.tshark import write_copy
from collector.decode import Datagrams
from collector.decode.address import halves
from collector.pcap import datagrams, read

PROGRAM = """
import socket, sys, time
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("127.0.0.1", int(sys.argv[1])))
port.recv(9)
{}
"""


def daemon(folder, then, **more):
    port = free_port()
    command = [sys.executable, "-c", PROGRAM.format(then), str(port)]
    return Daemon(command, {"netflow": port}, folder / "said.txt", **more)


def one_datagram():
    return [Burst("127.0.0.1", 0, "netflow", Datagrams.of([b"one"], 2055))]


@pytest.mark.parametrize(
    ("then", "kind", "says"),
    [
        ("port.close(); time.sleep(60)", Hung, "it has closed its UDP port"),
        ("sys.exit(0)", Crashed, "ended with status 0"),
        ("print('no memory'); sys.exit(7)", Crashed, "ended with status 7: no memory"),
    ],
)
def test_who_does_not_listen_any_more_has_not_read_what_comes(tmp_path, then, kind, says):
    with pytest.raises(Failed) as failed:
        fed(daemon(tmp_path, then), one_datagram())
    assert failed.type is kind
    assert str(failed.value).endswith(says)


def test_words_are_found_wherever_the_file_was_cut(tmp_path):
    said = tmp_path / "said.txt"
    said.write_bytes(b"a lot of other words; rea")
    with subprocess.Popen(["sleep", "60"]) as started:
        whole = said.read_bytes() + b"dy now"
        threading.Timer(0.05, said.write_bytes, [whole]).start()
        wait_until_said("ready", said, started, 5)
        with pytest.raises(Hung):
            wait_until_said("never", said, started, 0.05)
        started.kill()


def test_ports_of_one_program_differ():
    assert len(set(free_ports(50))) == 50


def test_all_that_runs_is_ended_from_another_thread(tmp_path):
    with running(daemon(tmp_path, "time.sleep(60)")) as started:
        ending = threading.Thread(target=end_all)
        ending.start()
        ending.join()
        assert started.wait(5) == -9


def test_exporters_of_whom_nothing_is_said_are_fed(tmp_path):
    given = Given(
        tmp_path,
        tmp_path / "none.pcap",
        frozenset({"netflow"}),
        {"192.0.2.1": "Open vSwitch"},
        frozenset({"192.0.2.1", "192.0.2.2"}),
    )
    fed_to = [one.exporters for one in BACKENDS["flowlab"].daemons(given)]
    assert sorted(map(sorted, fed_to)) == [["192.0.2.1"], ["192.0.2.2"]]


def test_the_copy_for_a_dissector_has_the_ports_that_it_knows(tmp_path):
    few = Datagrams.of([b"\0\x0a", b"\0\0\0\x05", b"\0\x09"], 9)
    few.destination_port[2] = 9995
    few.source[:] = few.destination[:] = halves("192.0.2.1")
    write_copy(few, tmp_path / "copy.pcap")
    copy = datagrams(read(tmp_path / "copy.pcap"))
    assert copy.destination_port.tolist() == [2055, 6343, 9995]
    assert copy.length.tolist() == few.length.tolist()


SLOW = """
import struct
while True:
    datagram = port.recv(9000)
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    print(struct.unpack_from("!HH", datagram), flush=True)
"""


def test_who_would_not_survive_a_datagram_without_a_header_has_time_for_the_last_one(tmp_path):
    several = [Burst("127.0.0.1", 0, "netflow", Datagrams.of([b"\0\5\0\1"] * 3, 2055))]
    mine = daemon(tmp_path, SLOW, one_more=False)
    assert fed(mine, several) == -signal.SIGTERM
    assert mine.said.read_text() == "(5, 1)\n" * 2  # the first is taken by the program's beginning


def test_who_is_never_idle_is_ended_all_the_same(tmp_path):
    spinning = "port.setblocking(False)\nwhile True:\n try: port.recv(9)\n except OSError: pass"
    assert fed(daemon(tmp_path, spinning, one_more=False), one_datagram()) == -signal.SIGTERM
