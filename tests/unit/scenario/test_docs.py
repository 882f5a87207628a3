"""docs/scenarios.md: every example in it works, and every key is in it, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from exporters import EXPORTERS
from lab.scenario.keys import keys_of
from lab.scenario.load import inspect_octets
from lab.scenario.model import Expectation, FlowPattern, Scenario, Tolerances
from lab.traffic import KINDS
from topologies import SHAPES

TEXT = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
RIGHT = {
    "title": "title: A test",
    "topology": "topology: {linear: {switches: 2}}",
    "exporters": "exporters: [netflow, sflow, ipfix]",
    "traffic": "traffic:\n  - udp: {from: h1, to: h2}",
}
MODELS: dict[str, Any] = {
    "The file": Scenario,
    "expect": Expectation,
    "flow": FlowPattern,
    "tolerances": Tolerances,
    **{name: shape.parameters for name, shape in SHAPES.items()},
    **EXPORTERS,
    **KINDS,
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works(example):
    sections = {line.split(":")[0] for line in example.splitlines() if re.match(r"\w+:", line)}
    rest = [text for name, text in RIGHT.items() if name not in sections]
    inspection = inspect_octets("\n".join([example, *rest]).encode(), "example.yaml")
    assert inspection.faults == ()
    assert inspection.warnings == ()


def table_below(heading: str) -> dict[str, tuple[str, str]]:
    """Key → what it is if left out, and its meaning, of the first table below a heading."""
    section = re.split(rf"^##+ {re.escape(heading)}$", TEXT, flags=re.MULTILINE)[1]
    rows: dict[str, tuple[str, str]] = {}
    for line in section.splitlines():
        if line.startswith("#") and rows:
            break
        cells = re.match(r"\| `(\w+)` \| (.*?) ?\| (.+) \|$", line)
        if cells:
            rows[cells[1]] = (cells[2], cells[3])
    return rows


@pytest.mark.parametrize("heading", MODELS)
def test_every_key_is_there_with_its_default(heading):
    rows, keys = table_below(heading), keys_of(MODELS[heading])
    assert set(rows) == set(keys)
    for key, field in keys.items():
        told = rows[key][0]
        needed = field.default is PydanticUndefined and key != "name"
        assert (told == "is needed") == needed, key
        if isinstance(field.default, int | bool):
            assert told == str(field.default).lower(), key


def test_the_faults_are_those_that_are_told():
    (faulty,) = re.findall(r"^```yaml faulty\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (told,) = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    faults = inspect_octets(faulty.encode(), "my.yaml").faults
    assert "".join(f"{fault}\n" for fault in faults) == told


def test_every_link_inside_the_page_leads_somewhere():
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}
    assert set(re.findall(r"\(#([\w-]+)\)", TEXT)) <= anchors
