"""Engines beside the Parquet files: the same rows arrive, whatever the engine does."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer

from collector.loading import load
from collector.query import ask
from collector.sinks import SinkError, WrongSinkError, open_sink, shown
from collector.sinks.beside import BATCHES, Beside
from collector.sinks.clickhouse import schema, type_of
from collector.sinks.kafka import Kafka
from collector.store import VIEWS, Store
from lab.cli import main
from tests.support import lacking

ROOT = Path(__file__).parents[3]
CAPTURE = ROOT / "tests" / "golden" / "openvswitch.pcap"
QUESTIONS = [
    "SELECT protocol, sum(packets) AS p, count(*) AS n FROM flows GROUP BY protocol ORDER BY 1",
    "SELECT protocol, exporter, agent, datagrams, units, lost FROM exporters ORDER BY 1, 2, 3, 4",
    "SELECT count(*) AS n, max(frameLength) AS longest FROM samples",
    "SELECT count(*) AS n, min(export_time) AS first FROM records",
    "SELECT count(*) AS n FROM counters",
    "SELECT max(first_ns) AS latest FROM flows WHERE source = '10.0.0.1'",
]


@pytest.fixture
def _engine():
    if importlib.util.find_spec("chdb") is None:
        lacking("chdb (ClickHouse's engine) is not installed")


def numbers(frame):
    """Rows as both engines can be compared: sums have other types there."""
    return [
        tuple(str(int(value) if isinstance(value, float) else value) for value in row)
        for row in frame.rows()
    ]


@pytest.mark.usefixtures("_engine")
def test_the_engine_answers_what_the_files_do(tmp_path, golden_store):
    # One engine a process: so it is asked in others.
    address = f"chdb://{tmp_path}/engine"
    command = [sys.executable, "-m", "lab", "load", str(CAPTURE), "--to", address]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    script = (
        "import sys, json, polars as pl\n"
        "from collector.sinks import open_sink\n"
        "engine = open_sink(sys.argv[1])\n"
        "for sql in json.loads(sys.argv[2]):\n"
        "    rows = engine.ask(sql).rows()\n"
        "    print(json.dumps([[str(value) for value in row] for row in rows]))\n"
    )
    asked = [sys.executable, "-c", script, address, json.dumps(QUESTIONS)]
    done = subprocess.run(asked, check=True, cwd=ROOT, capture_output=True, text=True)
    for sql, line in zip(QUESTIONS, done.stdout.splitlines(), strict=True):
        assert [tuple(row) for row in json.loads(line)] == numbers(ask(sql, golden_store)), sql


@pytest.mark.usefixtures("_engine")
def test_wrong_sql_is_told(tmp_path):
    asked = [sys.executable, "-m", "lab", "query", "SELECT nothing", f"chdb://{tmp_path}/engine"]
    done = subprocess.run(asked, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_view_has_a_table_with_its_columns():
    statements = schema()
    for view, columns in VIEWS.items():
        table = "exporters_by_batch" if view == "exporters" else view
        for name, kind in columns.items():
            assert f"`{name}` {type_of(kind)}" in statements[table]


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (pl.UInt8, "Nullable(UInt8)"),
        (pl.String(), "Nullable(String)"),
        (pl.Datetime("us", "UTC"), "Nullable(DateTime64(6, 'UTC'))"),
        (pl.List(pl.UInt64), "Array(Nullable(UInt64))"),
    ],
)
def test_types(kind, written):
    assert type_of(kind) == written


def test_an_engine_that_is_not_there_is_told(monkeypatch):
    monkeypatch.delenv("CLICKHOUSE_PASSWORD", raising=False)
    asked = ["query", "SELECT 1", "clickhouse://me:secret@127.0.0.1:9/flows"]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 2
    assert "127.0.0.1:9" in told.output
    assert "secret" not in told.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["load", str(CAPTURE), "--to", "mysql://here"], "clickhouse://"),
        (["query", "SELECT 1", "kafka://127.0.0.1:9/x"], "answers no questions"),
        (["query", "SELECT 1", "nowhere"], "neither a folder nor"),
        (["load", "nowhere.pcap", "--to", "kafka://127.0.0.1:9/x"], "nowhere.pcap"),
    ],
)
def test_wrong_places_are_told(arguments, words):
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 2
    assert words in told.output


def test_passwords_are_not_shown():
    assert shown("clickhouse://me:secret@host:1/db") == "clickhouse://me@host:1/db"
    with pytest.raises(WrongSinkError) as told:
        open_sink("clickhose://me:secret@host:1/db")
    assert "secret" not in str(told.value)


def test_a_store_is_loaded_as_it_is(tmp_path, golden_store):
    rows, account = load(str(golden_store), made := Store(tmp_path))
    made.close()
    assert account is None
    assert rows == sum(len(ask(f"FROM {view}", golden_store)) for view in VIEWS)
    for sql in QUESTIONS:
        assert numbers(ask(sql, tmp_path)) == numbers(ask(sql, golden_store))


def test_a_store_is_not_loaded_into_itself(tmp_path, golden_store):
    (tmp_path / "link").symlink_to(golden_store)
    before = sorted(golden_store.iterdir())
    for to in (golden_store, tmp_path / "link", f"{golden_store}/../{golden_store.name}"):
        refused = CliRunner().invoke(main, ["load", str(golden_store), "--to", str(to)])
        assert refused.exit_code == 2
        assert "its rows would be there twice" in refused.stderr
    assert sorted(golden_store.iterdir()) == before


def test_files_are_made_one_only_up_to_a_size(tmp_path, monkeypatch):
    rows = pl.DataFrame({"protocol": ["ipfix"] * 50, "packets": range(50)})
    rows.write_parquet(tmp_path / "alone.parquet", compression="lz4")
    alone = (tmp_path / "alone.parquet").stat().st_size
    monkeypatch.setattr("collector.store.LARGEST_OCTETS", 3 * alone)
    store = Store(tmp_path / "store")
    for _ in range(10):
        store.write({"flows": rows})
    store.close()
    names = [path.stem.split("-", 2)[2] for path in sorted((tmp_path / "store").iterdir())]
    spans = ["00000001-00000003", "00000004-00000006", "00000007-00000009", "00000010-00000010"]
    assert names == spans
    assert ask("SELECT count(*), sum(packets) FROM flows", tmp_path / "store").row(0) == (
        500,
        12250,
    )


class Engine:
    """One that refuses, waits, and remembers."""

    def __init__(self, *, refuse=(), gate=None):
        self.refuse, self.gate = set(refuse), gate
        self.got, self.calls, self.closed = [], 0, False

    def write(self, rows):
        if self.gate is not None:
            self.gate.wait(30)
        self.calls += 1
        if self.calls in self.refuse:
            raise SinkError("no room")
        self.got.append(rows)

    def close(self):
        self.closed = True


def batch(rows):
    return {"flows": pl.DataFrame({"packets": range(rows)})}


def test_what_an_engine_refuses_is_counted_and_told_once():
    said = []
    beside = Beside(engine := Engine(refuse={2, 3}), said.append)
    for rows in (1, 2, 3, 4):
        beside.write(batch(rows))
    beside.close()
    assert [len(rows["flows"]) for rows in engine.got] == [1, 4]
    assert engine.closed
    assert beside.unsent == 5
    assert said == ["no room"]


def test_a_slow_engine_makes_nobody_wait():
    gate = threading.Event()
    said = []
    beside = Beside(engine := Engine(gate=gate), said.append)
    for _ in range(BATCHES + 10):
        beside.write(batch(1))
    assert 9 <= beside.unsent <= 10
    gate.set()
    beside.close()
    assert len(engine.got) + beside.unsent == BATCHES + 10
    assert len(said) == 1


@pytest.fixture
def broker():
    """The mock cluster of Kafka's own client, over TCP: no real broker can be had here."""
    holder = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    (one,) = holder.list_topics(timeout=10).brokers.values()
    return holder, f"{one.host}:{one.port}"


