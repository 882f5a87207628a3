"""The page without a run: what a state costs, who is let in, what is told apart."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from lab.report.page import follow, serve
from lab.report.page.figures import figures
from lab.report.page.panes import COLOURS
from lab.report.page.readings import WIRE
from lab.report.page.serve import Board, Page

SECOND_NS = 1_000_000_000
LOOPBACK = (socket.AF_INET, "127.0.0.1", 0)


def asked(page, path):
    """The status of an answer."""
    place = urlsplit(page.address)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=20)) as connection:
        connection.request("GET", path)
        with closing(connection.getresponse()) as answer:
            return answer.status


@pytest.mark.parametrize("seconds", [1, 19, 21, 600, 5400])
def test_a_long_run_is_told_in_as_few_points_as_a_short_one(seconds):
    bins = follow._Bins()
    end_ns = seconds * SECOND_NS
    for since_ns in np.array_split(np.arange(0, end_ns, end_ns // 1000), 30):
        bins.add(since_ns, 1.0)
    points = follow._points(bins, end_ns)
    assert len(points) <= follow._STEPS + 2
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (seconds, float(bins._bins.sum()))
    assert points == sorted(points)
    assert len(follow._begun_s(bins, end_ns)) <= follow._STEPS
    assert len(bins._bins) == 2 * follow._STEPS


def test_who_told_all_long_ago_is_drawn_until_now():
    early, now = follow._Bins(), follow._Bins()
    early.add(np.array([1 * SECOND_NS]), 5.0)
    now.add(np.array([1 * SECOND_NS, 90 * SECOND_NS]), 5.0)
    early, now = (follow._points(bins, 90 * SECOND_NS) for bins in (early, now))
    assert early[-1] == (90.0, 5.0)
    assert now[-1] == (90.0, 10.0)
    # Their steps are as long: none is ahead of another because it had less to tell.
    assert early[1] == now[1]


def test_a_state_is_put_together_once_for_all_pages(tmp_path, monkeypatch):
    made = []

    def seen(switch):
        made.append(switch)
        return {"s": len(made)}

    run = tmp_path / "runs" / "a" / "2026-01-01T00-00-00.000000Z"
    run.mkdir(parents=True)
    following = SimpleNamespace(
        folder=run, name="a", switches=["s1", "s2"], is_over=False, look=lambda _: None, seen=seen
    )
    monkeypatch.setattr(serve, "Following", lambda _: following)
    board = Board(tmp_path / "runs")
    board.look()
    first = [board.state(switch) for switch in ("s1", "s2", "", "s1", "s2", "nothing")]
    assert made == ["s1", "s2"]
    assert json.loads(first[0]) == {"run": "a", "switch": "s1", "s": 1}
    assert first[0] == first[2] == first[3] == first[5]
    board._looked_s = 0.0
    board.look()
    assert json.loads(board.state("s1"))["s"] == 3


def test_a_token_of_any_letters_is_no_fault(tmp_path, capfd):
    with Page(Board(tmp_path), LOOPBACK) as page:
        for token in ("é", "日本", "x", "\udcff"):
            named = quote(token, errors="surrogateescape")
            assert asked(page, f"/{named}/") == 404, token
        assert asked(page, urlsplit(page.address).path) == 200
    assert "Traceback" not in capfd.readouterr().err


def test_who_listens_everywhere_says_where_others_find_it(tmp_path):
    def told(family, host):
        page = Page(Board(tmp_path), (family, host, 0))
        with closing(page._socket):
            return urlsplit(page.address)

    everywhere = told(socket.AF_INET, "0.0.0.0")  # noqa: S104 - it is what is tested
    assert everywhere.hostname != "0.0.0.0"  # noqa: S104
    assert everywhere.port
    assert told(*LOOPBACK[:2]).hostname == "127.0.0.1"
    assert serve._own_address("::") not in ("", "::")


def test_a_machine_without_a_way_out_is_called_by_its_name(monkeypatch):
    class NoWay(socket.socket):
        def connect(self, _):
            raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "socket", NoWay)
    for everywhere in serve._ELSEWHERE:
        assert serve._own_address(everywhere) == socket.gethostname()


def test_lines_are_told_apart_without_colours():
    exporters = [f"exporter {number}" for number in range(9)]
    points = [{"exporter": one, "observation_point": "s1"} for one in exporters]
    known = [{"switch": "s1", "who": WIRE, "s": 1.0, "packets": 1}]
    facts = SimpleNamespace(known=known, points=points, verdict={"checks": []}, ended_s=1.0)
    chart = figures(facts)["who-knows-what-when"]["vconcat"][0]["layer"][0]["encoding"]
    colours, dashes = (chart[name]["scale"] for name in ("color", "strokeDash"))
    assert colours["domain"] == dashes["domain"] == [WIRE, *exporters]
    assert colours["range"].count(COLOURS[0]) == 1
    assert len({str(dash) for dash in dashes["range"][:7]}) == 7
    looks = {(c, *d) for c, d in zip(colours["range"], dashes["range"], strict=True)}
    assert len(looks) == 10
