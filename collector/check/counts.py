"""What was counted of many flows, in columns; a few of them at a time as values.

A mapping from places and flows to `Counted` is what rules are written for. Of a hundred thousand
flows at twenty switches that would be millions of objects; so it is a table, and whoever looks at
all of it looks at its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from collector.check.model import Counted, Lengths
from collector.key import FlowKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import polars as pl

Place = tuple[Any, ...]
"""Where, in one word or two, and the flow."""

KEY: Final = FlowKey._fields
COUNTED: Final = (
    *("packets", "octets_l2", "octets_l3", "tcp_control_bits", "first_ns", "last_ns"),
    *("records", "payload_octets", "datagram"),
)
"""The columns of `Counts` that are numbers of a `Counted`."""
LENGTHS: Final = {
    measure: (f"{measure}_squares", f"{measure}_longest") for measure in ("octets_l2", "octets_l3")
}
"""Those of its `Lengths`."""
_FLAGS: Final = "tcpControlBits"
WHERE: Final = {1: ("place",), 2: ("exporter", "place")}
"""The columns that say where, by how many words that takes."""


class Counts(Mapping[Place, Counted]):
    """A table of counts that can be read like a dictionary.

    Attributes:
        table: a row for each flow at each place, with the columns of `WHERE`, `KEY`, `COUNTED` and
            `LENGTHS`; null is not known. No place has a flow twice.
        where: the columns that say where.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        """Take a table as described above."""
        self.table = table
        self.where = tuple(name for name in WHERE[2] if name in table.columns)

    @classmethod
    def of(cls, counted: Mapping[Place, Counted], words: int) -> Counts:
        """Counts by place, in columns.

        Args:
            counted: in whatever form.
            words: how many words say where.
        """
        if isinstance(counted, Counts):
            return counted
        import polars as pl

        rows = [
            (*place[:-1], *place[-1], *(getattr(one, name) for name in COUNTED), *_lengths(one))
            for place, one in counted.items()
        ]
        return cls(pl.DataFrame(rows, schema(words), orient="row"))

    def only(self, keys: pl.DataFrame) -> dict[Place, Counted]:
        """What was counted of some flows, with the columns of `KEY`."""
        chosen = self.table.join(keys, on=KEY, how="semi", maintain_order="left")
        return dict(map(self._read, chosen.iter_rows()))

    def listed(self) -> dict[Place, Counted]:
        """All of it, as values."""
        return dict(map(self._read, self.table.iter_rows()))

    def without(self, places: pl.DataFrame) -> Counts:
        """The same but for some flows at some places, named by the same columns."""
        on = [*self.where, *KEY]
        return Counts(self.table.join(places, on=on, how="anti", maintain_order="left"))

    def __getitem__(self, place: Place) -> Counted:
        """What was counted of a flow at a place."""
        return self._read(self.table.row(self._rows[place]))[1]

    def __iter__(self) -> Iterator[Place]:
        """All places and flows."""
        words = len(self.where)
        for row in self.table.select(*self.where, *KEY).iter_rows():
            yield (*row[:words], FlowKey(*row[words:]))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.table)

    @cached_property
    def _rows(self) -> dict[Place, int]:
        return {place: row for row, place in enumerate(self)}

    @cached_property
    def _reader(self) -> tuple[tuple[int, ...], ...]:
        names = self.table.columns
        groups = (self.where, KEY, COUNTED, *LENGTHS.values())
        return tuple(tuple(map(names.index, group)) for group in groups)

    def _read(self, row: tuple[Any, ...]) -> tuple[Place, Counted]:
        where, key, counted, *lengths = (tuple(row[at] for at in group) for group in self._reader)
        known = zip(LENGTHS, lengths, strict=True)
        spread = {name: Lengths(*two) for name, two in known if two[0] is not None}
        return (*where, FlowKey(*key)), Counted(*(*counted, spread))


def counts(flows: pl.LazyFrame) -> Counts:
    """Flows added up by place and key, as `collector.check.model.together` adds them up.

    Args:
        flows: a flow table (`collector.flows`) with the columns of `WHERE` that apply.
    """
    import polars as pl

    from collector.flows import sums

    is_ip = pl.col("ipVersion") > 0
    columns = flows.collect_schema().names()
    words = 2 if "exporter" in columns else 1
    kinds = schema(words)
    named = flows.with_columns(
        pl.lit(None).alias(name) for name in kinds.keys() - {*columns, *KEY}
    ).with_columns(
        ip_version="ipVersion",
        protocol=pl.when(is_ip).then("protocolIdentifier").otherwise("ethernetType"),
        source_port=pl.when(is_ip).then("sourceTransportPort").otherwise(0),
        destination_port=pl.when(is_ip).then("destinationTransportPort").otherwise(0),
        tcp_control_bits=pl.col(_FLAGS) if _FLAGS in columns else None,
        records=pl.col("records") if "records" in columns else 0,
    )
    squares, longest = zip(*LENGTHS.values(), strict=True)
    return Counts(
        named.select(pl.col(name).cast(kind) for name, kind in kinds.items())
        .group_by(*WHERE[words], *KEY, maintain_order=True)
        .agg(
            *sums("packets", "octets_l2", "octets_l3", "records", "payload_octets", *squares),
            pl.col("tcp_control_bits").bitwise_or(),
            pl.col("first_ns", "datagram").min(),
            pl.col("last_ns").max(),
            *(
                pl.when(pl.col(name).null_count() == 0).then(pl.col(name).max()).alias(name)
                for name in longest
            ),
        )
        .select(*kinds)
        .collect()
    )


def summed(counted: Mapping[Any, Counted]) -> dict[str, tuple[int, int]]:
    """Packets and layer 2 octets of all flows at each place, where a place is one word."""
    if isinstance(counted, Counts):
        import polars as pl

        both = pl.col("packets", "octets_l2").sum()
        rows = counted.table.group_by(*counted.where).agg(both).iter_rows()
        return {place: (packets, octets) for place, packets, octets in rows}
    found: dict[str, tuple[int, int]] = {}
    for (place, _), one in counted.items():
        packets, octets = found.get(place, (0, 0))
        found[place] = packets + one.packets, octets + (one.octets_l2 or 0)
    return found


def schema(words: int) -> dict[str, Any]:
    """The columns of `Counts` and their types."""
    import polars as pl

    text = dict.fromkeys((*WHERE[words], "source", "destination"), pl.String)
    key = dict.fromkeys(KEY, pl.Int64)
    spread = {
        name: kind
        for pair in LENGTHS.values()
        for name, kind in zip(pair, (pl.Float64, pl.Int64), strict=True)
    }
    return dict.fromkeys(WHERE[words]) | key | text | dict.fromkeys(COUNTED, pl.Int64) | spread


def keys_table(keys: Iterable[FlowKey]) -> pl.DataFrame:
    """Flows in columns, those of `KEY`, each once."""
    import polars as pl

    kinds = {name: kind for name, kind in schema(1).items() if name in KEY}
    return pl.DataFrame(list(dict.fromkeys(keys)), kinds, orient="row")


def _lengths(one: Counted) -> Iterator[float | None]:
    for measure in LENGTHS:
        spread = one.lengths.get(measure)
        yield from (None, None) if spread is None else (spread.squares, spread.longest)
