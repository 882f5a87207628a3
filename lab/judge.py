"""Judging a run folder: from its recorded datagrams to ``observed.json`` and ``verdict.json``.

Reads and writes files; what it does with them is the collector's. Needs neither root, nor
Mininet, nor Open vSwitch, so a run can be judged again anywhere.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector import arrival, pcap
from collector.account import Account
from collector.arrival import Sender
from collector.check import Counted, Evidence, Expected, Outcome, Record, judge
from collector.check.counts import Counts, counts
from collector.check.model import Collected
from collector.check.plain import MOST_LISTED
from collector.check.records import ASKED
from collector.check.witnesses import Witnesses
from collector.decode import BY_NAME, STANDARD, Decoder
from collector.decode.address import ip_texts
from collector.flows import (
    FLOWS,
    WIRE_FLOWS,
    each,
    flow_json,
    flow_key,
    observed,
    summed,
    wire_flows,
)
from collector.source import counted
from lab.jsonfile import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from collector.arrival import Known
    from collector.check import Point, Verdict
    from collector.decode import Datagrams, Decoded, Habits, Summary
    from collector.fault import Fault
    from collector.key import FlowKey
    from collector.observations import Columns
    from collector.pcap import Capture

EXPORTS: Final = "exports.pcap"
SENT: Final = "exports-sent.pcap"
"""Beside it where faults befell the datagrams: what exporters sent, and are judged by."""
FAULTS: Final = "faults.json"
POLLED: Final = {"OpenFlow": "counters.json", "SNMP": "snmp.json"}
"""What was polled of the switches' ports, answer by answer, by how."""
_BLOCK: Final = 1 << 14
"""Datagrams decoded together."""
EGRESS: Final = 1
"""flowDirection (61) of a packet where it goes out."""


class NotARun(Exception):
    """The folder does not hold a run; the text says what is missing and what to do."""


def judge_folder(folder: Path) -> Verdict:
    """Judge a run from what its folder holds; write ``observed.json`` and ``verdict.json``.

    Raises:
        NotARun: the folder is not a run folder, or a file of it cannot be read.
    """
    recorded = read_run(folder)
    verdict = judged(folder, recorded)
    try:
        _write(folder / "observed", recorded.table, _rows)
        _write(folder / "passed", None if verdict.plain is None else verdict.plain.as_table())
        write_json(folder / "verdict.json", verdict.to_json())
    except OSError as refused:
        return replace(verdict, notes=(*verdict.notes, f"could not be written down: {refused}"))
    return verdict


def judged(folder: Path, run: Run) -> Verdict:
    """Judge a run that was read from a folder.

    When packets left a switch matters only where an exporter tells wrong times; it is half of all
    captures, so it is read only then.
    """
    verdict = judge(run.expected, run.evidence)
    if any(one.measure == "times" and one.outcome is Outcome.FAIL for one in verdict.checks):
        return judge(run.expected, replace(run.evidence, left=_left(folder)))
    return verdict


def _write(
    path: Path,
    table: pl.DataFrame | None,
    listed: Callable[[pl.DataFrame], list[dict[str, Any]]] | None = None,
) -> None:
    """Write a table, small ones as JSON if it is said how, others as Parquet; not as both."""
    json_file, parquet = path.with_suffix(".json"), path.with_suffix(".parquet")
    wanted = None
    if table is not None and listed is not None and len(table) <= MOST_LISTED:
        write_json(wanted := json_file, listed(table))
    elif table is not None:
        table.write_parquet(wanted := parquet)
    for other in {json_file, parquet} - {wanted}:
        other.unlink(missing_ok=True)


