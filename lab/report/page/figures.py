"""Facts of a run as charts in Vega-Lite: they are data, drawn by the page or without a browser.

Source of the language: https://vega.github.io/vega-lite/docs/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.report.page.panes import COLOURS, SCHEMA, colour_of
from lab.report.page.readings import COUNTED, WIRE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.report.page.facts import Facts
    from lab.report.page.readings import Rows

_SWITCHES: Final = 3
"""Drawn one below the other; more are not read."""
_FLOWS: Final = 12
_WIDTH: Final = 720
_OUTCOMES: Final = {
    "PASS": "#009E73",
    "FAIL": "#D55E00",
    "INVALID": "#E69F00",
    "SKIPPED": "#BBBBBB",
}

_DASHES: Final = [[1, 0], [8, 2], [2, 2], [8, 2, 2, 2], [12, 6], [4, 4], [12, 2, 2, 2, 2, 2]]
"""Lines are told apart by more than their colours; seven of these go round with six of those."""
_LEGEND: Final = {"symbolType": "stroke", "symbolSize": 900, "symbolStrokeWidth": 2}
"""A piece of the line itself."""

Chart = dict[str, Any]


def figures(facts: Facts) -> dict[str, Chart]:
    """All charts that have something to show, by name."""
    charts = {
        "who-knows-what-when": _known(facts),
        "expected-and-observed": _flows(facts),
        "verdict": _verdict(facts),
    }
    return {name: chart for name, chart in charts.items() if chart is not None}


def _known(facts: Facts) -> Chart | None:
    """What each exporter has told so far of the packets that came into a switch."""
    there = {row["switch"] for row in facts.known}
    places = dict.fromkeys(point["observation_point"] for point in facts.points)
    switches = [switch for switch in places if switch in there][:_SWITCHES]
    if not switches:
        return None
    counted = [who for who in COUNTED if any(row["who"] == who for row in facts.known)]
    colour = _colours(facts, WIRE, counted)
    dash = {
        "domain": colour["domain"],
        "range": [_DASHES[n % len(_DASHES)] for n in range(len(colour["domain"]))],
    }
    who = {"field": "who", "type": "nominal", "title": None, "legend": _LEGEND}
    line = {
        "mark": {"type": "line", "interpolate": "step-after", "point": {"size": 12}},
        "encoding": {
            "x": _quantity("s", "seconds since the traffic began"),
            "y": _quantity("packets", "packets known of"),
            "color": {**who, "scale": colour},
            "strokeDash": {**who, "scale": dash},
            "tooltip": [{"field": name} for name in ("who", "s", "packets")],
        },
    }
    over = {
        "data": {"values": [{"s": round(facts.ended_s, 4), "what": "the traffic is over"}]},
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": "#888888"},
        "encoding": {"x": _quantity("s", ""), "tooltip": [{"field": "what"}]},
    }
    return {
        "$schema": SCHEMA,
        "description": "Packets on the wire and those that each exporter has told, over time",
        "vconcat": [
            {
                "title": switch,
                "width": _WIDTH,
                "height": 200,
                "data": {"values": [row for row in facts.known if row["switch"] == switch]},
                "layer": [line, over],
            }
            for switch in switches
        ],
    }


def _flows(facts: Facts) -> Chart | None:
    """The packets of the largest flows: expected, and observed by each exporter."""
    rows = [
        check | {"about": _about(check["flow"])}
        for check in facts.verdict["checks"]
        if check["measure"] == "packets" and check["flow"] and _number(check["observed"])
    ]
    switches = list(dict.fromkeys(row["observation_point"] for row in rows))[:_SWITCHES]
    largest = sorted(rows, key=lambda row: row["observed"], reverse=True)
    flows = list(dict.fromkeys(row["about"] for row in largest))[:_FLOWS]
    values: Rows = []
    for row in rows:
        if row["about"] in flows and row["observation_point"] in switches:
            place = {"flow": row["about"], "switch": row["observation_point"]}
            values.append({**place, "who": row["exporter"], "packets": row["observed"]})
            wanted = row["expected"]
            if _number(wanted):
                values.append({**place, "who": "expected", "packets": wanted})
    if not values:
        return None
    colour = _colours(facts, "expected")
    unique = [dict(pairs) for pairs in dict.fromkeys(tuple(row.items()) for row in values)]
    return {
        "$schema": SCHEMA,
        "description": "Packets of the largest flows, expected and observed",
        "data": {"values": unique},
        "facet": {"row": {"field": "switch", "title": None}},
        "spec": {
            "width": _WIDTH - 160,
            "height": {"step": 9},
            "mark": {"type": "bar"},
            "encoding": {
                "y": {"field": "flow", "type": "nominal", "title": None, "sort": flows},
                "yOffset": {"field": "who", "sort": colour["domain"]},
                "x": _quantity("packets", "packets"),
                "color": {"field": "who", "type": "nominal", "title": None, "scale": colour},
                "tooltip": [{"field": name} for name in ("flow", "who", "packets")],
            },
        },
        "resolve": {"scale": {"y": "independent"}},
    }


def _verdict(facts: Facts) -> Chart | None:
    """How many comparisons came out how, by exporter and measure."""
    checks = facts.verdict["checks"]
    if not checks:
        return None
    values = [{key: one[key] for key in ("exporter", "measure", "verdict")} for one in checks]
    colour = {"domain": list(_OUTCOMES), "range": list(_OUTCOMES.values())}
    return {
        "$schema": SCHEMA,
        "description": "Comparisons by exporter, measure and outcome",
        "width": _WIDTH - 160,
        "height": {"step": 18},
        "data": {"values": _counted(values)},
        "mark": "bar",
        "encoding": {
            "y": {"field": "measure", "type": "nominal", "title": None},
            "x": {"field": "count", "type": "quantitative", "title": "comparisons", "stack": True},
            "color": {"field": "verdict", "type": "nominal", "title": None, "scale": colour},
            "row": {"field": "exporter", "title": None},
            "tooltip": [{"field": name} for name in ("exporter", "measure", "verdict", "count")],
        },
    }


def _colours(facts: Facts, truth: str, others: Sequence[str] = ()) -> dict[str, list[str]]:
    """Grey for the truth, and for each exporter the same colour in all figures."""
    who = [truth, *dict.fromkeys(point["exporter"] for point in facts.points), *others]
    return {"domain": who, "range": [COLOURS[0], *map(colour_of, range(len(who) - 1))]}


def _counted(rows: Rows) -> Rows:
    counts: dict[tuple[tuple[str, Any], ...], int] = {}
    for row in rows:
        key = tuple(row.items())
        counts[key] = counts.get(key, 0) + 1
    return [{**dict(key), "count": count} for key, count in counts.items()]


def _about(flow: Mapping[str, Any]) -> str:
    """A flow in a line."""
    ends = [
        next((str(value) for name, value in flow.items() if name.startswith(end)), "?")
        for end in ("source", "destination")
    ]
    port = flow.get("destinationTransportPort")
    protocol = flow.get("protocolIdentifier", flow.get("ethernetType", ""))
    return f"{ends[0]} → {ends[1]} ({protocol}{'' if port is None else f', {port}'})"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _quantity(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title}
