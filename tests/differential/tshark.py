"""What tshark reads in a capture: every field that it shows, found by its octets.

It shows nearly every element of every format, so nothing is listed here but the fields of sampled
packets: these are compared by name, all others by where they are.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.parsers import expat

from collector import pcap
from collector.decode.address import halves
from collector.encode import pcap_records
from collector.pcap import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.differential.compare import Case
    from tests.differential.records import Record

NAME: Final = "tshark"
SAYS: Final = (
    "shows every field of every format. Compared by where each field is in its datagram, "
    "and by name in sampled packets. It shows some elements in parts, lists of RFC 6313 not "
    "at all, and no VNI and NAT ports of sFlow: these are not compared."
)
PROGRAMS: Final = ("tshark",)
_OPTIONS = (
    # Its own limit is 60 fields; longer templates would be refused.
    *("-o", "cflow.max_template_fields:0"),
    # What a sampled packet carries is put together with no other packet's.
    *("-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"),
    *("-d", "udp.port==2055,cflow", "-d", "udp.port==4739,cflow", "-d", "udp.port==6343,sflow"),
)
_ONLY = ("-J", "cflow sflow")
_GROUPS: Final = ("_ws", "cflow.flowset")
"""Lines that are no fields of records, by how their names begin."""
_LIMIT_S = 60.0


class Item(NamedTuple):
    """A line of its tree."""

    name: str
    offset: int
    """Octets from the start of the datagram."""
    octets: int
    shown: str


@dataclass(frozen=True)
class Datagram:
    """All lines of a datagram, in order."""

    items: Sequence[Item]

    @cached_property
    def at(self) -> dict[tuple[int, int], Item]:
        """The first field at a place: its offset and octets."""
        found: dict[tuple[int, int], Item] = {}
        for item in self.items:
            if item.name and not item.name.startswith(_GROUPS):
                found.setdefault((item.offset, item.octets), item)
        return found

    @cached_property
    def _headings(self) -> dict[int, int]:
        """Where a line without a name begins to its index; of several the first."""
        headings: dict[int, int] = {}
        for index, item in enumerate(self.items):
            if not item.name:
                headings.setdefault(item.offset, index)
        return headings

    def within(self, begin: int) -> Sequence[Item]:
        """The lines of a sample or record of sFlow that begins there."""
        first = self._headings.get(begin)
        if first is None:
            return []
        end = begin + self.items[first].octets
        last = first
        # Lines that are computed have no place, and stand among the others.
        while last < len(self.items) and self.items[last].offset < end:
            last += 1
        return [item for item in self.items[first:last] if item.offset >= begin]


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
        command = ["tshark", "-n", "-r", str(capture), *_OPTIONS, "-T", "pdml", *_ONLY]
        tree, reader = Path(scratch) / "all.pdml", _Reader()
        with tree.open("wb") as out:
            quiet = subprocess.DEVNULL
            subprocess.run(command, stdout=out, stderr=quiet, timeout=_LIMIT_S, check=True)
        with tree.open("rb") as written:
            reader.parser().ParseFile(written)
    found = iter(reader.datagrams)
    return {
        case.name: list(islice(found, count)) for case, count in zip(cases, counts, strict=True)
    }


class _Reader:
    """Picks the lines behind UDP headers out of tshark's XML."""

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self._items: list[Item] = []
        self._depth = self._start = 0
        self._ours = False

    def parser(self) -> expat.XMLParserType:
        """What reads the file."""
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        return parser

    def _begin(self, kind: str, said: dict[str, str]) -> None:
        self._depth += 1
        name = said.get("name", "")
        if kind == "packet":
            self._items = []
            self.datagrams.append(Datagram(self._items))
        elif self._depth == _TOP:
            self._ours = name in ("cflow", "sflow")
            if name == "udp":
                self._start = int(said["pos"]) + 8
        elif self._ours and not name.startswith(_OF_TEMPLATES):
            at, octets = int(said.get("pos") or 0) - self._start, int(said.get("size") or 0)
            self._items.append(Item(name, at, octets, said.get("show", "")))

    def _end(self, _kind: str) -> None:
        self._depth -= 1


_OF_TEMPLATES: Final = ("cflow.template_ipfix_", "cflow.template_field_")
"""Lines of template records, which are most of them."""
_TOP: Final = 3
"""Depth of the protocols of a packet."""


