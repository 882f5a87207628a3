"""Filters: an SQL expression over the columns of a table, as behind WHERE.

The language is polars' SQL. A column that a table does not have is null there, so that one filter
serves records of all kinds: it chooses none of those that do not say what it asks for.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.selectors as cs

if TYPE_CHECKING:
    from collections.abc import Mapping


class WrongFilterError(ValueError):
    """The expression cannot be used; the text says why."""


@dataclass(frozen=True)
class Where:
    """A filter."""

    text: str
    expression: pl.Expr
    columns: frozenset[str]
    """The columns that it asks for."""
    types: Mapping[str, Any] = field(default_factory=dict)
    """The types of columns that not every table has; of those not here: text."""

    def __call__(self, table: pl.DataFrame) -> pl.DataFrame:
        """The rows that it chooses; see `mask`."""
        return table.filter(self.mask(table))

    def mask(self, table: pl.DataFrame) -> pl.Series:
        """Which rows it chooses.

        Raises:
            WrongFilterError: it compares what cannot be compared.
        """
        missing = self.columns - set(table.columns)
        whole = table.with_columns(
            pl.lit(None, self.types.get(name, pl.String)).alias(name) for name in sorted(missing)
        )
        # Times are compared as SQL's TIMESTAMP, which has no time zone; they are all UTC.
        naive = whole.with_columns(cs.datetime(time_zone="*").dt.replace_time_zone(None))
        try:
            chosen = naive.select(self.expression.alias("chosen"))["chosen"]
        except pl.exceptions.PolarsError as refused:
            message = f"--where {self.text!r}: {_first_line(refused)}"
            if "date" in message:
                message += "\nTimes are written like this: TIMESTAMP '2026-01-31 12:00:00' (UTC)"
            raise WrongFilterError(message) from None
        if chosen.dtype not in (pl.Boolean, pl.Null) or len(chosen) != len(table):
            message = f"--where {self.text!r}: it is no condition that holds for a row or not"
            raise WrongFilterError(message)
        return chosen.cast(pl.Boolean)

    def over(self, known: Mapping[str, Any]) -> Where:
        """The same filter for tables that can have these columns, of these types.

        Raises:
            WrongFilterError: there is no such column.
        """
        for name in sorted(self.columns.difference(known)):
            by_small = {one.lower(): one for one in known}
            near = difflib.get_close_matches(name.lower(), by_small, 3)
            hint = f"; did you mean {' or '.join(by_small[one] for one in near)}?" if near else ""
            message = f"--where {self.text!r}: there is no column {name}{hint}"
            raise WrongFilterError(message)
        return replace(self, types=known)


def parse(text: str) -> Where:
    """Read an expression.

    Raises:
        WrongFilterError: it is none.
    """
    try:
        expression = pl.sql_expr(text)
        columns = frozenset(expression.meta.root_names())
    except pl.exceptions.PolarsError as refused:
        message = f"--where {text!r}: {_first_line(refused)}"
        raise WrongFilterError(message) from None
    if not columns:
        message = (
            f"--where {text!r}: it names no column, so it would choose all or nothing"
            " (texts are written 'like this')"
        )
        raise WrongFilterError(message)
    return Where(text, expression, columns)


def _first_line(refused: Exception) -> str:
    return str(refused).strip().split("\n", maxsplit=1)[0]