@dataclass(frozen=True)
class Run:
    """What a run folder holds, read and decoded: all that a verdict is reached from.

    Attributes:
        expected: what was expected.
        evidence: what was witnessed.
        table: what was exported, in the columns of `collector.flows.FLOWS`.
    """

    expected: Expected
    evidence: Evidence
    table: pl.DataFrame


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        NotARun: the folder is not a run folder, or a file of it cannot be read.
    """
    expected = _read_expected(folder)
    witnesses = _read_witnesses(folder)
    faulty = (folder / SENT).exists()
    asked = any(ASKED.keys() & one.measures.keys() for one in expected.explicit)
    exports = folder / (SENT if faulty else EXPORTS)
    recorded = decode_exports(exports, habits_of(expected.points), singly=asked)
    collected, faults_missed = (
        _struck(folder, expected, witnesses) if faulty else _no_faults(expected)
    )
    own, copied = _by_target(recorded.table, expected.points)
    observed, egress, strays = _attribute(own, expected.points)
    wire, at_ports, wire_problems = _wire(folder, expected.points)
    from_controller, controller_problems = _from_controller(folder)
    few = max(map(len, (wire, observed))) <= MOST_LISTED
    evidence = Evidence(
        wire=wire.listed() if few else wire,
        observed=observed.listed() if few else observed,
        egress=egress.listed() if few else egress,
        at_ports=at_ports.listed() if few else at_ports,
        from_controller=from_controller,
        polled={
            how: tuple(_polled(folder, folder / file, how))
            for how, file in POLLED.items()
            if (folder / file).exists()
        },
        collected=(*collected, *_targets_compared(copied, expected.points, observed)),
        faults_missed=faults_missed,
        strays=strays,
        decoding=recorded.problems,
        recorded_datagrams=recorded.datagrams,
        notes=recorded.notes,
        records=_records(recorded.each, expected.points),
        wire_problems=(*wire_problems, *controller_problems),
        witnesses=witnesses,
    )
    return Run(expected, evidence, recorded.table)


def observed_rows(folder: Path) -> list[dict[str, Any]]:
    """What a run's exporters reported, a row per exporter, observation point and flow."""
    return decode_exports(folder / EXPORTS, habits_of(_read_expected(folder).points)).rows


@dataclass(frozen=True)
class Recorded:
    """The recorded exports as flow rows, and what is to be said of them.

    Single records (`collector.flows.each`) are there where an expectation asks of them.

    Attributes:
        table: flows, in the columns of `collector.flows.FLOWS`.
        each: single records.
        datagrams: how many there are.
        problems: what was lost or not understood, in words.
        notes: what else is to be said.
        lost: units that sequence numbers show to be missing.
        undecodable: what could not be read.
    """

    table: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FLOWS))
    each: list[dict[str, Any]] = field(default_factory=list)
    datagrams: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: int = 0
    undecodable: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Flows, as ``observed.json`` has them."""
        return _rows(self.table)


def decode_exports(file: Path, habits: Mapping[str, str], *, singly: bool = False) -> Recorded:
    """Decode a capture of exports, each exporter's by its own habits; nothing is raised.

    Args:
        file: the capture.
        habits: names of habits (`collector.decode.BY_NAME`) by the address of who has them.
        singly: whether single records are wanted too.
    """
    try:
        capture = pcap.read(file)
    except FileNotFoundError:
        return Recorded(problems=("there is no recording of the export datagrams",))
    except (OSError, pcap.NotACaptureError) as odd:
        return Recorded(problems=(f"the recording cannot be read: {odd}",))
    datagrams = pcap.datagrams(capture)
    parts = [
        _decode_part(datagrams, which, own, singly=singly)
        for own, which in _by_habits(datagrams, habits)
    ]
    return Recorded(
        table=pl.concat([pl.DataFrame(schema=FLOWS), *(part.table for part in parts)]),
        each=[row for part in parts for row in part.each],
        datagrams=len(datagrams),
        problems=tuple(
            chain(
                [f"the recording is broken: {capture.fault}"] if capture.fault else [],
                _frames(datagrams.faults),
                *(part.problems for part in parts),
            )
        ),
        notes=tuple(note for part in parts for note in part.notes),
        lost=sum(part.lost for part in parts),
        undecodable=sum(part.undecodable for part in parts),
    )


def habits_of(points: Iterable[Point]) -> dict[str, str]:
    """Habits by the address that datagrams come from."""
    return {
        address: point.habits
        for point in points
        for address in (point.address, point.also_to)
        if address
    }


def _by_target(table: pl.DataFrame, points: Iterable[Point]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What came to the first target of each exporter, and what came to its other one."""
    others = _senders(replace(p, address=p.also_to) for p in points if p.also_to)
    if not len(others):
        return table, table.clear()
    own, copied = (
        table.join(others, on=_SENDER, how=how, nulls_equal=True, maintain_order="left")
        for how in ("anti", "semi")
    )
    return own, copied


