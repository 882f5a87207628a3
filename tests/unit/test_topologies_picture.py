"""Topologies drawn in text."""

from __future__ import annotations

import pytest

from topologies import SHAPES, Topology
from topologies.model import wire
from topologies.picture import WIDTH, draw


def build(shape: str, **parameters: int) -> Topology:
    return SHAPES[shape].build(SHAPES[shape].parameters(**parameters))


PICTURES = [
    (
        build("single", hosts=3),
        """\
  h1  h2  h3
  │   │   │
┌─1───2───3──┐
│     s1     │
└────────────┘""",
    ),
    (
        build("linear", switches=2),
        """\
    h1           h2
    │            │
┌───1────┐   ┌───1────┐
│   s1  2├───┤2   s2  │
└────────┘   └────────┘""",
    ),
    (
        build("linear", switches=3, hosts_per_switch=2),
        """\
  h1  h2       h3  h4       h5  h6
  │   │        │   │        │   │
┌─1───2──┐   ┌─1───2──┐   ┌─1───2──┐
│   s1  3├───┤3  s2  4├───┤3   s3  │
└────────┘   └────────┘   └────────┘""",
    ),
    (
        build("linear", switches=2, hosts_per_switch=30),
        """\
  h1…h30       h31…h60
    │             │
┌──1…30──┐   ┌───1…30──┐
│  s1  31├───┤31   s2  │
└────────┘   └─────────┘""",
    ),
    (
        build("tree", depth=2, fanout=2),
        """\
s1
├─1───3─ s2
│        ├─1─── h1
│        └─2─── h2
└─2───3─ s3
         ├─1─── h3
         └─2─── h4""",
    ),
    (
        build("tree", depth=2, fanout=9),
        "\n".join(
            [
                "s1",
                *(
                    line
                    for n in range(1, 9)
                    for line in (
                        f"├─{n}───10─ s{n + 1}",
                        f"│         └─1…9─── h{9 * n - 8}…h{9 * n}",
                    )
                ),
                "└─9───10─ s10",
                "          └─1…9─── h73…h81",
            ]
        ),
    ),
    (
        wire(
            "ring",
            {},
            hosts=1,
            switches=3,
            links=[("h1", "s1"), ("s1", "s2"), ("s2", "s3"), ("s3", "s1")],
        ),
        """\
s1
├─1─── h1
├─2───1─ s2
└─3───2─ s3
s2:2 ── 1:s3""",
    ),
]


@pytest.mark.parametrize(
    ("topology", "picture"), PICTURES, ids=lambda value: getattr(value, "kind", "")
)
def test_pictures(topology, picture):
    assert draw(topology) == picture


def test_a_long_row_goes_on_in_the_next_line():
    picture = draw(build("linear", switches=20))
    assert max(map(len, picture.splitlines())) <= WIDTH
    assert picture.count("\n\n") == 2
    for number in range(1, 21):
        assert f" s{number} " in picture


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "custom"])
def test_no_line_ends_in_blanks(shape):
    for line in draw(build(shape)).splitlines():
        assert line == line.rstrip()
