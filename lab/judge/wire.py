"""What the captures at the switch ports witnessed, and polled counters beside it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl

from collector import pcap
from collector.check.counts import Counts, counts
from collector.flows import WIRE_FLOWS, wire_flows
from lab.judge.folder import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from collector.check import Counted, Point
    from collector.key import FlowKey
    from collector.pcap import Capture


def read_wire(folder: Path, points: Iterable[Point]) -> tuple[Counts, Counts, tuple[str, ...]]:
    """What entered each switch, what crossed each port of interest, what is wrong with captures."""
    ports = {point.port for point in points if point.port}
    problems: list[str] = []
    entered: list[pl.DataFrame] = []
    crossed: list[pl.DataFrame] = []
    for file in sorted((folder / "wire").glob("*.pcap")):
        port, _, direction = file.stem.rpartition("-")
        if direction != "in" and port not in ports:
            continue
        capture = _capture(file, problems)
        if capture is None:
            continue
        if direction == "in":
            entered.append(wire_flows(capture, port.rpartition("-")[0]))
        if port in ports:
            crossed.append(wire_flows(capture, port))
    return _on_wire(entered), _on_wire(crossed), tuple(problems)


def read_left(folder: Path) -> Counts:
    """What left each switch, as far as the captures can be read."""
    tables = []
    for file in sorted((folder / "wire").glob("*-out.pcap")):
        with suppress(OSError, pcap.NotACaptureError):
            switch = file.stem.rpartition("-")[0].rpartition("-")[0]
            tables.append(wire_flows(pcap.read(file), switch))
    return _on_wire(tables)


def read_from_controller(
    folder: Path,
) -> tuple[dict[tuple[str, FlowKey], Counted], tuple[str, ...]]:
    """What a controller handed back to each switch, as its witness recorded it; what is wrong."""
    problems: list[str] = []
    tables = [
        wire_flows(capture, file.stem.rpartition("-")[0])
        for file in sorted((folder / "wire").glob("*-controller.pcap"))
        if (capture := _capture(file, problems)) is not None
    ]
    return _on_wire(tables).listed(), tuple(problems)


def polled_amiss(folder: Path, answers: Path, how: str) -> Iterator[str]:
    """Where the last counters of ports that were polled are not those of the wire."""
    last: dict[str, dict[str, Any]] = {}
    for answer in read_json(answers):
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
            capture = _capture(file, []) if file.exists() else None  # `read_wire` tells of faults
            rows = None if capture is None else wire_flows(capture, port)
            for what, column in (("packets", "packets"), ("octets", "octets_l2")):
                crossed = 0 if rows is None else int(rows[column].sum())
                counted = polled[f"{way}_{what}"]
                if crossed != counted:
                    yield f"{port}: {crossed} {what} {verb}, {how} counted {counted}"


def _on_wire(tables: Iterable[pl.DataFrame]) -> Counts:
    """What captures show, added up by place."""
    whole = pl.concat([pl.DataFrame(schema=WIRE_FLOWS), *tables])
    return counts(whole.lazy().rename({"observation_point": "place"}))


def _capture(file: Path, problems: list[str]) -> Capture | None:
    """A capture of the wire; what is wrong with it goes to the problems."""
    try:
        capture = pcap.read(file)
    except (OSError, pcap.NotACaptureError) as odd:
        problems.append(f"the capture of the wire cannot be read: {odd}")
        return None
    if capture.fault is not None:
        problems.append(f"the capture {file.name} is broken: {capture.fault}")
    return capture
