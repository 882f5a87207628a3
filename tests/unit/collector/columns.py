"""Batches of columns back to plain records, to compare them with the oracle's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collector.decode import Batch, Decoded
    from tests.unit.collector.oracle import Record

_NOT_IN_THE_RECORD = {
    "flowStartMilliseconds",
    "flowEndMilliseconds",
    "samplingInterval",
    "samplingAlgorithm",
}


def value(item: Any) -> Any:
    """One value of a column as the oracle has it."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, np.ndarray):
        if item.dtype == np.uint64:
            return int(item[0]) << 64 | int(item[1])
        return item.tobytes()
    if isinstance(item, np.floating):
        return item.tobytes()[::-1]
    return int(item)


def records(decoded: Decoded, fields: dict[str, Any] | None = None) -> list[Record]:
    """All records but counters and extended data, in order of datagram and offset."""
    found: list[Record] = []
    for batch in decoded.batches:
        if batch.kind not in ("counters", "extended"):
            found += batch_records(batch, fields)
    return sorted(found, key=lambda record: record[1:3])


def batch_records(batch: Batch, fields: dict[str, Any] | None) -> list[Record]:
    """The records of one batch."""
    kind = batch.protocol if batch.kind == "data" else batch.kind
    names = list(batch.columns)
    if batch.protocol == "netflow5":
        names = [n for n in names if n not in _NOT_IN_THE_RECORD and "padding" not in n]
    if batch.kind == "flow sample":
        assert fields is not None
        # Who samples IP packets without their frame says nothing of a frame.
        names = [name for name in fields if name in batch.columns]
    columns = {name: batch.columns[name] for name in names}
    where = zip(batch.datagram.tolist(), batch.offset.tolist(), strict=True)
    return [
        (kind, datagram, offset, {name: value(column[row]) for name, column in columns.items()})
        for row, (datagram, offset) in enumerate(where)
    ]
