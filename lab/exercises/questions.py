"""What can be asked, and the answers: pure functions of a case's truth, or of a scenario's.

Octets are those of the IP packets. Where several are equally large, the first by its address wins.
"""

from __future__ import annotations

from collections import Counter
from math import sqrt
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
_PERCENT_OF_ONE: Final = 196
"""1.96 standard deviations, in percent."""


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


def _octets_of_three(flows: Flows, _: Counts) -> int:
    return sum(count for _, count in _sums(flows, "source", "octets_l3").most_common(3))


def _percent_of_busiest(measure: str) -> Callable[[Flows, Counts], int]:
    def percent(flows: Flows, _: Counts) -> int:
        busiest = _most(_sums(flows, "source", "octets_l3"))
        sums = _sums(flows, "source", measure)
        return _percent(sums[busiest], sums.total())

    return percent


def _percent(part: int, whole: int) -> int:
    """Rounded to a whole number, a half upwards."""
    return (200 * part + whole) // (2 * whole)


def _ports(flows: Flows, measure: str | None) -> int:
    sums: Counter[int] = Counter()
    for flow in flows:
        port = flow["flow"].get("destinationTransportPort")
        if port is not None:
            sums[port] += flow[measure] if measure else 1
    return min(sums, key=lambda port: (-sums[port], port))


def _error_percent(count: int) -> int:
    """Of an estimate by so many samples, in 95 of 100 cases.

    Source: P. Phaal, S. Panchen, Packet Sampling Basics.
    """
    return round(_PERCENT_OF_ONE / sqrt(count))


def _of_version(flows: Flows, version: int) -> Flows:
    return [flow for flow in flows if f"sourceIPv{version}Address" in flow["flow"]]


def _timed_ns(flow: Mapping[str, Any]) -> int:
    """How long a flow lasted; of samples nobody knows."""
    return int((flow["last_ns"] or 0) - (flow["first_ns"] or 0))


def _seconds(time_ns: int) -> int:
    return round(time_ns / 1e9)


def _octets(flows: Flows) -> int:
    return sum(int(flow["octets_l3"]) for flow in flows)


def _others(flows: Flows, end: str) -> dict[str, set[str]]:
    """Whom each source sends to, or whom each destination hears of."""
    other = "destination" if end == "source" else "source"
    found: dict[str, set[str]] = {}
    for flow in flows:
        found.setdefault(_end(flow, end), set()).add(_end(flow, other))
    return found


def _of_most_others(end: str) -> Callable[[Flows, Counts], str]:
    def name(flows: Flows, _: Counts) -> str:
        others = _others(flows, end)
        return min(others, key=lambda one: (-len(others[one]), one))

    return name


def _most_others(end: str) -> Callable[[Flows, Counts], int]:
    return lambda flows, _: max(map(len, _others(flows, end).values()))


_scanner: Final = _of_most_others("source")


def _scanned_port(flows: Flows, counts: Counts) -> int:
    scanner = _scanner(flows, counts)
    return _ports([flow for flow in flows if _end(flow, "source") == scanner], None)


def _scanned(flows: Flows, counts: Counts) -> int:
    scanner, port = _scanner(flows, counts), _scanned_port(flows, counts)
    return len(
        {
            _end(flow, "destination")
            for flow in flows
            if _end(flow, "source") == scanner
            and flow["flow"].get("destinationTransportPort") == port
        }
    )


def _of_protocol(flows: Flows, protocol: int) -> Flows:
    return [flow for flow in flows if flow["flow"]["protocolIdentifier"] == protocol]


def _once(flows: Flows) -> Flows:
    """Each flow where it comes first, of rows for each switch that it crosses."""
    first: dict[str, Mapping[str, Any]] = {}
    for flow in flows:
        first.setdefault(str(flow["flow"]), flow)
    return list(first.values())


def _at_busiest_switch(flows: Flows) -> Flows:
    sums: Counter[str] = Counter()
    for flow in flows:
        sums[flow["observation_point"]] += flow["packets"]
    busiest = _most(sums)
    return [flow for flow in flows if flow["observation_point"] == busiest]


def _crossing(flows: Flows, switches: int) -> Flows:
    """The flows that cross so many switches."""
    crossed = Counter(str(flow["flow"]) for flow in flows)
    return [flow for flow in _once(flows) if crossed[str(flow["flow"])] == switches]


