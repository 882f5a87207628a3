"""What a page tells of a run, as plain values that JSON knows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from collector import pcap
from collector.decode import Decoder
from collector.decode.address import ip_text, ip_texts
from collector.explain.walk import Walk
from collector.observations import observe
from collector.source import open_source
from lab.judge import POLLED, NotARun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.decode import Batch, Datagrams
    from collector.decode.template_store import Templates
    from collector.explain.walk import Line
    from collector.source import Source

STEPS: Final = 300
"""Points of a line at most: more than a page is wide."""
OF_EACH: Final = 3
"""Datagrams that are shown octet by octet: the first ones of each sender, which bring templates."""
EXPLAINED: Final = 24
"""And so many in all."""
_LINES: Final = 150
"""Fields of one datagram that are shown at most."""
WIRE: Final = "on the wire"
COUNTED: Final = (*(f"{how} counters" for how in POLLED), "sFlow counters")
"""Who counts what came into the ports, and knows of no flows."""
_NOT_KNOWN: Final = 0xFFFF_FFFF
"""A counter of sFlow that the switch does not keep."""
_PACKETS_IN: Final = ("ifInUcastPkts", "ifInMulticastPkts", "ifInBroadcastPkts")

Rows = list[dict[str, Any]]


class Sender(NamedTuple):
    """Who sent a datagram: both halves of the address, and the port."""

    upper: int
    lower: int
    port: int


@dataclass(frozen=True)
class Facts:
    """A run.

    Attributes:
        name: of the run folder.
        scenario: what ``scenario.json`` says.
        verdict: what ``verdict.json`` says.
        witnesses: what ``witnesses.json`` says.
        points: exporters and where they observe, from ``expected.json``.
        known: rows of (switch, who, s, packets): what was known of the packets that came into a
            switch, so many seconds after the traffic began.
        ended_s: when the traffic was over.
        datagrams: the first ones of each sender: number, title, lines.
        datagrams_in_all: how many were recorded.
    """

    name: str
    scenario: dict[str, Any]
    verdict: dict[str, Any]
    witnesses: dict[str, Any]
    points: Rows
    known: Rows
    ended_s: float
    datagrams: Rows
    datagrams_in_all: int


def read(folder: Path) -> Facts:
    """Read a run that has been judged.

    Raises:
        NotARun: the folder is none, or has no verdict yet.
    """
    expected, verdict, scenario, witnesses = (
        _json(folder, f"{name}.json") for name in ("expected", "verdict", "scenario", "witnesses")
    )
    begun_ns = witnesses.get("traffic_started_ns") or witnesses["started_ns"]
    ended_ns = witnesses.get("traffic_finished_ns") or witnesses["finished_ns"]
    points = [point for point in expected["points"] if not point["also_to"] or point["address"]]
    told, datagrams, count = _exports(folder, points)
    known = pl.concat([_on_the_wire(folder, points), told, *_polled(folder)])
    lines = known.sort("ns").with_columns(s=((pl.col("ns") - begun_ns) / 1e9).clip(lower_bound=0.0))
    return Facts(
        name=f"{folder.resolve().parent.name}/{folder.resolve().name}",
        scenario=scenario,
        verdict=verdict,
        witnesses=witnesses,
        points=points,
        known=[row for line in _lines(lines) for row in line],
        ended_s=(ended_ns - begun_ns) / 1e9,
        datagrams=datagrams,
        datagrams_in_all=count,
    )


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_bytes())
    except (OSError, ValueError) as odd:
        raise NotARun(
            f"{folder} is not a run with a verdict ({name}: {odd}); give one of "
            "runs/<scenario>/<time>, after `flowlab check` if it was cut short"
        ) from None


def _lines(known: pl.DataFrame) -> Iterator[Rows]:
    """Running sums from the beginning to the end, each line of at most `STEPS` points."""
    end_s = known["s"].max() if len(known) else 0.0
    for (switch, who), line in known.group_by(["switch", "who"], maintain_order=True):
        summed = line.select("s", pl.col("packets").cum_sum())
        first = pl.DataFrame({"s": [0.0], "packets": [0.0]})
        last = summed.tail(1).with_columns(s=pl.lit(end_s, pl.Float64))
        summed = pl.concat([first, summed, last])
        if len(summed) > STEPS:
            rows = np.unique(np.linspace(0, len(summed) - 1, STEPS).astype(np.int64))
            summed = summed[rows]
        values = summed.with_columns(pl.col("s").round(4), pl.col("packets").round(1)).rows()
        yield [{"switch": switch, "who": who, "s": s, "packets": n} for s, n in values]


def _frame(switch: str, who: str, ns: Any, packets: Any) -> pl.DataFrame:
    columns = {"ns": pl.Series(ns, dtype=pl.Int64), "packets": pl.Series(packets, dtype=pl.Float64)}
    frame = pl.DataFrame(columns)
    return frame.select(pl.lit(switch).alias("switch"), pl.lit(who).alias("who"), "ns", "packets")


def _on_the_wire(folder: Path, points: Rows) -> pl.DataFrame:
    """When packets came into the switches."""
    frames = [_frame("", "", [], [])]
    for switch in dict.fromkeys(point["observation_point"] for point in points):
        times = [
            pcap.read(file).timestamps_ns
            for file in sorted((folder / "wire").glob(f"{switch}-eth*-in.pcap"))
        ]
        if times:
            together = np.concatenate(times)
            frames.append(_frame(switch, WIRE, together, np.ones(len(together))))
    return pl.concat(frames)


def _polled(folder: Path) -> Iterator[pl.DataFrame]:
    """When packets were found in counters of the switches' ports that somebody asked for."""
    for who, file in zip(COUNTED, POLLED.values(), strict=False):
        if not (folder / file).exists():
            continue
        answers = [
            (answer["switch"], port, answer["at_ns"], counted["rx_packets"])
            for answer in _json(folder, file)
            for port, counted in answer.get("ports", {}).items()
        ]
        yield from _rises(answers, who)


