"""tshark: reads a capture and shows every field of it, with where in its datagram each one is.

It is no collector: it sums nothing and applies no sampling rate that options tell. What it shows of
a record or of a sampled packet becomes a row here.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple
from xml.parsers import expat

from collector import pcap
from collector.backends.base import MILLISECOND_NS, Backend, Tells, first_line, flow, frames
from collector.backends.daemons import Crashed, Hung, ended
from collector.decode import NETFLOW, PORTS, SFLOW
from collector.decode.address import ip_texts
from collector.senders import families_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from collector.backends.base import Given, Row
    from collector.backends.daemons import Daemon
    from collector.decode import Datagrams

_DISSECTORS: Final = {NETFLOW: "cflow", SFLOW: "sflow"}
LONG_TEMPLATES: Final = ("-o", "cflow.max_template_fields:0")
"""Its own limit is 60 fields; longer templates would be refused."""
OPTIONS: Final = (
    *LONG_TEMPLATES,
    # What a sampled packet carries is put together with no other packet's.
    *("-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"),
    *(
        part
        for port, family in PORTS.items()
        for part in ("-d", f"udp.port=={port},{_DISSECTORS[family]}")
    ),
)
_ONLY = ("-J", "cflow sflow")
"""How it is to read."""
_GROUPS: Final = ("_ws", "cflow.flowset")
"""Lines that are no fields of records, by how their names begin."""
_LIMIT_S: Final = 120.0
_COPY: Final = "datagrams.pcap"
SECOND_NS: Final = 1_000_000_000
_SECONDS: Final = re.compile(r"(-?\d+)\.(\d{9})")
_DATE: Final = re.compile(r"(\w{3} +\d+, \d{4} \d\d:\d\d:\d\d)\.(\d{9}) UTC")
_VERSIONS: Final = {5: "netflow5", 9: "netflow9", 10: "ipfix"}
_DOMAINS: Final = ("cflow.od_id", "cflow.source_id")
_ENDS: Final = {
    4: ("cflow.srcaddr", "cflow.dstaddr"),
    6: ("cflow.srcaddrv6", "cflow.dstaddrv6"),
    0: ("cflow.srcmac", "cflow.dstmac"),
}
_PAIRS: Final = (*_ENDS.values(), ("cflow.srcport", "cflow.dstport"))
_COUNTS: Final = ("cflow.packets", "cflow.octets", "cflow.layer2_octet_delta_count")
_ETHERNET: Final = "cflow.ethernet_type"
_ICMP: Final = (1, 58)
_TYPES: Final = {"ethernetType": "eth.type", "innerType": "vlan.etype"}


class Tshark(Backend):
    """Wireshark's dissectors."""

    name: ClassVar = "tshark"
    says: ClassVar = (
        "reads the case's capture; its records and sampled packets are summed here, sFlow's and "
        "NetFlow v5's sampling rates applied, since it has neither sums nor state"
    )
    programs: ClassVar = ("tshark",)
    receives: ClassVar = False

    def version(self) -> str:
        """As it says it."""
        words = first_line("tshark", "--version").split()
        return words[2] if len(words) > 2 else ""

    def tells(self, family: str) -> Tells:
        """All that is in the datagrams; of sFlow the frame's length, and the packet's."""
        if family == SFLOW:
            counts = frozenset({"packets", "octets_l2", "tcpControlBits"})
            return Tells(frozenset({"family", "exporter", "agent"}), counts)
        observer = {"family", "protocol", "exporter", "observation_domain", "flowDirection"}
        measures = {"packets", "octets", "tcpControlBits", "first_ns", "last_ns"}
        # Uptimes are of milliseconds, headers that they are counted from of nanoseconds.
        return Tells(frozenset(observer), frozenset(measures), MILLISECOND_NS)

    def cannot(self, row: Row) -> str:
        """It scales nothing by what options say."""
        if row["protocol"] in ("netflow9", "ipfix") and (row.get("sampling") or 1) != 1:
            return "tshark shows records, and applies no sampling rate that other records tell"
        return ""

    def daemons(self, given: Given) -> Sequence[Daemon]:
        """None."""
        del given
        return ()

    def rows(self, given: Given) -> list[Row]:
        """A row for each record and sample."""
        datagrams = pcap.datagrams(pcap.read(given.capture))
        # Its own copy: whatever else is in a capture would be a packet, too, and on other ports it
        # would not know what it reads.
        copy = given.folder / _COPY
        write_copy(datagrams, copy)
        return [
            {**row, "exporter": sender}
            for sender, datagram in zip(ip_texts(datagrams.source), read(copy), strict=True)
            for row in _rows(datagram)
        ]


