"""What is asked of single records: how they follow each other, and by which ports packets went."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.check.model import Record

OVERLAP_NS: Final = 1_000_000
"""Formats tell times in milliseconds, so records may seem to overlap by one."""
NO_PORT: Final = frozenset({65533, 65534, 65535})
"""What Open vSwitch says in place of a port: dropped, several, flooded (``ofproto/netflow.c``)."""

Asked = tuple[float | None, str]
"""The value, and why there is none."""


def gap_s(flows: Iterable[Sequence[Record]]) -> Asked:
    """The longest time between a record's last packet and the next one's first, over all flows."""
    longest = 0.0
    for records in flows:
        spans = [
            (record.first_ns, record.last_ns)
            for record in records
            if record.first_ns is not None and record.last_ns is not None
        ]
        if len(spans) != len(records):
            return None, "a record tells no times"
        for (_, last_ns), (first_ns, _) in pairwise(sorted(spans)):
            if first_ns - last_ns < -OVERLAP_NS:
                return None, f"two records overlap by {(last_ns - first_ns) / 1e6:.1f} ms"
            longest = max(longest, (first_ns - last_ns) / 1e9)
    return longest, ""


def in_port(flows: Iterable[Sequence[Record]]) -> Asked:
    """The port where all packets came in."""
    return _only({record.in_port for records in flows for record in records})


def out_port(flows: Iterable[Sequence[Record]]) -> Asked:
    """The port where all packets went out that were not flooded."""
    ports = {record.out_port for records in flows for record in records}
    return _only(ports - NO_PORT or ports)


def _only(ports: set[int | None]) -> Asked:
    if len(ports) == 1:
        port = next(iter(ports))
        return port, "" if port is not None else "no record tells a port"
    return None, f"there are the ports {', '.join(map(str, sorted(ports, key=str)))}"


ASKED: Final[Mapping[str, Callable[[Iterable[Sequence[Record]]], Asked]]] = {
    "gap_s": gap_s,
    "in_port": in_port,
    "out_port": out_port,
}
"""What can be asked of records, by measure."""
