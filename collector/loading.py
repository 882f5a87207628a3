"""What is recorded already into a store or an engine: ``flowlab load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from collector.account import Account
from collector.source import open_source
from collector.store import VIEWS, Store, exporter_rows, files, is_store, tables

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from collector.sinks import Sink

BLOCK_ROWS: Final = 125_000
"""Rows of a store that are handed over at once."""
BLOCK_OCTETS: Final = 12 << 20
"""Of a capture, where its records themselves are not wanted: what is summed has room for more."""
_SUMS: Final = frozenset({"flows", "exporters"})


class SameStoreError(ValueError):
    """A store would be loaded into itself."""


def load(
    place: str, to: Sink, views: Collection[str] = VIEWS, **reading: Any
) -> tuple[int, Account | None]:
    """Load a capture, a run folder or a store.

    Args:
        place: which; "-" is standard input.
        to: where it goes: a `collector.store.Store` is a sink too.
        views: which views.
        reading: how a capture is read, see `collector.source.open_source`.

    Returns:
        How many rows, and the account of what was decoded (None for a store).

    Raises:
        OSError: it cannot be read or written.
        SameStoreError: both are the same store.
    """
    if Path(place).is_dir() and is_store(Path(place)):
        if isinstance(to, Store) and to.folder.samefile(place):
            message = f"{place} is the store to load: its rows would be there twice; name another"
            raise SameStoreError(message)
        return _of_store(Path(place), to, views), None
    count, account = 0, Account()
    nobody = pl.DataFrame()
    block_octets = BLOCK_OCTETS if _SUMS.issuperset(views) else None
    source = open_source(place, **reading)
    extended = "extended" in views
    for decoded in source.decoded(account, extended=extended, block_octets=block_octets):
        rows = tables(decoded, nobody, views)
        to.write(rows)
        count += sum(map(len, rows.values()))
    if "exporters" in views:
        exporters = exporter_rows(account.summary().streams, account.first_ns, account.last_ns)
        to.write({"exporters": exporters})
        count += len(exporters)
    return count, account


def _of_store(folder: Path, to: Sink, views: Collection[str]) -> int:
    count = 0
    for view, paths in files(folder).items():
        for path in paths if view in views else ():
            rows = pl.scan_parquet(path)
            total = rows.select(pl.len()).collect().item()
            for begin in range(0, total, BLOCK_ROWS):
                to.write({view: rows.slice(begin, BLOCK_ROWS).collect()})
            count += total
    return count
