"""A new scenario file: a template to change, or a copy of a scenario of the library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from lab.library import find

SCHEMA: Final = Path(__file__).resolve().parent.parent / "docs" / "scenario.schema.json"
"""In a checkout; an installed flowlab has none."""

TEMPLATE: Final = """\
title: What this shows, in one line
description: >
  What happens, in a few sentences.
look_for:
  - the first thing to look for in the report
  - the second
  - the third

# the network; 'flowlab show' draws it
topology: {linear: {switches: 2}}

# what the switches export with; each may have settings: {sflow: {sampling: 10}}
exporters: [netflow, sflow, ipfix]

# what is sent, one step after the other; steps below 'parallel:' at the same time
traffic:
  - udp: {from: h1, to: h2, port: 5001, datagrams: 100, payload_octets: 200, rate_pps: 1k}
  - ping: {from: h1, to: h2, count: 3}

# what has to be observed beyond what follows from the traffic; may be left out
expect:
  - {flow: {from: h1, to: h2, protocol: udp, port: 5001}, at: s1, packets: 100}
"""


def write(file: Path, like: str | None) -> None:
    """Write a new scenario file.

    Args:
        file: where; it must not exist.
        like: the scenario to begin with, by name or path; None: the template.

    Raises:
        FileExistsError: the file is there already.
        NoSuchScenario: there is none of that name.
    """
    text = TEMPLATE if like is None else find(like).read_text(encoding="utf-8")
    with file.open("x", encoding="utf-8") as stream:
        stream.write(_modeline(file) + text)


def _modeline(file: Path) -> str:
    """Where editors find the schema; nothing if there is no schema."""
    if not SCHEMA.exists():
        return ""
    path = os.path.relpath(SCHEMA, file.resolve().parent)
    return f"# yaml-language-server: $schema={path}\n"