def write_copy(datagrams: Datagrams, path: Path) -> None:
    """Write a capture of these datagrams and nothing else, to the ports that their kinds have."""
    usual = {family: port for port, family in reversed(list(PORTS.items()))}
    columns = zip(
        ip_texts(datagrams.source),
        datagrams.source_port.tolist(),
        ip_texts(datagrams.destination),
        datagrams.destination_port.tolist(),
        families_of(datagrams),
        datagrams.timestamp_ns.tolist(),
        datagrams.offset.tolist(),
        datagrams.length.tolist(),
        strict=True,
    )
    with pcap.Writer(path) as out:
        for source, source_port, destination, port, family, then_ns, at, size in columns:
            to = port if PORTS.get(port) == family else usual[family]
            payload = datagrams.buffer[at : at + size].tobytes()
            frame = pcap.encapsulate_udp(source, source_port, destination, to, payload)
            out.write(then_ns, frame)


class Item(NamedTuple):
    """A line of its tree."""

    name: str
    offset: int
    """Octets from the start of the datagram."""
    octets: int
    shown: str
    depth: int = 0
    """In the tree."""
    reverse: bool = False
    """It says that it is of the reverse direction."""


_ENDS_OF_TIMES: Final = ("cflow.abstimeend", "cflow.timeend")


@dataclass(frozen=True)
class Datagram:
    """All lines of a datagram, in order."""

    items: Sequence[Item]

    @cached_property
    def at(self) -> dict[tuple[int, int], Item]:
        """The first field at a place: its offset and octets.

        The end of a flow's time comes last: tshark gives it the place of something else when it is
        in front of the start.
        """
        found: dict[tuple[int, int], Item] = {}
        for item in sorted(self.items, key=lambda item: item.name in _ENDS_OF_TIMES):
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

    def headings(self, *begin: str) -> list[Item]:
        """The lines without a name that begin so."""
        return [item for item in self.items if not item.name and item.shown.startswith(begin)]

    def below(self, heading: Item) -> Sequence[Item]:
        """The lines of a record: those below it in the tree, for some have the place of another."""
        first = next(n for n, item in enumerate(self.items) if item is heading)
        last = first + 1
        while last < len(self.items) and self.items[last].depth > heading.depth:
            last += 1
        return self.items[first:last]

    def within(self, begin: int) -> Sequence[Item]:
        """The lines of a record or sample that begins there."""
        first = self._headings.get(begin)
        if first is None:
            return []
        end = begin + self.items[first].octets
        last = first
        # Lines that are computed have no place, and stand among the others.
        while last < len(self.items) and self.items[last].offset < end:
            last += 1
        return [item for item in self.items[first:last] if item.offset >= begin]


def read(capture: Path) -> list[Datagram]:
    """The lines of every datagram of a capture, in order.

    Raises:
        Crashed: tshark does not read it to its end.
        Hung: it takes too long.
    """
    command = ["tshark", "-n", "-r", str(capture), *OPTIONS, "-T", "pdml", "-J", "cflow sflow"]
    reader, pipe, quiet = Reader(), subprocess.PIPE, subprocess.DEVNULL
    until_s = time.monotonic() + _LIMIT_S
    # While it writes its tree the tree is read: half of the time is each one's.
    with subprocess.Popen(command, stdout=pipe, stderr=quiet) as process:
        assert process.stdout is not None
        patience = threading.Timer(_LIMIT_S, process.kill)
        patience.start()
        try:
            reader.parser().ParseFile(process.stdout)
        except expat.ExpatError as cut:
            broken: expat.ExpatError | None = cut
        else:
            broken = None
        finally:
            process.stdout.close()
            status = process.wait()
            patience.cancel()
    if time.monotonic() >= until_s:
        raise Hung(f"tshark has not read {capture} in {_LIMIT_S:.0f} s")
    if status or broken:
        raise Crashed(f"tshark {ended(status)}" if status else f"tshark's tree: {broken}")
    return reader.datagrams


class Reader:
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
            reverse = "(Reverse Type" in said.get("showname", "")
            self._items.append(Item(name, at, octets, said.get("show", ""), self._depth, reverse))

    def _end(self, _kind: str) -> None:
        self._depth -= 1


_OF_TEMPLATES: Final = ("cflow.template_ipfix_", "cflow.template_field_")
"""Lines of template records, which are most of them."""
_TOP: Final = 3
"""Depth of the protocols of a packet."""


# ── fields of flow samples, under IANA's names ──