def _targets_compared(
    copied: pl.DataFrame, points: Iterable[Point], observed: Counts
) -> Iterator[Collected]:
    """Both targets of an exporter get the same."""
    there = {
        (point.exporter, point.observation_point): replace(point, address=point.also_to)
        for point in points
        if point.also_to
    }
    told, _, _ = _attribute(copied, there.values())
    for place in dict.fromkeys((*observed, *told)) if there else ():
        if point := there.get(place[:2]):
            right, seen = (table.get(place, Counted(0)).packets for table in (observed, told))
            exporter, switch, key = place
            measure = f"packets told to {point.address}"
            yield Collected(exporter, switch, key, measure, right, seen)


def _frames(faults: Iterable[Fault]) -> Iterator[str]:
    """Frames of the recording that hold no whole datagram."""
    for reason, times in Counter(fault.reason for fault in faults).items():
        yield f"{times} times: {reason}"


def _struck(
    folder: Path, expected: Expected, witnesses: Witnesses
) -> tuple[tuple[Collected, ...], tuple[str, ...]]:
    """As `_collected`; but nothing where the lab broke and its recordings do not fit together.

    A capsule that died was still writing them. Its run is INVALID, and why is known.

    Raises:
        NotARun: what arrived is not what was sent, and nothing broke.
    """
    try:
        return _collected(folder, expected)
    except NotARun:
        if witnesses.failed is None:
            raise
        return (), ()


def _collected(folder: Path, expected: Expected) -> tuple[tuple[Collected, ...], tuple[str, ...]]:
    """What the collector told of what arrived beside what can be known, and faults in vain.

    Raises:
        NotARun: what arrived is not what was sent.
    """
    told = _read_json(folder / FAULTS)
    try:
        lives, struck = told["restarts"], told["struck"]
    except (KeyError, TypeError) as odd:
        raise NotARun(f"{folder / FAULTS} does not say what was struck: {odd}") from odd
    spoilt = told.get("spoilt", ())  # older runs had no such faults
    restarted_ns = _read_witnesses(folder).restarted_ns
    try:
        sent, arrived = (pcap.datagrams(pcap.read(folder / name)) for name in (SENT, EXPORTS))
        habits = {one: BY_NAME[name] for one, name in habits_of(expected.points).items()}
        knowable = arrival.knowable(sent, arrived, lives, habits, restarted_ns, spoilt)
    except (OSError, ValueError) as odd:
        raise NotARun(f"{folder} holds no recordings of a run with faults: {odd}") from odd
    collected = arrival.collect(arrived, lives, habits, spoilt)
    missed = tuple(
        f"{fault}: no datagram was struck; raise its percent, or choose another seed"
        for fault in expected.faults
        if not struck.get(fault)
    )
    return (
        *_datagrams_compared(expected.points, knowable, collected),
        *_flows_compared(expected.points, knowable, collected),
    ), missed


def _no_faults(expected: Expected) -> tuple[tuple[Collected, ...], tuple[str, ...]]:
    """Of a run without a recording of what was sent: no fault struck, whatever was asked for."""
    return (), tuple(
        f"{fault}: there is no {SENT}, so nothing was struck" for fault in expected.faults
    )


def _datagrams_compared(
    points: Iterable[Point], knowable: Known, told: Known
) -> Iterator[Collected]:
    names: dict[Sender, dict[str, None]] = {}
    places: dict[Sender, list[str]] = {}
    for point in points:
        sender = Sender(point.protocol, point.address)
        names.setdefault(sender, {})[point.exporter] = None
        places.setdefault(sender, []).append(point.observation_point)
    for sender in sorted(knowable.accounts.keys() | told.accounts.keys()):
        who = " and ".join(names.get(sender, {sender.address: None}))
        right = knowable.accounts.get(sender, arrival.Account())
        made = told.accounts.get(sender, arrival.Account())
        unit = "records" if sender.protocol in arrival.COUNT_RECORDS else "datagrams"
        for measure, known, seen in (
            (f"{unit} missing", right.missing, made.missing),
            ("duplicates", right.duplicates, made.duplicates),
            ("sets without template", right.waiting, made.waiting),
            ("exporter restarts", right.restarts, made.restarts),
        ):
            if measure == "exporter restarts" and sender.protocol not in arrival.TELL_RESTARTS:
                continue
            where = places.get(sender, [])
            yield Collected(
                who, where[0] if len(where) == 1 else "collector", None, measure, known, seen
            )


