"""The page of a run: whole, true, and drawn by a real browser that asks nobody for anything."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from lab.judge import NotARun
from lab.report.page import facts as reading
from lab.report.page.figures import figures
from lab.report.page.readings import COUNTED, WIRE
from lab.report.page.write import page
from tests.browser import browser, picture

pytestmark = pytest.mark.lab

MOST_OCTETS = 2_000_000
MOST_POINTS = 202
SCRIPT = re.compile(r'<script type="application/json" id="([^"]+)">(.*?)</script>', re.DOTALL)


@pytest.fixture
def run(flowlab):
    return flowlab.ran("one-udp-stream")


def test_what_is_known_in_the_end_is_what_was_on_the_wire(run):
    facts = reading.read(run)
    last = {(row["switch"], row["who"]): row["packets"] for row in facts.known}
    for switch in ("s1", "s2"):
        told = {who: packets for (at, who), packets in last.items() if at == switch}
        assert len(told) == 4
        assert len(set(told.values())) == 1, told
    for line in {(row["switch"], row["who"]) for row in facts.known}:
        points = [row for row in facts.known if (row["switch"], row["who"]) == line]
        assert points == sorted(points, key=lambda row: (row["s"], row["packets"]))
        assert len(points) <= MOST_POINTS
    before_the_flush = [
        row["packets"]
        for row in facts.known
        if row["who"] == "ipfix" and 0 < row["s"] < facts.ended_s
    ]
    assert not any(before_the_flush)


def test_who_only_counts_knows_as_much_in_the_end(flowlab):
    flowlab.ran("counters-agree")
    facts = reading.read(flowlab.latest("counters-agree"))
    last = {(row["switch"], row["who"]): row["packets"] for row in facts.known}
    for who in (WIRE, "OpenFlow counters", "SNMP counters", "ipfix"):
        assert [last[switch, who] for switch in ("s1", "s2")] == [400, 400], who
    assert 0 < last["s1", "sFlow counters"] <= 400
    for switch in ("s1", "s2"):
        asked = [
            row for row in facts.known if (row["switch"], row["who"]) == (switch, "SNMP counters")
        ]
        assert all(row["s"] >= 0 for row in asked)
        assert len({row["packets"] for row in asked}) > 4
    colours = figures(facts)["who-knows-what-when"]["vconcat"][0]["layer"][0]["encoding"]["color"]
    assert set(COUNTED) < set(colours["scale"]["domain"])


def test_the_page_has_all_of_it_and_is_small(run, flowlab):
    said = flowlab("report", str(run))
    written = (run / "report.html").read_text(encoding="utf-8")
    assert said.strip() == str(run / "report.html")
    assert len(written.encode()) < MOST_OCTETS
    values = {name: json.loads(text) for name, text in SCRIPT.findall(written)}
    (told,) = values["told"]
    assert len(told["figures"]) == 3
    datagrams = told["datagrams"].values()
    assert {one["title"].split()[0] for one in datagrams} >= {"sflow", "netflow"}
    assert all(one["lines"] for one in datagrams)
    assert [one["number"] for one in told["state"]["datagrams"]] == list(
        map(int, told["datagrams"])
    )
    assert "h1" in told["run"]["picture"]
    assert [one["packets"] for one in told["state"]["links"]].count(0) == 0
    assert 0 < told["state"]["s"] < 60
    assert not re.search(r'(src|href)="(?!#|data:|report.html")', written.split("<script", 1)[0])


def test_figures_are_drawn_without_a_browser(run, flowlab):
    said = flowlab("report", str(run), "--figures", "svg")
    drawn = [line for line in said.splitlines() if line.endswith(".svg")]
    assert len(drawn) == 3
    for path in drawn:
        assert ET.parse(path).getroot().tag.endswith("svg")


def test_a_run_that_fails_says_what_does_not_hold(flowlab):
    text = """
title: "Wrong <b>on purpose</b> </script><script>document.title='broken into'</script>"
topology: single
exporters: [netflow]
traffic:
  - udp: {from: h1, to: h2, datagrams: 5}
expect:
  - {flow: {from: h1, to: h2, protocol: udp}, packets: 6}
"""
    flowlab("run", flowlab.scenario(text), code=1)
    facts = reading.read(flowlab.latest())
    written = page([facts])
    assert "wants 6" in written
    assert facts.state["verdict"]["bad"][0]["observed"] == "5"
    assert "<b>on purpose" not in written
    assert "broken into'</script>" not in written


def test_what_is_no_run_is_told(tmp_path, flowlab):
    assert "not a run" in flowlab("report", str(tmp_path), code=2)
    with pytest.raises(NotARun):
        reading.read(tmp_path)


def test_nothing_to_draw_is_no_figure(run):
    facts = reading.read(run)
    facts.verdict["checks"] = []
    assert list(figures(facts)) == ["who-knows-what-when"]


def test_a_browser_shows_a_file_as_it_shows_a_run_that_happens(run, tmp_path):
    with browser(tmp_path) as page:
        page.go((run / "report.html").as_uri())
        page.until("document.body.dataset.ready == 'yes'")
        assert page.says("document.getElementById('verdict').textContent") == "PASS"
        assert page.says("document.querySelectorAll('#chain li').length") == 7
        panes = "document.querySelectorAll('#panes svg .mark-group.role-scope').length"
        assert page.says(panes) == 3
        assert page.says("document.querySelectorAll('#figures svg.marks').length") == 3
        assert page.says("document.querySelectorAll('#network .edge.busy').length") == 0
        links = page.says("[...document.querySelectorAll('#links li')].map(one => one.textContent)")
        assert len(links) == 3
        assert not any(" 0 packets" in link for link in links)
        # Of the many datagrams a file has a few; what cannot be opened is no button.
        assert re.fullmatch(
            r"The first of each sender, of \d+",
            page.says("document.getElementById('count').textContent"),
        )
        assert "as they arrive" not in page.says("document.querySelector('main').innerText")
        assert not page.says("document.title.includes('live')")
        buttons = "document.querySelectorAll('#datagrams button, #flows button')"
        assert page.says("document.querySelectorAll('#flows tr').length") > 3
        for number in range(page.says(f"{buttons}.length")):
            page.says(f"{buttons}[{number}].click()")
            page.until("document.querySelectorAll('#octets tr').length > 5")
            assert "no longer kept" not in page.says(
                "document.getElementById('octets-title').textContent"
            )
        page.says("document.querySelector('#switches input[value=s2]').click()")
        page.until(f"{panes} == 3")
        page.says("window.scrollTo(0, 0)")
        picture(page, "report")
        assert not page.errors
        assert {one.split(":")[0] for one in page.asked} <= {"file", "data"}


def test_runs_are_side_by_side_and_each_can_be_opened(run, flowlab, tmp_path):
    flowlab.ran("one-ping")
    out = flowlab.folder / "both.html"
    flowlab("report", str(run), str(flowlab.latest("one-ping")), "--out", str(out))
    with browser(tmp_path) as page:
        page.go(out.as_uri())
        page.until("document.body.dataset.ready == 'yes'")
        assert page.says("document.querySelectorAll('#side article svg.marks').length") == 2
        first = page.says("document.getElementById('title').textContent")
        page.says("document.querySelectorAll('#runs button')[1].click()")
        page.until(f"document.getElementById('title').textContent != {json.dumps(first)}")
        pressed = "document.querySelectorAll('#runs button')[1].getAttribute('aria-pressed')"
        assert page.says(pressed) == "true"
        assert not page.errors
