"""Scenarios as text, without running anything: what `flowlab show` and `flowlab list` print."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Final

from lab.library import all_scenarios, theme_of
from lab.scenario.document import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from collector.check.model import Expected, ExpectedFlow, Point
    from exporters import Exporter
    from lab.scenario.expectation import Expectation
    from lab.scenario.model import Scenario
    from topologies import Topology

WIDTH: Final = 100
MOST_HOSTS: Final = 12
MOST_FLOWS: Final = 12
_INDENT: Final = "  "
_FLAGS: Final = "tcpControlBits"


# ------------------------------------------------------------------ flowlab list


def listing() -> str:
    """The library: below each theme a line for each scenario, its name and its title."""
    files = all_scenarios()
    lines = iter(_columns([(file.stem, title(file)) for file in files]))
    sections = (
        _section(theme, (line for _, line in zip(members, lines, strict=False)))
        for theme, members in groupby(files, theme_of)
    )
    return "\n\n".join("\n".join(section) for section in sections)


def title(file: Path) -> str:
    """A scenario file's title, whether or not the rest of it is right."""
    try:
        data = read(file.read_bytes(), str(file)).data
    except OSError:
        data = None
    found = data.get("title") if isinstance(data, dict) else None
    return " ".join(found.split()) if isinstance(found, str) else "(cannot be read; see lint)"


# ------------------------------------------------------------------ flowlab show