def _flows_compared(points: Iterable[Point], knowable: Known, told: Known) -> Iterator[Collected]:
    every = tuple(points)
    right, made = (_attribute(known.flows, every)[0].listed() for known in (knowable, told))
    for place in dict.fromkeys((*right, *made)):
        exporter, switch, key = place
        one, other = (table.get(place, Counted(0, None, None)) for table in (right, made))
        yield Collected(exporter, switch, key, "collected packets", one.packets, other.packets)
        for layer in ("octets_l2", "octets_l3"):
            known, seen = getattr(one, layer), getattr(other, layer)
            if known is not None:
                yield Collected(exporter, switch, key, f"collected {layer}", known, seen)


def _rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    """A flow table as ``observed.json`` has it."""
    return [
        {**{name: row[name] for name in _OBSERVED}, "flow": flow_json(row)}
        for row in table.iter_rows(named=True)
    ]


def _by_habits(
    datagrams: Datagrams, habits: Mapping[str, str]
) -> Iterator[tuple[Habits, NDArray[np.int64]]]:
    """The datagrams of exporters with the same habits; whose sender is unknown has none."""
    texts = ip_texts(datagrams.source)
    names = np.array([habits.get(text, STANDARD.name) for text in texts], object)
    for name in dict.fromkeys(names.tolist()):
        yield BY_NAME[name], np.flatnonzero(names == name)


def _decode_part(
    datagrams: Datagrams, which: NDArray[np.int64], habits: Habits, *, singly: bool
) -> Recorded:
    """Decode some of the datagrams; what is said of them has their numbers in the whole."""
    account = Account()
    singles: list[dict[str, Any]] = []

    def records() -> Iterator[Columns]:
        for decoded in _blocks(replace(datagrams, faults=()), which, habits, account):
            if singly:
                singles.extend(each(decoded).iter_rows(named=True))
            yield from observed(decoded)

    table = summed(records())
    summary = account.summary()
    datagram = pl.Series("datagram", which[table["datagram"].to_numpy() - 1] + 1, pl.UInt32)
    return Recorded(
        table=table.with_columns(datagram),
        each=singles,
        problems=tuple(_problems(which, summary)),
        notes=tuple(
            f"stepped over {times} times: {kind}, which is not known"
            for kind, times in summary.unknown.items()
        ),
        lost=sum(stream.lost for stream in summary.streams),
        undecodable=sum(summary.undecodable_by_reason.values()),
    )


def _blocks(
    datagrams: Datagrams, which: NDArray[np.int64], habits: Habits, account: Account
) -> Iterator[Decoded]:
    """Some datagrams decoded, not too many at once: a record takes more memory than its octets."""
    decoder = Decoder(habits)
    for first in range(0, max(len(which), 1), _BLOCK):
        block = datagrams.take(which[first : first + _BLOCK])
        last = first + _BLOCK >= len(which)
        yield counted(block, decoder.decode(block, last=last), account)


_OBSERVED: Final = (
    *("protocol", "exporter", "observation_domain", "agent", "flowDirection"),
    *("packets", "octets_l2", "octets_l3", "tcpControlBits", "first_ns", "last_ns"),
    *("records", "samples", "datagram", "offset"),
)


def _problems(which: NDArray[np.int64], summary: Summary) -> Iterator[str]:
    """What was lost or not understood on the way from datagrams to records."""
    for reason, times in summary.undecodable_by_reason.items():
        first = next((one for one in summary.undecodable if one.reason == reason), None)
        if first:
            first = first._replace(datagram=int(which[first.datagram - 1]) + 1)
        yield f"{times} times: {reason}" + (f"; first at {first}" if first else "")
    for stream in summary.streams:
        if stream.lost:
            yield (
                f"the sequence numbers of {stream.protocol} from {stream.exporter} "
                f"({stream.agent or stream.observation_domain or stream.source_port}) show "
                f"{stream.lost} {stream.unit} missing"
            )


