"""Live receiving, `flowlab collect` and nfcapd in turn: from which rate on datagrams are lost.

    python -m tests.benchmarks.live [--rates 15000,25000,…,0] [--buffers 106496,4194304] [--tries 5]

The datagrams are those of the corpus `openvswitch`, sent to loopback by this process; rate 0 is as
fast as the kernel takes them. Both ask for the same receive buffer (the kernel doubles what is
asked). What the kernel dropped is read from /proc/net/udp.

With a small buffer a processor that is away for some milliseconds is a loss for whoever receives,
and a virtual one often is: so the two take turns at each rate, several times, and one "begins to
lose" where most of its tries lost something.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from collector import pcap
from collector.backends.daemons import wait_until_bound
from collector.sending import send
from tests.benchmarks import corpora
from tests.benchmarks.peers import CHECKOUT

if TYPE_CHECKING:
    from collector.decode import Datagrams

_PORT = 29_955
_RATES_DPS = "15000,25000,50000,75000,100000,125000,150000,200000,250000,0"
_BUFFERS_OCTETS = "106496,4194304"
"""Half of what Linux grants who asks for nothing, and a large one."""
_SETTLE_S = 0.5
_END_S = 60.0
_NFCAPD = "nfcapd"


@dataclass(frozen=True)
class _Measured:
    """One run."""

    datagrams: int
    reached_dps: float
    dropped: int
    cpu_us: float
    """Per datagram, start-up included."""


@dataclass(frozen=True)
class _Tries:
    """All runs of one at one rate."""

    runs: list[_Measured]

    @property
    def loses(self) -> bool:
        """Whether most of them lost something."""
        return median(run.dropped for run in self.runs) > 0

    def __str__(self) -> str:
        lossy = [run for run in self.runs if run.dropped]
        return (
            f"{self.runs[0].datagrams} datagrams at "
            f"{median(run.reached_dps for run in self.runs):,.0f}/s: lost some in {len(lossy)} of "
            f"{len(self.runs)} tries, {sum(run.dropped for run in lossy)} in all, "
            f"{median(run.cpu_us for run in self.runs):.1f} µs CPU a datagram"
        )


def main() -> None:
    """Climb, for each buffer and collector."""
    parser = argparse.ArgumentParser(description="Measure live receiving.")
    parser.add_argument("--rates", default=_RATES_DPS, help="datagrams a second; 0: no limit")
    parser.add_argument("--buffers", default=_BUFFERS_OCTETS, help="octets to ask for")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--tries", type=int, default=5, help="at each rate")
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    console = Console(highlight=False, width=120)
    with tempfile.TemporaryDirectory(prefix="flowlab-live-") as scratch:
        capture = Path(scratch) / "openvswitch.pcap"
        corpora.write("openvswitch", capture, options.records)
        found = pcap.datagrams(pcap.read(capture))

        def tried(name: str, buffer_octets: int, rate_dps: int) -> _Measured:
            count = min(len(found), int(rate_dps * options.seconds) or len(found))
            command = _command(name, Path(scratch), buffer_octets)
            return _measured(command, found.take(np.arange(count)), rate_dps)

        names = ["flowlab", *filter(shutil.which, [_NFCAPD])]
        for buffer_octets in map(int, options.buffers.split(",")):
            console.print(f"receive buffer of {buffer_octets} octets")
            begins: dict[str, str] = {}
            for rate_dps in map(int, options.rates.split(",")):
                rate = f"{rate_dps}/s" if rate_dps else "no limit"
                in_turn = [
                    {name: tried(name, buffer_octets, rate_dps) for name in names}
                    for _ in range(options.tries)
                ]
                for name in names:
                    tries = _Tries([turn[name] for turn in in_turn])
                    console.print(f"  {name:8} {rate:>9}: {tries}")
                    if tries.loses:
                        begins.setdefault(name, rate)
                if len(begins) == len(names):
                    break
            for name in names:
                console.print(
                    f"{name} begins to lose: {begins.get(name, 'at none of these rates')}"
                )


def _command(name: str, scratch: Path, buffer_octets: int) -> list[str]:
    """How one is started."""
    store = Path(tempfile.mkdtemp(dir=scratch))
    if name == _NFCAPD:
        to = ["-b", "127.0.0.1", "-p", str(_PORT), "-l", str(store), "-t", "3600"]
        return [_NFCAPD, *to, "-B", str(buffer_octets)]
    place = ["--listen", f"netflow://127.0.0.1:{_PORT}", "--out", str(store)]
    kept = ["--store", "flows,exporters", "--buffer", str(buffer_octets)]
    return [str(CHECKOUT / "flowlab"), "collect", *place, *kept]


def _measured(command: list[str], some: Datagrams, rate_dps: int) -> _Measured:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_bound(_PORT, process)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.connect(("127.0.0.1", _PORT))
            took_s = send(out, some.buffer, some.offset, some.length, rate_dps or None)
        time.sleep(_SETTLE_S)
        dropped = _dropped()
        usage = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").split()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_END_S)
    cpu_s = (int(usage[13]) + int(usage[14])) / os.sysconf("SC_CLK_TCK")
    count = len(some)
    return _Measured(count, count / took_s, dropped, cpu_s / count * 1e6)


def _dropped() -> int:
    """What the kernel dropped of what was sent to the port."""
    with Path("/proc/net/udp").open(encoding="ascii") as lines:
        return sum(int(line.split()[-1]) for line in lines if f":{_PORT:04X} " in line)


if __name__ == "__main__":
    sys.exit(main())