def _rises(answers: list[tuple[str, Any, int, int]], who: str) -> Iterator[pl.DataFrame]:
    """By how much counters of ports rose, and when: rows of (switch, port, ns, packets)."""
    table = pl.DataFrame(answers, schema=["switch", "port", "ns", "packets"], orient="row")
    counter = pl.col("packets").cast(pl.Float64)
    rises = table.sort("ns").with_columns(
        (counter - counter.shift(1, fill_value=0)).over("switch", "port").alias("packets")
    )
    for (switch,), rows in rises.group_by(["switch"], maintain_order=True):
        summed = rows.group_by("ns", maintain_order=True).agg(pl.col("packets").sum())
        yield _frame(str(switch), who, summed["ns"], summed["packets"])


def _exports(folder: Path, points: Rows) -> tuple[pl.DataFrame, Rows, int]:
    """When packets were told, by whom; the first datagrams; how many there are."""
    source = open_source(str(folder))
    decoder = Decoder(source.habits, source.ports)
    frames, count = [_frame("", "", [], [])], 0
    counters: list[tuple[str, Any, int, int]] = []
    shown: Rows = []
    seen: Counter[tuple[Any, ...]] = Counter()
    for block in source.datagrams():
        decoded = decoder.decode(block)
        senders = zip(ip_texts(block.source), block.destination_port.tolist(), strict=True)
        for row, sender in enumerate(senders):
            seen[sender] += 1
            if seen[sender] <= OF_EACH and len(shown) < EXPLAINED:
                shown.append(_explained(source, decoder, block, row, count + row + 1))
        for batch in decoded.batches:
            columns = observe(batch, decoded.habits)
            if columns is not None:
                frames += told(batch, columns["packets"], block, points)
            if _PACKETS_IN[0] in batch.columns:
                counters += _sent_counters(batch, block, points)
        count += len(block)
    frames += _rises(counters, COUNTED[-1]) if counters else []
    return pl.concat(frames), shown, count