# ── in our terms ──

_SECOND_NS: Final = 1_000_000_000
_UNITS_NS: Final = {"SysUpTime": 1_000_000, "Milliseconds": 1_000_000, "Microseconds": 1_000}
"""Of uptimes and durations, which it shows in seconds, by how their names end."""
_AS_OCTETS: Final = ("cflow.unknown_field_type", "cflow.enterprise_private_entry")
"""How it shows what it does not know."""
_OCTETS: Final = re.compile(r"(?:[0-9a-f]{2}:)+[0-9a-f]{2}")
_SECONDS: Final = re.compile(r"(-?\d+)\.(\d{9})")
_DATE: Final = re.compile(r"(\w{3} +\d+, \d{4} \d\d:\d\d:\d\d)\.(\d{9}) UTC")


_PORTS: Final = ("tcp", "udp", "sctp")
_HEAD: Final = {
    "sequenceNumber": "sflow.flow_sample.sequence_number",
    "sourceIdType": "sflow.flow_sample.source_id_class",
    "sourceIdIndex": "sflow.flow_sample.index",
    "samplingInterval": "sflow.flow_sample.sampling_rate",
    "samplePool": "sflow.flow_sample.sample_pool",
    "drops": "sflow.flow_sample.dropped_packets",
    "ingressInterface": "sflow.flow_sample.input_interface",
    "egressInterface": "sflow.flow_sample.output_interface_value",
    "egressInterfaceFormat": "sflow.flow_sample.output_interface_format",
    "stripped": "sflow_245.header.payload_stripped",
}
"""Fields of flow samples, and of what is in front of their headers."""
_EXPANDED: Final = {
    "sourceIdType": "sflow.flow_sample.source_id_type",
    "sourceIdIndex": "sflow.flow_sample.source_id_index",
    "egressInterfaceFormat": "sflow.flow_sample.output_interface.format",
    "ingressInterface": "sflow.flow_sample.input_interface_value",
    "ingressInterfaceFormat": "sflow.flow_sample.input_interface_format",
}
"""Those that it calls otherwise in expanded samples."""
_PACKET: Final[Mapping[str, tuple[str, ...]]] = {
    "sourceMacAddress": ("eth.src", "sflow_245.ethernet.source_mac_address"),
    "destinationMacAddress": ("eth.dst", "sflow_245.ethernet.destination_mac_address"),
    "vlanId": ("ieee8021ad.id", "vlan.id"),
    "ipVersion": ("ip.version",),
    "sourceIPv4Address": ("ip.src", "sflow_245.ipv4_src"),
    "destinationIPv4Address": ("ip.dst", "sflow_245.ipv4_dst"),
    "sourceIPv6Address": ("ipv6.src", "sflow_245.ipv6_src"),
    "destinationIPv6Address": ("ipv6.dst", "sflow_245.ipv6_dst"),
    "ipTotalLength": ("ip.len", "sflow_245.ip.length"),
    "protocolIdentifier": ("ip.proto", "sflow.ip_protocol"),
    "sourceTransportPort": (*(f"{name}.srcport" for name in _PORTS), "sflow_245.ip.source_port"),
    "destinationTransportPort": (
        *(f"{name}.dstport" for name in _PORTS),
        "sflow.ip.destination_port",
    ),
    "tcpControlBits": ("tcp.flags",),
    "frameLength": ("sflow_245.header.frame_length", "sflow_245.ethernet.length"),
}
"""Fields of the sampled packet; what it calls them in a header, and where the agent read them."""
_NEXT: Final = ("ipv6.nxt", "ipv6.hopopts.nxt", "ipv6.dstopts.nxt", "ipv6.fraghdr.nxt")
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
_FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")


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
        packet = (*_PACKET, *_ICMP.values())
        expanded = record["template"] == _EXPANDED_SAMPLE
        names = (
            *_HEAD,
            *(_EXPANDED if expanded else ()),
            *packet,
            *(inner(name) for name in packet),
        )
        row |= {name: record[name] for name in names if name in record.values}
        row = {name: value for name, value in row.items() if name not in _FOLDED}
    return row


