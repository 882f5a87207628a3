"""The live page: a run in a real browser as it happens, and what may ask for it.

``FLOWLAB_LIVE_S=30`` makes the run longer, ``FLOWLAB_PICTURES=docs`` keeps pictures of it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from collector.recording import Writer
from lab.report.page import serve
from lab.report.page.follow import Following, Tail
from lab.report.page.serve import Board, newest
from lab.report.page.write import vega
from tests.browser import browser, picture

pytestmark = pytest.mark.lab

SECONDS = int(os.environ.get("FLOWLAB_LIVE_S", "4"))
SCENARIO = f"""
title: Three exporters side by side
description: Many small flows and a long one around a ring; sFlow looks at one packet in ten.
topology: {{ring: {{switches: 4}}}}
exporters:
  netflow: {{active_timeout_s: 5}}
  sflow: {{sampling: 10}}
  ipfix: {{cache_active_timeout_s: 5}}
traffic:
  - parallel:
      - udp: {{from: h1, to: h3, flows: 100, datagrams: {SECONDS}, rate_pps: 100}}
      - udp: {{from: h2, to: h4, datagrams: {400 * SECONDS}, payload_octets: 900, rate_pps: 400}}
"""


def address_of(process):
    """What the command says where the page is."""
    for line in process.stderr:
        if found := re.search(r"watch it at (\S+)", line):
            return found[1]
    raise AssertionError(process.stderr.read())


def test_a_browser_shows_a_run_as_it_happens(flowlab, tmp_path):
    vega()  # of the run's few seconds none shall pass with putting it together
    with browser(tmp_path) as page:  # nor with starting it
        process = flowlab.start("run", flowlab.scenario(SCENARIO), "--live")
        address = address_of(process)
        page.go(address)
        page.until("document.querySelectorAll('#network .edge.busy').length >= 3")
        page.until("document.getElementById('stage').textContent.includes('running')")
        page.until("document.querySelectorAll('#panes svg .mark-group.role-scope').length == 3")
        loads = "[...document.querySelectorAll('#links li')].map(one => one.textContent)"
        page.until(f"{loads}.some(text => !text.includes(' 0 packets'))")
        before = page.until("Number(document.body.dataset.states)")
        page.until(f"Number(document.body.dataset.states) >= {before + 3}")
        picture(page, "live")
        page.until("document.querySelectorAll('#datagrams button').length > 3")
        page.says("document.querySelector('#datagrams button').click()")
        page.until("document.querySelectorAll('#octets tr').length > 10")
        assert "datagram of 127.0.0.1" in page.says(
            "document.getElementById('octets-title').textContent"
        )
        # Who uses the keyboard stands at what was opened.
        assert page.says("document.activeElement.id") == "h-octets"
        page.until("document.getElementById('verdict').textContent == 'PASS'")
        assert page.says("document.querySelectorAll('#chain li').length") == 7
        assert page.says("document.querySelectorAll('#chain .broken').length") == 0
        # All three panes end at the same second and at the same sum.
        axes = page.says(
            "[...document.querySelectorAll('#panes .role-axis')]"
            ".map(one => one.getAttribute('aria-label'))"
            ".filter(label => label && label.startsWith('X-axis'))"
        )
        assert len(axes) == 3
        assert len(set(axes)) == 1
        page.says("window.scrollTo(0, 0)")
        picture(page, "live-verdict")
        page.until("!document.getElementById('keep').hidden")
        assert page.says("fetch('report.html').then(answer => answer.ok)")
        page.dark(on=True)
        picture(page, "live-dark")
        page.says("document.querySelector('#switches input[value=s2]').click()")
        page.until("document.getElementById('stage').textContent == 'judged'")
        assert not page.errors
        own = urlsplit(address).netloc
        assert {urlsplit(one).netloc for one in page.asked if not one.startswith("data:")} <= {
            own,
            "",
        }
    assert any("until you press Control-C" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


@pytest.fixture
def run(flowlab):
    return flowlab.ran("one-udp-stream")


def test_what_is_shown_in_the_end_is_what_was_on_the_wire(run):
    following = Following(run)
    while not following.is_over:
        following.look(time.time_ns())
    seen = following.seen("s1")
    last = {one["who"]: one["packets"] for one in seen["known"]}
    assert len(last) == 4
    assert len(set(last.values())) == 1, last
    assert seen["verdict"]["verdict"] == "PASS"
    assert seen["stage"] == "judged"
    assert {one["who"] for one in seen["came"]} == {"netflow", "sflow", "ipfix"}
    assert following.datagram(seen["datagrams_in_all"])["lines"]
    assert following.datagram(seen["datagrams_in_all"] + 1) is None
    assert following.datagram(0) is None
    json.dumps(seen)


def test_a_growing_capture_is_read_frame_by_whole_frame(tmp_path):
    path = tmp_path / "x.pcap"
    tail = Tail(path)
    assert tail.more() is None
    with Writer(path) as writer:
        assert tail.more() is None
        writer.write(1, b"a" * 60)
        writer.flush()
        whole = path.read_bytes()
        assert len(tail.more()) == 1
        assert tail.more() is None
    with path.open("ab") as grows:
        more = whole[24:]
        for octet in range(len(more) - 1):
            grows.write(more[octet : octet + 1])
            grows.flush()
            assert tail.more() is None
        grows.write(more[-1:])
        grows.flush()
    assert len(tail.more()) == 1


def test_the_newest_run_is_shown_and_only_new_ones_if_asked(tmp_path):
    assert newest(tmp_path) is None
    for name in ("a/2026-01-01T00-00-00.000000Z", "b/2026-01-02T00-00-00.000000Z", "b/latest"):
        (tmp_path / name).mkdir(parents=True)
    assert newest(tmp_path).parent.name == "b"
    assert newest(tmp_path, since="2026-01-03") is None
    running = tmp_path / "a" / "2026-01-01T00-00-00.000000Z"
    prepared = tmp_path / "b" / "2026-01-02T00-00-00.000000Z"
    for name in ("wire/s1-eth1-in.pcap", "exports.pcap", "witnesses.json"):
        (running / name).parent.mkdir(exist_ok=True)
        (running / name).touch()
        assert newest(tmp_path) == running, name
        assert newest(tmp_path, since="2026-01-02") == prepared
        (running / name).unlink()
    (running / "exports.pcap").touch()
    (prepared / "wire").mkdir()
    assert newest(tmp_path) == running
    (prepared / "wire" / "s1-eth1-in.pcap").touch()
    assert newest(tmp_path) == prepared
    board = Board(tmp_path)
    board.look()
    assert board.run() is None
    assert json.loads(board.state("s1")) == {"run": None, "stage": "waiting"}


def test_a_page_too_many_says_so_and_gets_its_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "_STREAMS", 0)
    with (
        serve.Page(Board(tmp_path / "runs"), (socket.AF_INET, "127.0.0.1", 0)) as served,
        browser(tmp_path) as page,
    ):
        page.go(served.address)
        page.until("document.getElementById('stage').textContent.includes('this page is full')")
        monkeypatch.setattr(serve, "_STREAMS", 1)
        page.until("document.getElementById('stage').textContent == 'waiting for a run'")


def test_what_is_said_aloud_is_said_once(run, tmp_path):
    with (
        serve.Page(Board(run.parents[1], run), (socket.AF_INET, "127.0.0.1", 0)) as served,
        browser(tmp_path) as page,
    ):
        page.go(served.address)
        page.until("document.getElementById('verdict').textContent == 'PASS'")
        page.says(
            "new MutationObserver(all => { window.spoken = (window.spoken ?? 0) + all.length })"
            ".observe(document.getElementById('stage'), {childList: true})"
        )
        page.says(
            "new MutationObserver(all => { window.spoken = (window.spoken ?? 0) + all.length })"
            ".observe(document.getElementById('end'), {childList: true, subtree: true})"
        )
        before = page.says("Number(document.body.dataset.states)")
        page.says("document.querySelector('#switches input[value=s2]').click()")
        page.until(f"Number(document.body.dataset.states) > {before}")
        assert page.says("window.spoken ?? 0") == 0


def test_a_run_of_yesterday_is_as_long_as_it_was(run):
    following = Following(run)
    while not following.is_over:
        following.look(time.time_ns() + 86_400_000_000_000)
    assert following.seen("s1")["s"] < 60


def test_a_run_that_was_killed_is_as_long_as_it_was(run, tmp_path):
    killed = tmp_path / "killed"
    shutil.copytree(run, killed)
    for name in ("verdict.json", "witnesses.json"):
        (killed / name).unlink()
    following = Following(killed)
    for _ in range(3):
        following.look(time.time_ns() + 86_400_000_000_000)
    assert following.seen("s1")["s"] < 60


def test_who_does_not_know_the_token_gets_nothing(run, flowlab):
    process = flowlab.start("live", str(run))
    place = urlsplit(address_of(process))
    assert place.hostname == "127.0.0.1"

    def asked(path):
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        with closing(connection):
            connection.request("GET", path)
            with closing(connection.getresponse()) as answer:
                if answer.status == 200:
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                return answer.status

    for path in ("/", "/x/", "/x/run", "/x/stream", "/x/datagram/1", "/x/vega.js"):
        assert asked(path) == 404
    for name in ("", "run", "page.js", "vega.js", "stream"):
        assert asked(place.path + name) == 200
    assert asked(f"{place.path}datagram/99999999") == 404
    assert asked(f"{place.path}datagram/1e9") == 404
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_where_nobody_can_listen_is_told(flowlab):
    for listen, told in (("127.0.0.1", "not ADDRESS:PORT"), ("192.0.2.1:0", "Cannot assign")):
        assert told in flowlab("live", "--listen", listen, code=2)
