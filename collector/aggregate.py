"""Flows summed by any part of their key, as ``flowlab flows`` shows them.

What was just decoded comes in batches, which a `collector.tally.Tally` sums; what a store holds
comes in tables (`collector.flows.FLOWS`), of which each is summed at once, and the sums again. So
memory grows with the number of different keys and not with the records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector.account import Account
from collector.decode.packet import ICMP, ICMPV6
from collector.flows import KEY, MEASURES, OBSERVER, observed, rows, sums
from collector.observations import has_flow_key
from collector.store import files
from collector.tally import Tally, at
from collector.texts import end_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from collector.observations import Columns
    from collector.source import Source
    from collector.where import Where

BY: Final = tuple(OBSERVER | KEY)
"""What can be summed by; all of it if nothing is said."""
ALIASES: Final = {
    "srcip": "source",
    "dstip": "destination",
    "srcport": "sourceTransportPort",
    "dstport": "destinationTransportPort",
    "proto": "protocolIdentifier",
}
"""Short names, for those who know them from other tools."""
ORDERS: Final = ("octets", "packets", "records", "first")
SUMMED: Final = ("packets", "octets_l2", "octets_l3")
TYPES: Final[Mapping[str, Any]] = {
    **OBSERVER,
    **KEY,
    **MEASURES,
    "samples": pl.UInt64,
    "first": pl.Datetime("ns", "UTC"),
    "last": pl.Datetime("ns", "UTC"),
    **{f"{end}IPv{n}Address": pl.String for end in ("source", "destination") for n in (4, 6)},
}
"""What a filter of flows can ask for."""

BLOCK_OCTETS: Final = 12 << 20
"""Of a capture, summed together: few columns are looked at, so memory has room for more of it than
elsewhere, and larger blocks cost less."""

_ENDS: Final = ("source", "destination")
_PORTS: Final = ("sourceTransportPort", "destinationTransportPort")
_BOTH_WAYS: Final = (*_ENDS, *_PORTS, "protocolIdentifier")
"""What must be known to tell both directions of a conversation."""
_ADDRESSES: Final = (*_ENDS, "exporter", "agent")
_ROWS_KEPT: Final = 200_000
"""Sums waiting to be summed again."""
_ASKED_BY: Final = {0: 8, 14: 13, 16: 15, 18: 17, 129: 128}
"""ICMP type of an answer (RFC 792, RFC 4443) to that of the question."""


class WrongKeyError(ValueError):
    """Flows cannot be summed by this; the text says why."""


@dataclass(frozen=True)
class Question:
    """What is asked of the flows."""

    by: tuple[str, ...] = BY
    where: Where | None = None
    bidirectional: bool = False
    """Both directions of a conversation in one row; the second one's sums are `reverse_…`."""


def question(by: str | None, where: Where | None, *, bidirectional: bool) -> Question:
    """A question from what was typed.

    Args:
        by: names of `BY` or `ALIASES`, separated by commas; None: all.
        where: a filter over `TYPES`.
        bidirectional: see `Question`.

    Raises:
        WrongKeyError: no such key, or one that does not go with both directions.
        WrongFilterError: it asks for columns that there are not.
    """
    names = BY if by is None else tuple(_key(name.strip()) for name in by.split(","))
    names = tuple(dict.fromkeys(names))
    if bidirectional:
        for pair in (_ENDS, _PORTS):
            if len(set(pair) & set(names)) == 1:
                message = f"--bidirectional needs {pair[0]} and {pair[1]} in --by, or neither"
                raise WrongKeyError(message)
        names = tuple(name for name in names if name != "flowDirection") if by is None else names
    return Question(names, None if where is None else where.over(TYPES), bidirectional)


def _key(name: str) -> str:
    found = ALIASES.get(name, name)
    if found not in BY:
        message = f"--by {name!r}: there is {', '.join((*BY, *ALIASES))}"
        raise WrongKeyError(message)
    return found


