"""The plain cases, in columns: flows of which everybody says just what was expected.

What is exactly as expected passes whatever the rules are, so of a hundred thousand flows at twenty
switches nearly all can be told apart from the rest in a few joins. This decides nothing else: what
differs, or what anything is special about, is left to `collector.check.compare` and
`collector.check.chain`, which look at one flow after the other and know all rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.check.counts import KEY, Counts, keys_table
from collector.check.model import Check, Outcome, Point, kinds_of, why_unseen
from collector.check.tolerance import Tolerance
from collector.key import TCP, FlowKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from collector.check.model import Counted, Evidence, Expected, ExpectedFlow

    Crossing = tuple[str, ExpectedFlow]

SLACK_NS: Final = 500_000_000
"""How far a time may be from the wire's. Exporters agree with it to a few milliseconds; on a busy
machine a switch may look at a packet that much later than it came."""

MOST_LISTED: Final = 10_000
"""Flows at points that a verdict lists check by check although they are plain."""

_COUNTS: Final = ("packets", "octets_l2", "octets_l3", "tcpControlBits")
_COUNTED: Final = ("packets", "octets_l2", "octets_l3", "tcp_control_bits")
_EGRESS: Final = {"egress packets": "packets", "egress octets_l2": "octets_l2"}
_TIMES: Final = ("first_ns", "last_ns")
_DECLARED: Final = ("packets", "octets_l2", "octets_l3", "payload_octets")
_TOLERANCE: Final = {
    "packets": "packets",
    "octets_l2": "octets",
    "octets_l3": "octets",
    "egress packets": "packets",
    "egress octets_l2": "octets",
}
_RENAMED: Final[Mapping[str, str]] = {"tcp_control_bits": "tcpControlBits"}


# ------------------------------------------------------------------ who crosses what


@dataclass(frozen=True)
class Crossings:
    """The expected flows in columns.

    Attributes:
        flows: the expected flows themselves.
        table: a row for each flow at each switch that it crosses, flow by flow: ``flow`` (its
            place in `flows`), ``place`` (the switch), ``copies``, ``special`` (whether not only
            its numbers matter), the columns of `KEY`, and what was declared (``packets``,
            ``octets_l2``, ``octets_l3``, ``payload_octets``; null: as on the wire).
    """

    flows: tuple[ExpectedFlow, ...]
    table: pl.DataFrame

    @classmethod
    def of(cls, flows: tuple[ExpectedFlow, ...]) -> Crossings:
        """Put flows into columns."""
        import polars as pl

        ways: dict[tuple[Any, ...], int] = {}
        way = [ways.setdefault((flow.path, flow.copies), len(ways)) for flow in flows]
        steps = [
            (number, switch, 1 if copies is None else copies[at])
            for (path, copies), number in ways.items()
            for at, switch in enumerate(path)
        ]
        kinds = {"way": pl.Int64, "place": pl.String, "copies": pl.Int64}
        columns = {
            "flow": range(len(flows)),
            "way": way,
            "special": [_is_special(flow) for flow in flows],
            **{name: [getattr(flow.key, name) for flow in flows] for name in KEY},
            **{name: [getattr(flow, name) for flow in flows] for name in _DECLARED},
        }
        types = dict.fromkeys(columns, pl.Int64) | {"special": pl.Boolean}
        table = pl.DataFrame(columns, types | dict.fromkeys(("source", "destination"), pl.String))
        crossed = table.join(
            pl.DataFrame(steps, kinds, orient="row"), on="way", maintain_order="left_right"
        )
        return cls(flows, crossed.drop("way"))


def _is_special(flow: ExpectedFlow) -> bool:
    odd = flow.perhaps or flow.reactive or flow.later_fragments
    retagged = bool(flow.retag_octets) or flow.egress_octets_l2 is not None
    return odd or retagged or flow.leaves_as is not None


def _not_plain_on_wire(crossings: Crossings, wire: Counts) -> Iterator[Crossing]:
    """Where not just what was declared came in."""
    import polars as pl

    declared = crossings.table.unique(["place", *KEY], keep="last", maintain_order=True)
    both = declared.join(wire.table, on=["place", *KEY], how="left", maintain_order="left")
    right = [_equal(pl.col(f"{name}_right"), pl.col(name)) for name in _DECLARED]
    rest = both.filter(~pl.all_horizontal(*right, pl.col("packets_right").is_not_null()))
    for switch, flow in rest.select("place", "flow").iter_rows():
        yield switch, crossings.flows[flow]


def _equal(seen: pl.Expr, wanted: pl.Expr) -> pl.Expr:
    """Whether a number is the one that is wanted, or none is wanted."""
    return wanted.is_null() | (seen == wanted).fill_null(value=False)


# ------------------------------------------------------------------ what was reported plainly


@dataclass(frozen=True)
class Plain:
    """What was reported of flows, at each place just as it was expected.

    Attributes:
        points: the exporters at switches.
        tolerances: by measure; they say what would have been right besides.
        table: a row for each flow at each point: ``point`` (its place in `points`), ``flow``,
            the columns of `KEY`, and what was told: ``packets``, ``octets_l2``, ``octets_l3``,
            ``tcpControlBits``, ``first_ns``, ``last_ns``, ``egress packets``,
            ``egress octets_l2`` (null: not asked there), and ``wire_first_ns``, ``wire_last_ns``.
    """

    points: tuple[Point, ...]
    tolerances: Mapping[str, Tolerance]
    table: pl.DataFrame

    @property
    def count(self) -> int:
        """How many checks that makes."""
        told = (*_COUNTS, "first_ns", *_EGRESS)
        return sum(len(self.table) - self.table[name].null_count() for name in told)

    def checks(self, most_flows: int | None = None) -> Iterator[Check]:
        """The checks, one by one; of the first rows only, if so wanted."""
        rows = self.table if most_flows is None else self.table.head(most_flows)
        for row in rows.iter_rows(named=True):
            point = self.points[row["point"]]
            key = FlowKey(*(row[name] for name in KEY))
            place = point.exporter, point.observation_point, key
            for measure in (*point.measures, *_EGRESS):
                if measure == "times":
                    right = [row[f"wire_{name}"] for name in _TIMES]
                    told = [row[name] for name in _TIMES]
                    yield Check(*place, measure, right, told, Outcome.PASS)
                elif (value := row[measure]) is not None:
                    tolerance = self.tolerances.get(_TOLERANCE.get(measure, ""), Tolerance())
                    region = tolerance.around(value)
                    yield Check(*place, measure, region.to_json(), value, Outcome.PASS)

    def by_point(self) -> Iterator[tuple[Point, int]]:
        """At how many flows each point was right."""
        for number, flows in self.table.group_by("point", maintain_order=True).len().iter_rows():
            yield self.points[number], flows

    def as_table(self) -> pl.DataFrame:
        """As the run folder has it: who told it, the flow, and what was told."""
        import polars as pl

        names = {"exporter": "exporter", "observation_point": "observation_point"}
        who = pl.DataFrame(
            [(number, p.exporter, p.observation_point) for number, p in enumerate(self.points)],
            {"point": pl.Int64, **dict.fromkeys(names, pl.String)},
            orient="row",
        )
        whole = self.table.join(who, on="point", maintain_order="left")
        return whole.select(*names, pl.exclude(*names, "point", "flow"))


@dataclass(frozen=True)
class Settled:
    """What is plain, and what has to be looked at.

    Attributes:
        plain: the former; None if nobody has looked for it, since there are few flows.
        rest: the points and flows that are not, point by point.
        unexplained: what was observed and is not explained by what is plain.
        unexplained_egress: the same of packets going out.
        came_in: the switches and flows of which the wire does not show plainly what was declared.
        wire: what the wire shows of those.
        came_in_besides: what the wire shows where no flow was expected.
    """

    plain: Plain | None
    rest: Sequence[tuple[Point, ExpectedFlow]]
    unexplained: Mapping[tuple[str, str, FlowKey], Counted]
    unexplained_egress: Mapping[tuple[str, str, FlowKey], Counted]
    came_in: Sequence[Crossing]
    wire: Mapping[tuple[str, FlowKey], Counted]
    came_in_besides: Mapping[tuple[str, FlowKey], Counted]


def settle(expected: Expected, evidence: Evidence) -> Settled:
    """Tell the plain cases from the rest, if the evidence is in columns."""
    if isinstance(evidence.wire, Counts) and isinstance(evidence.observed, Counts):
        return _settle(expected, evidence, evidence.wire, evidence.observed)
    came_in = {(switch, flow.key): flow for flow in expected.flows for switch in flow.path}
    return Settled(
        None,
        [(p, flow) for p in expected.points for flow in expected.flows if p.is_shown(flow)],
        evidence.observed,
        evidence.egress,
        [(switch, flow) for (switch, _), flow in came_in.items()],
        evidence.wire,
        {place: seen for place, seen in evidence.wire.items() if place not in came_in},
    )


def _settle(expected: Expected, evidence: Evidence, wire: Counts, observed: Counts) -> Settled:
    import polars as pl

    crossings = Crossings.of(expected.flows)
    egress = Counts.of(evidence.egress, 2)
    absent, moved_ms = evidence.witnesses.absent, evidence.witnesses.clock_moved_ms or 0
    handed = {key for _, key in evidence.from_controller}
    special = [n for n, flow in enumerate(crossings.flows) if flow.key in handed] if handed else []
    crossed = (
        crossings.table.filter(~pl.col("special") & ~pl.col("flow").is_in(special))
        .join(wire.table, on=["place", *KEY], how="left", suffix="_wire", maintain_order="left")
        .select("flow", "place", "copies", *KEY, *_wanted())
    )
    parts = [_nothing(crossed)]
    for number, point in enumerate(expected.points):
        if point.sampling == 1 and not point.port and point.exporter not in absent:
            told = _plainly_told(point, moved_ms, crossed, observed, egress)
            parts.append(told.select(pl.lit(number, pl.Int64).alias("point"), pl.all()))
    plain = Plain(expected.points, expected.tolerances, pl.concat(parts))
    told = plain.as_table().rename({"observation_point": "place"})
    came_in = list(_not_plain_on_wire(crossings, wire))
    return Settled(
        plain,
        list(_rest(expected.points, crossings, plain.table)),
        observed.without(told),
        egress.without(told),
        came_in,
        wire.only(keys_table(flow.key for _, flow in came_in)),
        wire.without(crossings.table),
    )


def _wanted() -> Iterable[pl.Expr]:
    """What has to be told: what was declared or, where only the wire can tell, what it shows."""
    import polars as pl

    for name in ("packets", "octets_l2", "octets_l3"):
        yield pl.coalesce(name, f"{name}_wire").alias(f"wanted {name}")
    yield pl.col("tcp_control_bits").alias("wanted tcpControlBits")
    for name in _TIMES:
        yield pl.col(name).alias(f"wire_{name}")


def _plainly_told(
    point: Point, moved_ms: int, crossed: pl.DataFrame, observed: Counts, egress: Counts
) -> pl.DataFrame:
    """What a point tells plainly: the columns of `Plain.table` but for the point."""
    import polars as pl

    here = crossed.filter(pl.col("place") == point.observation_point)
    kinds = here.select("ip_version", "protocol", "destination_port").unique()
    blind = [_is_blind(point, *row) for row in kinds.iter_rows()]
    seen = kinds.filter(~pl.Series(blind, dtype=pl.Boolean))
    told, out = (
        one.table.filter(
            exporter=pl.lit(point.exporter), place=pl.lit(point.observation_point)
        ).select(*KEY, *names)
        for one, names in (
            (observed, (*_COUNTED, *_TIMES)),
            (egress, (pl.col(measure).alias(name) for name, measure in _EGRESS.items())),
        )
    )
    both = (
        here.join(seen, on=seen.columns, how="semi", maintain_order="left")
        .join(told.rename(_RENAMED), on=KEY, how="left", maintain_order="left")
        .join(out, on=KEY, how="left", maintain_order="left")
    )
    asked: dict[str, pl.Expr] = {name: _has(name) for name in _COUNTS if name in point.measures}
    asked |= dict.fromkeys(_TIMES if "times" in point.measures else (), pl.lit(value=True))
    asked |= dict.fromkeys(_EGRESS if point.tells_egress else (), pl.lit(value=True))
    early_ns = SLACK_NS + 1_000_000 * (point.early_ms + moved_ms * point.on_switch_clock)
    right = [~has | _is_right(name, early_ns) for name, has in asked.items()]
    return both.filter(pl.col("packets").is_not_null(), *right).select(
        "flow",
        *KEY,
        *(
            pl.when(asked.get(name, pl.lit(value=False))).then(name)
            for name in (*_COUNTS, *_TIMES, *_EGRESS)
        ),
        *(f"wire_{name}" for name in _TIMES),
    )


def _is_right(name: str, early_ns: int) -> pl.Expr:
    """Whether what is told in a column is what is wanted; not if one of them is not known."""
    import polars as pl

    told = pl.col(name)
    if name in _TIMES:
        right = (told - pl.col(f"wire_{name}")).is_between(-early_ns, SLACK_NS)
    elif name in _EGRESS:
        right = told == pl.col(f"wanted {_EGRESS[name]}") * pl.col("copies")
    else:
        right = told == pl.col(f"wanted {name}")
    return right.fill_null(value=False)


def _is_blind(point: Point, ip_version: int, protocol: int, destination_port: int) -> bool:
    key = FlowKey(ip_version, "", "", protocol, 0, destination_port)
    return why_unseen(point.not_seen, kinds_of(key)) is not None


def _has(measure: str) -> pl.Expr:
    """Whether a flow has what is measured, as `collector.check.compare` has it."""
    import polars as pl

    if measure == "tcpControlBits":
        return (pl.col("ip_version") > 0) & (pl.col("protocol") == TCP)
    return pl.lit(measure != "octets_l3") | (pl.col("ip_version") > 0)


def _nothing(crossed: pl.DataFrame) -> pl.DataFrame:
    """`Plain.table` without a row."""
    import polars as pl

    numbers = dict.fromkeys(
        (*_COUNTS, *_TIMES, *_EGRESS, *(f"wire_{name}" for name in _TIMES)), pl.Int64
    )
    keys = {name: crossed.schema[name] for name in KEY}
    return pl.DataFrame(schema={"point": pl.Int64, "flow": pl.Int64, **keys, **numbers})


def _rest(
    points: Iterable[Point], crossings: Crossings, plain: pl.DataFrame
) -> Iterator[tuple[Point, ExpectedFlow]]:
    """Who was shown what, but for what is plain; point by point."""
    done = plain.select("point", "flow").partition_by("point", as_dict=True)
    at = crossings.table.select("place", "flow").partition_by("place", as_dict=True)
    for number, point in enumerate(points):
        if point.port:
            yield from ((point, flow) for flow in crossings.flows if point.is_shown(flow))
        elif (shown := at.get((point.observation_point,))) is not None:
            passed = done.get((number,))
            if passed is not None:
                shown = shown.join(passed, on="flow", how="anti", maintain_order="left")
            yield from ((point, crossings.flows[flow]) for flow in shown["flow"])
