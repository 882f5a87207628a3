"""Any table on a terminal: a line per row, numbers to the right, nothing that no row says."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab.printable import escaped
from lab.report.terminal import MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl


def lines(table: pl.DataFrame, most_rows: int = MOST_ROWS) -> Iterator[str]:
    """The heading, the first rows, and how many there are besides."""
    said = [name for name in table.columns if table[name].null_count() < len(table)]
    shown = table.select(said) if len(table) else table
    columns = [
        _column(name, shown[name].head(most_rows).to_list(), is_number=kind.is_numeric())
        for name, kind in shown.schema.items()
    ]
    for cells in zip(*columns, strict=True):
        yield "  ".join(cells).rstrip()
    if len(table) > most_rows:
        yield f"… and {len(table) - most_rows} rows more"


def _column(name: str, values: list[Any], *, is_number: bool) -> list[str]:
    """The cells of a column, the heading first, all of one width."""
    cells = [escaped(name), *map(_text, values)]
    width = max(map(len, cells))
    return [cell.rjust(width) if is_number else cell.ljust(width) for cell in cells]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return _number(value) if isinstance(value, float) else escaped(str(value))


def _number(value: float) -> str:
    """A fraction with all digits before the point, and six at least."""
    if abs(value) < 1e3:
        return f"{value:g}"
    if not abs(value) < 1e15:
        return repr(value)
    return f"{value:.3f}".rstrip("0").rstrip(".")
