"""``flowlab decode``: records of a source, chosen and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from collector.account import Account
from collector.decode import NETFLOW, PORTS, SFLOW
from collector.records import OFFSET, WHERE_FROM, is_unknown_element, known_types, schema, table
from collector.write import Csv, json_lines, parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import BinaryIO

    from collector.decode import Batch, Decoded
    from collector.source import Source
    from collector.where import Where

FORMATS: Final = ("table", "jsonl", "csv", "parquet")
FAMILIES: Final = {"netflow": NETFLOW, "ipfix": NETFLOW, "sflow": SFLOW}
"""How protocols are called where a port gets one: NetFlow and IPFIX tell themselves apart."""


@dataclass(frozen=True)
class Choice:
    """Which records are wanted."""

    protocols: frozenset[str] = frozenset()
    """Empty: all."""
    where: Where | None = None

    def wants(self, batch: Batch) -> bool:
        """Whether records of this batch can be among them."""
        return not self.protocols or batch.protocol in self.protocols

    def tables(self, decoded: Decoded) -> Iterator[pl.DataFrame]:
        """The records that are wanted."""
        for batch in decoded.batches:
            if self.wants(batch):
                found = table(batch, decoded.read_lists)
                found = found if self.where is None else self.where(found)
                if len(found):
                    yield found


def choice(protocols: Iterable[str], where: Where | None) -> Choice:
    """A choice whose filter asks for columns that exist.

    Raises:
        WrongFilterError: there is no such column.
    """
    if where is not None:
        known = known_types()
        for name in where.columns:
            plain = name.partition("#")[0]
            if plain in known or is_unknown_element(plain):
                known[name] = known.get(plain, pl.String)
        where = where.over(known)
    return Choice(frozenset(protocols), where)


def ports_of(assigned: Iterable[tuple[int, str]]) -> Mapping[int, str]:
    """The known ports, and more of them."""
    return {**PORTS, **{port: FAMILIES[name] for port, name in assigned}}


def write(
    source: Source,
    chosen: Choice,
    form: str,
    out: BinaryIO,
    show: Callable[[pl.DataFrame], None],
) -> Account:
    """Decode a source and write what is chosen.

    Args:
        source: what to decode.
        chosen: which records of it.
        form: one of `FORMATS`.
        out: where to, unless it is a table.
        show: takes the records of a block, in order of arrival, if it is one.
    """
    account = Account()
    if form in ("table", "jsonl"):
        for one in source.decoded(account):
            tables = list(chosen.tables(one))
            if form == "jsonl":
                json_lines(tables, out)
                out.flush()
            elif tables:
                show(_in_order(tables))
        return account
    with source.kept() as kept:
        columns = _columns(kept, chosen)
        found = (list(chosen.tables(one)) for one in kept.decoded(account))
        ordered = (_in_order(tables) for tables in found if tables)
        if form == "csv":
            writer = Csv(columns, out)
            for table_of_block in ordered:
                writer.write(table_of_block)
        else:
            parquet(ordered, columns, out)
    return account


def _in_order(tables: list[pl.DataFrame]) -> pl.DataFrame:
    """The records of a block in order of arrival, in one table."""
    together = pl.concat(tables, how="diagonal")
    return together.sort("datagram", OFFSET, maintain_order=True)


def _columns(source: Source, chosen: Choice) -> dict[str, Any]:
    """All columns that the records have, found by decoding once without reading most of them."""
    columns: dict[str, Any] = dict(WHERE_FROM)
    for one in source.decoded(Account()):
        if chosen.where is None:
            for batch in filter(chosen.wants, one.batches):
                columns |= schema(batch)
        else:
            for found in chosen.tables(one):
                columns |= found.schema
    columns.pop(OFFSET, None)
    return columns
