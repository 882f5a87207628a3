"""Whose a flow row is: the exporter and the observation point that told it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from collector.check import Record
from collector.check.counts import Counts, counts
from collector.flows import FLOWS, flow_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from collector.check import Point
    from collector.key import FlowKey

EGRESS: Final = 1
"""flowDirection (61) of a packet where it goes out."""
_SENDER: Final = ("exporter", "protocol", "observation_domain", "agent")
"""What a row of a flow table says of who sent it; see `_sender`."""
_Sender = tuple[Any, ...]


def by_target(table: pl.DataFrame, points: Iterable[Point]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What came to the first target of each exporter, and what came to its other one."""
    others = _senders(replace(p, address=p.also_to) for p in points if p.also_to)
    if not len(others):
        return table, table.clear()
    own, copied = (
        table.join(others, on=_SENDER, how=how, nulls_equal=True, maintain_order="left")
        for how in ("anti", "semi")
    )
    return own, copied


def attribute(
    table: pl.DataFrame, points: Iterable[Point]
) -> tuple[Counts, Counts, tuple[str, ...]]:
    """Give each row to the exporter and switch that sent it; rows of nobody are strays.

    Returns:
        What was observed, the same again for packets going out where that is told, and strays.
    """
    told = pl.col("flowDirection")
    is_known = pl.col("place").is_not_null()
    is_observed = pl.col("direction").is_null() | told.eq_missing(pl.col("direction"))
    is_egress = ~is_observed & told.eq_missing(pl.lit(EGRESS))
    is_marker = pl.col("destination").eq_missing(pl.col("marker"))
    owned = table.lazy().join(
        _senders(points).lazy(), on=_SENDER, how="left", nulls_equal=True, maintain_order="left"
    )
    wanted = owned.filter(is_known & ~is_marker).with_columns(exporter="named")
    return (
        counts(wanted.filter(is_observed)),
        counts(wanted.filter(is_egress)),
        tuple(_strays(owned.filter(~is_known | ~(is_observed | is_egress)).collect())),
    )


def _strays(rows: pl.DataFrame) -> Iterator[str]:
    """Records that belong to no expected observation point, in words."""
    strays: Counter[str] = Counter()
    for row in rows.iter_rows(named=True):
        if row["place"] is None:
            who = row["agent"] or f"observation domain {row['observation_domain']}"
            what = f"{row['protocol']} of {who}, which is no switch of this scenario"
        else:
            where = f"{row['protocol']} of {row['place']}"
            what = f"{where} with flowDirection {row['flowDirection']}"
        strays[what] += row["records"]
    for what, count in strays.items():
        yield f"{count} records by {what}"


def records_by_place(
    rows: Iterable[Mapping[str, Any]], points: Iterable[Point]
) -> dict[tuple[str, str, FlowKey], tuple[Record, ...]]:
    """Single records by exporter, switch and flow; of a packet told twice, the one coming in."""
    owners = _owners(points)
    records: dict[tuple[str, str, FlowKey], tuple[Record, ...]] = {}
    for row in rows:
        point = owners.get(_sender(row))
        if point is not None and point.flow_direction in (None, row["flowDirection"]):
            place = point.exporter, point.observation_point, flow_key(row)
            ports = row["ingressInterface"], row["egressInterface"]
            told = Record(row["first_ns"], row["last_ns"], *ports)
            records[place] = (*records.get(place, ()), told)
    return records


def _owners(points: Iterable[Point]) -> dict[_Sender, Point]:
    """The points by how they name themselves in their exports."""
    return {
        (point.address, point.protocol, point.observation_domain, point.agent): point
        for point in points
    }


def _sender(row: Mapping[str, Any]) -> _Sender:
    return row["exporter"], row["protocol"], row["observation_domain"], row["agent"]


def _senders(points: Iterable[Point]) -> pl.DataFrame:
    """The points by how they name themselves, as `_owners` has them, and what is told of them."""
    rows = [
        (*sender, p.exporter, p.observation_point, p.flow_direction, p.marker)
        for sender, p in _owners(points).items()
    ]
    kinds = {name: FLOWS[name] for name in _SENDER} | {
        "named": pl.String,
        "place": pl.String,
        "direction": pl.UInt8,
        "marker": pl.String,
    }
    return pl.DataFrame(rows, kinds, orient="row")