_PORTS: Final = ("tcp", "udp", "sctp")
HEAD: Final = {
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
EXPANDED: Final = {
    "sourceIdType": "sflow.flow_sample.source_id_type",
    "sourceIdIndex": "sflow.flow_sample.source_id_index",
    "egressInterfaceFormat": "sflow.flow_sample.output_interface.format",
    "ingressInterface": "sflow.flow_sample.input_interface_value",
    "ingressInterfaceFormat": "sflow.flow_sample.input_interface_format",
}
"""Those that it calls otherwise in expanded samples."""
PACKET: Final[Mapping[str, tuple[str, ...]]] = {
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
ICMP: Final = {"icmp": "icmpTypeCodeIPv4", "icmpv6": "icmpTypeCodeIPv6"}


_FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")


def inner(name: str) -> str:
    """What a field of the packet in a tunnel is called."""
    return f"inner{name[0].upper()}{name[1:]}"


def first(items: Sequence[Item], names: Mapping[str, str]) -> dict[str, Any]:
    """The first line of each name."""
    row: dict[str, Any] = {}
    for name, theirs in names.items():
        for item in items:
            if item.name == theirs:
                row[name] = plain(item.shown)
                break
    return row


def plain(shown: str) -> Any:
    """A number, if it is one."""
    try:
        return int(shown, 0)
    except ValueError:
        return shown


def sample(items: Sequence[Item]) -> dict[str, Any]:
    """A flow sample, the packet that was sampled, and what that one carries."""
    row = first(items, HEAD) | first(items, EXPANDED)
    begins = [n for n, item in enumerate(items) if item.name in ("ip", "ipv6")]
    cut = begins[1] if len(begins) > 1 else len(items)
    row |= _packet(items[:cut])
    row |= {inner(name): value for name, value in _packet(items[cut:]).items()}
    return row


def _packet(items: Sequence[Item]) -> dict[str, Any]:
    """The fields of a packet."""
    row: dict[str, Any] = {}
    for name, called in PACKET.items():
        for one in called:
            row |= {} if name in row else first(items, {name: one})
    if "ipVersion" not in row and (four := "sourceIPv4Address" in row) | (
        "sourceIPv6Address" in row
    ):
        row["ipVersion"] = 4 if four else 6
        row["tcpControlBits"] = sum(
            flag << bit
            for bit, name in enumerate(_FLAGS)
            for flag in first(items, {"flag": f"sflow_245.ip.tcp_flag.{name}"}).values()
        )
    six = first(items, {"payload": "ipv6.plen"})
    if six:
        row["ipTotalLength"] = six["payload"] + 40
        row["protocolIdentifier"] = [plain(i.shown) for i in items if i.name in _NEXT][-1]
    for name, ours in ICMP.items():
        icmp = first(items, {"type": f"{name}.type", "code": f"{name}.code"})
        if icmp:
            row[ours] = icmp["type"] << 8 | icmp["code"]
    return row


def nanoseconds(shown: str) -> int | None:
    """A date or a number of seconds; None: neither."""
    if (date := _DATE.fullmatch(shown)) is not None:
        then = datetime.strptime(date[1], "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC)
        return int(then.timestamp()) * SECOND_NS + int(date[2])
    if (duration := _SECONDS.fullmatch(shown)) is not None:
        return int(duration[1]) * SECOND_NS + int(duration[2])
    return None


# ── rows ──


def _rows(datagram: Datagram) -> Iterator[dict[str, Any]]:
    """The flows in a datagram, as rows."""
    header = {item.name: item.shown for item in reversed(datagram.items)}
    if "sflow_245.version" in header:
        for one in datagram.headings("Flow sample", "Expanded flow sample"):
            items = datagram.within(one.offset)
            row = _of_sample(first(items, _TYPES) | sample(items))
            if row is not None:
                yield {"family": SFLOW, "agent": _agent(header), **row}
        return
    for one in datagram.headings("Flow ", "pdu "):
        for record in _directions(datagram.below(one)):
            row = _of_record(record, header)
            if row is not None:
                protocol = _VERSIONS.get(int(header.get("cflow.version", 0)))
                observer = {"family": NETFLOW, "protocol": protocol}
                yield {**observer, "observation_domain": _domain(header), **row}


def _domain(header: Mapping[str, str]) -> int | None:
    """The observation domain; of NetFlow v5 the engine's type and id."""
    told = next((int(header[name]) for name in _DOMAINS if name in header), None)
    if told is None and "cflow.engine_id" in header:
        told = int(header.get("cflow.engine_type", 0)) << 8 | int(header["cflow.engine_id"])
    return told


def _agent(header: Mapping[str, str]) -> str | None:
    """The agent's address, of either version."""
    return header.get("sflow_245.agent") or header.get("sflow_245.agent.v6")


def _directions(items: Sequence[Item]) -> Iterator[dict[str, str]]:
    """The fields of a record, and, of a biflow with packets of the other direction, of that one.

    Of several of a name the first is the record's. A biflow's reverse elements have the names of
    the forward ones, and come second.
    """
    found: dict[str, str] = {}
    again: dict[str, str] = {}
    for item in items:
        (again if item.name in found else found).setdefault(item.name, item.shown)
    yield found
    if any(item.reverse for item in items) and any(int(again.get(name, 0)) for name in _COUNTS):
        for one, other in _PAIRS:
            exchanged = {one: found.get(other), other: found.get(one)}
            again |= {name: end for name, end in exchanged.items() if end is not None}
        yield {"cflow.protocol": found.get("cflow.protocol", "0"), **again}


def _of_record(record: Mapping[str, str], header: Mapping[str, str]) -> dict[str, Any] | None:
    """A record of NetFlow or IPFIX; None if it is not of a flow."""
    version = next((one for one in (4, 6, 0) if all(name in record for name in _ENDS[one])), None)
    if version is None or not (version or _ETHERNET in record):
        return None
    ends = [record[name] for name in _ENDS[version]]
    protocol = int(record.get("cflow.protocol", 0))
    key = flow(ends[0], ends[1], protocol, *_ports(record)) if version else None
    rate = max(1, int(header.get("cflow.samplerate", 0)))
    octets = record.get("cflow.octets", record.get("cflow.layer2_octet_delta_count"))
    flags = record.get("cflow.tcpflags")
    return {
        "flow": key or frames(ends[0], ends[1], int(record[_ETHERNET], 0)),
        "flowDirection": int(record.get("cflow.direction", 0)),
        "packets": int(record["cflow.packets"]) * rate if "cflow.packets" in record else None,
        "octets": None if octets is None else int(octets) * rate,
        "tcpControlBits": None if flags is None else int(flags, 0) & 0xFF,
        "first_ns": _time(record, header, "start"),
        "last_ns": _time(record, header, "end"),
    }


def _ports(record: Mapping[str, str]) -> tuple[int, int]:
    """Ports; of ICMP type and code, in any of the ways in which exporters tell them."""
    if int(record.get("cflow.protocol", 0)) not in _ICMP:
        return int(record.get("cflow.srcport", 0)), int(record.get("cflow.dstport", 0))
    for version in ("ipv4", "ipv6"):
        kind, code = (record.get(f"cflow.icmp_{version}_{part}") for part in ("type", "code"))
        if kind is not None and code is not None:
            return 0, int(kind) << 8 | int(code)
    both = record.get("cflow.icmp_type_code_ipv4", record.get("cflow.icmp_type_code_ipv6"))
    if both is None:
        both = record.get("cflow.icmp_type")
    if both is not None:
        return 0, int(both, 0)
    return int(record.get("cflow.srcport", 0)), int(record.get("cflow.dstport", 0))


def _time(record: Mapping[str, str], header: Mapping[str, str], end: str) -> int | None:
    """When the flow began or ended: absolute, or by the uptime of the header."""
    if f"cflow.abstime{end}" in record:
        return nanoseconds(record[f"cflow.abstime{end}"])
    told = [record.get(f"cflow.time{end}"), header.get("cflow.sysuptime")]
    then, uptime = (nanoseconds(text) if text else None for text in told)
    now = nanoseconds(header["cflow.timestamp"]) if "cflow.timestamp" in header else None
    return None if then is None or uptime is None or now is None else now - uptime + then


def _of_sample(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """A flow sample; None if it shows no packet."""
    rate = told.get("samplingInterval")
    if rate is None:
        return None
    version = told.get("ipVersion", 0)
    names = f"IPv{version}" if version else "Mac"
    ends = [told.get(f"{end}{names}Address") for end in ("source", "destination")]
    if None in ends:
        return None
    if version:
        icmp = told.get("icmpTypeCodeIPv4", told.get("icmpTypeCodeIPv6"))
        ports = [told.get(f"{end}TransportPort", 0) for end in ("source", "destination")]
        number = told.get("protocolIdentifier", 0)
        key = flow(str(ends[0]), str(ends[1]), number, ports[0], icmp or ports[1])
    else:
        number = told.get("innerType", told.get("ethernetType", 0))
        key = frames(str(ends[0]), str(ends[1]), number)
    octets = told.get("frameLength")
    return {
        "flow": key,
        "packets": rate,
        "octets_l2": None if octets is None else (octets - told.get("stripped", 0)) * rate,
        "tcpControlBits": told.get("tcpControlBits"),
    }