@dataclass
class Sums:
    """The sums so far."""

    asked: Question
    without_key: int = 0
    """Records that do not say between whom they were: they are in no row."""
    _observers: pl.DataFrame | None = None
    """Everybody who saw any of the flows that came in tables."""
    _parts: list[pl.DataFrame] = field(default_factory=list)
    _tally: Tally = field(init=False)
    """The sums of what was observed just now."""
    _told_apart: bool = field(init=False)
    """Whether no two rows of the tally are of one key: it keeps IPv4 apart from the rest."""

    def __post_init__(self) -> None:
        """Know what tells rows apart."""
        names = {*self.asked.by, *(_BOTH_WAYS if self.asked.bidirectional else ())}
        numbers = [number for name in names for number in _numbers(name)]
        # Whether an address is a MAC.
        self._tally = Tally([*numbers, "ipVersion"] if names & set(_ENDS) else numbers)
        self._told_apart = not names.isdisjoint({*_ENDS, "ipVersion"})

    def observe(self, columns: Columns) -> None:
        """Add a batch of `collector.flows.observed`."""
        if self.asked.where is not None:
            wanted = np.flatnonzero(self._wanted(rows(columns)).to_numpy())
            if not len(wanted):
                return
            columns = {name: at(column, wanted) for name, column in columns.items()}
        self._tally.add(columns)

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows of a store."""
        if self.asked.where is not None:
            rows = rows.filter(self._wanted(rows))
        if not len(rows):
            return
        here = rows.select(self._columns(rows, OBSERVER)).unique()
        known = here if self._observers is None else pl.concat([self._observers, here]).unique()
        self._observers = known
        self._parts.append(self._summed(self._turned(rows)))
        if sum(map(len, self._parts)) > _ROWS_KEPT and len(self._parts) > 1:
            self._parts = [self._summed(pl.concat(self._parts))]

    @property
    def mixed(self) -> list[str]:
        """What differs between observers whose flows were summed in one row: names of `OBSERVER`.

        One protocol in two directions, say: then a packet may have been counted twice.
        """
        everybody = self._tally.observers if self._observers is None else self._observers
        if not len(everybody):
            return []
        apart = self._columns(everybody, [name for name in OBSERVER if name in self.asked.by])
        others = [name for name in OBSERVER if name not in self.asked.by]
        if not others:
            return []
        counted = everybody.group_by(apart or pl.lit(0).alias("all")).agg(
            pl.struct(self._columns(everybody, [name])).n_unique().alias(name) for name in others
        )
        return [name for name in others if counted[name].max() != 1]

    @property
    def too_large(self) -> int:
        """See `collector.tally.Tally`."""
        return self._tally.too_large

    def table(self) -> pl.DataFrame:
        """The sums, in no order: the key, `SUMMED` (and `reverse_…`), first, last, and so on."""
        asked = self.asked
        parts = self._parts
        if len(observed := self._tally.table()):
            if parts or asked.bidirectional or not self._told_apart:
                observed = self._summed(self._turned(observed))
            parts = [*parts, observed]
        if not parts:
            return pl.DataFrame(schema={name: TYPES[name] for name in (*asked.by, *SUMMED)})
        table = parts[0] if len(parts) == 1 else self._summed(pl.concat(parts))
        if asked.bidirectional:
            table = _oriented(table)
        table = table.with_columns(
            _texts(table, name) for name in _ADDRESSES if name in asked.by
        ).with_columns(
            pl.from_epoch(f"{end}_ns", "ns").dt.replace_time_zone("UTC").alias(end)
            for end in ("first", "last")
        )
        rate = pl.col("packets") / pl.col("samples")
        if asked.bidirectional:
            rate = (pl.col("packets") + pl.col("reverse_packets")) / pl.col("samples")
        back = [f"reverse_{name}" for name in SUMMED] if asked.bidirectional else []
        shown = (*asked.by, *SUMMED, *back, "tcpControlBits", "first", "last", "records")
        return table.select(*shown, rate.alias("sampling_rate"))

    def _wanted(self, rows: pl.DataFrame) -> pl.Series:
        """Which rows the filter lets through."""
        assert self.asked.where is not None
        return self.asked.where.mask(_readable(rows, self.asked.where.columns))

    def _turned(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows as they are summed: both directions of a conversation in one, if that is asked."""
        if not self.asked.bidirectional:
            return rows
        return _both_ways(rows, _halves(rows, "source"), _halves(rows, "destination"))

    def _columns(self, rows: pl.DataFrame, names: Iterable[str]) -> list[str]:
        """The columns that hold these names: addresses are perhaps in halves."""
        columns = []
        for name in names:
            columns += [name] if name in rows.columns else _halves(rows, name)
        return columns

    def _summed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Sum by the key."""
        keys = self._columns(rows, self.asked.by)
        if "ipVersion" not in keys and any(name in self.asked.by for name in _ENDS):
            # Whether an address is a MAC.
            keys.append("ipVersion")
        ways = [""] if not self.asked.bidirectional else ["", "reverse_"]
        totals = [f"{way}{name}" for way in ways for name in SUMMED]
        firsts = [f"{way}first_ns" for way in ways]
        asks = ["asks", "reverse_asks"] if self.asked.bidirectional else []
        return rows.group_by(keys).agg(
            *sums(*totals, "samples"),
            pl.col("records").sum(),
            pl.col("tcpControlBits").bitwise_or(),
            pl.col(firsts).min(),
            pl.col("last_ns").max(),
            *(pl.col(name).any() for name in asks),
        )


def _numbers(name: str) -> list[str]:
    """The columns of `collector.tally` that hold a part of the key."""
    return [f"{name}_upper", f"{name}_lower"] if name in _ADDRESSES else [name]


def _halves(rows: pl.DataFrame, name: str) -> list[str]:
    return [name] if name in rows.columns else [f"{name}_upper", f"{name}_lower"]


def _texts(rows: pl.DataFrame, name: str) -> pl.Series:
    """An address column as text."""
    if name in rows.columns:
        return rows[name]
    upper, lower = rows[f"{name}_upper"], rows[f"{name}_lower"]
    is_ip = pl.repeat(4, len(rows), eager=True) if name not in _ENDS else rows["ipVersion"]
    texts = end_texts(is_ip, upper.fill_null(0), lower.fill_null(0))
    return texts.set(upper.is_null(), None).alias(name)


def _readable(rows: pl.DataFrame, asked: Iterable[str]) -> pl.DataFrame:
    """The rows with those columns that a filter asks for and that are not there as such."""
    made: dict[str, Any] = {}
    for name in asked:
        if name in rows.columns:
            continue
        if name in _ADDRESSES:
            made[name] = _texts(rows, name)
        elif name in ("first", "last"):
            time = pl.from_epoch(f"{name}_ns", "ns").dt.replace_time_zone("UTC")
            made[name] = time
        elif name.endswith("Address") and name in TYPES:
            end, version = name[: name.index("IPv")], int(name[-8])
            texts = _texts(rows, end)
            made[name] = texts.set(rows["ipVersion"] != version, None)
    return rows.with_columns(**made)


def _both_ways(rows: pl.DataFrame, source: list[str], destination: list[str]) -> pl.DataFrame:
    """Write every flow in the direction that sorts first; what went the other way is `reverse_…`.

    A question of ICMP and its answer become one: both have the type of the question.
    """
    icmp = pl.col("protocolIdentifier").is_in([ICMP, ICMPV6])
    sport, dport = pl.col(_PORTS[0]), pl.col(_PORTS[1])
    kind = dport // 256
    answers = icmp & kind.is_in(list(_ASKED_BY))
    question_kind = kind.replace_strict(_ASKED_BY, default=kind, return_dtype=pl.UInt16)
    rows = rows.with_columns(
        pl.when(icmp).then(question_kind * 256 + dport % 256).otherwise(dport).alias(_PORTS[1]),
        answers.alias("asks"),
    )
    pairs = [*zip(source, destination, strict=True)]
    swap = ~icmp & (sport > dport)
    for one, other in reversed(pairs):
        swap = (pl.col(one) > pl.col(other)) | ((pl.col(one) == pl.col(other)) & swap)
    rows = rows.with_columns(swap.alias("swap"))
    turned = pl.col("swap")
    exchange = [*pairs, _PORTS]
    straight_port = turned & ~icmp
    changed = []
    for one, other in exchange:
        turn = straight_port if one == _PORTS[0] else turned
        changed.append(pl.when(turn).then(pl.col(other)).otherwise(pl.col(one)).alias(one))
        changed.append(pl.when(turn).then(pl.col(one)).otherwise(pl.col(other)).alias(other))
    measures = []
    for name in SUMMED:
        # What is not known stays so; what did not go this way is 0.
        column = pl.col(name)
        measures.append(pl.when(turned).then(column * 0).otherwise(column).alias(name))
        measures.append(pl.when(turned).then(column).otherwise(column * 0).alias(f"reverse_{name}"))
    first = pl.col("first_ns")
    asked = icmp & ~pl.col("asks")
    return rows.with_columns(
        *changed,
        *measures,
        pl.when(~turned).then(first).alias("first_ns"),
        pl.when(turned).then(first).alias("reverse_first_ns"),
        (asked & ~turned).alias("asks"),
        (asked & turned).alias("reverse_asks"),
    )


def _oriented(table: pl.DataFrame) -> pl.DataFrame:
    """Turn each conversation so that its source is the one that began it.

    That is who asked (ICMP), else who was seen first, else who has the higher port.
    """
    first, reverse_first = pl.col("first_ns"), pl.col("reverse_first_ns")
    by_port = pl.lit(value=False)
    if _PORTS[0] in table.columns:
        by_port = pl.col(_PORTS[0]) < pl.col(_PORTS[1])
    only_back = pl.col("packets") == 0
    turned = (
        pl.when(pl.col("reverse_asks") | pl.col("asks"))
        .then(~pl.col("asks"))
        .when(first.is_not_null() & reverse_first.is_not_null() & (first != reverse_first))
        .then(reverse_first < first)
        .when(only_back | (pl.col("reverse_packets") == 0))
        .then(only_back)
        .otherwise(by_port)
    )
    icmp = pl.lit(value=False)
    if "protocolIdentifier" in table.columns:
        icmp = pl.col("protocolIdentifier").is_in([ICMP, ICMPV6])
    pairs = [(name, f"reverse_{name}") for name in SUMMED]
    if any(name.startswith("source") and name not in _PORTS for name in table.columns):
        pairs += zip(_halves(table, "source"), _halves(table, "destination"), strict=True)
    changed = []
    for one, other in [*pairs, *([_PORTS] if _PORTS[0] in table.columns else [])]:
        turn = turned & ~icmp if one == _PORTS[0] else turned
        changed.append(pl.when(turn).then(pl.col(other)).otherwise(pl.col(one)).alias(one))
        changed.append(pl.when(turn).then(pl.col(one)).otherwise(pl.col(other)).alias(other))
    return table.with_columns(*changed, pl.min_horizontal(first, reverse_first).alias("first_ns"))


def of_source(source: Source, asked: Question) -> tuple[Sums, Account]:
    """The sums over all of a source."""
    sums_so_far, account = Sums(asked), Account()
    for decoded in source.decoded(account, extended=False, block_octets=BLOCK_OCTETS):
        sums_so_far.without_key += sum(
            len(batch)
            for batch in decoded.batches
            if batch.kind == "data" and not has_flow_key(batch)
        )
        for columns in observed(decoded, origin=False):
            sums_so_far.observe(columns)
    return sums_so_far, account


def of_store(folder: Path, asked: Question) -> Sums:
    """The sums over all of a store (`collector.store`), which may grow meanwhile."""
    while True:
        sums_so_far = Sums(asked)
        try:
            for path in files(folder)["flows"]:
                sums_so_far.add(pl.read_parquet(path))
        except FileNotFoundError:
            continue  # It was made part of another file; so there is less to do now.
        return sums_so_far


def ordered(table: pl.DataFrame, order: str, top: int | None) -> pl.DataFrame:
    """The largest first (of `first`: the earliest), no more than `top`."""
    octets = pl.coalesce("octets_l2", "octets_l3")
    packets = pl.col("packets")
    if "reverse_packets" in table.columns:
        octets += pl.coalesce("reverse_octets_l2", "reverse_octets_l3")
        packets += pl.col("reverse_packets")
    values = {
        "octets": octets,
        "packets": packets,
        "records": pl.col("records"),
        "first": pl.col("first"),
    }
    keys = [name for name in BY if name in table.columns]
    falling = order != "first"
    table = table.with_columns(values[order].alias(""))
    table = table.sort("", descending=falling, nulls_last=True)
    # Few rows are worth the same, and only these need their keys compared.
    same = table[""].is_duplicated()
    if same.any():
        rows = table.filter(same)
        by_key = rows.with_row_index("row").sort(
            "", *keys, descending=[falling, *[False] * len(keys)], nulls_last=True
        )
        places = same.arg_true()
        row = pl.int_range(len(table), eager=True, dtype=pl.UInt32)
        table = table[row.scatter(places, places.gather(by_key["row"]))]
    table = table.drop("")
    return table if top is None else table.head(top)
