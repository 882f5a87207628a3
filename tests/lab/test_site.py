"""The documents as a site: whole, and searched in a real browser without a network."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.browser import browser
from tests.support import ROOT

FOUND = "document.querySelectorAll('#search-results li').length"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    build = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", f"{out}/.doctrees")
    done = subprocess.run(
        (*build, str(ROOT / "docs"), str(out)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_document_is_in_it_and_in_its_navigation(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    for document in (ROOT / "docs").glob("*.md"):
        assert (site / f"{document.stem}.html").exists()
        if document.stem != "index":
            assert f'<a class="reference internal" href="{document.stem}.html">' in front, document


def test_a_browser_searches_it_and_asks_nobody(site, tmp_path):
    with browser(tmp_path) as page:
        page.go((site / "search.html").as_uri() + "?q=datagram")
        until_s = time.monotonic() + 20
        while page.says(FOUND) < 10 and time.monotonic() < until_s:
            time.sleep(0.05)
        assert page.says(FOUND) >= 10
        assert all(address.startswith(("file:", "data:")) for address in page.asked), page.asked
        assert not page.errors
