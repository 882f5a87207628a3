"""Finding a datagram in a source, with the templates that were known when it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collector.decode import Decoder
from collector.decode.address import ip_text
from collector.explain.walk import Line, Walk

if TYPE_CHECKING:
    from collector.decode import Datagrams
    from collector.source import Source


class NoSuchDatagramError(ValueError):
    """The source does not have as many datagrams; the text says how many there are."""


@dataclass(frozen=True)
class Explained:
    """A datagram taken apart."""

    number: int
    title: str
    """Who sent it, to whom, when."""
    payload: bytes
    lines: list[Line]


def explain(source: Source, number: int) -> Explained:
    """Explain datagram `number` (1-based) of a source.

    Raises:
        NoSuchDatagramError: there is none.
    """
    decoder, before = Decoder(source.habits, source.ports), 0
    for block in source.datagrams():
        row = number - 1 - before
        if row < len(block):
            # With the datagram itself: it may bring the template of its own records.
            decoder.decode(block.take(np.arange(row + 1)))
            return _explained(source, decoder, block, row, number)
        decoder.decode(block)
        before += len(block)
    message = f"there is no datagram {number}: the capture has {before}"
    raise NoSuchDatagramError(message)


def _explained(
    source: Source, decoder: Decoder, block: Datagrams, row: int, number: int
) -> Explained:
    at, size = int(block.offset[row]), int(block.length[row])
    payload = block.buffer[at : at + size].tobytes()
    ends = [
        f"{ip_text(*map(int, address[row]))} port {port[row]}"
        for address, port in (
            (block.source, block.source_port),
            (block.destination, block.destination_port),
        )
    ]
    upper, lower = map(int, block.source[row])
    walk = Walk(
        payload,
        decoder.templates,
        exporter=upper << 64 | lower,
        socket=int(block.source_port[row]),
        lend=source.habits.templates_serve_all_domains,
    )
    time = np.datetime64(int(block.timestamp_ns[row]), "ns")
    title = f"datagram {number}: {ends[0]} → {ends[1]}, {size} octets, {time}Z"
    family = source.ports.get(int(block.destination_port[row]))
    return Explained(number, title, payload, list(walk.lines(family)))
