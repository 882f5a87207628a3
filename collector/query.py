"""SQL over runs and stores: ``flowlab query``.

A folder is searched for stores (what `flowlab collect` wrote) and for runs, whose exports are
decoded into a store that lasts as long as the question. DuckDB does the rest.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from datetime import date
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
_PLAIN: Final = frozenset(
    {
        *("boolean", "tinyint", "smallint", "integer", "bigint"),
        *("utinyint", "usmallint", "uinteger", "ubigint", "float", "double", "decimal"),
        *("varchar", "date", "time", "timestamp", "timestamp with time zone", "null"),
        *("timestamp_s", "timestamp_ms", "timestamp_ns", "timestamptz_ns"),
    }
)
"""What is read from Parquet as it was."""
_OF_TIME: Final = frozenset(kind for kind in _PLAIN if kind.startswith(("date", "time")))
_FIRST_DAY: Final = date.min.toordinal() - date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date.max.toordinal() - date(1970, 1, 1).toordinal()
_DAY: Final = {"ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}
_NESTED: Final = frozenset({"list", "array", "struct", "map", "union"})
_OF_128_BITS: Final = frozenset({"hugeint", "uhugeint"})
_WRITTEN: Final = {
    # Parquet has no integers of 128 bits: they would become fractions, which are not exact.
    **dict.fromkeys(_OF_128_BITS, "{}::DECIMAL(38, 0)"),
    **dict.fromkeys(_NESTED, "to_json({})::VARCHAR"),
    "blob": "lower(hex({}))",
}
"""How other types are written; those not named as text."""
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
            answer = _answer(connection, sql)
            if answer is None:
                return pl.DataFrame()
            kinds = [kind.id for kind in answer.types]
            _writable(answer).write_parquet(str(file))
            return _dated(_narrowed(pl.read_parquet(file, memory_map=False), kinds))
        except duckdb.IOException:
            raise
        except (duckdb.Error, pl.exceptions.PolarsError, pl.exceptions.PanicException) as wrong:
            raise QueryError(str(wrong)) from None


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """What the last statement answers; None if it answers nothing, whatever DuckDB's types say.

    Raises:
        QueryError: there is no statement, or an answer that nobody would see.
    """
    statements = connection.extract_statements(sql)
    if not statements:
        message = "there is no SQL to answer; ask something like SELECT count(*) FROM flows"
        raise QueryError(message)
    for number, statement in enumerate(statements[:-1], 1):
        if statement.type == duckdb.StatementType.SELECT:
            message = (
                f"{len(statements)} statements, and only the last one's answer is shown; "
                f"ask number {number} by itself"
            )
            raise QueryError(message)
        connection.execute(statement)
    return connection.sql(_without_end(statements[-1].query))


def _without_end(statement: str) -> str:
    """A statement without its semicolon and what follows: only comments, which DuckDB trips on."""
    tokens = [at for at, kind in duckdb.tokenize(statement) if kind != duckdb.token_type.comment]
    octets = statement.encode()
    ends = tokens and octets[tokens[-1] : tokens[-1] + 1] == b";"
    return octets[: tokens[-1]].decode() if ends else statement


def _writable(answer: Any) -> Any:
    """The answer with columns that Parquet keeps, and that can be read again."""
    names = [name.replace('"', '""') for name in answer.columns]
    columns = [
        f'{_written(kind).format(f"#{n}")} AS "{name}"'
        for n, (name, kind) in enumerate(zip(names, answer.types, strict=True), 1)
    ]
    return answer.project(", ".join(columns))


def _written(kind: Any) -> str:
    """How a column of a type is written."""
    return "{}" if _is_plain(kind) else _WRITTEN.get(kind.id, "{}::VARCHAR")


def _is_plain(kind: Any) -> bool:
    if kind.id in ("list", "array", "struct"):
        parts = [of for name, of in kind.children if name != "size"]
        # Times inside are left to DuckDB, which knows more years (see `_dated`).
        return all(_is_plain(of) and of.id not in _OF_TIME for of in parts)
    return kind.id in _PLAIN


def _narrowed(table: pl.DataFrame, kinds: list[str]) -> pl.DataFrame:
    """The table with those of its integers of 128 bits (as all sums are) in 64 that fit there."""
    columns = []
    for column, kind in zip(table, kinds, strict=True):
        narrow = column.cast(pl.Int64, strict=False) if kind in _OF_128_BITS else column
        columns.append(narrow if narrow.null_count() == column.null_count() else column)
    return pl.DataFrame(columns)


def _dated(table: pl.DataFrame) -> pl.DataFrame:
    """The same table, if its dates are of years that have four digits.

    Raises:
        QueryError: DuckDB knows others, and infinity, which nothing else here can write.
    """
    for column in table:
        kind = column.dtype
        if isinstance(kind, pl.Date | pl.Datetime):
            day = _DAY[kind.time_unit] if isinstance(kind, pl.Datetime) else 1
            days = column.to_physical() // day
            if not days.is_between(_FIRST_DAY, _LAST_DAY).all():
                message = (
                    f"column {column.name} has a date that is not of the years 1 to 9999; "
                    "ask for it as text, with ::VARCHAR behind it"
                )
                raise QueryError(message)
    return table


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
            files_of = f"read_parquet([{names}], union_by_name = true)"
            rows = f"SELECT {_in_microseconds(connection, files_of)} FROM {files_of}"  # noqa: S608
        else:
            rows = f"SELECT {_nothing(columns)} WHERE false"
        connection.execute(f"CREATE VIEW {base} AS {rows}")
        if base != view:
            known = connection.sql(f"SELECT * FROM {base} LIMIT 0").columns  # noqa: S608
            run = "run" if "run" in known else "NULL::VARCHAR AS run"
            merged = _MERGED_EXPORTERS.format(run=run, rows=base)
            connection.execute(f"CREATE VIEW {view} AS {merged}")


def _in_microseconds(connection: duckdb.DuckDBPyConnection, rows: str) -> str:
    """All columns, times in nanoseconds as others: DuckDB's functions know only of microseconds.

    What is less than one is cut off, as all others do; a cast would round.
    """
    found = connection.sql(f"SELECT * FROM {rows} LIMIT 0")  # noqa: S608
    columns = zip(found.columns, found.types, strict=True)
    names = [name.replace('"', '""') for name, kind in columns if str(kind) == "TIMESTAMPTZ_NS"]
    changed = ", ".join(
        f'make_timestamptz(epoch_ns("{name}") // 1000) AS "{name}"' for name in names
    )
    return f"* REPLACE ({changed})" if changed else "*"


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
