"""``flowlab query``: SQL over runs and stores; the store itself."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from collector import store as stores
from collector.account import Account
from collector.decode import OPEN_VSWITCH, Decoder
from collector.query import QueryError, ask, find
from collector.source import open_source
from collector.store import Store, exporter_rows, files, tables
from lab.cli import main
from lab.report.tables import lines

ROOT = Path(__file__).parents[3]
CAPTURE = ROOT / "tests" / "golden" / "openvswitch.pcap"


@pytest.fixture
def runs(tmp_path):
    """Two run folders, with a link to the newest as runs have."""
    for name in ("one/1", "it's/2"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        shutil.copy(CAPTURE, folder / "exports.pcap")
        (folder / "witnesses.json").write_text("{}")
    (tmp_path / "one" / "latest").symlink_to("1")
    return tmp_path


def rows(sql, folder):
    return ask(sql, folder).rows()


def test_runs(runs):
    assert rows("SELECT DISTINCT run FROM flows ORDER BY run", runs) == [("it's/2",), ("one/1",)]
    counted = (
        "SELECT run, (SELECT count(*) FROM {} v WHERE v.run = f.run) FROM flows f GROUP BY run"
    )
    for view, count in (
        ("records", 22 + 102),
        ("samples", 158),
        ("counters", 72),
        ("extended", 158),
    ):
        assert {number for _, number in rows(counted.format(view), runs)} == {count}
    sums = rows("SELECT protocol, sum(packets) FROM flows WHERE run LIKE 'one%' GROUP BY 1", runs)
    assert dict(sums)["sflow5"] == 158
    exporters = ask("SELECT * FROM exporters WHERE run = 'one/1'", runs)
    assert exporters["lost"].sum() == 0
    assert exporters["datagrams"].sum() == 178
    assert sorted(exporters["protocol"].unique()) == ["ipfix", "netflow5", "sflow5"]
    assert ask("SELECT * FROM flows", runs / "one" / "1")["run"].unique().to_list() == ["1"]


def test_sums_are_whole_numbers(runs):
    sums = ask('SELECT sum(packets) AS "a ""b""", 1.5 AS c, max(packets) AS a FROM flows', runs)
    assert sums.columns == ['a "b"', "c", "a"]
    assert sums.dtypes[0] == pl.Int64
    large = "SELECT sum(9223372036854775807) AS a, 1 AS a FROM range(4)"
    assert ask(large, runs).rows() == [(4 * 9223372036854775807, 1)]
    shown = CliRunner().invoke(main, ["query", "SELECT sum(123456789) FROM range(9)", str(runs)])
    assert "1111111101" in shown.stdout.split()


def test_views_are_there_even_if_empty(tmp_path):
    store = Store(tmp_path)
    store.write({"counters": pl.DataFrame({"protocol": ["sflow5"]})})
    for view in stores.VIEWS:
        assert len(ask(f"FROM {view}", tmp_path)) == (view == "counters")
    empty = ask("SELECT first_seen, lost FROM exporters", tmp_path)
    assert empty.columns == ["first_seen", "lost"]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT", "Parser Error"),
        ("SELECT nothing FROM flows", "nothing"),
        ("SELECT * FROM flow", "flows"),
        ("SELECT 1 / 'x'", "Conversion Error"),
    ],
)
def test_wrong_sql_is_told(runs, sql, words):
    result = CliRunner().invoke(main, ["query", sql, str(runs)])
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_wrong_folders_are_told(tmp_path):
    with pytest.raises(QueryError, match="neither runs"):
        ask("SELECT 1", tmp_path)
    assert CliRunner().invoke(main, ["query", "SELECT 1", str(tmp_path / "x")]).exit_code == 2


