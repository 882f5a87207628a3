"""A new scenario file: a template to change, with your network, or a copy of the library's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from lab.library import find
from topologies import SHAPES

if TYPE_CHECKING:
    from topologies import Topology

SCHEMA: Final = Path(__file__).resolve().parent.parent / "docs" / "scenario.schema.json"
"""In a checkout; an installed flowlab has none."""

_TEMPLATE: Final = Template("""\
title: What this shows, in one line
description: >
  What happens, in a few sentences.
look_for:
  - the first thing to look for in the report
  - the second
  - the third

# the network; 'flowlab show' draws it
$topology

# what the switches export with; each may have settings: {sflow: {sampling: 10}}
exporters: [netflow, sflow, ipfix]

# what is sent, one step after the other; steps below 'parallel:' at the same time
traffic:
  - udp: {from: $one, to: $other, port: 5001, datagrams: 100, payload_octets: 200, rate_pps: 1k}
  - ping: {from: $one, to: $other, count: 3}

# what has to be observed beyond what follows from the traffic; may be left out
expect:
  - {flow: {from: $one, to: $other, protocol: udp, port: 5001}, at: $switch, packets: 100}
""")


_LINES_WIDE: Final = 96


class NoSuchTopo(ValueError):
    """There is no such Mininet topology, or flowlab cannot build it; the text says why."""


def write(file: Path, like: str | None) -> None:
    """Write a new scenario file.

    Args:
        file: where; it must not exist.
        like: the scenario to begin with, by name or path; None: the template.

    Raises:
        FileExistsError: the file is there already.
        NoSuchScenario: there is none of that name.
    """
    _write(file, template() if like is None else find(like).read_text(encoding="utf-8"))


def template() -> str:
    """What a new file says: two hosts, each at a switch of its own."""
    names = {"one": "h1", "other": "h2", "switch": "s1"}
    return _TEMPLATE.substitute(topology="topology: {linear: {switches: 2}}", **names)


def write_with_topo(file: Path, topo: str, custom: Path | None) -> list[str]:
    """Write a new scenario file for a topology of Mininet's, or of somebody's Python file.

    Args:
        file: where; it must not exist.
        topo: ``NAME[,ARGUMENT…]``, as for ``mn --topo``.
        custom: the Python file that has it, as for ``mn --custom``; it is executed.

    Returns:
        What of the topology is left out, in words.

    Raises:
        FileExistsError: the file is there already.
        NoSuchTopo: there is none of that name, or it is more than flowlab can build.
    """
    words = [sys.executable, "-m", "lab.run.mininet_topo", topo]
    words += [] if custom is None else [str(custom)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "it ended").splitlines()[-1]
        raise NoSuchTopo(f"{custom or topo}: {reason}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise NoSuchTopo(answer["error"])
    left_out: list[str] = answer.pop("left_out")
    parameters = {name: value for name, value in answer.items() if value or name != "qualities"}
    network = _network(parameters)
    one, other = network.hosts[0].name, network.hosts[-1].name
    text = yaml.safe_dump(
        {"topology": {"custom": parameters}},
        default_flow_style=None,
        sort_keys=False,
        width=_LINES_WIDE,
    )
    switch = network.peer(network.attachment(one)).node
    names = {"topology": text.rstrip(), "one": one, "other": other, "switch": switch}
    _write(file, _TEMPLATE.substitute(names))
    return left_out


def _network(parameters: dict[str, Any]) -> Topology:
    """The topology of these parameters.

    Raises:
        NoSuchTopo: there cannot be one.
    """
    shape = SHAPES["custom"]
    try:
        return shape.build(shape.parameters.model_validate(parameters))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        found = f" ({first['input']!r})" if place else ""
        raise NoSuchTopo(f"{place}{found}: {reason}" if place else reason) from None


def _write(file: Path, text: str) -> None:
    with file.open("x", encoding="utf-8") as stream:
        stream.write(_modeline(file) + text)


def _modeline(file: Path) -> str:
    """Where editors find the schema; nothing if there is no schema."""
    if not SCHEMA.exists():
        return ""
    path = os.path.relpath(SCHEMA, file.resolve().parent)
    return f"# yaml-language-server: $schema={path}\n"
