"""A run of very many flows, made up: `python -m tests.unit.check.many FLOWS` judges one.

It prints what came out, and by how much the process grew meanwhile, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys

import polars as pl

from collector.check import Evidence, Expected, ExpectedFlow, Point, judge
from collector.check.counts import COUNTED, KEY, LENGTHS, Counts, schema
from collector.check.witnesses import Witnesses
from collector.key import FlowKey

SWITCHES = ("s1", "s2", "s3")
FROM_NS = 1_000_000_000


def expected(flows: int) -> Expected:
    """UDP flows that all go the same way, reported by two exporters."""
    points = tuple(
        Point(
            exporter=exporter,
            title=exporter,
            protocol="ipfix",
            observation_point=switch,
            observation_domain=number,
            agent=None,
            flow_direction=None,
            measures=("packets", "octets_l2", "times"),
            sampling=1,
            not_seen={"ipv6": "no room"},
        )
        for exporter in ("one", "other")
        for number, switch in enumerate(SWITCHES, 1)
    )
    made = (ExpectedFlow(key(number), SWITCHES, 2, 200, 172) for number in range(flows))
    return Expected("many", points, tuple(made))


def key(number: int) -> FlowKey:
    """The key of one of the flows."""
    return FlowKey(4, f"10.{number >> 16}.0.1", "10.0.0.2", 17, number & 0xFFFF, 53)


def evidence(flows: int, packets: int) -> Evidence:
    """All of them on the wire, and reported with so many packets; at one switch by one, not one."""
    keys = pl.DataFrame([key(number) for number in range(flows)], KEY, orient="row")
    places = pl.DataFrame({"place": SWITCHES})
    exporters = pl.DataFrame({"exporter": ["one", "other"]})
    wire = counted(places.join(keys, how="cross"), 2)
    told = exporters.join(places, how="cross").join(keys, how="cross")
    at_one = (pl.col("exporter") == "one") & (pl.col("place") == "s1")
    if packets != 2:
        other = told.filter(at_one).with_columns(protocol=pl.lit(18, pl.Int64))
        told = told.filter(~at_one).vstack(other)
    told = counted(told, packets)
    handled = {"packets": 2 * flows, "octets_l2": 200 * flows}
    witnesses = {
        "traffic_started_ns": 0,
        "traffic_finished_ns": 1,
        "programs": [],
        "wire": {"packets_in": 6 * flows, "lost": 0},
        "switches": dict.fromkeys(SWITCHES, handled),
        "datagrams": {
            "sent": None,
            "received": {"datagrams": {"p": 1}, "kernel_drops": {"p": 0}, "truncated": 0},
            "error": None,
        },
    }
    return Evidence(
        wire=wire,
        observed=told,
        egress=Counts(told.table.clear()),
        strays=(),
        decoding=(),
        recorded_datagrams=1,
        witnesses=Witnesses.model_validate_json(json.dumps(witnesses)),
    )


def counted(table: pl.DataFrame, packets: int) -> Counts:
    """Rows with counts: all alike."""
    kinds = schema(2 if "exporter" in table.columns else 1)
    numbers = dict.fromkeys((*COUNTED, *(name for pair in LENGTHS.values() for name in pair)))
    numbers |= {"packets": packets, "octets_l2": 200, "octets_l3": 172, "records": 1}
    numbers |= {"first_ns": FROM_NS, "last_ns": FROM_NS}
    told = table.with_columns(pl.lit(value).alias(name) for name, value in numbers.items())
    return Counts(told.select(pl.col(name).cast(kind) for name, kind in kinds.items()))


def main(flows: int) -> None:
    """Judge such a run."""
    judge(expected(100), evidence(100, 2))  # what is loaded and made but once
    wanted, seen = expected(flows), evidence(flows, 2)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdict = judge(wanted, seen)
    after_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    json.dump({"outcome": verdict.outcome, "grown_kib": after_kib - before_kib}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
