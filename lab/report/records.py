"""Decoded records on a terminal, and what is to be said of all datagrams at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.records import OFFSET, WHERE_FROM
from lab.printable import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import polars as pl

    from collector.decode import Stream, Summary
    from collector.fault import Fault

MOST_LINES: Final = 10
"""Reasons, gaps and the like that a summary names; the rest it counts."""

_HEAD: Final = ("datagram", "protocol", "exporter", "observed by", "template")
_WIDTHS: Final = (8, 8, 15, 15, 8)
_PAIRS: Final = (
    ("sourceIPv4Address", "destinationIPv4Address"),
    ("sourceIPv6Address", "destinationIPv6Address"),
    ("sourceMacAddress", "destinationMacAddress"),
)
_PORTS: Final = ("sourceTransportPort", "destinationTransportPort")
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_MEASURES: Final = (
    "packetDeltaCount",
    "octetDeltaCount",
    "layer2OctetDeltaCount",
    "samplingInterval",
    "frameLength",
    "flowDirection",
)


class Shown:
    """Tables of records one after the other, with one heading above all."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        """Nothing is shown yet."""
        self._echo = echo
        self._above = [_line(_HEAD, "record")]

    def __call__(self, table: pl.DataFrame) -> None:
        """A line per record: where it is from, its flow, and its counts or else all it says."""
        self._echo("\n".join([*self._above, *map(_record, table.iter_rows(named=True))]))
        self._above = []


def _record(row: Mapping[str, Any]) -> str:
    """One record."""
    observed_by = row["agent"] or row["observation_domain"]
    place = (row["datagram"], row["protocol"], row["exporter"], observed_by, row["template"])
    said = {
        name: value
        for name, value in row.items()
        if value is not None and name not in WHERE_FROM and name != OFFSET
    }
    flow = _flow(said) if row["kind"] in ("data", "flow sample") else None
    if flow is not None:
        said = {name: said[name] for name in _MEASURES if name in said}
    words = [f"{name} {value}" for name, value in said.items()]
    head = flow if flow is not None else str(row["kind"])
    return _line(place, "  ".join([head, *words]))


def _line(place: tuple[Any, ...], record: str) -> str:
    cells = [f"{value!s:<{width}}" for value, width in zip(place, _WIDTHS, strict=True)]
    return "  ".join([*cells, escaped(record)])


def _flow(said: Mapping[str, Any]) -> str | None:
    """Who talks to whom, if the record says it."""
    for pair in _PAIRS:
        if all(name in said for name in pair):
            break
    else:
        return None
    source, destination = (str(said[name]) for name in pair)
    if pair is _PAIRS[2]:
        kind = said.get("ethernetType")
        return f"{'' if kind is None else f'ethertype 0x{kind:04x} '}{source} → {destination}"
    number = said.get("protocolIdentifier")
    name = _PROTOCOLS.get(number or 0, f"protocol {number}")
    if number in (6, 17, 132) and all(port in said for port in _PORTS):
        source, destination = (
            f"[{address}]:{said[port]}" if ":" in address else f"{address}:{said[port]}"
            for address, port in zip((source, destination), _PORTS, strict=True)
        )
    return f"{name} {source} → {destination}"


def summary(counted: Summary, records_of: Mapping[str, int], habits: str) -> Iterator[str]:
    """What is said when all is decoded: counts, gaps, and what could not be decoded."""
    by_protocol = ", ".join(f"{count} {name}" for name, count in sorted(records_of.items()))
    detail = f" ({by_protocol})" if by_protocol else ""
    yield (
        f"{counted.datagrams} datagrams, {counted.records} records{detail}, "
        f"{counted.templates} templates; read {habits}"
    )
    broken = [one for one in counted.streams if one.gaps or one.reordered or one.restarts]
    yield f"sequence gaps: {sum(one.gaps for one in broken) or 'none'}"
    yield from _some([_gap(one) for one in broken])
    yield f"undecodable: {counted.faults or 'none'}"
    yield from not_decoded(counted)


def not_decoded(counted: Summary) -> Iterator[str]:
    """Why something could not be decoded, and what was passed over."""
    first: dict[str, Fault] = {}
    for fault in counted.undecodable:
        first.setdefault(fault.reason, fault)
    reasons = sorted(counted.undecodable_by_reason.items(), key=lambda item: -item[1])
    yield from _some([_reason(reason, count, first.get(reason)) for reason, count in reasons])
    for port, count in counted.unassigned_ports.items():
        yield (
            f"not export datagrams as far as known: {count} to port {port}; "
            f"if they are, say which with --port {port}=netflow (or ipfix, sflow)"
        )
    for what, count in sorted(counted.unknown.items()):
        yield f"stepped over: {what}, {count} times"
    for what, count in sorted(counted.limits.items()):
        yield f"more than is kept: {what}, {count} times"
    if counted.borrowed_templates:
        yield f"decoded by another domain's template: {counted.borrowed_templates} sets"


def _some(found: list[str]) -> Iterator[str]:
    """The first lines, indented."""
    yield from (f"  {line}" for line in found[:MOST_LINES])
    if len(found) > MOST_LINES:
        yield f"  … and {len(found) - MOST_LINES} more"


def _gap(stream: Stream) -> str:
    names = {
        "port": stream.source_port,
        "domain": stream.observation_domain,
        "agent": stream.agent,
        "sub-agent": stream.sub_agent,
    }
    who = " ".join(f"{name} {value}" for name, value in names.items() if value is not None)
    counts = {
        "gaps": stream.gaps,
        "out of order": stream.reordered,
        "restarts": stream.restarts,
    }
    what = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    lost = f"{stream.lost} {stream.unit} lost"
    return f"{stream.protocol} {stream.exporter} {who}: {lost} ({what})"


def _reason(reason: str, count: int, first: Fault | None) -> str:
    if first is None:
        return f"{reason}, {count} times"
    place = f"first: datagram {first.datagram}, offset {first.offset}"
    return f"{reason}, {count} times ({place}, needed {first.needed}, available {first.available})"