def _wire(folder: Path, points: Iterable[Point]) -> tuple[Counts, Counts, tuple[str, ...]]:
    """What entered each switch, what crossed each port of interest, what is wrong with captures."""
    ports = {point.port for point in points if point.port}
    problems: list[str] = []
    entered: list[pl.DataFrame] = []
    crossed: list[pl.DataFrame] = []
    for file in sorted((folder / "wire").glob("*.pcap")):
        port, _, direction = file.stem.rpartition("-")
        if direction != "in" and port not in ports:
            continue
        capture = _witnessed(file, problems)
        if capture is None:
            continue
        if direction == "in":
            entered.append(wire_flows(capture, port.rpartition("-")[0]))
        if port in ports:
            crossed.append(wire_flows(capture, port))
    return _on_wire(entered), _on_wire(crossed), tuple(problems)


def _witnessed(file: Path, problems: list[str]) -> Capture | None:
    """A capture of the wire; what is wrong with it goes to the problems."""
    try:
        capture = pcap.read(file)
    except (OSError, pcap.NotACaptureError) as odd:
        problems.append(f"the capture of the wire cannot be read: {odd}")
        return None
    if capture.fault is not None:
        problems.append(f"the capture {file.name} is broken: {capture.fault}")
    return capture


def _left(folder: Path) -> Counts:
    """What left each switch, as far as the captures can be read."""
    tables = []
    for file in sorted((folder / "wire").glob("*-out.pcap")):
        with suppress(OSError, pcap.NotACaptureError):
            switch = file.stem.rpartition("-")[0].rpartition("-")[0]
            tables.append(wire_flows(pcap.read(file), switch))
    return _on_wire(tables)


def _on_wire(tables: Iterable[pl.DataFrame]) -> Counts:
    """What captures show, added up by place."""
    whole = pl.concat([pl.DataFrame(schema=WIRE_FLOWS), *tables])
    return counts(whole.lazy().rename({"observation_point": "place"}))


def _from_controller(
    folder: Path,
) -> tuple[dict[tuple[str, FlowKey], Counted], tuple[str, ...]]:
    """What a controller handed back to each switch, as its witness recorded it; what is wrong."""
    problems: list[str] = []
    tables = [
        wire_flows(capture, file.stem.rpartition("-")[0])
        for file in sorted((folder / "wire").glob("*-controller.pcap"))
        if (capture := _witnessed(file, problems)) is not None
    ]
    return _on_wire(tables).listed(), tuple(problems)


def _polled(folder: Path, answers: Path, how: str) -> Iterator[str]:
    """Where the last counters of ports that were polled are not those of the wire."""
    last: dict[str, dict[str, Any]] = {}
    for answer in _read_json(answers):
        for number, polled in answer.get("ports", {}).items():
            last[f"{answer['switch']}-eth{number}"] = polled
    captured = {
        file.stem.rpartition("-")[0]
        for direction in ("in", "out")
        for file in (folder / "wire").glob(f"*-{direction}.pcap")
    }
    for port in sorted(captured - last.keys()):
        yield f"{port}: {how} told no counters"
    for port, polled in last.items():
        for way, direction, verb in (("rx", "in", "came in"), ("tx", "out", "went out")):
            file = folder / "wire" / f"{port}-{direction}.pcap"
            capture = _witnessed(file, []) if file.exists() else None  # `_wire` tells what is wrong
            rows = None if capture is None else wire_flows(capture, port)
            for what, column in (("packets", "packets"), ("octets", "octets_l2")):
                crossed = 0 if rows is None else int(rows[column].sum())
                counted = polled[f"{way}_{what}"]
                if crossed != counted:
                    yield f"{port}: {crossed} {what} {verb}, {how} counted {counted}"


def _records(
    rows: Iterable[Mapping[str, Any]], points: Iterable[Point]
) -> dict[tuple[str, str, FlowKey], tuple[Record, ...]]:
    """Single records by exporter, switch and flow; of a packet told twice, the one coming in."""
    owners = _owners(points)
    records: dict[tuple[str, str, FlowKey], tuple[Record, ...]] = {}
    for row in rows:
        point = owners.get(_sender(row))
        if point is not None and point.flow_direction in (None, row["flowDirection"]):
            place = point.exporter, point.observation_point, flow_key(row)
            ports = row["ingressInterface"], row["egressInterface"]
            told = Record(row["first_ns"], row["last_ns"], *ports)
            records[place] = (*records.get(place, ()), told)
    return records


