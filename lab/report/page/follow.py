"""A run folder that still grows, read along: files in, plain values out.

Nothing of the run knows that somebody reads. What it writes for the verdict, captures of the wire
and recorded datagrams, is what the page shows; so a run that is over can be looked at as well.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import pcap
from collector.decode import OPEN_VSWITCH, PORTS, Decoder
from collector.decode.address import ip_text, mac_text
from collector.extract import datagrams
from collector.observations import observe
from exporters import Bridge
from lab.judge import NotARun
from lab.report.page.panes import panes
from lab.report.page.readings import (
    COUNTED,
    WIRE,
    Known,
    Sender,
    explained,
    polled,
    rises,
    sent_counters,
    told,
)
from lab.scenario.model import Scenario
from topologies.dot import dot
from topologies.picture import draw

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from collector.decode import Batch, Datagrams
    from collector.pcap import Capture
    from lab.report.page.readings import Counted
    from topologies import Topology
    from topologies.model import Link

PAGE: Final = "report.html"
"""What a run's page is called, in the run folder."""
_HEAD_OCTETS: Final = 24
_MOST_OCTETS: Final = 16 << 20
"""Of a file, at one look."""
_BIN_NS: Final = 50_000_000
"""In the beginning, for a run of seconds."""
_STEPS: Final = 200
"""Points of a line at most."""
_KEPT: Final = 50_000
"""Datagrams that can be opened: the latest."""
_SHOWN: Final = 40
_OF_EACH: Final = 3
"""Datagrams of each sender that are the first ones: they bring templates."""
_FIRST: Final = 24
"""And so many of all senders."""
_COMPLAINTS: Final = 100
_SILENCE_NS: Final = 600_000_000_000
"""A run without a verdict that was silent for so long is not under way, but was killed."""
_DRAWN: Final = 40
"""Nodes of a network that is laid out; a larger one takes its time, and nobody reads it."""
_LAYOUT_S: Final = 20.0
CHAIN: Final = (
    ("declared", "the scenario"),
    ("sent", "the traffic programs"),
    ("on the wire", "captured at the switch ports"),
    ("switch", "its own counters"),
    ("exported", "datagrams sent"),
    ("received", "datagrams recorded"),
    ("decoded", "records"),
)
"""The witnesses, and who they are."""
_NO_RECORDS: Final = "templates, or nothing that counts"
_PROTOCOLS: Final = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}


class _Kept(NamedTuple):
    """Where a datagram is in the recording, and whose it is."""

    at: int
    octets: int
    sender: Sender
    family: str | None


class Tail:
    """A capture that grows at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head = b""
        self.at = _HEAD_OCTETS
        """So far it has been read: octets of the file."""

    def more(self) -> Capture | None:
        """The whole frames that came since; their offsets are those behind a file's header."""
        try:
            with self._path.open("rb") as file:
                self._head = self._head or file.read(_HEAD_OCTETS)
                file.seek(self.at)
                octets = file.read(_MOST_OCTETS)
        except FileNotFoundError:
            return None
        if len(self._head) < _HEAD_OCTETS or not octets:
            self._head = self._head if len(self._head) == _HEAD_OCTETS else b""
            return None
        capture = pcap.read(io.BytesIO(self._head + octets))
        if not len(capture):
            return None
        self.at += int(capture.offsets[-1] + capture.lengths[-1]) - _HEAD_OCTETS
        return capture


