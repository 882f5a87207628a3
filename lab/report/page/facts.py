"""A run that is over, as plain values: what its page has in it, and what its figures show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.report.page.follow import Following

if TYPE_CHECKING:
    from pathlib import Path

    from lab.report.page.readings import Rows


@dataclass(frozen=True)
class Facts:
    """A run.

    Attributes:
        about: what does not change: its name, title, network; see `follow.Following.about`.
        state: what the page shows in the end, of the first switch; see `follow.Following.seen`.
        datagrams: by number, field by field: the first ones of each sender.
        verdict: what ``verdict.json`` says.
        points: exporters and where they observe, from ``expected.json``.
        known: rows of (switch, who, s, packets): what was known of the packets that came into a
            switch, so many seconds after the first one.
        ended_s: when the traffic was over.
    """

    about: dict[str, Any]
    state: dict[str, Any]
    datagrams: dict[int, dict[str, Any]]
    verdict: dict[str, Any]
    points: Rows
    known: Rows
    ended_s: float

    @property
    def name(self) -> str:
        """Of the run."""
        return str(self.about["run"])


def read(folder: Path) -> Facts:
    """Read a run that has been judged.

    Raises:
        NotARun: the folder is none, or has no verdict yet.
    """
    run = Following.whole(folder)
    shown = run.seen(run.switches[0], first=True)
    explained = {one["number"]: run.datagram(one["number"]) for one in shown["datagrams"]}
    return Facts(
        about=run.about(),
        state=shown,
        datagrams={number: one for number, one in explained.items() if one is not None},
        verdict=json.loads((folder / "verdict.json").read_bytes()),
        points=run.points,
        known=run.known(),
        ended_s=shown["ended_s"] or shown["s"],
    )
