"""ClickHouse, through its own client: a server over HTTP, or the engine inside this process (chDB).

A view is a table. Columns that come later are added when they come: records have whatever elements
their exporters send.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.sinks import SinkError, shown
from collector.store import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping

_PASSWORD: Final = "CLICKHOUSE_PASSWORD"  # noqa: S105 (the variable's name)
_TABLE: Final = {view: "exporters_by_batch" if view == "exporters" else view for view in VIEWS}
_PLAIN: Final[Mapping[Any, str]] = {
    pl.UInt8: "UInt8",
    pl.UInt16: "UInt16",
    pl.UInt32: "UInt32",
    pl.UInt64: "UInt64",
    pl.Int64: "Int64",
    pl.Float64: "Float64",
    pl.Boolean: "Bool",
    pl.String: "String",
}
_DIGITS: Final = {"ms": 3, "us": 6, "ns": 9}
_MERGED_EXPORTERS: Final = """
CREATE VIEW IF NOT EXISTS exporters AS
SELECT run, protocol, exporter, source_port, observation_domain, agent, sub_agent, unit,
       sum(datagrams) AS datagrams, sum(units) AS units, greatest(sum(lost), 0) AS lost,
       sum(gaps) AS gaps, sum(reordered) AS reordered, sum(restarts) AS restarts,
       min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM exporters_by_batch
GROUP BY run, protocol, exporter, source_port, observation_domain, agent, sub_agent, unit
"""


def type_of(kind: Any) -> str:
    """The type of a column, from that of the Parquet files."""
    if isinstance(kind, pl.List):
        return f"Array({type_of(kind.inner)})"
    if isinstance(kind, pl.Datetime):
        return f"Nullable(DateTime64({_DIGITS[kind.time_unit]}, 'UTC'))"
    return f"Nullable({_PLAIN[kind if isinstance(kind, type) else type(kind)]})"


def schema() -> dict[str, str]:
    """The statements that make what is not there: by the name of the table or view.

    Whoever wants other engines (replicated, distributed) makes the tables so before.
    """
    statements = {}
    for view, columns in VIEWS.items():
        kinds = {"run": pl.String, **columns}
        listed = ", ".join(f"{_quoted(name)} {type_of(kind)}" for name, kind in kinds.items())
        statements[_TABLE[view]] = (
            f"CREATE TABLE IF NOT EXISTS {_TABLE[view]} ({listed}) ENGINE = MergeTree "
            "ORDER BY (protocol, exporter) SETTINGS allow_nullable_key = 1"
        )
    return {**statements, "exporters": _MERGED_EXPORTERS}


class ClickHouse:
    """The tables of one database."""

    def __init__(self, address: str) -> None:
        """Connect, and make the tables that are not there.

        Raises:
            SinkError: it does not answer, or not so.
        """
        self._shown = shown(address)
        try:
            self._client = clickhouse_connect.get_client(**_settings(address))
            for statement in schema().values():
                self._client.command(statement)
        except (ClickHouseError, OSError) as refused:
            raise SinkError(f"{self._shown}: {_said(refused)}") from None
        self._columns: dict[str, set[str]] = {}

    def write(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Hand over a batch: view to rows.

        Raises:
            SinkError: not all of them were taken.
        """
        try:
            for view, found in rows.items():
                self._have_columns(_TABLE[view], found.schema)
                found.write_parquet(octets := io.BytesIO(), compression="lz4")
                self._client.raw_insert(
                    _TABLE[view], found.columns, insert_block=octets.getvalue(), fmt="Parquet"
                )
        except (ClickHouseError, OSError) as refused:
            raise SinkError(f"{self._shown}: {_said(refused)}") from None

    def ask(self, sql: str) -> pl.DataFrame:
        """Answer a question in ClickHouse's SQL.

        Raises:
            SinkError: it is wrong, or the engine does not answer.
        """
        try:
            answer = self._client.raw_query(sql.strip().rstrip(";"), fmt="Parquet")
        except (ClickHouseError, OSError) as refused:
            raise SinkError(f"{self._shown}: {_said(refused)}") from None
        return pl.read_parquet(io.BytesIO(answer)) if answer else pl.DataFrame()

    def close(self) -> None:
        """Disconnect; what was handed over has been taken."""
        self._client.close()

    def _have_columns(self, table: str, wanted: Mapping[str, Any]) -> None:
        known = self._columns.get(table)
        if known is None:
            described = self._client.query(f"DESCRIBE TABLE {table}")
            known = self._columns[table] = {row[0] for row in described.result_rows}
        for name in [name for name in wanted if name not in known]:
            kind = type_of(wanted[name])
            self._client.command(
                f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {_quoted(name)} {kind}"
            )
            known.add(name)


def _settings(address: str) -> dict[str, Any]:
    """What the client wants to be told."""
    parts = urlsplit(address)
    if parts.scheme == "chdb":
        return {"interface": "chdb", "path": parts.path}
    return {
        "interface": "https" if parts.scheme == "clickhouses" else "http",
        "host": parts.hostname or "localhost",
        "port": parts.port or (8443 if parts.scheme == "clickhouses" else 8123),
        "username": parts.username or "default",
        "password": parts.password or os.environ.get(_PASSWORD, ""),
        "database": parts.path.strip("/") or "default",
    }


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _said(refused: Exception) -> str:
    """The first line of what it said."""
    return next(iter(str(refused).strip().splitlines()), type(refused).__name__)
