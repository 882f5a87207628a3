"""The search for the limit: what it finds, and where a loss is placed."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector import flood
from collector.backends import BACKENDS, named
from collector.backends.custom import Settings
from collector.decode import Datagrams, decode
from collector.limit import MOST, WARM_UP, Try, attempt, best, best_of, search, tried
from lab.cli import main
from lab.described import read_as
from lab.report.curves import picture
from tests.support import need

HERE = Path(__file__).parent


def loses_beyond(limit_dps, fastest_dps=1e9):
    def attempted(rate_dps):
        kernel = max(0, int(rate_dps - limit_dps))
        return Try(rate_dps, min(rate_dps, fastest_dps), int(rate_dps), kernel, 0, 0, 0.0)

    return attempted


@pytest.mark.parametrize("limit_dps", [300, 1_000, 1_500, 37_000, 400_000])
def test_the_limit_is_found_to_the_precision(limit_dps):
    tries = search(loses_beyond(limit_dps), precision=1.1)
    found = best(tries)
    assert limit_dps / 1.1 <= found.rate_dps <= limit_dps
    assert [one.rate_dps for one in tries] == sorted(one.rate_dps for one in tries)
    assert len(tries) < 20


def test_who_loses_at_every_rate_has_no_limit():
    assert best(search(loses_beyond(0))) is None


def test_a_sender_that_is_no_faster_ends_the_search():
    tries = search(loses_beyond(1e9, fastest_dps=5_000))
    assert best(tries).reached_dps == 5_000
    assert len(tries) == 4


def test_a_rate_above_one_that_lost_is_not_the_best():
    rates = [Try(rate, rate, 10, kernel, 0, 0, 0) for rate, kernel in ((1, 0), (2, 1), (3, 0))]
    assert best(rates).rate_dps == 1


def test_one_try_that_loses_nothing_is_enough():
    lost = Try(10, 10, 10, 1, 0, 0, 0)
    slow = Try(10, 5, 10, 0, 0, 0, 0)
    good = Try(10, 10, 10, 0, 0, 0, 0)
    for given, best_one in (([lost, slow, good], good), ([slow, lost, lost], slow), ([good], good)):
        left = iter(given)
        assert best_of(3, lambda left=left: next(left)) == best_one


def test_the_flood_is_what_it_says():
    begin, some = flood.beginning(), flood.messages(2_500)
    payloads = [
        part.buffer[at : at + size].tobytes()
        for part in (begin, some)
        for at, size in zip(part.offset.tolist(), part.length.tolist(), strict=True)
    ]
    decoded = decode(Datagrams.of(payloads, 4739))
    assert not decoded.summary.undecodable
    (stream,) = decoded.summary.streams
    assert (stream.lost, stream.units) == (0, 2_500 * flood.RECORDS)
    packets = sum(int(batch.columns["packetDeltaCount"].sum()) for batch in decoded.batches)
    assert packets == 2_500 * flood.PACKETS


@pytest.mark.parametrize("name", ["flowlab", "nfdump", "pmacct"])
def test_at_a_low_rate_nothing_is_lost(name):
    for program in BACKENDS[name].programs:
        need(program)
    one = attempt(named(name), 2_000, 0.2)
    assert (one.sent, one.kernel, one.collector or 0, one.storage) == (400, 0, 0, 0)
    assert (one.collector is None) == (name == "pmacct")


def broken(fault, **more):
    settings = read_as(Settings, HERE / "broken.yaml").model_dump(mode="json", by_alias=True)
    words = {"PYTHON": sys.executable, "FAULT": fault}
    settings["command"] = [words.get(part, part) for part in settings["command"]]
    settings["environment"] = {"PYTHONPATH": str(HERE.parents[1])}
    return named("custom", {**settings, **more})


def test_a_failure_is_a_try_that_lost_all_and_says_why():
    one = tried(broken("nothing", command=["/no/such/program"]), 1_000, 0.1)
    assert (one.lost, one.sent) == (1.0, 100)
    assert "cannot be started" in one.where()
    rates = []
    assert len(search(lambda rate: rates.append(rate) or one)) == 1  # and no lower one is tried


def test_who_tells_more_than_came_is_no_good():
    one = tried(broken("samples-doubled"), 1_000, 0.1)
    assert one.why == ""
    double = {"columns": {**broken("nothing").settings.columns, "packets": "octets_l3"}}
    assert "tells more than came" in tried(broken("nothing", **double), 1_000, 0.1).why


def test_losses_are_shares_of_all_that_was_sent():
    records = flood.RECORDS
    assert Try(1, 1, 800, 0, None, (WARM_UP + 800) * records, 0.0).lost == 1.0
    assert Try(1, 1, 800, 100, None, 0, 0.0).lost == 100 / (WARM_UP + 800)


def test_a_flood_fits_into_memory(monkeypatch):
    assert MOST * flood.messages(1).buffer.size < 1 << 30
    monkeypatch.setattr("collector.limit.MOST", 50)
    failed = tried(broken("nothing", command=["/no/such/program"]), 2_000_000, 60)
    assert failed.sent == 50


def test_a_collector_that_is_asked_over_http_is_asked_before_the_end(tmp_path):
    program = tmp_path / "asked.py"
    program.write_text(ASKED, encoding="utf-8")
    settings = {
        "name": "asked",
        "command": [sys.executable, str(program), "{netflow}", "{http}"],
        "takes": ["netflow"],
        "output": {"format": "json", "http": "http://127.0.0.1:{http}/"},
        "columns": {"source": "s", "destination": "d", "packets": "p"},
        "patience_s": 10,
    }
    one = tried(named("custom", settings), 1_000, 0.1)
    assert (one.why, one.lost) == ("", 0.0)


ASKED = """
import http.server, json, socket, sys, threading
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("127.0.0.1", int(sys.argv[1])))
came = 0
def receive():
    global came
    while True:
        came += len(port.recv(65536)) > 400
threading.Thread(target=receive, daemon=True).start()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([{"s": "::1", "d": "::2", "p": came * 100}]).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Answer).serve_forever()
"""


def test_what_a_collector_does_not_write_is_found_missing():
    one = attempt(broken("last-record-dropped"), 1_000, 0.1)
    assert (one.kernel, one.collector) == (0, None)
    assert one.storage == 300  # one record of ten, of the datagrams of the warm-up too
    assert one.where() == "300 records in the collector or storage"


def test_the_picture_has_a_line_for_each():
    tries = search(loses_beyond(37_000))
    root = ET.fromstring(picture({"one <x>": tries, "another": tries[:3]}, 10))
    names = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one <x>", "another", "100 %"} <= set(names)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2


def test_who_reads_captures_has_no_limit():
    need("tshark")
    ran = CliRunner().invoke(main, ["limit", "--collector", "tshark"])
    assert ran.exit_code == 2
    assert "receives nothing" in ran.output
