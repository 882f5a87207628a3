"""Our reading of a capture, record by record: the side of a comparison that is ours.

What `flowlab decode` says of a record, as plain values: numbers, texts, times in nanoseconds since
1970; and where in its datagram each field is, so that a peer's fields can be found by their octets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from collector import pcap
from collector.account import Account
from collector.decode.layout import LONG, VARIABLE, Columns
from collector.decode.sflow_layouts import ETHERNET_HEADER, RAW_HEADER, SAMPLED, SAMPLES
from collector.records import OFFSET, table
from collector.source import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.decode import Batch

_RAW_HEADER_OCTETS = 24
"""Of the record and the description in front of a sampled header."""
_SFLOW_ITEM_OCTETS = 8
"""Format and length, in front of what the columns of a sample or record begin with."""


class Place(NamedTuple):
    """Where a field is."""

    offset: int
    """Octets from the start of the datagram."""
    octets: int


@dataclass(frozen=True)
class Record:
    """One record."""

    case: str
    """Which capture it is from."""
    values: dict[str, Any]
    """Name to value; what the record does not say is not there."""
    places: dict[str, Place] = field(default_factory=dict)
    """Name to place, of the fields that are in the record as such."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Name to abstract data type, of the same."""
    before: list[int] = field(default_factory=list)
    """Formats of the records that are in front of it in its sample (sFlow); in front of the packet,
    if it is a flow sample."""
    beside: dict[str, Any] = field(default_factory=dict)
    """Of a flow sample: what the extended records of the sample say."""
    frame: bytes = b""
    """Of a flow sample: what was sampled of the Ethernet frame."""

    @property
    def where(self) -> tuple[int, int]:
        """The datagram, from 1, and how many octets from its start the record begins."""
        return self.values["datagram"], self.values[OFFSET]

    def __getitem__(self, name: str) -> Any:
        """A value, or None."""
        return self.values.get(name)


def read(case: str, capture: Path) -> list[Record]:
    """All records of a capture, in order of arrival."""
    source = open_source(str(capture))
    found = [
        record
        for decoded in source.decoded(Account())
        for batch in decoded.batches
        for record in _records(case, batch, table(batch, decoded.read_lists))
    ]
    found = _look_inside(found, capture)
    samples = {record.where: record for record in found if record["kind"] == "flow sample"}
    for record in found:
        sample = samples.get((record["datagram"], record["sampleOffset"]))
        if sample is not None:
            sample.beside.update(record.values)
    return sorted(found, key=lambda record: record.where)


def _look_inside(records: list[Record], capture: Path) -> list[Record]:
    """Find what is in the samples of sFlow: formats in front of each record, sampled frames."""
    datagrams = pcap.datagrams(pcap.read(capture))
    spans = zip(datagrams.offset.tolist(), datagrams.length.tolist(), strict=True)
    payloads = [datagrams.buffer[at : at + size].tobytes() for at, size in spans]
    found = []
    for record in records:
        one = record
        if record["protocol"] == "sflow5":
            number, offset = record.where
            record.before.extend(_formats_before(payloads[number - 1], offset))
            if record["kind"] == "flow sample":
                one = replace(record, frame=_frame(payloads[number - 1], offset))
        found.append(one)
    return found


def _frame(payload: bytes, sample: int) -> bytes:
    """What was sampled of a frame, in the first raw header of a sample; empty without one."""
    at = sample + _SFLOW_ITEM_OCTETS
    at += SAMPLES[_u32(payload, sample)].layout.minimum_octets
    end = sample + _SFLOW_ITEM_OCTETS + _u32(payload, sample + 4)
    while at + _RAW_HEADER_OCTETS <= end:
        content = at + _SFLOW_ITEM_OCTETS
        if (_u32(payload, at), _u32(payload, content)) == (RAW_HEADER, ETHERNET_HEADER):
            begins = at + _RAW_HEADER_OCTETS
            return payload[begins : begins + _u32(payload, begins - 4)]
        at += _SFLOW_ITEM_OCTETS + (_u32(payload, at + 4) + 3 & ~3)
    return b""


def _formats_before(payload: bytes, offset: int) -> list[int]:
    """Formats of the records from the start of the sample to a record or to the sampled packet."""
    sample = 28 if payload[4:8] == b"\0\0\0\1" else 40
    while (end := sample + _SFLOW_ITEM_OCTETS + _u32(payload, sample + 4)) <= offset:
        sample = end
    number = _u32(payload, sample)
    at, found = sample + _SFLOW_ITEM_OCTETS + SAMPLES[number].layout.minimum_octets, []
    while at < end and at != offset:
        form = _u32(payload, at)
        if sample == offset and form <= max(SAMPLED):
            break
        found.append(form)
        at += _SFLOW_ITEM_OCTETS + (_u32(payload, at + 4) + 3 & ~3)
    return found


def _u32(payload: bytes, at: int) -> int:
    return int.from_bytes(payload[at : at + 4], "big")


def _records(case: str, batch: Batch, rows: pl.DataFrame) -> Iterator[Record]:
    """The records of a batch."""
    times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    rows = rows.with_columns(pl.col(name).dt.epoch("ns") for name in times)
    places, kinds = _places(batch), {}
    if isinstance(batch.columns, Columns):
        kinds = {name: place.field.kind for name, place in batch.columns.layout.places.items()}
    for number, row in enumerate(rows.iter_rows(named=True)):
        values = {name: value for name, value in row.items() if value is not None}
        yield Record(case, values, places[number], kinds)


def _places(batch: Batch) -> list[dict[str, Place]]:
    """Where the fields of each record are."""
    columns = batch.columns
    if not isinstance(columns, Columns):
        return [{} for _ in range(len(batch))]
    head = _SFLOW_ITEM_OCTETS if batch.protocol == "sflow5" else 0
    found: list[dict[str, Place]] = [{} for _ in range(len(batch))]
    begins = batch.offset + head - columns._segments[:, 0]
    for name, place in columns.layout.places.items():
        at = (begins + columns._segments[:, place.segment] + place.offset).tolist()
        values = columns[name] if place.field.width == VARIABLE else None
        for row, offset in enumerate(at):
            if values is None:
                found[row][name] = Place(offset, place.field.width)
            else:
                size = len(values[row])
                found[row][name] = Place(offset + (1 if size < LONG else 3), size)
    return found
