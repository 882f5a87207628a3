"""The page of a run: whole, true, and drawn by a real browser that asks nobody for anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from lab.judge import NotARun
from lab.report.page import facts as reading
from lab.report.page.figures import figures
from lab.report.page.write import page

pytestmark = pytest.mark.lab

MOST_OCTETS = 2_000_000
SCRIPT = re.compile(r'<script type="application/json" id="([^"]+)">(.*?)</script>', re.DOTALL)


@pytest.fixture
def run(flowlab):
    flowlab("run", "one-udp-stream")
    return flowlab.latest("one-udp-stream")


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
        assert len(points) <= reading.STEPS + 2
    before_the_flush = [
        row["packets"]
        for row in facts.known
        if row["who"] == "ipfix" and 0 < row["s"] < facts.ended_s
    ]
    assert not any(before_the_flush)


def test_who_only_counts_knows_as_much_in_the_end(flowlab):
    flowlab("run", "counters-agree")
    facts = reading.read(flowlab.latest("counters-agree"))
    last = {(row["switch"], row["who"]): row["packets"] for row in facts.known}
    for who in (reading.WIRE, "OpenFlow counters", "SNMP counters", "ipfix"):
        assert [last[switch, who] for switch in ("s1", "s2")] == [400, 400], who
    assert 0 < last["s1", "sFlow counters"] <= 400
    for switch in ("s1", "s2"):
        asked = [
            row for row in facts.known if (row["switch"], row["who"]) == (switch, "SNMP counters")
        ]
        assert all(row["s"] >= 0 for row in asked)
        assert len({row["packets"] for row in asked}) > 4
    colours = figures(facts)["who-knows-what-when"]["vconcat"][0]["layer"][0]["encoding"]["color"]
    assert set(reading.COUNTED) < set(colours["scale"]["domain"])


def test_the_page_has_all_of_it_and_is_small(run, flowlab):
    said = flowlab("report", str(run))
    written = (run / "report.html").read_text(encoding="utf-8")
    assert said.strip() == str(run / "report.html")
    assert len(written.encode()) < MOST_OCTETS
    values = {name: json.loads(text) for name, text in SCRIPT.findall(written)}
    assert len(values["charts"]) == 3
    datagrams = values["datagrams-0"]
    assert {one["title"].split()[0] for one in datagrams} >= {"sflow", "netflow"}
    assert all(one["lines"] for one in datagrams)
    assert not re.search(r'(src|href)="(?!#)', written.split("<script", 1)[0])


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
    assert "What does not hold" in written
    assert "wants 6" in written
    assert "<b>on purpose" not in written
    assert "broken into'</script>" not in written


def test_several_runs_on_one_page(run, flowlab):
    out = flowlab.folder / "both.html"
    flowlab("report", str(run), str(run), "--out", str(out))
    assert out.read_text(encoding="utf-8").count('<article id="run-') == 2


def test_what_is_no_run_is_told(tmp_path, flowlab):
    assert "not a run" in flowlab("report", str(tmp_path), code=2)
    with pytest.raises(NotARun):
        reading.read(tmp_path)


def test_nothing_to_draw_is_no_figure(run):
    facts = reading.read(run)
    facts.verdict["checks"] = []
    assert list(figures(facts)) == ["who-knows-what-when"]


def test_a_browser_draws_it_without_asking_anybody(run, flowlab, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    flowlab("report", str(run))
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--virtual-time-budget=20000", "--dump-dom"),
    ]
    done = subprocess.run(
        [chromium, *options, (run / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert 'data-ready="yes"' in done.stdout
    assert done.stdout.count("<svg") >= 3
    assert "aria-pressed" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr
