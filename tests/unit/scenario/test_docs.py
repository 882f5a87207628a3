"""docs/scenarios.md: every example in it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.scenario.load import inspect_octets

TEXT = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
RIGHT = {
    "title": "title: A test",
    "topology": "topology: {linear: {switches: 2}}",
    "exporters": "exporters: [netflow, sflow, ipfix]",
    "traffic": "traffic:\n  - udp: {from: h1, to: h2}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page's network has a file of its own."""
    (network,) = re.findall(r"^```yaml network\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    file = tmp_path_factory.mktemp("scenarios") / network.splitlines()[0].removeprefix("# ")
    file.parent.mkdir()
    file.write_text(network, encoding="utf-8")
    return file.parent.parent


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works(example, folder):
    sections = {line.split(":")[0] for line in example.splitlines() if re.match(r"\w+:", line)}
    rest = [text for name, text in RIGHT.items() if name not in sections]
    inspection = inspect_octets("\n".join([example, *rest]).encode(), "example.yaml", folder)
    assert inspection.faults == ()
    assert inspection.warnings == ()


def test_the_faults_are_those_that_are_told():
    (faulty,) = re.findall(r"^```yaml faulty\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (told,) = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    faults = inspect_octets(faulty.encode(), "my.yaml").faults
    assert "".join(f"{fault}\n" for fault in faults) == told


def test_every_link_inside_the_page_leads_somewhere():
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}
    assert set(re.findall(r"\(#([\w-]+)\)", TEXT)) <= anchors
