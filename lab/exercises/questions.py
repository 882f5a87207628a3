"""What can be asked about exports, and the answers: pure functions of a case's truth.

Octets are those of the IP packets. Where several are equally large, the first by its address wins.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Flows = Sequence[Mapping[str, Any]]
    Counts = Mapping[str, int]

_ENDS: Final = {
    "source": ("sourceIPv4Address", "sourceIPv6Address"),
    "destination": ("destinationIPv4Address", "destinationIPv6Address"),
}
_TCP, _UDP = 6, 17


def _end(flow: Mapping[str, Any], end: str) -> str:
    return next(str(flow["flow"][name]) for name in _ENDS[end] if name in flow["flow"])


def _sums(flows: Flows, end: str, measure: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for flow in flows:
        sums[_end(flow, end)] += flow[measure]
    return sums


def _most(sums: Counter[str]) -> str:
    return min(sums, key=lambda name: (-sums[name], name))


def _busiest_source(flows: Flows, _: Counts) -> str:
    return _most(_sums(flows, "source", "octets_l3"))


def _busiest_destination(flows: Flows, _: Counts) -> str:
    return _most(_sums(flows, "destination", "octets_l3"))


def _source_of_most_packets(flows: Flows, _: Counts) -> str:
    return _most(_sums(flows, "source", "packets"))


def _octets_of_busiest(flows: Flows, _: Counts) -> int:
    sums = _sums(flows, "source", "octets_l3")
    return sums[_most(sums)]


def _octets_of_largest_flow(flows: Flows, _: Counts) -> int:
    return max(int(flow["octets_l3"]) for flow in flows)


def _of_protocol(flows: Flows, protocol: int) -> Flows:
    return [flow for flow in flows if flow["flow"]["protocolIdentifier"] == protocol]


QUESTIONS: Final[Mapping[str, Callable[[Flows, Counts], str | int]]] = {
    "flows": lambda flows, _: len(flows),
    "records": lambda _, counts: counts["records"],
    "datagrams": lambda _, counts: counts["datagrams"],
    "missing": lambda _, counts: counts["missing"],
    "sent": lambda _, counts: counts["records"] + counts["missing"],
    "packets": lambda flows, _: sum(flow["packets"] for flow in flows),
    "octets": lambda flows, _: sum(flow["octets_l3"] for flow in flows),
    "udp_flows": lambda flows, _: len(_of_protocol(flows, _UDP)),
    "udp_packets": lambda flows, _: sum(flow["packets"] for flow in _of_protocol(flows, _UDP)),
    "tcp_flows": lambda flows, _: len(_of_protocol(flows, _TCP)),
    "busiest_source": _busiest_source,
    "busiest_destination": _busiest_destination,
    "source_of_most_packets": _source_of_most_packets,
    "octets_of_busiest": _octets_of_busiest,
    "octets_of_largest_flow": _octets_of_largest_flow,
}
"""By name; each gets the flows of a case's truth, and its counts."""
