"""The catalogue of the library's scenarios, from the files themselves: theme by theme."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from lab.library import SCENARIOS, all_scenarios, theme_of
from lab.scenario.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.scenario.model import Scenario

CATALOGUE_FILE: Final = "scenarios/README.md"

_INTRODUCTION: Final = """\
# Scenarios

Each shows one thing, and says what to look for in its report. `./flowlab show NAME` explains one
without running it, `./flowlab run NAME` runs it. This page is made from the files; how they are
written is in [docs/scenarios.md](../docs/scenarios.md).
"""


def text() -> str:
    """The content of `CATALOGUE_FILE`."""
    files = [file.resolve() for file in all_scenarios()]
    sections = [
        "\n".join([f"## {theme}\n", *(_entry(theme, load(file)) for file in members)])
        for theme, members in groupby(files, theme_of)
    ]
    return "\n".join([_INTRODUCTION, f"{len(files)} scenarios.\n", *sections])


def _entry(theme: str, scenario: Scenario) -> str:
    file = SCENARIOS / theme / f"{scenario.name}.yaml"
    lines = "".join(f"  - {line}\n" for line in scenario.look_for)
    with_ = ", ".join(dict.fromkeys(_parts(scenario)))
    return f"- [{scenario.name}]({theme}/{file.name}): **{scenario.title}** ({with_})\n{lines}"


def _parts(scenario: Scenario) -> Iterator[str]:
    """What a scenario is made of: topology, exporters, traffic."""
    yield scenario.build_topology().kind
    yield from (exporter.name for exporter in scenario.exporters)
    yield from (step.kind for stage in scenario.traffic for step in stage)