def test_the_command(runs):
    """In a process of its own: nothing but the answer comes out, on both streams."""
    command = [sys.executable, "-m", "lab", "query", "SELECT 1 AS one, 'x' AS t", str(runs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--format", "jsonl"], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(done.stdout) == {"one": 1, "t": "x"}
    assert done.stderr == ""
    shown = CliRunner().invoke(main, ["query", "SHOW TABLES", str(runs)]).stdout
    assert "samples" in shown.split()


def blocks(store, size=10):
    """Write the golden capture into a store in many batches."""
    source, account = open_source(str(CAPTURE), OPEN_VSWITCH), Account()
    found, decoder = next(source.datagrams()), Decoder(OPEN_VSWITCH)
    for first in range(0, len(found), size):
        block = found.take(list(range(first, min(first + size, len(found)))))
        decoded = decoder.decode(block)
        account.add(block, decoded)
        store.write(tables(decoded, exporter_rows(decoded.summary.streams, 1, 2)))


def counts(folder):
    return {
        view: sum(len(pl.read_parquet(path)) for path in paths)
        for view, paths in files(folder).items()
        if view != "flows"
    }


@pytest.mark.parametrize("size", [2, 10, 1000])
def test_a_store_keeps_everything_however_it_is_merged(tmp_path, size):
    store = Store(tmp_path)
    blocks(store, size)
    expected = {"records": 124, "samples": 158, "counters": 72, "extended": 158}
    assert {view: counts(tmp_path)[view] for view in expected} == expected
    assert sum(len(paths) for paths in files(tmp_path).values()) < 5 * (stores.MERGED + 8)
    sums = "SELECT sum(packets), sum(datagrams) FROM (SELECT sum(packets) packets FROM flows), "
    sums += "(SELECT sum(datagrams) datagrams FROM exporters)"
    before = rows(sums, tmp_path)
    store.rotate()
    assert {view: len(paths) for view, paths in files(tmp_path).items()} == dict.fromkeys(
        stores.VIEWS, 1
    )
    assert {view: counts(tmp_path)[view] for view in expected} == expected
    assert rows(sums, tmp_path) == before
    assert before[0][1] == 178
    assert rows("SELECT sum(lost) FROM exporters", tmp_path) == [(0,)]
    assert find(tmp_path) == ([tmp_path], [])


def test_whoever_is_killed_while_merging_leaves_no_row_twice(tmp_path, monkeypatch):
    store = Store(tmp_path)
    blocks(store, 10)
    expected = counts(tmp_path)
    monkeypatch.setattr(Path, "unlink", lambda _: None)  # the deletions never happened
    store.rotate()
    monkeypatch.undo()
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished" / "flows-x").write_bytes(b"PAR1")
    remaining = len(list(tmp_path.iterdir()))
    assert counts(tmp_path) == expected
    Store(tmp_path)
    assert counts(tmp_path) == expected
    assert len(list(tmp_path.rglob("*"))) == len(stores.VIEWS) + 1 < remaining


def test_a_file_system_without_nameless_files(tmp_path, monkeypatch):
    store, real = Store(tmp_path), os.open

    def refuse(path, flags, *rest, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    blocks(store, 50)
    store.rotate()
    assert counts(tmp_path)["samples"] == 158
    assert not list((tmp_path / ".unfinished").iterdir())


def shown(sql, folder, form):
    told = CliRunner().invoke(main, ["query", sql, str(folder), "--format", form])
    assert told.exit_code == 0, told.output
    return told.stdout


TYPES = {
    "INTERVAL 1 DAY": "1 day",
    "TIMESTAMP '2026-01-01 00:00:02' - TIMESTAMP '2026-01-01'": "00:00:02",
    "'550e8400-e29b-41d4-a716-446655440000'::UUID": "550e8400-e29b-41d4-a716-446655440000",
    "'10:00:00+01'::TIMETZ": "10:00:00+01",
    "'\\xE5\\x00'::BLOB": "e500",
    "[1, 2]": [1, 2],
    "[INTERVAL 1 DAY]": '["1 day"]',
    "MAP {'a': 1}": '{"a":1}',
    "{'a': [1]}": {"a": [1]},
    "'101'::BIT": "101",
    "'a'::ENUM('a')": "a",
    "TIME '10:00'": "10:00:00",
    "NULL": None,
    "TIMESTAMP '2026-01-01'": "2026-01-01T00:00:00.000000",
    "TIMESTAMPTZ '2026-01-01 00:00:00+01'": "2025-12-31T23:00:00.000000Z",
    "export_time AT TIME ZONE 'Europe/Berlin'": "2026-11-22T20:14:21.254185",
    "sum(1)": 1,
    "sum(9223372036854775807) + 1": 9223372036854775808,
    "1.5": "1.5",
}


@pytest.mark.parametrize("sql", TYPES)
def test_every_type_is_answered_in_every_format(golden_store, sql):
    question = (
        f"SELECT {sql} AS x, sum(2) AS y "  # noqa: S608
        "FROM (SELECT export_time FROM records ORDER BY 1 LIMIT 1) GROUP BY export_time"
    )
    found = json.loads(shown(question, golden_store, "jsonl"))
    assert found["x"] == TYPES[sql]
    assert found["y"] == 2
    text = TYPES[sql]
    row = next(csv.DictReader(io.StringIO(shown(question, golden_store, "csv"))))
    if isinstance(text, list | dict):
        assert json.loads(row["x"]) == text
    elif not sql.startswith("TIME "):
        assert row["x"] == ("" if text is None else str(text))
    assert shown(question, golden_store, "table").count("\n") == 2
    assert (
        len(
            pl.read_parquet(
                CliRunner()
                .invoke(main, ["query", question, str(golden_store), "--format", "parquet"])
                .stdout_bytes
            )
        )
        == 1
    )


@pytest.mark.parametrize(
    ("sql", "refused"),
    [
        ("TIMESTAMP 'infinity'", True),
        ("DATE '-infinity'", True),
        ("TIMESTAMPTZ '290000-01-01'", True),
        ("TIMESTAMP '10000-01-01'", True),
        ("TIMESTAMP '9999-12-31 23:59:59.999999'", False),
        ("DATE '0001-01-01'", False),
        ("NULL::DATE", False),
        ("[DATE 'infinity']", False),
    ],
)
def test_dates_that_nobody_can_write(golden_store, sql, refused):
    told = CliRunner().invoke(main, ["query", f"SELECT {sql} AS x", str(golden_store)])
    assert told.exit_code == (2 if refused else 0), told.output
    assert ("column x has a date that is not of the years 1 to 9999" in told.stderr) == refused


@pytest.mark.parametrize("view", ["records", "exporters"])
def test_functions_of_time_know_our_times(tmp_path, golden_store, view):
    name = {"records": "export_time", "exporters": "last_seen"}[view]
    question = (
        f"SELECT date_trunc('minute', {name}), hour({name}), extract(year FROM {name}), "  # noqa: S608
        f"time_bucket(INTERVAL 5 MINUTE, {name}), {name} - INTERVAL 1 HOUR, {name} - {name} "
        f"FROM {view} LIMIT 1"
    )
    (row,) = rows(question, golden_store)
    assert [str(value) for value in row[:4]] == [
        "2026-11-22 19:14:00+00:00",
        "19",
        "2026",
        "2026-11-22 19:10:00+00:00",
    ]
    # Of a view without files, too.
    store = Store(tmp_path)
    store.write({"counters": pl.DataFrame({"protocol": ["sflow5"]})})
    assert rows(question, tmp_path) == []


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT 1 AS a; -- and so on", [(1,)]),
        ("SELECT 'ä;' AS a -- ;\n ;", [("ä;",)]),
        ("SET threads = 1; SELECT 3 AS a;", [(3,)]),
        ("SELECT 1; SELECT 2", "ask number 1 by itself"),
        ("", "there is no SQL to answer"),
        (" ; -- nothing", "there is no SQL to answer"),
    ],
)
def test_statements(golden_store, sql, answer):
    if isinstance(answer, list):
        assert rows(sql, golden_store) == answer
        return
    with pytest.raises(QueryError, match=answer):
        ask(sql, golden_store)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.7e9 + 0.25, "1700000000.25"),
        (1_795_374_861.2543, "1795374861.254"),
        (1.45161290, "1.45161"),
        (12_345.678912, "12345.679"),
        (-123_456.0, "-123456"),
        (1e20, "1e+20"),
        (0.000012345678, "1.23457e-05"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_fractions_on_a_terminal(value, text):
    assert list(lines(pl.DataFrame({"x": [value]})))[1].strip() == text
