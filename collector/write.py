"""Tables out of the house: JSON lines, CSV, Parquet, to a stream that is written from front to end.

JSON lines leave out what a record does not say. CSV and Parquet have one set of columns for all
rows, so whoever writes them has to know it before the first row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
from polars.io.plugins import register_io_source

from collector.records import OFFSET
from collector.texts import with_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

PLAIN_KINDS: Final = ("data", "flow sample")
"""JSON lines of all other kinds say which they are."""


def json_lines(tables: Iterable[pl.DataFrame], out: BinaryIO) -> None:
    """Write the records of some tables as one JSON object a line, in order of arrival."""
    parts = [part for table in tables for part in _objects(table)]
    if parts:
        lines = pl.concat(parts).sort("datagram", OFFSET, maintain_order=True)["line"]
        out.write("\n".join([*lines.to_list(), ""]).encode())


def rows_as_json(table: pl.DataFrame, out: BinaryIO) -> None:
    """Write any table as JSON lines, every column in every line, in its own order."""
    if len(table):
        whole = [
            name
            for name, kind in table.schema.items()
            if isinstance(kind, pl.Decimal) and kind.scale == 0
        ]
        # Decimals are written as texts, and whole numbers need not be.
        written = table.with_columns(pl.col(whole).cast(pl.Int128))
        out.write(with_texts(written).write_ndjson().encode())


def _objects(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The JSON objects of a table's records, without what is null."""
    shown = with_texts(table).with_columns(
        pl.when(~pl.col("kind").is_in(PLAIN_KINDS)).then(pl.col("kind")).alias("kind")
    )
    counts = shown.null_count().row(0, named=True)
    partly = [name for name, count in counts.items() if 0 < count < len(shown)]
    names = [name for name in shown.columns if name != OFFSET and counts[name] < len(shown)]
    # All rows that lack the same columns are written together.
    lacking = shown.with_columns(pl.col(name).is_null().alias(f"?{name}") for name in partly)
    flags = [f"?{name}" for name in partly]
    for part in lacking.partition_by(flags) if flags else [lacking]:
        said = [name for name in names if name not in partly or part[name].null_count() == 0]
        line = pl.struct(said).struct.json_encode().alias("line")
        yield part.select("datagram", OFFSET, line)


class Csv:
    """CSV with a header line; texts and times as in the JSON lines, spaces between numbers."""

    def __init__(self, columns: Mapping[str, Any], out: BinaryIO) -> None:
        """Write the header."""
        self._columns, self._out = columns, out
        out.write(pl.DataFrame(schema=dict.fromkeys(columns, pl.String)).write_csv().encode())

    def write(self, table: pl.DataFrame) -> None:
        """Write rows."""
        numbers = [name for name, kind in self._columns.items() if isinstance(kind, pl.List)]
        rows = with_texts(fitted(table, self._columns)).with_columns(
            pl.col(numbers).cast(pl.List(pl.String)).list.join(" ")
        )
        self._out.write(rows.write_csv(include_header=False).encode())


def parquet(tables: Iterator[pl.DataFrame], columns: Mapping[str, Any], out: BinaryIO) -> None:
    """Write tables as one Parquet file, row group by row group.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """

    def source(
        _columns: list[str] | None, _where: pl.Expr | None, _rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        for table in tables:
            yield fitted(table, columns)

    try:
        register_io_source(source, schema=dict(columns)).sink_parquet(out)
    except (OSError, pl.exceptions.ComputeError) as refused:
        if "Broken pipe" in str(refused):
            raise BrokenPipeError from None
        raise


def fitted(table: pl.DataFrame, columns: Mapping[str, Any]) -> pl.DataFrame:
    """A table with just these columns: null where it does not have one."""
    return table.select(
        pl.col(name).cast(kind) if name in table.columns else pl.lit(None, kind).alias(name)
        for name, kind in columns.items()
    )