def describe(scenario: Scenario) -> str:
    """All that is known of a scenario before it runs."""
    from lab.expect import expected

    topology = scenario.build_topology()
    sections = [
        [scenario.title, "=" * len(scenario.title)],
        _wrapped(scenario.description),
        _section("Look for", looked_for(scenario.look_for)),
        _section("Network", _network(topology)),
        _section("Exporters", _exporters(scenario.exporters)),
        _section("Traffic", _traffic(scenario)),
        _section("What each exporter must report", _reports(expected(scenario))),
        _section("What the scenario expects besides", map(expectation_text, scenario.expect)),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def expected_table(scenario: Scenario) -> str:
    """What every exporter must report of every flow, whatever their number."""
    from lab.expect import expected

    return "\n".join(line.rstrip() for line in _reports(expected(scenario), most_flows=None))


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    indented = [f"{_INDENT}{line}".rstrip() for line in lines]
    return [heading, *indented] if indented else []


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def looked_for(lines: Sequence[str]) -> Iterator[str]:
    """What a scenario's author wants one to look for, item by item."""
    for line in lines:
        yield from textwrap.wrap(line, WIDTH, initial_indent="- ", subsequent_indent="  ")


def _network(topology: Topology) -> Iterator[str]:
    from topologies.picture import draw

    parameters = ", ".join(f"{name} {value}" for name, value in topology.parameters.items())
    yield f"{topology.kind}: {parameters}"
    yield ""
    yield from draw(topology).splitlines()
    yield ""
    shown = topology.hosts[:MOST_HOSTS]
    yield from _columns([(host.name, str(host.ipv4), str(host.ipv6), host.mac) for host in shown])
    if len(topology.hosts) > len(shown):
        last = topology.hosts[-1]
        yield f"… {last.name}  {last.ipv4}  {last.ipv6}  {last.mac}"


def _exporters(exporters: Sequence[Exporter]) -> list[str]:
    rows = []
    for exporter in exporters:
        settings = ((key, getattr(exporter, key)) for key in type(exporter).model_fields)
        told = ", ".join(f"{key} {_plain(value)}" for key, value in settings if value is not None)
        rows.append((exporter.name, exporter.title, told))
    return _columns(rows)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " and ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _traffic(scenario: Scenario) -> Iterator[str]:
    for number, stage in enumerate(scenario.traffic, 1):
        first = f"{number}. "
        if len(stage) > 1:
            yield f"{first}at the same time:"
            first = " " * len(first) + "- "
        for step in stage:
            yield f"{first}{step.in_words()}"


def expectation_text(expectation: Expectation) -> str:
    """One expectation in a line."""
    from collector.key import flags_text

    who = expectation.pattern.in_words
    where = "" if expectation.at is None else f" at {', '.join(expectation.at)}"
    by = "" if expectation.exporter is None else f" by {', '.join(expectation.exporter)}"
    what = ", ".join(
        f"{measure} {region if measure != _FLAGS else flags_text(int(region.low or 0))}"
        for measure, region in expectation.measures.items()
    )
    return f"{who}{where}{by}: {what or 'not seen'}"


# ------------------------------------------------------------------ the table of reports


def _reports(expected: Expected, most_flows: int | None = MOST_FLOWS) -> Iterator[str]:
    """Flow by flow: the switches that it crosses, and what each exporter there must say."""
    rows: list[Sequence[str]] = [("exporter", "at", "packets", "octets_l2", "octets_l3")]
    exporters = [list(points) for _, points in groupby(expected.points, lambda p: p.exporter)]
    headings: list[str] = []
    flows = [
        flow
        for flow in expected.flows
        if flow.path or any(_times(flow, points) for points in exporters)
    ]
    for flow in flows[:most_flows]:
        inside = f", {flow.payload_octets} octets inside" if flow.payload_octets else ""
        leaves = f", leaves as {flow.leaves_as}" if flow.leaves_as else ""
        headings.append(f"{flow.key}  at {', '.join(flow.path)}{leaves}{inside}")
        rows += [_report(flow, points) for points in exporters]
    header, *lines = _columns(rows, numbers_from=2)
    yield f"{_INDENT}{header}"
    for index, heading in enumerate(headings):
        yield heading
        for line in lines[index * len(exporters) : (index + 1) * len(exporters)]:
            yield f"{_INDENT}{line}"
    more = len(flows) - len(headings)
    if more:
        yield f"… and {more} more flows like these"
    if any(_times(flow, points) > 1 for flow in expected.flows for points in exporters):
        yield ""
        yield "at: how many switches report all of it; their records together are so many times it."
    late = dict.fromkeys(point.exporter for point in expected.points if point.after_actions)
    if late and any(flow.leaves_as for flow in flows):
        yield ""
        yield f"leaves as: {' and '.join(late)} tells it so; the others as it came."
    if any(flow.packets is None for flow in expected.flows):
        yield ""
        yield "wire: as many as cross the wire there; how many packets TCP takes is its own affair."
    if any(point.sampling > 1 for point in expected.points):
        yield ""
        yield "~: estimated from samples, within what chance allows."


def _times(flow: ExpectedFlow, points: Sequence[Point]) -> int:
    """How many of an exporter's points see a flow."""
    return sum(point.is_shown(flow) for point in points)


def _report(flow: ExpectedFlow, points: Sequence[Point]) -> tuple[str, ...]:
    times = _times(flow, points)
    point = next((point for point in points if point.is_shown(flow)), points[0])
    if not times:
        return (point.exporter, "not seen: it is at no switch that the flow crosses")
    blind = point.blind_to(flow.key)
    if blind:
        return (point.exporter, f"not seen: {blind}")
    about = "~" if point.sampling > 1 else ""
    measures = (
        ("packets", flow.packets),
        ("octets_l2", point.told(flow).octets_l2),
        ("octets_l3", flow.octets_l3),
    )
    values = (
        "-" if name not in point.measures else "wire" if value is None else f"{about}{value}"
        for name, value in measures
    )
    return (point.exporter, f"{times}x", *values)


def _columns(rows: Sequence[Sequence[str]], numbers_from: int = WIDTH) -> list[str]:
    """Rows with their cells below each other.

    Args:
        rows: the cells; a row of fewer cells than others takes all the room with its last one.
        numbers_from: the first column whose cells are set to the right.
    """
    most = max(map(len, rows), default=0)
    widths = [max(len(row[column]) for row in rows if len(row) == most) for column in range(most)]

    def cell(row: Sequence[str], column: int) -> str:
        if len(row) < most and column == len(row) - 1:
            return row[column]
        width = widths[column]
        return row[column].rjust(width) if column >= numbers_from else row[column].ljust(width)

    return ["  ".join(cell(row, column) for column in range(len(row))).rstrip() for row in rows]
