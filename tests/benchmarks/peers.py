"""The collectors that are compared: how each is run on a corpus, and what it found.

All do the same work: decode everything, sum by 5-tuple, write the sums as text. To add one, write a
`Peer` and list it in `PEERS`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from collector import pcap
from collector.backends import pmacct, tshark
from collector.backends.daemons import Failed, wait_until_bound
from collector.sending import send

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHECKOUT: Final = Path(__file__).resolve().parents[2]
KEY: Final = (
    *("source", "destination", "sourceTransportPort", "destinationTransportPort"),
    "protocolIdentifier",
)
FED_RPS: Final = 150_000
"""Records per second that those get who read from the network: slow enough that none is lost."""
_FED: Final = "fed over the network, receiving included"
_BUFFER_OCTETS: Final = 4 << 20
_END_S: Final = 600.0
_QUIET_S: Final = 1.0


@dataclass(frozen=True)
class Case:
    """A corpus, and where a peer may write."""

    name: str
    capture: Path
    port: int
    records: int
    datagrams: int
    folder: Path


@dataclass(frozen=True)
class Cost:
    """What a run cost."""

    cpu_s: float
    wall_s: float
    peak_octets: int

    def __add__(self, other: Cost) -> Cost:
        """Of two runs, one after the other."""
        peak_octets = max(self.peak_octets, other.peak_octets)
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, peak_octets)


@dataclass(frozen=True)
class Found:
    """What a peer found in a corpus."""

    tuples: int
    packets: int
    octets: int


class Peer(ABC):
    """A collector."""

    name: ClassVar[str]

    @property
    def remark(self) -> str:
        """What has to be known to read its figures rightly."""
        return ""

    @abstractmethod
    def missing(self) -> str:
        """Why it cannot be run here; "" if it can."""

    @abstractmethod
    def run(self, case: Case) -> tuple[Cost, Found]:
        """Do the work.

        Raises:
            Failed: it did not.
        """


def metered(case: Case, *command: str, out: Path | None = None) -> Cost:
    """Run a command to its end; what it writes goes into a file."""
    started = _start(case, command, out or case.folder / "said.txt")
    return _ended(case, started, command)


def fed(case: Case, *command: str) -> Cost:
    """Run a command that listens on the case's port; send it the corpus, then end it."""
    found = pcap.datagrams(pcap.read(case.capture))
    started = _start(case, command, case.folder / "said.txt")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        wait_until_bound(case.port, started)
        out.connect(("127.0.0.1", case.port))
        rate_dps = FED_RPS * case.datagrams / case.records
        send(out, found.buffer, found.offset, found.length, rate_dps)
    time.sleep(_QUIET_S)
    started.send_signal(signal.SIGINT)
    return _ended(case, started, command)


def _start(case: Case, command: Sequence[str], out: Path) -> subprocess.Popen[bytes]:
    meter = [sys.executable, "-m", "tests.benchmarks.meter", str(case.folder / "cost.json")]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with out.open("ab") as written, (case.folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [*meter, *command],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=said,
            env=environment,
        )