def _sent_counters(
    batch: Batch, block: Datagrams, points: Rows
) -> Iterator[tuple[str, Any, int, int]]:
    """Packets that came into ports, as sFlow sends them: switch, port, when, packets."""
    switches = {
        point["agent"]: point["observation_point"] for point in points if point["agent"] is not None
    }
    assert batch.agent is not None, "counters are sFlow's, and that has agents"
    columns = [np.asarray(batch.columns[name]).astype(np.int64) for name in _PACKETS_IN]
    packets = sum(np.where(column == _NOT_KNOWN, 0, column) for column in columns)
    came_ns = block.timestamp_ns[np.clip(batch.datagram - 1, 0, None)]
    ports = np.asarray(batch.columns["ifIndex"]).tolist()
    agents = ip_texts(batch.agent)
    for row in zip(agents, ports, came_ns.tolist(), np.asarray(packets).tolist(), strict=True):
        if row[0] in switches:
            yield switches[row[0]], *row[1:]


def told(batch: Batch, packets: Any, block: Datagrams, points: Rows) -> Iterator[pl.DataFrame]:
    """Packets that records tell, each when its datagram came; those going out are told twice."""
    came_ns = block.timestamp_ns[np.clip(batch.datagram - 1, 0, None)]
    values = np.ma.filled(np.broadcast_to(packets, len(batch)).astype(np.float64), 0)
    inward = np.ones(len(batch), np.bool_)
    if "flowDirection" in batch.columns:
        inward = np.asarray(batch.columns["flowDirection"]) == 0
    senders = np.array(ip_texts(batch.exporter), object)
    agents = None if batch.agent is None else np.array(ip_texts(batch.agent), object)
    for point in points:
        if point["protocol"] != batch.protocol:
            continue
        its = (senders == point["address"]) & inward
        if point["agent"] is not None and agents is not None:
            its &= agents == point["agent"]
        if point["observation_domain"] is not None and batch.observation_domain is not None:
            its &= batch.observation_domain == point["observation_domain"]
        if its.any():
            yield _frame(point["observation_point"], point["exporter"], came_ns[its], values[its])


def _explained(
    source: Source, decoder: Decoder, block: Datagrams, row: int, number: int
) -> dict[str, Any]:
    at, size = int(block.offset[row]), int(block.length[row])
    upper, lower = map(int, block.source[row])
    return explained(
        block.buffer[at : at + size].tobytes(),
        Sender(upper, lower, int(block.source_port[row])),
        decoder.templates,
        source.ports.get(int(block.destination_port[row])),
        number,
        lend=source.habits.templates_serve_all_domains,
    )


def explained(
    octets: bytes,
    sender: Sender,
    templates: Templates,
    family: str | None,
    number: int,
    *,
    lend: bool,
) -> dict[str, Any]:
    """A datagram field by field, as a page shows it.

    Args:
        octets: of the datagram.
        sender: who sent it.
        templates: what its sender has announced.
        family: NetFlow or sFlow, by the port that it came to.
        number: what it is called.
        lend: whether templates serve all observation domains of a sender.
    """
    exporter = sender.upper << 64 | sender.lower
    walk = Walk(octets, templates, exporter=exporter, socket=sender.port, lend=lend)
    lines = walk.lines(family)
    told_by = f"{ip_text(sender.upper, sender.lower)} port {sender.port}"
    return {
        "number": number,
        "title": f"{family or 'export'} datagram of {told_by}, {len(octets)} octets",
        "lines": [_line(line) for line in lines[:_LINES]],
        "more": max(0, len(lines) - _LINES),
    }


def _line(line: Line) -> list[Any]:
    """A field: offset, octets, depth, name, value, meaning, section."""
    octets = line.octets[:16].hex(" ") + (" …" if len(line.octets) > 16 else "")
    return [line.offset, octets, line.depth, line.name, line.value, line.meaning, line.section]