def reading(server):
    settings = {"bootstrap.servers": server, "group.id": "test", "log_level": 0}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe(["lab.flows"])
    return consumer


def test_kafka_gets_a_message_a_row(golden_store, broker):
    _, server = broker
    rows = ask("SELECT * FROM flows", golden_store)
    sink = open_sink(f"kafka://{server}/lab")
    sink.write({"flows": rows})
    sink.close()
    consumer = reading(server)
    got = []
    while len(got) < len(rows) and (message := consumer.poll(20)) is not None:
        assert message.error() is None
        got.append((message.key().decode(), json.loads(message.value())))
    consumer.close()
    assert {key for key, _ in got} == set(rows["exporter"])
    sums = {name: sum(row[name] or 0 for _, row in got) for name in ("packets", "octets_l2")}
    assert sums == {name: rows[name].sum() for name in sums}


def test_kafka_without_a_broker_tells_what_was_lost(monkeypatch, golden_store):
    monkeypatch.setattr("collector.sinks.kafka._FLUSH_S", 5.0)
    sink = Kafka("kafka://127.0.0.1:9/lab", **{"message.timeout.ms": 300})
    sink.write({"flows": ask("SELECT * FROM flows", golden_store)})
    with pytest.raises(SinkError, match="rows"):
        sink.close()


def test_collect_goes_on_without_its_engine_and_keeps_the_files(tmp_path, broker):
    _, server = broker
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "lab",
        "collect",
        "--listen",
        "netflow://:0",
        "--out",
        str(out),
    ]
    sinks = ["--sink", f"kafka://{server}/lab", "--store", "flows"]
    started = subprocess.Popen(
        [*command, *sinks], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    said = started.stderr.readline()
    port = int(re.search(r"port (\d+)", said)[1])
    datagram = struct.pack("!HH", 5, 1).ljust(24 + 48, b"\1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.sendto(datagram, ("127.0.0.1", port))
    until_s = time.monotonic() + 20
    while not list(out.glob("flows-*")) and time.monotonic() < until_s:
        time.sleep(0.01)
    started.terminate()
    _, told = started.communicate(timeout=60)
    assert started.returncode == 0, told
    assert "lost: nothing" in told
    (stored,) = ask("SELECT packets FROM flows", out)["packets"]
    consumer = reading(server)
    assert json.loads(consumer.poll(20).value())["packets"] == stored
    consumer.close()