def _ended(case: Case, started: subprocess.Popen[bytes], command: Sequence[str]) -> Cost:
    if started.wait(_END_S) != 0:
        said = (case.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        message = f"{Path(command[0]).name} failed: {said.strip()[-500:]}"
        raise Failed(message)
    return Cost(**json.loads((case.folder / "cost.json").read_text(encoding="ascii")))


def _sums(rows: pl.DataFrame, tuples: int, packets: str, octets: str) -> Found:
    return Found(tuples, int(rows[packets].sum()), int(rows[octets].sum()))


# ── the peers ──


class Flowlab(Peer):
    """The bundled collector."""

    name = "flowlab"

    def missing(self) -> str:
        """It is always there."""
        return ""

    def run(self, case: Case) -> tuple[Cost, Found]:
        """One command."""
        out = case.folder / "flows.csv"
        asked = ["--by", ",".join(KEY), "--format", "csv"]
        command = [str(CHECKOUT / "flowlab"), "flows", str(case.capture), *asked]
        cost = metered(case, *command, out=out)
        rows = pl.read_csv(out)
        octets = "octets_l3" if rows["octets_l3"].null_count() == 0 else "octets_l2"
        return cost, _sums(rows, len(rows), "packets", octets)


class Nfdump(Peer):
    """nfcapd or sfcapd stores, nfdump sums what was stored."""

    name = "nfdump"

    @property
    def remark(self) -> str:
        """It reads captures only if it was built for that, as few are."""
        return "" if self._reads_captures else f"{_FED}: it was built without --enable-readpcap"

    def missing(self) -> str:
        """Whether it is installed."""
        return "" if shutil.which("nfcapd") else "nfcapd is not installed"

    @cached_property
    def _reads_captures(self) -> bool:
        told = subprocess.run(["nfcapd", "-h"], capture_output=True, text=True, check=False)
        return "pcapfile" in told.stdout + told.stderr

    def run(self, case: Case) -> tuple[Cost, Found]:
        """Two commands."""
        store, out = case.folder / "store", case.folder / "flows.csv"
        store.mkdir()
        stores = "sfcapd" if case.name == "sflow" else "nfcapd"
        command = [stores, "-l", str(store), "-t", "86400"]
        if self._reads_captures:
            cost = metered(case, *command, "-f", str(case.capture))
        else:
            where = ["-b", "127.0.0.1", "-p", str(case.port), "-B", str(_BUFFER_OCTETS)]
            cost = fed(case, *command, *where)
        form = "fmt:%sa,%da,%sp,%dp,%pr,%pkt,%byt"
        key = "srcip,dstip,srcport,dstport,proto"
        dump = ["nfdump", "-R", str(store), "-A", key, "-N", "-q", "-o", form]
        cost += metered(case, *dump, out=out)
        rows = pl.read_csv(out, has_header=False, new_columns=list(_COLUMNS), infer_schema=False)
        numbers = rows.select(pl.col("packets", "octets").str.strip_chars().cast(pl.Int64))
        return cost, _sums(numbers, len(rows), "packets", "octets")


_COLUMNS: Final = (*KEY, "packets", "octets")


class Pmacct(Peer):
    """nfacctd or sfacctd, printing its memory at the end."""

    name = "pmacct"

    @property
    def remark(self) -> str:
        """It could read captures."""
        return f"{_FED}: reading a capture, its core outruns its plugin, and it loses"

    def missing(self) -> str:
        """Whether it is installed."""
        return "" if shutil.which("nfacctd") else "nfacctd is not installed"

    def run(self, case: Case) -> tuple[Cost, Found]:
        """One daemon and its plugin."""
        out, settings = case.folder / "flows.csv", case.folder / "pmacct.conf"
        program = "sfacctd" if case.name == "sflow" else "nfacctd"
        text = pmacct.settings(
            program,
            case.port,
            aggregate="src_host, dst_host, src_port, dst_port, proto",
            print_output="csv",
            print_output_file=out,
            print_cache_entries=131_071,
            plugin_buffer_size=256 << 10,
        )
        settings.write_text(text, encoding="utf-8")
        cost = fed(case, program, "-f", str(settings))
        rows = pl.read_csv(out)
        return cost, _sums(rows, len(rows), "PACKETS", "BYTES")


class Tshark(Peer):
    """Wireshark's dissectors; it has no sums, so these are made of what it writes."""

    name = "tshark"

    @property
    def remark(self) -> str:
        """Its sums are ours."""
        return "decodes only: the sums are made of its output, and not counted"

    def missing(self) -> str:
        """Whether it is installed."""
        return "" if shutil.which("tshark") else "tshark is not installed"

    def run(self, case: Case) -> tuple[Cost, Found]:
        """One command; the values of a datagram's records are joined by commas."""
        out = case.folder / "fields.tsv"
        kind = "sflow" if case.name == "sflow" else "cflow"
        options = tshark.LONG_TEMPLATES if kind == "cflow" else ()
        wanted = [part for name in _SHOWN[kind] for part in ("-e", name)]
        decoding = ["-n", "-d", f"udp.port=={case.port},{kind}", *options]
        command = ["tshark", "-r", str(case.capture), *decoding, "-T", "fields", *wanted]
        cost = metered(case, *command, out=out)
        rows = _flow_rows(out) if kind == "cflow" else _sample_rows(out)
        keys: set[tuple[str, ...]] = set()
        packets = octets = 0
        for key, more_packets, more_octets in rows:
            keys.add(key)
            packets, octets = packets + more_packets, octets + more_octets
        return cost, Found(len(keys), packets, octets)


def _flow_rows(out: Path) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Key, packets and octets of tshark's lines about flows."""
    for columns in _lines(out):
        for *key, packets, octets in zip(*columns, strict=False):
            if packets:  # Not so in a message of templates.
                yield tuple(key), int(packets), int(octets)


def _sample_rows(out: Path) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """The same of its lines about samples: addresses of all, and ports apart by protocol."""
    for columns in _lines(out):
        # The datagram's own headers come first.
        source, destination, protocol, *udp = (iter(column[1:]) for column in columns[:5])
        ports = {"17": udp, "6": [iter(column) for column in columns[5:7]]}
        sampled = zip(source, destination, protocol, *columns[7:], strict=False)
        for one, other, number, rate, octets in sampled:
            some = tuple(next(port, "") for port in ports.get(number, ()))
            yield (one, other, number, *some), int(rate), int(octets) * int(rate)


def _lines(out: Path) -> Iterator[list[list[str]]]:
    """The fields of each datagram, each with all its values."""
    with out.open(encoding="ascii") as lines:
        for line in lines:
            yield [column.split(",") for column in line.rstrip("\n").split("\t")]


_SHOWN: Final = {
    "cflow": (
        *("cflow.srcaddr", "cflow.dstaddr", "cflow.srcport", "cflow.dstport", "cflow.protocol"),
        *("cflow.packets", "cflow.octets"),
    ),
    "sflow": (
        *("ip.src", "ip.dst", "ip.proto", "udp.srcport", "udp.dstport"),
        *("tcp.srcport", "tcp.dstport"),
        *("sflow.flow_sample.sampling_rate", "sflow_245.header.frame_length"),
    ),
}


class PythonNetflow(Peer):
    """The package netflow of the Python Package Index, summed in plain Python."""

    name = "netflow"

    @property
    def remark(self) -> str:
        """It is only a decoder."""
        return "the Python package; captures are read by flowlab"

    def missing(self) -> str:
        """Whether it is installed: it is no part of the environment."""
        return "" if find_spec("netflow") else "the Python package netflow is not installed"

    def run(self, case: Case) -> tuple[Cost, Found]:
        """One command."""
        if case.name == "sflow":
            message = "it does not decode sFlow"
            raise Failed(message)
        out = case.folder / "sums.json"
        here = "tests.benchmarks.with_netflow"
        cost = metered(case, sys.executable, "-m", here, str(case.capture), out=out)
        return cost, Found(**json.loads(out.read_text(encoding="ascii")))


PEERS: Final[tuple[Peer, ...]] = (Flowlab(), Nfdump(), Pmacct(), Tshark(), PythonNetflow())
