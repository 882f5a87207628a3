"""A topology drawn in text: a row of boxes where it is a row, a tree of lines otherwise.

The numbers at the ends of lines are OpenFlow port numbers, as exporters report them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from topologies.model import Port, Topology

WIDTH = 100
MOST_HOSTS_IN_LINE = 8
"""A switch with more hosts than this has them drawn together, ``h1…h64``."""


def draw(topology: Topology) -> str:
    """The drawing, without a newline at its end."""
    return _draw_row(topology) or _draw_tree(topology)


# ------------------------------------------------------------------ a row


@dataclass(frozen=True)
class _Box:
    """One switch of a row.

    Attributes:
        name: the switch.
        hosts: what is on top of it: the hosts' names and the ports where they are.
        left: its port towards the switch before it.
        right: its port towards the switch after it.
    """

    name: str
    hosts: tuple[tuple[str, str], ...]
    left: str
    right: str

    @property
    def cell(self) -> int:
        """Columns for each host."""
        return max((len(text) for pair in self.hosts for text in pair), default=0) + 2

    @property
    def inside(self) -> int:
        """Columns between the box's sides."""
        hosts = self.cell * len(self.hosts)
        name = len(self.name) + len(self.left) + len(self.right) + 4
        return hosts if hosts >= name else name + (name - hosts) % 2

    def lines(self) -> tuple[str, ...]:
        """The box with its hosts, all lines of the same length."""
        names, ports = zip(*self.hosts, strict=True) if self.hosts else ((), ())
        middle = self.name.center(self.inside - len(self.left) - len(self.right))
        left, right = "┤" if self.left else "│", "├" if self.right else "│"
        return (
            f" {self._above(names)} ",
            f" {self._above(['│'] * len(names))} ",
            f"┌{self._above(ports, '─')}┐",
            f"{left}{self.left}{middle}{self.right}{right}",
            f"└{'─' * self.inside}┘",
        )

    def _above(self, texts: Sequence[str], fill: str = " ") -> str:
        """``texts``, one in each host's column."""
        return "".join(text.center(self.cell, fill) for text in texts).center(self.inside, fill)


def _draw_row(topology: Topology) -> str | None:
    """The switches side by side in as many lines as it takes; None if they are no row."""
    order = _row(topology)
    boxes = [_box(topology, order, index) for index in range(len(order))]
    if not boxes or max(box.inside for box in boxes) + len(_GAPS[1]) * 2 > WIDTH:
        return None
    rows: list[list[_Box]] = [[]]
    for box in boxes:
        width = sum(b.inside + 2 + len(_GAPS[0]) for b in (*rows[-1], box)) + len(_GAPS[0])
        if rows[-1] and width > WIDTH:
            rows.append([])
        rows[-1].append(box)
    return "\n\n".join(_draw_boxes(row) for row in rows)


_GAPS = ("   ", "   ", "   ", "───", "   ")
"""What is between two boxes, line by line."""


def _draw_boxes(boxes: Sequence[_Box]) -> str:
    lines = (
        gap.join(parts).rstrip()
        for gap, parts in zip(_GAPS, zip(*(box.lines() for box in boxes), strict=True), strict=True)
    )
    return "\n".join(lines)


def _row(topology: Topology) -> tuple[str, ...]:
    """The switches in order if they are a row that begins with the first; or nothing."""
    names = [switch.name for switch in topology.switches]
    order = names[:1]
    while further := [name for name in _beside(topology, order[-1]) if name not in order[-2:]]:
        if len(further) > 1 or further[0] in order:
            return ()
        order += further
    return tuple(order) if len(order) == len(names) else ()


def _beside(topology: Topology, switch: str) -> list[str]:
    """The switches that are joined to ``switch``."""
    hosts = {host.name for host in topology.hosts}
    far = (topology.peer(port).node for port in topology.ports(switch))
    return [node for node in far if node not in hosts]


def _box(topology: Topology, order: Sequence[str], index: int) -> _Box:
    ports = topology.ports(order[index])
    towards = {topology.peer(port).node: str(port.number) for port in ports}
    hosts = [port for port in ports if topology.peer(port).node not in order]
    return _Box(
        order[index],
        tuple(
            (_span([topology.peer(port).node for port in run]), _span([p.number for p in run]))
            for run in _runs(hosts)
        ),
        towards[order[index - 1]] if index else "",
        towards[order[index + 1]] if index + 1 < len(order) else "",
    )


def _runs(hosts: Sequence[Port]) -> list[Sequence[Port]]:
    """Ports with hosts one by one; or, if they are many, together."""
    return [hosts] if len(hosts) > MOST_HOSTS_IN_LINE else [(port,) for port in hosts]


def _span(items: Sequence[str] | Sequence[int]) -> str:
    return str(items[0]) if len(items) == 1 else f"{items[0]}…{items[-1]}"


# ------------------------------------------------------------------ a tree


def _draw_tree(topology: Topology) -> str:
    """Lines downwards from the first switch; links that close a ring are named below."""
    first = topology.switches[0].name
    below = _spanning_tree(topology, first)
    lines = [first, *_branches(topology, below, first, "")]
    drawn = {frozenset((port, topology.peer(port))) for ports in below.values() for port in ports}
    lines += [
        f"{link.a.node}:{link.a.number} ── {link.b.number}:{link.b.node}"
        for link in topology.links
        if frozenset((link.a, link.b)) not in drawn
    ]
    return "\n".join(lines)


def _spanning_tree(topology: Topology, first: str) -> Mapping[str, Sequence[Port]]:
    """For each node the ports that lead to nodes below it, nearest the first node first."""
    below: dict[str, list[Port]] = {first: []}
    frontier = [first]
    for node in frontier:
        for port in topology.ports(node):
            far = topology.peer(port).node
            if far not in below:
                below[node].append(port)
                below[far] = []
                frontier.append(far)
    return below


def _branches(
    topology: Topology, below: Mapping[str, Sequence[Port]], node: str, indent: str
) -> list[str]:
    hosts = {host.name for host in topology.hosts}
    runs: list[Sequence[Port]] = []
    for is_host, group in groupby(below[node], key=lambda port: topology.peer(port).node in hosts):
        members = tuple(group)
        runs += _runs(members) if is_host else [(port,) for port in members]
    lines: list[str] = []
    for index, run in enumerate(runs):
        last = index == len(runs) - 1
        far = [topology.peer(port) for port in run]
        here = _span([port.number for port in run])
        there = "" if far[0].node in hosts else f"─{far[0].number}"
        name = _span([port.node for port in far])
        lines.append(f"{indent}{'└' if last else '├'}─{here}──{there}─ {name}")
        if len(run) == 1:
            deeper = indent + ("  " if last else "│ ") + " " * (len(here) + len(there) + 4)
            lines += _branches(topology, below, far[0].node, deeper)
    return lines