def inner(name: str) -> str:
    """What a field of the packet in a tunnel is called."""
    return f"inner{name[0].upper()}{name[1:]}"


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
        return record.values["export_time"] // _SECOND_NS * _SECOND_NS - 1_000 * value
    if name.endswith("SysUpTime") or name.startswith("flowDuration"):
        return value * next(ns for unit, ns in _UNITS_NS.items() if name.endswith(unit))
    return value


def found(record: Record, datagram: Datagram) -> dict[str, Any]:
    """What it says of a record, under our names."""
    kind, begin = record["kind"], record.where[1]
    if kind == "extended":
        row = _first(datagram.within(begin), _EXTENDED)
        return {name: row[name] for name in expected(record) if name in row}
    if kind == "flow sample":
        return _sample(datagram.within(begin))
    row = {}
    for name in expected(record):
        item = datagram.at.get(record.places[name])
        if item is not None:
            row[name] = _value(item, record.kinds[name], record.values[name])
    return row


def _first(items: Sequence[Item], names: Mapping[str, str]) -> dict[str, Any]:
    """The first line of each name."""
    row: dict[str, Any] = {}
    for name, theirs in names.items():
        for item in items:
            if item.name == theirs:
                row[name] = _plain(item.shown)
                break
    return row


def _plain(shown: str) -> Any:
    """A number, if it is one."""
    try:
        return int(shown, 0)
    except ValueError:
        return shown


def _sample(items: Sequence[Item]) -> dict[str, Any]:
    """A flow sample, the packet that was sampled, and what that one carries."""
    row = _first(items, _HEAD) | _first(items, _EXPANDED)
    begins = [n for n, item in enumerate(items) if item.name in ("ip", "ipv6")]
    cut = begins[1] if len(begins) > 1 else len(items)
    row |= _packet(items[:cut])
    row |= {inner(name): value for name, value in _packet(items[cut:]).items()}
    return row


def _packet(items: Sequence[Item]) -> dict[str, Any]:
    """The fields of a packet."""
    row: dict[str, Any] = {}
    for name, called in _PACKET.items():
        for one in called:
            row |= {} if name in row else _first(items, {name: one})
    if "ipVersion" not in row and (four := "sourceIPv4Address" in row) | (
        "sourceIPv6Address" in row
    ):
        row["ipVersion"] = 4 if four else 6
        row["tcpControlBits"] = sum(
            flag << bit
            for bit, name in enumerate(_FLAGS)
            for flag in _first(items, {"flag": f"sflow_245.ip.tcp_flag.{name}"}).values()
        )
    six = _first(items, {"payload": "ipv6.plen"})
    if six:
        row["ipTotalLength"] = six["payload"] + 40
        row["protocolIdentifier"] = [_plain(i.shown) for i in items if i.name in _NEXT][-1]
    for name, ours in _ICMP.items():
        icmp = _first(items, {"type": f"{name}.type", "code": f"{name}.code"})
        if icmp:
            row[ours] = icmp["type"] << 8 | icmp["code"]
    return row


_ICMP: Final = {"icmp": "icmpTypeCodeIPv4", "icmpv6": "icmpTypeCodeIPv6"}


def _value(item: Item, kind: str, ours: Any) -> Any:
    """What is shown, as a value of this kind."""
    shown = item.shown
    if item.name in _AS_OCTETS or (_OCTETS.fullmatch(shown) and kind != "macAddress"):
        return _of_octets(bytes.fromhex(shown.replace(":", "")), kind, ours)
    if isinstance(ours, bool):
        return shown == "1"
    when_ns = _nanoseconds(shown)
    if when_ns is not None and isinstance(ours, int):
        # The rest of the fraction is no part of the value (RFC 7011 section 6.1.9).
        return round(when_ns, -3) if kind == "dateTimeMicroseconds" else when_ns
    try:
        return float(shown) if isinstance(ours, float) else int(shown, 0)
    except ValueError:
        return shown


def _nanoseconds(shown: str) -> int | None:
    """A date or a number of seconds; None: neither."""
    if (date := _DATE.fullmatch(shown)) is not None:
        then = datetime.strptime(date[1], "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC)
        return int(then.timestamp()) * _SECOND_NS + int(date[2])
    if (duration := _SECONDS.fullmatch(shown)) is not None:
        return int(duration[1]) * _SECOND_NS + int(duration[2])
    return None


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
