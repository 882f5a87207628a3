"""A Mininet ``Topo`` as plain data: `python -m lab.run.mininet_topo TOPO [FILE]`.

The file is somebody's program. It is executed here, in a process of its own, once and when its
owner asks; scenario files only hold what came out.

Answers one JSON object on standard output: ``{"hosts": […], "switches": […], "links": […],
"qualities": […], "left_out": […]}``, as the shape ``custom`` takes them, in the order that gives
ports their numbers; or ``{"error": "…"}``.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections import Counter
from contextlib import redirect_stdout, suppress
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from mininet.topo import LinearTopo, MinimalTopo, SingleSwitchReversedTopo, SingleSwitchTopo, Topo
from mininet.topolib import TorusTopo, TreeTopo
from mininet.util import natural, splitArgs

if TYPE_CHECKING:
    from collections.abc import Callable

_OF_MININET: Final = {
    "minimal": MinimalTopo,
    "linear": LinearTopo,
    "reversed": SingleSwitchReversedTopo,
    "single": SingleSwitchTopo,
    "tree": TreeTopo,
    "torus": TorusTopo,
}
"""The names of ``mn --topo``."""
_ENDS: Final = frozenset({"node1", "node2", "port1", "port2"})
_TOLD: Final = {"bw": "bandwidth_mbps", "delay": "delay_ms", "loss": "loss_percent"}
"""What ``mininet.link.TCIntf`` calls what a link is like."""
_MS: Final = {"us": 0.001, "usecs": 0.001, "ms": 1.0, "msecs": 1.0, "s": 1000.0, "secs": 1000.0}
"""Units of tc(8)."""


class WrongTopo(ValueError):
    """There is no such topology, or it cannot be made; the text says it to its owner."""


def main(arguments: list[str]) -> int:
    """Answer; the exit status is 0 if there was an answer."""
    file = arguments[1] if len(arguments) > 1 else None
    try:
        with redirect_stdout(sys.stderr):
            answer: dict[str, object] = described(_made(arguments[0], file))
    except WrongTopo as wrong:
        answer = {"error": str(wrong)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _made(text: str, file: str | None) -> Any:
    """The topology that ``mn --custom FILE --topo TEXT`` would build."""
    name, positional, named = splitArgs(text)
    known: dict[str, Callable[..., Any]] = dict(_OF_MININET)
    if file is not None:
        known |= _of_file(file)
    if name not in known:
        raise WrongTopo(f"there is no topology {name!r}; there is {', '.join(known)}")
    try:
        return known[name](*positional, **named)
    except Exception as wrong:
        raise WrongTopo(f"{text}: {type(wrong).__name__}: {wrong}") from wrong


def _of_file(file: str) -> dict[str, Callable[..., Any]]:
    """What a file calls ``topos``, as mn(1) asks for, and its classes by their names."""
    try:
        names = runpy.run_path(file)
    except Exception as wrong:
        raise WrongTopo(f"{file}: {type(wrong).__name__}: {wrong}") from wrong
    classes = {
        name: value
        for name, value in names.items()
        if isinstance(value, type) and issubclass(value, Topo) and value is not Topo
    }
    return {**classes, **names.get("topos", {})}


def described(topo: Any) -> dict[str, object]:
    """A Mininet topology as the shape ``custom`` takes it.

    Args:
        topo: a ``mininet.topo.Topo``.

    Returns:
        The parameters, and as ``left_out`` what they cannot say, in words.
    """
    left_out: list[str] = []
    infos, numbered = _in_order([info for _, _, info in topo.links(withInfo=True)])
    if not numbered:
        left_out.append("the ports' numbers: here they follow from the order of the links")
    switches = set(topo.switches())
    qualities = []
    for info in infos:
        ends = [info["node1"], info["node2"]]
        known, unknown = _quality(info)
        if known and not set(ends) <= switches:
            known, unknown = {}, [*unknown, *known]
        if known:
            qualities.append({"ends": ends, **known})
        if unknown:
            left_out.append(f"{', '.join(unknown)} of the link {'-'.join(ends)}")
    options = Counter(name for node in topo.nodes() for name in topo.nodeInfo(node))
    del options["isSwitch"]
    left_out += [f"{name} of {times} nodes" for name, times in options.items()]
    return {
        "hosts": sorted(topo.hosts(), key=natural),
        "switches": sorted(topo.switches(), key=natural),
        "links": [[info["node1"], info["node2"]] for info in infos],
        "qualities": qualities,
        "left_out": left_out,
    }


def _in_order(links: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """The links so that each node's ports come in the order of their numbers; whether that is so.

    Counted from 0 at hosts and 1 at switches, as Mininet does, ports then have the same numbers.
    """
    at: dict[str, list[tuple[int, int]]] = {}
    for index, info in enumerate(links):
        for end in "12":
            at.setdefault(info[f"node{end}"], []).append((info[f"port{end}"], index))
    sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(range(len(links)), ()))
    for ports in at.values():
        ports.sort()
        for (_, earlier), (_, later) in pairwise(ports):
            sorter.add(later, earlier)
    gapless = all(
        [number for number, _ in ports] == list(range(ports[0][0], ports[0][0] + len(ports)))
        and ports[0][0] in (0, 1)
        for ports in at.values()
    )
    try:
        return [links[index] for index in sorter.static_order()], gapless
    except CycleError:
        return links, False


def _quality(info: dict[str, Any]) -> tuple[dict[str, float], list[str]]:
    """What a link is like as `custom` says it, and the names of what it does not know."""
    known: dict[str, float] = {}
    unknown = []
    for name, value in info.items():
        if name in _ENDS or value is None:
            continue
        amount = _milliseconds(value) if name == "delay" else _number(value)
        if name in _TOLD and amount is not None:
            if amount:
                known[_TOLD[name]] = amount
        else:
            unknown.append(name)
    return known, unknown


def _number(value: object) -> float | None:
    with suppress(TypeError, ValueError):
        return float(value)  # type: ignore[arg-type]
    return None


def _milliseconds(value: object) -> float | None:
    """``5ms`` and the like; a number by itself is in microseconds, says tc(8)."""
    text = str(value).strip()
    unit = text.lstrip("0123456789.")
    amount = _number(text.removesuffix(unit))
    factor = _MS.get(unit.strip() or "us")
    return None if amount is None or factor is None else amount * factor


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
