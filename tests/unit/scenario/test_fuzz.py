"""Whatever a file holds, the answer is a scenario or faults in words; never a traceback."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.scenario.load import Inspection, inspect_octets
from lab.scenario.model import Scenario

RIGHT: dict[str, Any] = {
    "name": "right",
    "title": "A scenario that is right",
    "topology": {"linear": {"switches": 2, "hosts_per_switch": 2}},
    "exporters": ["netflow", {"sflow": {"sampling": 1}}, {"ipfix": {"cache_max_flows": 100}}],
    "traffic": [
        {"udp": {"from": "h1", "to": "h3", "flows": 2, "rate_pps": "1k"}},
        {"parallel": [{"ping": {"from": "h1", "to": "h2"}}, {"tcp": {"from": "h2", "to": "h4"}}]},
    ],
    "expect": [
        {
            "flow": {"from": "h1", "to": "h3", "protocol": "udp", "port": 5001},
            "at": ["s1", "s2"],
            "exporter": "netflow",
            "packets": {"at_least": 1},
        },
        {"flow": {"from": "h2", "to": "h4", "protocol": "tcp"}, "octets_l2": 5},
    ],
    "tolerances": {"packets": "1%"},
}

WORDS = [*RIGHT, "udp", "parallel", "linear", "from", "h1", "s1", "flow", "at_least", "1%", "SYN|"]
ODD_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(WORDS),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=6), below, max_size=3)
    ),
    max_leaves=8,
)


def places_in(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, below in items:
        found.append((*path, key))
        if isinstance(below, dict | list):
            found += places_in(below, (*path, key))
    return found


PLACES = places_in(RIGHT)


def judged(octets: bytes) -> Inspection:
    inspection = inspect_octets(octets, "x.yaml")
    assert (inspection.scenario is None) == bool(inspection.faults)
    lines = octets.decode("utf-8", "replace").splitlines()  # and what may follow the last one
    for fault in inspection.faults:
        assert 0 <= fault.line <= len(lines) + 1
        assert fault.message
        assert str(fault).isprintable(), "one line, nothing that a terminal would obey"
        str(fault).encode("utf-8")
    if inspection.scenario is not None:
        again = Scenario.model_validate_json(inspection.scenario.model_dump_json())
        assert again == inspection.scenario
        inspection.scenario.build_topology()
    return inspection


def test_the_right_one_is_right():
    assert judged(json.dumps(RIGHT).encode()).faults == ()


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300))
def test_any_octets(octets):
    judged(octets)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=300))
def test_any_text(text):
    judged(text.encode("utf-8", "replace"))


@settings(deadline=None)  # the machine may be busy
@given(ODD_VALUES)
def test_any_data(data):
    judged(json.dumps(data).encode())


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.sampled_from(list(RIGHT)), ODD_VALUES, min_size=3))
def test_right_keys_with_any_data(data):
    judged(json.dumps(RIGHT | data).encode())


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD_VALUES), min_size=1, max_size=3))
def test_a_scenario_with_some_values_replaced(replacements):
    data = copy.deepcopy(RIGHT)
    for path, value in replacements:
        around: Any = data
        for part in path[:-1]:
            if not isinstance(around, dict | list):
                break
            if isinstance(around, dict) != isinstance(part, str):
                break
            if isinstance(around, dict) and part not in around:
                break
            if isinstance(around, list) and part >= len(around):
                break
            around = around[part]
        else:
            if isinstance(around, dict):
                around[path[-1]] = value
            elif isinstance(around, list):
                around.append(value)
    judged(json.dumps(data).encode())


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(PLACES), st.text(min_size=1, max_size=10))
def test_a_scenario_with_a_key_renamed(path, name):
    data = copy.deepcopy(RIGHT)
    around: Any = data
    for part in path[:-1]:
        around = around[part]
    if isinstance(around, dict):
        around[name] = around.pop(path[-1])
    judged(json.dumps(data).encode())


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_a_file_with_characters_replaced(data):
    text = json.dumps(RIGHT, indent=1)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = (
            text[:at] + data.draw(st.sampled_from([*"{}[]:,'\"&*!#\n\t -x0", ""])) + text[at + 1 :]
        )
    judged(text.encode())
