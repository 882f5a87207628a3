"""SQL over runs and stores: ``flowlab query``.

A folder is searched for stores (what `flowlab collect` wrote) and for runs, whose exports are
decoded into a store that lasts as long as the question. DuckDB does the rest.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl

from collector.account import Account
from collector.source import EXPORTS, open_source
from collector.store import VIEWS, Store, exporter_rows, files, is_store, tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TRIES: Final = 5
_LONGEST: Final = ("HUGEINT", "UHUGEINT")
"""Integers of 128 bits."""
_MERGED_EXPORTERS: Final = """
SELECT {run}, protocol, exporter, source_port, observation_domain, agent, sub_agent, unit,
       sum(datagrams)::UBIGINT AS datagrams, sum(units)::UBIGINT AS units,
       greatest(sum(lost), 0)::BIGINT AS lost, sum(gaps)::UBIGINT AS gaps,
       sum(reordered)::UBIGINT AS reordered, sum(restarts)::UBIGINT AS restarts,
       min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM {rows} GROUP BY ALL
"""


class QueryError(ValueError):
    """The question cannot be answered; the text says why."""


def ask(sql: str, folder: Path) -> pl.DataFrame:
    """Answer a question about all runs and stores in a folder.

    Raises:
        OSError: the folder cannot be read.
        QueryError: there is nothing in it, or the SQL is wrong.
    """
    for _ in range(_TRIES - 1):
        try:
            return _ask(sql, folder)
        except duckdb.IOException:
            # A file was made part of another one by a collector that is running: look again.
            continue
    try:
        return _ask(sql, folder)
    except duckdb.IOException as wrong:
        raise QueryError(str(wrong)) from None


def _ask(sql: str, folder: Path) -> pl.DataFrame:
    stores, runs = find(folder)
    if not stores and not runs:
        message = f"{folder} has neither runs ({EXPORTS}) nor a store (what flowlab collect writes)"
        raise QueryError(message)
    with (
        tempfile.TemporaryDirectory(prefix="flowlab-query-") as scratch,
        _connection() as connection,
    ):
        _make_views(connection, [*stores, *_decoded(runs, folder, Path(scratch))])
        # By way of a file: DuckDB's own ways to a table want pyarrow, or complain when they end.
        file = Path(scratch) / "answer.parquet"
        try:
            answer: Any = connection.sql(sql)  # perhaps None, whatever it says
            if answer is None:
                return pl.DataFrame()
            try:
                _sums_as(answer, "BIGINT").write_parquet(str(file))
            except duckdb.ConversionException:
                _sums_as(answer, "DECIMAL(38, 0)").write_parquet(str(file))
        except duckdb.IOException:
            raise
        except duckdb.Error as wrong:
            raise QueryError(str(wrong)) from None
        return pl.read_parquet(file, memory_map=False)


def _sums_as(answer: Any, kind: str) -> Any:
    """The answer with its integers of 128 bits as others.

    That is what DuckDB's sums are, and Parquet has none: they would become fractions, which are not
    exact.
    """
    names = [name.replace('"', '""') for name in answer.columns]
    columns = [
        f'#{n}::{kind} AS "{name}"' if str(of) in _LONGEST else f'#{n} AS "{name}"'
        for n, (name, of) in enumerate(zip(names, answer.types, strict=True), 1)
    ]
    return answer.project(", ".join(columns))


def find(folder: Path) -> tuple[list[Path], list[Path]]:
    """The stores and the run folders in a folder, itself included, without following links.

    Raises:
        OSError: it cannot be read.
    """
    if is_store(folder):
        return [folder], []
    if (folder / EXPORTS).is_file():
        return [], [folder]
    stores: list[Path] = []
    runs: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            below = find(entry)
            stores += below[0]
            runs += below[1]
    return stores, runs


def _decoded(runs: list[Path], folder: Path, scratch: Path) -> list[Path]:
    """Stores, in `scratch`, of what the runs exported, with the column `run`."""
    made: list[Path] = []
    for number, run in enumerate(runs):
        name = str(run.relative_to(folder)) if run != folder else run.resolve().name
        made.append(scratch / str(number))
        _decode(run, name, Store(made[-1]))
    return made


def _decode(run: Path, name: str, store: Store) -> None:
    source, account = open_source(str(run)), Account()
    for decoded in source.decoded(account):
        store.write(_named(tables(decoded, pl.DataFrame()), name))
    streams = account.summary().streams
    rows = exporter_rows(streams, account.first_ns, account.last_ns)
    store.write(_named({"exporters": rows}, name))


def _named(rows: Mapping[str, pl.DataFrame], name: str) -> dict[str, pl.DataFrame]:
    return {
        view: found.select(pl.lit(name).alias("run"), pl.all())
        for view, found in rows.items()
        if len(found)
    }


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB by itself: nothing is fetched from anywhere, times are UTC."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _make_views(connection: duckdb.DuckDBPyConnection, stores: list[Path]) -> None:
    """The views over all stores."""
    for view, columns in VIEWS.items():
        paths = [str(path) for store in stores for path in files(store)[view]]
        base = f"{view}_by_batch" if view == "exporters" else view
        if paths:
            names = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
            rows = f"FROM read_parquet([{names}], union_by_name = true)"
        else:
            rows = f"SELECT {_nothing(columns)} WHERE false"
        connection.execute(f"CREATE VIEW {base} AS {rows}")
        if base != view:
            known = connection.sql(f"SELECT * FROM {base} LIMIT 0").columns  # noqa: S608
            run = "run" if "run" in known else "NULL::VARCHAR AS run"
            merged = _MERGED_EXPORTERS.format(run=run, rows=base)
            connection.execute(f"CREATE VIEW {view} AS {merged}")


def _nothing(columns: Mapping[str, Any]) -> str:
    """Columns of a view of which there are no files."""
    return ", ".join(f'NULL::{_SQL_TYPES[str(kind)]} AS "{name}"' for name, kind in columns.items())


_SQL_TYPES: Final = {
    "String": "VARCHAR",
    "UInt8": "UTINYINT",
    "UInt16": "USMALLINT",
    "UInt32": "UINTEGER",
    "UInt64": "UBIGINT",
    "Int64": "BIGINT",
    "Float64": "DOUBLE",
    "Datetime(time_unit='ns', time_zone='UTC')": "TIMESTAMPTZ",
}
