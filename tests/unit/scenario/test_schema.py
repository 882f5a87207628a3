"""The published schema, as an editor uses it: it accepts every scenario and shows what is wrong."""

from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from lab.generated import CHECKOUT
from lab.library import all_scenarios
from lab.scenario.words import unlike

SCHEMA = json.loads((CHECKOUT / "docs" / "scenario.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
RIGHT = {
    "title": "x",
    "topology": {"linear": {"switches": 2}},
    "exporters": ["netflow"],
    "traffic": [{"ping": {"from": "h1", "to": "h2"}}],
}


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", all_scenarios(), ids=lambda path: path.stem)
def test_every_scenario_is_as_the_schema_says(path):
    found = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
    assert found == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"titel": "x"},
        {"title": 1},
        {"topology": {"linea": {}}},
        {"topology": {"linear": {"switches": 0}}},
        {"exporters": ["sflo"]},
        {"exporters": {"sflow": {"samplin": 10}}},
        {"traffic": [{"ping": {"from": "h1"}}]},
        {"traffic": [{"udp": {"from": "h1", "to": "h2", "rate_pps": -1}}]},
        {"fault": {"drop": {"percent": 101}}},
    ],
    ids=json.dumps,
)
def test_it_shows_what_is_wrong(wrong):
    assert VALIDATOR.is_valid(RIGHT)
    assert VALIDATOR.is_valid(RIGHT | {"topology": {"file": "network.yaml"}})
    assert not VALIDATOR.is_valid(RIGHT | wrong)


def patterns_of(schema):
    if isinstance(schema, list):
        return {pattern for one in schema for pattern in patterns_of(one)}
    if not isinstance(schema, dict):
        return set()
    own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
    return own | patterns_of(list(schema.values()))


def test_every_pattern_is_said_in_words():
    patterns = patterns_of(SCHEMA)
    assert patterns
    for pattern in patterns:
        error = {"type": "string_pattern_mismatch", "ctx": {"pattern": pattern}}
        assert pattern not in unlike(error, "?")
