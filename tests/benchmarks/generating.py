"""How fast `flowlab generate` is: to a file, and to the network beside a bare loop of sendmmsg(2).

    python -m tests.benchmarks.generating [--records 1000000] [--runs 3] [PROFILE …]

Each figure is the median of some runs. CPU is user and system time of the whole command; what is
left of it without start-up is that less the CPU of the same command with one record. On the network
all that somebody listening to loopback does is to drain its socket; the bare loop sends the same
datagrams, made before, from a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from collector import pcap
from collector.mmsg import LIBC, MESSAGE, PART, addresses
from collector.sending import send
from tests.benchmarks.peers import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_PROFILES = (
    *("router-netflow5", "router-netflow9", "juniper-ipfix", "softflowd", "open-vswitch"),
    "sflow-switch",
)
_AT_ONCE = 256
_LONGEST_OCTETS = 2_048
_WAIT_FOR_ONE = 0x1_0000
"""MSG_WAITFORONE of recvmmsg(2)."""
_SENT = re.compile(r"(\d+) datagrams, (\d+) records in [\d.]+ s \(([\d,]+) datagrams/s\)")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure flowlab generate.")
    parser.add_argument("profile", nargs="*", default=_PROFILES)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    table = Table("profile", "CPU s", "M records/s", "after start-up", "datagrams/s", "bare loop")
    fork = get_context("spawn")
    here, there = fork.Pipe(duplex=False)
    sink = fork.Process(target=_drain, args=(there,), daemon=True)
    sink.start()
    port = here.recv()
    with tempfile.TemporaryDirectory() as folder:
        for profile in options.profile:
            table.add_row(profile, *_figures(profile, options, Path(folder), port))
    sink.terminate()
    Console().print(table)


def _figures(profile: str, options: argparse.Namespace, folder: Path, port: int) -> tuple[str, ...]:
    """A row of the table."""
    capture = folder / "made.pcap"

    def to_file(records: int) -> float:
        capture.unlink(missing_ok=True)
        return _generate(folder, profile, records, "--out", str(capture))[0]

    start_s = _median(options.runs, lambda: to_file(1))
    cpu_s = _median(options.runs, lambda: to_file(options.records))
    sent_dps = _median(options.runs, lambda: _sent_dps(folder, profile, options.records, port))
    bare_dps = _median(options.runs, lambda: _bare_dps(capture, port))
    whole, after = (options.records / used_s / 1e6 for used_s in (cpu_s, cpu_s - start_s))
    return f"{cpu_s:.2f}", f"{whole:.2f}", f"{after:.2f}", f"{sent_dps:,.0f}", f"{bare_dps:,.0f}"


def _median(runs: int, measured: Callable[[], float]) -> float:
    return median(measured() for _ in range(runs))


def _generate(folder: Path, profile: str, records: int, *where: str) -> tuple[float, str]:
    """CPU seconds of the command, and what it says."""
    result = folder / "cost.json"
    command = [sys.executable, "-m", "tests.benchmarks.meter", str(result)]
    command += [str(CHECKOUT / "flowlab"), "generate", profile, "--records", str(records), *where]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHECKOUT)
    return json.loads(result.read_text(encoding="ascii"))["cpu_s"], ran.stdout


def _sent_dps(folder: Path, profile: str, records: int, port: int) -> float:
    """Datagrams a second, as the command says it."""
    _, said = _generate(folder, profile, records, "--to", f"127.0.0.1:{port}")
    found = _SENT.search(said)
    assert found, said
    return float(found[3].replace(",", ""))


def _bare_dps(capture: Path, port: int) -> float:
    """Datagrams a second, of a process that only sends."""
    with get_context("spawn").Pool(1) as alone:
        return alone.apply(_send_all, (capture, port))


def _send_all(capture: Path, port: int) -> float:
    found = pcap.datagrams(pcap.read(capture))
    buffer = np.array(found.buffer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        began_s = time.perf_counter()
        send(out, buffer, found.offset, found.length)
        return len(found) / (time.perf_counter() - began_s)


def _drain(there: Connection) -> None:
    """Take what comes to a port, and do nothing with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        there.send(listening.getsockname()[1])
        room = np.zeros((_AT_ONCE, _LONGEST_OCTETS), np.uint8)
        parts, messages = np.zeros(_AT_ONCE, PART), np.zeros(_AT_ONCE, MESSAGE)
        parts["at"], parts["octets"] = addresses(room), _LONGEST_OCTETS
        messages["parts"], messages["part_count"] = addresses(parts), 1
        place = ctypes.c_void_p(messages.ctypes.data)
        while True:
            LIBC.recvmmsg(listening.fileno(), place, _AT_ONCE, _WAIT_FOR_ONE, None)


if __name__ == "__main__":
    main()
