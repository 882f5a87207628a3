"""Sums of flows, written in any format, and what has to be known to read them rightly."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl

from collector.flows import KEY, OBSERVER, flow_key
from collector.texts import with_texts
from collector.write import rows_as_json
from lab.report.records import not_decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.account import Account
    from collector.aggregate import Sums


def write(table: pl.DataFrame, form: str, out: BinaryIO) -> None:
    """Write a table of sums."""
    if form == "table":
        from lab.report.tables import lines  # A tenth of a second that only tables are worth.

        out.writelines(f"{line}\n".encode() for line in lines(_compact(table)))
    elif form == "jsonl":
        rows_as_json(table, out)
    elif form == "csv":
        out.write(_flat(with_texts(table)).write_csv().encode())
    else:
        table.write_parquet(octets := BytesIO())
        out.write(octets.getbuffer())
    out.flush()


def accounted(account: Account) -> Iterator[str]:
    """What came, and what of it did not become records."""
    counted = account.summary()
    yield (
        f"{counted.datagrams} datagrams, {counted.records} records, {counted.lost} lost, "
        f"{counted.faults} undecodable"
    )
    yield from not_decoded(counted)


def notes(sums: Sums, account: Account | None) -> Iterator[str]:
    """What was summed, and whether the same packet may have been counted several times."""
    if account is not None:
        yield from accounted(account)
    if sums.without_key:
        yield (
            f"note: {sums.without_key} records are in no row: they do not have both the source's "
            "and the destination's address (flowlab decode shows them)"
        )
    if sums.too_large:
        yield (
            f"note: {sums.too_large} counts or sums are above 2^63 - 1, more than is counted: they "
            "stay empty"
        )
    mixed = sums.mixed
    if mixed:
        yield (
            f"note: some rows are sums over more than one {' and '.join(mixed)}; a packet that "
            "was seen several times is counted several times there. Choose one with --where, or "
            f"tell them apart with --by …,{','.join(mixed)}"
        )


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    """The same with lists and structures as JSON, since CSV has none."""
    nested = [name for name, kind in table.schema.items() if kind.is_nested()]
    return table.with_columns(
        pl.Series(name, [_json(value) for value in table[name].to_list()], pl.String)
        for name in nested
    )


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _compact(table: pl.DataFrame) -> pl.DataFrame:
    """The same for a terminal: a whole flow key, and who saw it, in one column each."""
    if not set(KEY) <= set(table.columns):
        return table
    keys = [str(flow_key(row)) for row in table.iter_rows(named=True)]
    flow = pl.Series("flow", keys, pl.String)
    rest = [name for name in table.columns if name not in KEY and name != "sampling_rate"]
    if not set(OBSERVER) - {"flowDirection"} <= set(table.columns):
        return table.select(flow, *rest)
    domain, agent = pl.col("observation_domain").cast(pl.String), pl.col("agent")
    by = pl.coalesce(agent, domain).alias("observed by")
    direction = [name for name in ("flowDirection",) if name in rest]
    measures = [name for name in rest if name not in OBSERVER]
    return table.with_columns(flow).select(
        "protocol", "exporter", by, *direction, "flow", *measures
    )