_Sender = tuple[Any, ...]


def _owners(points: Iterable[Point]) -> dict[_Sender, Point]:
    """The points by how they name themselves in their exports."""
    return {
        (point.address, point.protocol, point.observation_domain, point.agent): point
        for point in points
    }


def _sender(row: Mapping[str, Any]) -> _Sender:
    return row["exporter"], row["protocol"], row["observation_domain"], row["agent"]


_SENDER: Final = ("exporter", "protocol", "observation_domain", "agent")
"""What a row of a flow table says of who sent it; see `_sender`."""


def _senders(points: Iterable[Point]) -> pl.DataFrame:
    """The points by how they name themselves, as `_owners` has them, and what is told of them."""
    rows = [
        (*sender, p.exporter, p.observation_point, p.flow_direction, p.marker)
        for sender, p in _owners(points).items()
    ]
    kinds = {name: FLOWS[name] for name in _SENDER} | {
        "named": pl.String,
        "place": pl.String,
        "direction": pl.UInt8,
        "marker": pl.String,
    }
    return pl.DataFrame(rows, kinds, orient="row")


def _attribute(
    table: pl.DataFrame, points: Iterable[Point]
) -> tuple[Counts, Counts, tuple[str, ...]]:
    """Give each row to the exporter and switch that sent it; rows of nobody are strays.

    Returns:
        What was observed, the same again for packets going out where that is told, and strays.
    """
    told = pl.col("flowDirection")
    is_known = pl.col("place").is_not_null()
    is_observed = pl.col("direction").is_null() | told.eq_missing(pl.col("direction"))
    is_egress = ~is_observed & told.eq_missing(pl.lit(EGRESS))
    is_marker = pl.col("destination").eq_missing(pl.col("marker"))
    owned = table.lazy().join(
        _senders(points).lazy(), on=_SENDER, how="left", nulls_equal=True, maintain_order="left"
    )
    wanted = owned.filter(is_known & ~is_marker).with_columns(exporter="named")
    return (
        counts(wanted.filter(is_observed)),
        counts(wanted.filter(is_egress)),
        tuple(_strays(owned.filter(~is_known | ~(is_observed | is_egress)).collect())),
    )


def _strays(rows: pl.DataFrame) -> Iterator[str]:
    """Records that belong to no expected observation point, in words."""
    strays: Counter[str] = Counter()
    for row in rows.iter_rows(named=True):
        if row["place"] is None:
            who = row["agent"] or f"observation domain {row['observation_domain']}"
            what = f"{row['protocol']} of {who}, which is no switch of this scenario"
        else:
            where = f"{row['protocol']} of {row['place']}"
            what = f"{where} with flowDirection {row['flowDirection']}"
        strays[what] += row["records"]
    for what, count in strays.items():
        yield f"{count} records by {what}"


def _read_expected(folder: Path) -> Expected:
    path = folder / "expected.json"
    try:
        return Expected.from_json(_read_json(path))
    except (KeyError, TypeError, AttributeError, ValueError) as odd:
        raise NotARun(f"{path} is not what a run writes: {_first_line(odd)}") from odd


def _read_witnesses(folder: Path) -> Witnesses:
    """What the run's witnesses said; nothing if it was killed before it could write that down."""
    path = folder / "witnesses.json"
    if not path.exists():
        return Witnesses()
    try:
        return Witnesses.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as odd:
        raise NotARun(f"{path} is not what a run writes: {_first_line(odd)}") from odd


def _first_line(odd: Exception) -> str:
    return " ".join(str(odd).split())[:200] or type(odd).__name__


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotARun(
            f"{path.parent} is not a run folder: {path.name} is missing; "
            "give one of runs/<scenario>/<time>, or runs/<scenario>/latest"
        ) from None
    except (OSError, ValueError, RecursionError) as odd:
        raise NotARun(f"{path} cannot be read: {odd}") from odd
