"""The library of scenarios: what a name means, and that what is in it is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.library import SCENARIOS, THEMES, NoSuchScenario, all_scenarios, find
from lab.scenario.load import inspect, load

ONE_PING = SCENARIOS / "basics" / "one-ping.yaml"
NAMES = [file.stem for file in all_scenarios()]


def test_the_ten_are_there():
    ten = {
        "active-timeout",
        "ipv6",
        "one-packet-flows",
        "one-ping",
        "one-udp-stream",
        "parallel-flows",
        "tcp-both-ways",
        "three-exporters",
        "tree-of-four",
        "two-switches-one-flow",
    }
    assert not ten - set(NAMES)


def test_the_library_has_many():
    assert len(NAMES) >= 40


def test_every_scenario_is_in_the_folder_of_a_theme_and_has_a_name_of_its_own():
    places = [file.resolve().relative_to(SCENARIOS).parts[:-1] for file in all_scenarios()]
    assert set(places) <= {(theme,) for theme in THEMES}
    assert sorted(places, key=lambda place: THEMES.index(place[0])) == places
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_of_the_library_is_right_and_says_what_to_look_for(name):
    inspection = inspect(find(name))
    assert inspection.faults == ()
    assert inspection.warnings == ()
    scenario = inspection.scenario
    assert scenario is not None
    assert scenario.name == name, "the file's name is the scenario's"
    assert scenario.description
    assert len(scenario.look_for) == 3
    assert max(map(len, scenario.look_for)) <= 100


def test_a_name_means_a_file_of_the_library():
    assert find("one-ping").resolve() == ONE_PING
    assert find("basics/one-ping").resolve() == ONE_PING


def test_paths_are_short_where_that_is_possible(monkeypatch, tmp_path):
    monkeypatch.chdir(SCENARIOS.parent)
    assert find("one-ping") == Path("scenarios/basics/one-ping.yaml")
    monkeypatch.chdir(tmp_path)
    assert find("one-ping") == ONE_PING


def test_a_path_means_that_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text("x: 1\n", encoding="utf-8")
    Path("one-ping").write_text("x: 1\n", encoding="utf-8")
    assert find("my.yaml") == Path("my.yaml")
    assert find(str(tmp_path / "my.yaml")) == tmp_path / "my.yaml"
    assert find("./one-ping") == Path("one-ping")
    assert find("one-ping") == ONE_PING


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one-pong", "there is no scenario 'one-pong'; did you mean 'one-ping'?"),
        ("one_ping", "there is no scenario 'one_ping'; did you mean 'one-ping'?"),
        ("ONE-PING", "there is no scenario 'ONE-PING'; did you mean 'one-ping'?"),
        ("basics/one-pong", "there is no scenario 'basics/one-pong'; did you mean 'one-ping'?"),
        ("faults/one-ping", "there is no scenario 'faults/one-ping'; did you mean 'one-ping'?"),
        ("xyz", "there is no scenario 'xyz'; 'flowlab list' shows all there are"),
        ("", "there is no scenario ''; 'flowlab list' shows all there are"),
        ("a/ipv5.yaml", "there is no file 'a/ipv5.yaml'; did you mean 'ipv6'?"),
        ("x\0y", "there is no scenario 'x\\x00y'; 'flowlab list' shows all there are"),
    ],
)
def test_a_name_that_means_nothing(name, message):
    with pytest.raises(NoSuchScenario) as caught:
        find(name)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", NAMES)
def test_traffic_is_short(name):
    """Ten scenarios that each take seconds are run; ten that take a minute are not."""
    total_s = 0.0
    for stage in load(find(name)).traffic:
        lasts_s = [
            step.flows * step.datagrams / step.rate_pps if step.kind == "udp" else 0.0
            for step in stage
        ]
        total_s += max(lasts_s)
    assert total_s <= 3.5
