"""Programs under test: what is waited for, and what it means when they are gone."""

from __future__ import annotations

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
