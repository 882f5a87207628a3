"""The panes of the live page in Vega-Lite: one per exporter, all on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.report.page.readings import WIRE

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
COLOURS: Final = ["#888888", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
"""The wire, then exporters: Okabe and Ito's, told apart by the colour-blind too."""
_PANES: Final = 6
_WIDTH: Final = 720
_HEIGHT: Final = 95


def colour_of(number: int) -> str:
    """The colour of an exporter, numbered from 0: never the wire's."""
    return COLOURS[1 + number % (len(COLOURS) - 1)]


def panes(exporters: Sequence[str]) -> dict[str, Any]:
    """The chart, without data: the page puts rows into ``known`` and ``came``.

    Args:
        exporters: the scenario's, by name.
    """
    shown = list(exporters)[:_PANES]
    return {
        "$schema": SCHEMA,
        "description": "Packets on the wire and those that each exporter has told, over time",
        "datasets": {"known": [], "came": []},
        "vconcat": [_pane(who, colour_of(n)) for n, who in enumerate(shown)],
        "resolve": {"scale": {"x": "shared", "y": "shared", "color": "independent"}},
        "padding": {"left": 5, "right": 15, "top": 5, "bottom": 30},
        "config": {
            "axis": {"labelFontSize": 13, "titleFontSize": 13},
            # The room is measured while there are no data yet, so no numbers that need it.
            "axisY": {"minExtent": 60},
            "title": {"fontSize": 15},
        },
    }


def _pane(who: str, colour: str) -> dict[str, Any]:
    return {
        "title": {"text": who, "anchor": "start", "frame": "group"},
        "width": _WIDTH,
        "height": _HEIGHT,
        "layer": [
            _line(WIRE, COLOURS[0], 5),
            _line(who, colour, 2),
            {
                "data": {"name": "came"},
                "transform": [{"filter": {"field": "who", "equal": who}}],
                "mark": {"type": "tick", "thickness": 1.5, "orient": "vertical"},
                "encoding": {
                    "x": _SECONDS,
                    "y": {"value": _HEIGHT - 4},
                    "color": {"value": colour},
                    "opacity": {
                        "condition": {"test": "datum.what == 'records'", "value": 1},
                        "value": 0.35,
                    },
                    "tooltip": [{"field": "s"}, {"field": "what"}],
                },
            },
        ],
    }


_SECONDS: Final = {
    "field": "s",
    "type": "quantitative",
    "title": "seconds since the first packet",
    "scale": {"nice": False, "zero": True},
}


def _line(who: str, colour: str, width: int) -> dict[str, Any]:
    return {
        "data": {"name": "known"},
        "transform": [{"filter": {"field": "who", "equal": who}}],
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "strokeWidth": width,
            "color": colour,
        },
        "encoding": {
            "x": _SECONDS,
            "y": {"field": "packets", "type": "quantitative", "title": "packets"},
        },
    }