class _Bins:
    """How much came, by time.

    The longer it takes, the wider are the bins; so many hours take no more room than a minute, and
    are told as fast.
    """

    def __init__(self) -> None:
        self._wide_ns = _BIN_NS
        self._bins: NDArray[np.float64] = np.zeros(2 * _STEPS)

    def add(self, since_ns: NDArray[np.int64], much: NDArray[np.float64] | float) -> None:
        """Add what came so long after the beginning."""
        if not len(since_ns):
            return
        since_ns = np.maximum(since_ns, 0)
        self._reach(int(since_ns.max()))
        np.add.at(self._bins, since_ns // self._wide_ns, much)

    def _reach(self, ns: int) -> None:
        """Make two bins one until the last reaches so far."""
        while ns >= len(self._bins) * self._wide_ns:
            pairs = self._bins.reshape(-1, 2).sum(axis=1)
            self._bins = np.concatenate([pairs, np.zeros(len(pairs))])
            self._wide_ns *= 2

    def steps(self, end_ns: int) -> tuple[NDArray[np.float64], int]:
        """What came until now in as many steps as are drawn, and how long each is, in ns."""
        self._reach(end_ns)  # bins that saw nothing of late are as wide as the others
        bins = self._bins[: end_ns // self._wide_ns + 1]
        wide = -(-len(bins) // _STEPS)
        sums = np.add.reduceat(bins, np.arange(0, len(bins), wide))
        return sums, wide * self._wide_ns


def _points(bins: _Bins, end_ns: int) -> list[tuple[float, float]]:
    """Seconds and the sum until then, up to now; steps that change nothing are left out."""
    steps, wide_ns = bins.steps(end_ns)
    sums = steps.cumsum()
    ends_s = np.minimum(np.arange(1, len(sums) + 1) * wide_ns, end_ns) / 1e9
    chosen = np.union1d(np.flatnonzero(steps), [len(sums) - 1])
    lines = zip(ends_s[chosen].tolist(), sums[chosen].tolist(), strict=True)
    return [(0.0, 0.0), *((round(s, 3), round(n, 1)) for s, n in lines)]


def _begun_s(bins: _Bins, end_ns: int) -> list[float]:
    """When the steps began in which anything came."""
    steps, wide_ns = bins.steps(end_ns)
    return [round(place * wide_ns / 1e9, 3) for place in np.flatnonzero(steps).tolist()]


class Following:
    """One run, followed."""

    def __init__(self, folder: Path) -> None:
        """Begin; reads what is known before the run.

        Raises:
            OSError: the folder is not there, or not complete yet.
            ValueError: likewise.
        """
        self.folder = folder
        self.scenario = Scenario.model_validate(_json(folder / "scenario.json"))
        self.topology = self.scenario.build_topology()
        points = _json(folder / "expected.json")["points"]
        self.points = [one for one in points if not one["also_to"] or one["address"]]
        self.exporters = list(dict.fromkeys(one["exporter"] for one in self.points))
        self.switches = [switch.name for switch in self.topology.switches]
        self._told_by = _told_by(self.scenario)
        self._came: dict[tuple[str, str], _Bins] = {}
        self._exports = Tail(folder / "exports.pcap")
        self._decoder = Decoder(OPEN_VSWITCH, PORTS)
        names = {port.name for one in self.switches for port in self.topology.ports(one)}
        wire = folder / "wire"
        self._wire = {
            (name, way): Tail(wire / f"{name}-{way}.pcap")
            for name in names
            for way in ("in", "out")
        }
        self._ends = [_switch_end(link, set(self.switches)) for link in self.topology.links]
        self._lines: dict[tuple[str, str], _Bins] = {}
        self._begun_ns = 0
        self._now_ns = 0
        self._load: dict[tuple[str, str], tuple[int, int]] = {}
        self._carried: Counter[tuple[str, str]] = Counter()
        self._counters: list[Counted] = []
        self._looked_ns = 0
        self._count = 0
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)
        self._latest: deque[dict[str, Any]] = deque(maxlen=_SHOWN)
        self._senders: Counter[tuple[Any, ...]] = Counter()
        self._first: list[dict[str, Any]] = []
        self._flows: deque[dict[str, Any]] = deque(maxlen=_SHOWN)
        self._ended_s: float | None = None
        self._verdict: dict[str, Any] | None = None

    @classmethod
    def whole(cls, folder: Path) -> Following:
        """A run that is over and has been judged, read to its end.

        Raises:
            NotARun: the folder is none, or has no verdict.
        """
        try:
            for name in ("scenario", "expected", "verdict"):
                _json(folder / f"{name}.json")
            _witnessed(folder)
            following = cls(folder)
        except (OSError, ValueError) as odd:
            raise NotARun(
                f"{folder} is not a run with a verdict ({odd}); give one of "
                "runs/<scenario>/<time>, after `flowlab check` if it was cut short"
            ) from None
        while not following.is_over:
            following.look(0)
        return following

    @property
    def name(self) -> str:
        """Of the run."""
        folder = self.folder.resolve()
        return f"{folder.parent.name}/{folder.name}"

    @property
    def is_over(self) -> bool:
        """Whether there is a verdict."""
        return self._verdict is not None

    def look(self, now_ns: int) -> None:
        """Read what has come since.

        Args:
            now_ns: the time, since 1970.
        """
        verdict = self._verdict or self._read_verdict()
        more = self._look_at_wire(now_ns)
        capture = self._exports.more() if self._begun_ns else None
        if capture is not None:
            self._take(datagrams(capture), self._exports.at)
        if verdict is not None and capture is None and not more:
            if not self.is_over:
                self._tell_counters()
            self._verdict = verdict
        elif verdict is None and now_ns - self._now_ns < _SILENCE_NS:
            self._now_ns = max(self._now_ns, now_ns)

    def _look_at_wire(self, now_ns: int) -> bool:
        """Read the wire's captures on; whether there was more."""
        load = {}
        for (port, way), tail in self._wire.items():
            capture = tail.more()
            if capture is None:
                continue
            if not self._begun_ns:
                self._begun_ns = int(capture.timestamps_ns.min())
            load[port, way] = len(capture), int(capture.original_lengths.sum())
            self._now_ns = max(self._now_ns, int(capture.timestamps_ns.max()))
            if way == "in":
                switch = port.rpartition("-")[0]
                self._line(switch, WIRE).add(capture.timestamps_ns - self._begun_ns, 1.0)
        took_s = max((now_ns - self._looked_ns) / 1e9, 0.001)
        self._load = {
            key: (round(packets / took_s), round(8 * octets / took_s))
            for key, (packets, octets) in load.items()
        }
        self._looked_ns = now_ns
        for (port, _), (packets, octets) in load.items():
            self._carried.update({(port, "packets"): packets, (port, "octets"): octets})
        return bool(load)

    def _line(self, switch: str, who: str) -> _Bins:
        return self._lines.setdefault((switch, who), _Bins())

    def _take(self, block: Datagrams, end: int) -> None:
        """Take datagrams, the last of which ends at this octet of the recording."""
        decoded = self._decoder.decode(block)
        records = np.zeros(len(block), np.int64)
        who: dict[int, str] = {}
        came: dict[tuple[str, str], list[int]] = {}
        base = end - int(block.offset[-1] + block.length[-1]) if len(block) else 0
        for batch in decoded.batches:
            rows = batch.datagram[batch.datagram > 0] - 1
            np.add.at(records, rows, 1)
            who |= dict.fromkeys(np.unique(rows).tolist(), batch.protocol)
            columns = observe(batch, decoded.habits)
            if columns is not None:
                self._tell(batch, columns, block)
            self._counters += sent_counters(batch, block, self.points)
        for row in range(len(block)):
            self._count += 1
            upper, lower = map(int, block.source[row])
            family = PORTS.get(int(block.destination_port[row]))
            sender = Sender(upper, lower, int(block.source_port[row]))
            at, octets = base + int(block.offset[row]), int(block.length[row])
            self._kept.append(_Kept(at, octets, sender, family))
            since_ns = max(0, int(block.timestamp_ns[row]) - self._begun_ns)
            exporter = self._told_by.get(int(block.destination_port[row]), family or "?")
            what = "records" if records[row] else _NO_RECORDS
            came.setdefault((exporter, what), []).append(since_ns)
            shown = {
                "number": self._count,
                "s": round(since_ns / 1e9, 3),
                "protocol": who.get(row, family or "?"),
                "octets": octets,
                "records": int(records[row]),
            }
            self._latest.append(shown)
            own = (upper, lower, int(block.destination_port[row]))
            self._senders[own] += 1
            if self._senders[own] <= _OF_EACH and len(self._first) < _FIRST:
                self._first.append(shown)
        for key, since in came.items():
            self._came.setdefault(key, _Bins()).add(np.array(since), 1.0)

    def _since(self, when_ns: int) -> float:
        return round(max(0, when_ns - self._begun_ns) / 1e9, 3)

    def _tell(self, batch: Batch, columns: Any, block: Datagrams) -> None:
        self._now_ns = max(self._now_ns, int(block.timestamp_ns.max()))
        self._add(told(batch, columns["packets"], block, self.points))
        for row in range(max(0, len(batch) - _SHOWN), len(batch)):
            came = block.timestamp_ns[max(0, int(batch.datagram[row]) - 1)]
            flow = {
                "s": self._since(int(came)),
                "datagram": self._count + int(batch.datagram[row]),
                "protocol": batch.protocol,
                "flow": _flow_text(columns, row),
                "packets": _count_of(columns, "packets", row),
                "octets": _count_of(columns, "octets_l3", row)
                or _count_of(columns, "octets_l2", row),
            }
            self._flows.append(flow)

    def _add(self, known: Iterable[Known]) -> None:
        for one in known:
            self._line(one.switch, one.who).add(one.ns - self._begun_ns, one.packets)

    def _tell_counters(self) -> None:
        """What was polled of counters is there when the run is over."""
        with suppress(OSError, ValueError, KeyError):
            self._add(polled(self.folder))
        if self._counters:
            self._add(rises(self._counters, COUNTED[-1]))

    def _read_verdict(self) -> dict[str, Any] | None:
        """What came out; None: nothing yet."""
        with suppress(OSError, ValueError):
            verdict = _json(self.folder / "verdict.json")
            witnesses = _witnessed(self.folder)
            if not self._begun_ns:
                # A capsule that died has not said when it began: then it is the first frame.
                begun_ns = witnesses.get("traffic_started_ns") or witnesses.get("started_ns")
                self._begun_ns = self._now_ns = int(begun_ns or 0)
            ended_ns = witnesses.get("traffic_finished_ns")
            if ended_ns and self._begun_ns:
                self._ended_s = self._since(int(ended_ns))
            bad = [one for one in verdict["checks"] if one["verdict"] in ("FAIL", "INVALID")]
            passed = sum(one["verdict"] == "PASS" for one in verdict["checks"])
            links = [one["link"] for one in verdict["experiment"]]
            return {
                "verdict": verdict["verdict"],
                "passed": passed + verdict.get("passed_besides", 0),
                "broken": sorted({end.strip() for link in links for end in link.split("→")}),
                "experiment": verdict["experiment"],
                "notes": verdict["notes"],
                "look_for": verdict["look_for"],
                "bad": [
                    {key: str(one[key]) for key in _TOLD} | {"flow": _about(one["flow"])}
                    for one in bad[:_COMPLAINTS]
                ],
                "more": max(0, len(bad) - _COMPLAINTS),
            }
        return None

    def about(self) -> dict[str, Any]:
        """What does not change while it is shown."""
        return {
            "run": self.name,
            "title": self.scenario.title,
            "description": self.scenario.description or "",
            "switches": self.switches,
            "exporters": self.exporters,
            "links": [f"{one.a.node} to {one.b.node}" for one in self.topology.links],
            "drawing": _drawing(self.topology),
            "picture": draw(self.topology),
            "chart": panes(self.exporters),
            "chain": CHAIN,
        }

    def known(self) -> list[dict[str, Any]]:
        """Points of the lines of all switches: switch, who, s, packets."""
        end_ns = max(self._now_ns - self._begun_ns, 0)
        return [
            {"switch": switch, "who": who, "s": s, "packets": packets}
            for (switch, who), line in self._lines.items()
            for s, packets in _points(line, end_ns)
        ]

    def seen(self, switch: str, *, first: bool = False) -> dict[str, Any]:
        """What the page shows now, of one switch's exporters.

        Args:
            switch: which one.
            first: of datagrams the first ones of each sender, and not the latest.
        """
        end_ns = max(self._now_ns - self._begun_ns, 0) if self._begun_ns else 0
        known = [
            {"who": who, "s": s, "packets": packets}
            for (at, who), line in self._lines.items()
            if at == switch
            for s, packets in _points(line, end_ns)
        ]
        return {
            "stage": self._stage(),
            "s": round(end_ns / 1e9, 2),
            "ended_s": self._ended_s,
            "known": known,
            "came": self._ticks(end_ns),
            "links": [self._link(number) for number in range(len(self._ends))],
            "datagrams": self._first if first else list(self._latest),
            "datagrams_in_all": self._count,
            "flows": list(self._flows),
            "verdict": self._verdict,
            "page": (self.folder / PAGE).is_file(),
        }

    def _ticks(self, end_ns: int) -> list[dict[str, Any]]:
        """When datagrams came, by exporter; as finely as a line has points."""
        return [
            {"who": who, "what": what, "s": s}
            for (who, what), bins in self._came.items()
            for s in _begun_s(bins, end_ns)
        ]

    def _stage(self) -> str:
        if self.is_over:
            return "judged"
        if (self.folder / "witnesses.json").exists():
            return "judging"
        return "running" if self._begun_ns else "starting"

    def _link(self, number: int) -> dict[str, int]:
        port = self._ends[number]
        inward, outward = (self._load.get((port, way), (0, 0)) for way in ("in", "out"))
        return {
            "pps": 0 if self.is_over else inward[0] + outward[0],
            "bps": 0 if self.is_over else inward[1] + outward[1],
            "packets": self._carried[port, "packets"],
            "octets": self._carried[port, "octets"],
        }

    def datagram(self, number: int) -> dict[str, Any] | None:
        """A datagram field by field; None: there is none, or it was long ago."""
        place = number - 1 - (self._count - len(self._kept))
        if not 0 <= place < len(self._kept):
            return None
        kept = self._kept[place]
        with (self.folder / "exports.pcap").open("rb") as file:
            file.seek(kept.at)
            octets = file.read(kept.octets)
        return explained(
            octets,
            kept.sender,
            self._decoder.templates,
            kept.family,
            number,
            lend=OPEN_VSWITCH.templates_serve_all_domains,
        )


_TOLD: Final = ("exporter", "observation_point", "measure", "expected", "observed", "why")


def _witnessed(folder: Path) -> dict[str, Any]:
    """What the witnesses said; nothing if the run was killed before it could write that down.

    Raises:
        OSError, ValueError: what is there cannot be read.
    """
    path = folder / "witnesses.json"
    told: dict[str, Any] = _json(path) if path.exists() else {}
    return told


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _drawing(topology: Topology) -> str:
    """The network as SVG; empty where there is no Graphviz to lay it out, or too much of it."""
    program = shutil.which("dot")
    if program is None or len(topology.hosts) + len(topology.switches) > _DRAWN:
        return ""
    try:
        drawn = subprocess.run(
            (program, "-Tsvg"),
            input=dot(topology).encode(),
            capture_output=True,
            check=True,
            timeout=_LAYOUT_S,
        ).stdout.decode()
    except (subprocess.SubprocessError, OSError):
        return ""
    return drawn[drawn.index("<svg") :]


def _told_by(scenario: Scenario) -> dict[int, str]:
    """The exporter by the port that its datagrams go to."""
    return {
        int(one.rpartition(":")[2]): exporter.name
        for exporter in reversed(scenario.exporters)
        for switch in scenario.build_topology().switches
        for one in exporter.destinations(Bridge(switch.name, switch.number))
    }


def _switch_end(link: Link, switches: set[str]) -> str:
    return link.a.name if link.a.node in switches else link.b.name


def _value(columns: Any, name: str, row: int) -> int:
    column = np.ma.filled(columns[name], 0)
    return int(column) if np.ndim(column) == 0 else int(column[row])


def _count_of(columns: Any, name: str, row: int) -> int | None:
    return _value(columns, name, row) if name in columns else None


def _flow_text(columns: Any, row: int) -> str:
    version = _value(columns, "ipVersion", row)
    ends = []
    for end in ("source", "destination"):
        upper, lower = (_value(columns, f"{end}_{half}", row) for half in ("upper", "lower"))
        port = _value(columns, f"{end}TransportPort", row)
        name = ip_text(upper, lower) if version else mac_text(lower)
        ends.append(f"{name} port {port}" if port else name)
    number = _value(columns, "protocolIdentifier", row)
    kind = _PROTOCOLS.get(number, str(number)) if version else "no IP"
    return f"{kind} {ends[0]} → {ends[1]}"


def _about(flow: dict[str, Any] | None) -> str:
    return " ".join(str(value) for value in (flow or {}).values())
