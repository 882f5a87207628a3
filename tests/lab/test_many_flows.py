"""More flows than a verdict lists: judged in columns, from a real run."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from collector.check import Outcome, judge
from collector.check.counts import Counts
from collector.check.plain import MOST_LISTED
from lab.judge import read_run

MANY = """\
title: many
topology: {leaf-spine: {spines: 1, leaves: 3, hosts_per_leaf: 2}}
exporters: [netflow, ipfix]
traffic:
  - mix: {flows: 4500, sizes: constant, mean_packets: 2, flows_per_s: 4000}
"""


def test_more_flows_than_are_listed_pass_in_columns_and_one_wrong_one_is_found(flowlab):
    flowlab("run", flowlab.scenario(MANY))
    folder = flowlab.latest()
    passed = pl.read_parquet(folder / "passed.parquet")
    run = read_run(folder)
    assert len(run.evidence.observed) == len(passed) > 2 * MOST_LISTED
    assert not (folder / "observed.json").exists()
    assert len(pl.read_parquet(folder / "observed.parquet")) > len(passed)  # both directions
    first = pl.int_range(pl.len()) == 0
    lie = run.evidence.observed.table.with_columns(pl.col("packets") + first.cast(pl.Int64))
    verdict = judge(run.expected, replace(run.evidence, observed=Counts(lie)))
    assert verdict.outcome is Outcome.FAIL
    (wrong,) = [check for check in verdict.checks if check.outcome is Outcome.FAIL]
    assert (wrong.measure, wrong.observed) == ("packets", wrong.expected + 1)
    assert len(verdict.plain.table) == len(passed) - 1
