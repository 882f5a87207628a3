"""What tshark reads in a capture: every field that it shows, found by its octets.

It shows nearly every element of every format, so nothing is listed here but the fields of sampled
packets: these are compared by name, all others by where they are.
"""

from __future__ import annotations

import re
import tempfile
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector import pcap
from collector.backends import tshark
from collector.backends.tshark import (
    EXPANDED,
    HEAD,
    ICMP,
    PACKET,
    SECOND_NS,
    inner,
    nanoseconds,
)
from collector.decode.address import halves
from collector.encode import pcap_records
from collector.pcap import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.backends.tshark import Datagram, Item
    from tests.differential.compare import Case
    from tests.differential.records import Record

NAME: Final = "tshark"
SAYS: Final = (
    "shows every field of every format. Compared by where each field is in its datagram, "
    "and by name in sampled packets. It shows some elements in parts, lists of RFC 6313 not "
    "at all, and no VNI and NAT ports of sFlow: these are not compared."
)
PROGRAMS: Final = ("tshark",)


def read(cases: Sequence[Case]) -> Mapping[str, list[Datagram]]:
    """The lines of every datagram of each case, in order."""
    with tempfile.TemporaryDirectory(prefix="flowlab-") as scratch:
        # One capture for all, with an exporter for each: starting tshark takes longer than reading.
        capture, counts = Path(scratch) / "all.pcap", []
        with Writer(capture) as writer:
            for number, case in enumerate(cases):
                datagrams = pcap.datagrams(pcap.read(case.capture))
                datagrams.source[:] = halves(f"198.18.{number // 250}.{1 + number % 250}")
                counts.append(len(datagrams))
                writer.write_records(pcap_records(datagrams).data)
        found = iter(tshark.read(capture))
    return {
        case.name: list(islice(found, count)) for case, count in zip(cases, counts, strict=True)
    }


# ── in our terms ──

_UNITS_NS: Final = {"SysUpTime": 1_000_000, "Milliseconds": 1_000_000, "Microseconds": 1_000}
"""Of uptimes and durations, which it shows in seconds, by how their names end."""
_AS_OCTETS: Final = ("cflow.unknown_field_type", "cflow.enterprise_private_entry")
"""How it shows what it does not know."""
_OCTETS: Final = re.compile(r"(?:[0-9a-f]{2}:)+[0-9a-f]{2}")


_EXTENDED: Final = {
    "vlanId": "sflow_245.vlan.in",
    "dot1qPriority": "sflow_245.pri.in",
    "postVlanId": "sflow_245.vlan.out",
    "postDot1qPriority": "sflow_245.pri.out",
    "ipNextHopAddress": "sflow_245.nexthop",
    "sourcePrefixLength": "sflow_245.nexthop.src_mask",
    "destinationPrefixLength": "sflow_245.nexthop.dst_mask",
    "mplsNextHopAddress": "sflow_245.nexthop",
    "postNATSourceAddress": "sflow_245.ipv4_src",
    "postNATDestinationAddress": "sflow_245.ipv4_dst",
}
"""Fields of extended data."""


_EXPANDED_SAMPLE: Final = 3
_FOLDED: Final = ("inputFormat", "inputValue", "outputFormat", "outputValue")
"""Columns that say what others say."""
_IN_PARTS: Final = (
    *("icmpTypeCodeIPv6", "applicationId", "applicationHTTPURIStatistics", "applicationHTTPHost"),
    *("dot3adAggPortActorAdminState", "dot3adAggPortActorOperState"),
    *("dot3adAggPortPartnerAdminState", "dot3adAggPortPartnerOperState"),
)
"""Fields that it shows in parts, or several of them as one."""
_LISTS: Final = ("basicList", "subTemplateList", "subTemplateMultiList")
"""It shows their octets, or nothing."""


def expected(record: Record) -> dict[str, Any]:
    """What it should say of a record: all fields that have octets, and those listed above."""
    if record["kind"] == "extended":
        return {name: record[name] for name in _EXTENDED if name in record.values}
    row = {
        name: _told(record, name)
        for name, place in record.places.items()
        if place.octets
        and name in record.values
        and name not in _IN_PARTS
        and record.kinds[name] not in _LISTS
    }
    if record["kind"] == "flow sample":
        packet = (*PACKET, *ICMP.values())
        expanded = record["template"] == _EXPANDED_SAMPLE
        names = (
            *HEAD,
            *(EXPANDED if expanded else ()),
            *packet,
            *(inner(name) for name in packet),
        )
        row |= {name: record[name] for name in names if name in record.values}
        row = {name: value for name, value in row.items() if name not in _FOLDED}
    return row


def _told(record: Record, name: str) -> Any:
    """A value as it shows it: uptimes and durations as times in nanoseconds, offsets as times."""
    value = record.values[name]
    if name == "forwardingStatus":
        return value >> 6  # the status; the reason is a line of its own
    if name == "ifStatus":
        return value & 1  # of the administrator; that of the operation is another line
    if "LabelStackSection" in name and name != "mplsLabelStackSection":
        return int(value, 16) >> 4  # the label; the rest are other lines
    if name.endswith("DeltaMicroseconds") and name.startswith(("flowStart", "flowEnd")):
        return record.values["export_time"] // SECOND_NS * SECOND_NS - 1_000 * value
    if name.endswith("SysUpTime") or name.startswith("flowDuration"):
        return value * next(ns for unit, ns in _UNITS_NS.items() if name.endswith(unit))
    return value


def found(record: Record, datagram: Datagram) -> dict[str, Any]:
    """What it says of a record, under our names."""
    kind, begin = record["kind"], record.where[1]
    if kind == "extended":
        row = tshark.first(datagram.within(begin), _EXTENDED)
        return {name: row[name] for name in expected(record) if name in row}
    if kind == "flow sample":
        return tshark.sample(datagram.within(begin))
    row = {}
    for name in expected(record):
        item = datagram.at.get(record.places[name])
        if item is not None:
            row[name] = _value(item, record.kinds[name], record.values[name])
    return row


def _value(item: Item, kind: str, ours: Any) -> Any:
    """What is shown, as a value of this kind."""
    shown = item.shown
    if item.name in _AS_OCTETS or (_OCTETS.fullmatch(shown) and kind != "macAddress"):
        return _of_octets(bytes.fromhex(shown.replace(":", "")), kind, ours)
    if isinstance(ours, bool):
        return shown == "1"
    when_ns = nanoseconds(shown)
    if when_ns is not None and isinstance(ours, int):
        # The rest of the fraction is no part of the value (RFC 7011 section 6.1.9).
        return round(when_ns, -3) if kind == "dateTimeMicroseconds" else when_ns
    try:
        return float(shown) if isinstance(ours, float) else int(shown, 0)
    except ValueError:
        return shown


def _of_octets(octets: bytes, kind: str, ours: Any) -> Any:
    """A value that is shown as octets: it says where the field is, and no more."""
    if isinstance(ours, bool):
        return octets == b"\1"
    if isinstance(ours, int):
        return int.from_bytes(octets, "big", signed=kind.startswith("signed"))
    if kind in ("ipv4Address", "ipv6Address"):
        return str(ip_address(octets))
    return octets.decode() if kind == "string" else octets.hex()


def record_offsets(datagram: Datagram) -> list[int]:
    """Where the records begin that it finds in data sets."""
    return [
        item.offset
        for item in datagram.items
        if not item.name and item.shown.startswith("Flow ") and item.shown[5:].isdigit()
    ]