def _longest_way(flows: Flows) -> int:
    return max(Counter(str(flow["flow"]) for flow in flows).values())


def _switch_of_most(flows: Flows) -> str:
    return str(_at_busiest_switch(flows)[0]["observation_point"])


def _switch_of_least(flows: Flows) -> str:
    sums: Counter[str] = Counter()
    for flow in flows:
        sums[flow["observation_point"]] += flow["packets"]
    return min(sums, key=lambda name: (sums[name], name))


QUESTIONS: Final[Mapping[str, Callable[[Flows, Counts], str | int]]] = {
    "flows": lambda flows, _: len(flows),
    "records": lambda _, counts: counts["records"],
    "datagrams": lambda _, counts: counts["datagrams"],
    "missing": lambda _, counts: counts["missing"],
    "sent": lambda _, counts: counts["records"] + counts["missing"],
    "packets": lambda flows, _: sum(flow["packets"] for flow in flows),
    "octets": lambda flows, _: _octets(flows),
    "udp_flows": lambda flows, _: len(_of_protocol(flows, _UDP)),
    "udp_packets": lambda flows, _: sum(flow["packets"] for flow in _of_protocol(flows, _UDP)),
    "tcp_flows": lambda flows, _: len(_of_protocol(flows, _TCP)),
    "busiest_source": _busiest_source,
    "busiest_destination": _busiest_destination,
    "source_of_most_packets": _source_of_most_packets,
    "octets_of_busiest": _octets_of_busiest,
    "octets_of_largest_flow": _octets_of_largest_flow,
    "sources": lambda flows, _: len({_end(flow, "source") for flow in flows}),
    "destinations": lambda flows, _: len({_end(flow, "destination") for flow in flows}),
    "octets_of_three": _octets_of_three,
    "percent_of_busiest": _percent_of_busiest("octets_l3"),
    "percent_of_packets": _percent_of_busiest("packets"),
    "busiest_port": lambda flows, _: _ports(flows, "octets_l3"),
    "port_of_most_flows": lambda flows, _: _ports(flows, None),
    "rate": lambda flows, _: max(flow["sampling"] for flow in flows),
    "error_percent": lambda _, counts: _error_percent(counts["records"]),
    "error_percent_of_packets": lambda flows, _: _error_percent(
        sum(flow["packets"] for flow in flows)
    ),
    "ipv4_flows": lambda flows, _: len(_of_version(flows, 4)),
    "ipv6_flows": lambda flows, _: len(_of_version(flows, 6)),
    "ipv4_octets": lambda flows, _: _octets(_of_version(flows, 4)),
    "ipv6_octets": lambda flows, _: _octets(_of_version(flows, 6)),
    "ipv6_packets": lambda flows, _: sum(flow["packets"] for flow in _of_version(flows, 6)),
    "percent_of_ipv6": lambda flows, _: _percent(_octets(_of_version(flows, 6)), _octets(flows)),
    "scanner": _scanner,
    "scanned_port": _scanned_port,
    "scanned": _scanned,
    "victim": _of_most_others("destination"),
    "attackers": _most_others("destination"),
    "longest_s": lambda flows, _: _seconds(max(map(_timed_ns, flows))),
    "median_s": lambda flows, _: _seconds(sorted(map(_timed_ns, flows))[len(flows) // 2]),
    "flows_once": lambda flows, _: len(_once(flows)),
    "packets_once": lambda flows, _: sum(flow["packets"] for flow in _once(flows)),
    "flows_all_the_way": lambda flows, _: len(_crossing(flows, _longest_way(flows))),
    "flows_at_busiest_switch": lambda flows, _: len(_at_busiest_switch(flows)),
    "switch_of_most": lambda flows, _: _switch_of_most(flows),
    "switch_of_least": lambda flows, _: _switch_of_least(flows),
    "frames": lambda _, counts: counts["frames"],
    "frame_octets": lambda _, counts: counts["frame_octets"],
    "frames_not_told": lambda _, counts: counts["frames_not_told"],
    "flow_frame_octets": lambda flows, _: sum(flow["octets_l2"] for flow in flows),
    "octets_of_longest": lambda flows, _: int(max(flows, key=_timed_ns)["octets_l3"]),
}
"""By name; each gets the flows of a case's truth, and its counts."""
