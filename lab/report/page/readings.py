"""What was told of packets, by whom and when: records, samples, counters; and octets explained."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from collector.decode.address import ip_text, ip_texts
from collector.explain.walk import Walk
from lab.judge import POLLED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from collector.decode import Batch, Datagrams
    from collector.decode.template_store import Templates
    from collector.explain.walk import Line

_LINES: Final = 150
"""Fields of one datagram that are shown at most."""
WIRE: Final = "on the wire"
COUNTED: Final = (*(f"{how} counters" for how in POLLED), "sFlow counters")
"""Who counts what came into the ports, and knows of no flows."""
_NOT_KNOWN: Final = 0xFFFF_FFFF
"""A counter of sFlow that the switch does not keep."""
_PACKETS_IN: Final = ("ifInUcastPkts", "ifInMulticastPkts", "ifInBroadcastPkts")

Rows = list[dict[str, Any]]


class Known(NamedTuple):
    """What became known of the packets that came into a switch.

    Attributes:
        switch: where.
        who: by whom it became known.
        ns: when, int64.
        packets: how many, float64.
    """

    switch: str
    who: str
    ns: NDArray[np.int64]
    packets: NDArray[np.float64]


Counted = tuple[str, Any, int, int]
"""Switch, port, when, and what its counter of packets that came in said."""


class Sender(NamedTuple):
    """Who sent a datagram: both halves of the address, and the port."""

    upper: int
    lower: int
    port: int


def polled(folder: Path) -> Iterator[Known]:
    """When packets were found in counters of the switches' ports that somebody asked for."""
    for who, file in zip(COUNTED, POLLED.values(), strict=False):
        if not (folder / file).exists():
            continue
        answers = [
            (answer["switch"], port, answer["at_ns"], counted["rx_packets"])
            for answer in json.loads((folder / file).read_bytes())
            for port, counted in answer.get("ports", {}).items()
        ]
        yield from rises(answers, who)


def rises(answers: list[Counted], who: str) -> Iterator[Known]:
    """By how much counters of ports rose, and when."""
    table = pl.DataFrame(answers, schema=["switch", "port", "ns", "packets"], orient="row")
    counter = pl.col("packets").cast(pl.Float64)
    rose = table.sort("ns").with_columns(
        (counter - counter.shift(1, fill_value=0)).over("switch", "port").alias("packets")
    )
    for (switch,), rows in rose.group_by(["switch"], maintain_order=True):
        summed = rows.group_by("ns", maintain_order=True).agg(pl.col("packets").sum())
        yield Known(str(switch), who, summed["ns"].to_numpy(), summed["packets"].to_numpy())


def sent_counters(batch: Batch, block: Datagrams, points: Rows) -> Iterator[Counted]:
    """Packets that came into ports, as sFlow sends them; other records have no such counters."""
    if _PACKETS_IN[0] not in batch.columns:
        return
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


def told(batch: Batch, packets: Any, block: Datagrams, points: Rows) -> Iterator[Known]:
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
            place, who = point["observation_point"], point["exporter"]
            yield Known(place, who, came_ns[its], values[its])


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
    lines = list(islice(walk.lines(family), _LINES + 1))
    told_by = f"{ip_text(sender.upper, sender.lower)} port {sender.port}"
    return {
        "number": number,
        "title": f"{family or 'export'} datagram of {told_by}, {len(octets)} octets",
        "lines": [_line(line) for line in lines[:_LINES]],
        "more": len(lines) > _LINES,
    }


def _line(line: Line) -> list[Any]:
    """A field: offset, octets, depth, name, value, meaning, section."""
    octets = line.octets[:16].hex(" ") + (" …" if len(line.octets) > 16 else "")
    return [line.offset, octets, line.depth, line.name, line.value, line.meaning, line.section]
