"""The network as Graphviz reads it, and as it draws it."""

from __future__ import annotations

import subprocess
from xml.etree import ElementTree as ET

import pytest

from tests.support import need
from topologies import SHAPES
from topologies.dot import dot


def build(shape, **parameters):
    return SHAPES[shape].build(SHAPES[shape].parameters(**parameters))


def test_ports_are_at_the_ends_of_lines_and_what_is_blocked_is_dashed():
    lines = dot(build("ring", switches=3, bandwidth_mbps=10)).splitlines()
    assert '  "h1" -- "s1" [id="link-0", headlabel="1"]' in lines
    assert '  "s1" -- "s2" [id="link-3", taillabel="2", headlabel="2", label="10 Mbit/s"]' in lines
    assert sum('style="dashed"' in line for line in lines) == 1


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "custom"])
def test_graphviz_draws_every_shape_with_all_of_its_nodes(shape):
    topology = build(shape)
    drawn = subprocess.run(
        (need("dot"), "-Tsvg"), input=dot(topology).encode(), capture_output=True, check=True
    ).stdout
    said = " ".join(ET.fromstring(drawn).itertext()).split()
    assert {node.name for node in (*topology.hosts, *topology.switches)} <= set(said)
