"""``flowlab query``: SQL over runs and stores; the store itself."""

from __future__ import annotations

import errno
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
