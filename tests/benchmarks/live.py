"""Live receiving, `flowlab collect` and nfcapd in turn: what is lost at which rate.

    python -m tests.benchmarks.live [--rates 100000,200000,0] [--seconds 2]

The datagrams are those of the corpus `openvswitch`, sent to loopback by this process; rate 0 is as
fast as the kernel takes them. What the kernel dropped is read from /proc/net/udp.
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
from pathlib import Path
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
_BUFFER_OCTETS = 16 << 20
_SETTLE_S = 1.0
_END_S = 60.0


def main() -> None:
    """Run them all, a line each."""
    parser = argparse.ArgumentParser(description="Measure live receiving.")
    parser.add_argument(
        "--rates", default="100000,200000,0", help="datagrams a second; 0: no limit"
    )
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="flowlab-live-") as scratch:
        capture = Path(scratch) / "openvswitch.pcap"
        corpora.write("openvswitch", capture, options.records)
        found = pcap.datagrams(pcap.read(capture))
        for name, command in _commands(Path(scratch)).items():
            for rate_dps in map(int, options.rates.split(",")):
                count = min(len(found), int(rate_dps * options.seconds) or len(found))
                some = found.take(np.arange(count))
                console.print(f"{name:8} {_measured(command, some, rate_dps)}")


def _commands(scratch: Path) -> dict[str, list[str]]:
    """Who can be run here."""
    (store := scratch / "nfcapd").mkdir()
    place = ["--listen", f"netflow://127.0.0.1:{_PORT}", "--out", str(scratch / "store")]
    commands = {
        "flowlab": [str(CHECKOUT / "flowlab"), "collect", *place, "--store", "flows,exporters"]
    }
    if shutil.which("nfcapd"):
        buffer = ["-B", str(_BUFFER_OCTETS)]
        to = ["-b", "127.0.0.1", "-p", str(_PORT), "-l", str(store), "-t", "3600"]
        commands["nfcapd"] = ["nfcapd", *to, *buffer]
    return commands


def _measured(command: list[str], some: Datagrams, rate_dps: int) -> str:
    """One run in words."""
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
    return (
        f"{len(some)} datagrams at {len(some) / took_s:,.0f}/s: {dropped} dropped by the kernel, "
        f"{cpu_s / len(some) * 1e6:.1f} µs CPU a datagram, start-up included"
    )


def _dropped() -> int:
    """What the kernel dropped of what was sent to the port."""
    with Path("/proc/net/udp").open(encoding="ascii") as lines:
        return sum(int(line.split()[-1]) for line in lines if f":{_PORT:04X} " in line)


if __name__ == "__main__":
    sys.exit(main())
