"""Walking through the octets of one datagram.

Where fields are is read from the decoders' own tables: the layouts of NetFlow v5 and of sFlow's
structures, the templates that the exporter announced, and `collector.headers`. What does not fit
is one line that says so; no octet is left out and none is shown twice.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector import headers
from collector.decode import NETFLOW, SFLOW, netflow5
from collector.decode.layout import VARIABLE, Columns
from collector.decode.octets import Octets
from collector.decode.packet import ICMP, ICMPV6, TCP, UDP, WITH_PORTS
from collector.decode.packet import IPV4 as ETHERTYPE_IPV4
from collector.decode.packet import IPV6 as ETHERTYPE_IPV6
from collector.decode.sflow_layouts import (
    COUNTERS,
    ETHERNET_HEADER,
    EXTENDED,
    HEADER,
    PORT_NAME,
    RAW_HEADER,
    SAMPLED,
    SAMPLES,
)
from collector.decode.sflow_records import VARIABLE_DATA, parse
from collector.decode.template_store import Key
from collector.decode.templates import (
    FIRST_DATA_SET,
    TEMPLATE_SETS,
    BadTemplate,
    read_templates,
)
from collector.explain.dialect import IPFIX, NETFLOW9
from collector.explain.meaning import described, meaning
from collector.records import kind_of
from collector.texts import as_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from collector.decode.layout import Layout
    from collector.decode.sflow_records import Values
    from collector.decode.template_store import Templates
    from collector.decode.templates import Definition
    from collector.explain.dialect import Dialect

_B3: Final = "Cisco v5, table B-3"
_B4: Final = "Cisco v5, table B-4"
_FLOW_RECORDS: Final = {**SAMPLED, **EXTENDED}
"""Flow records of fixed fields."""
_VLAN_TAGS: Final = (0x8100, 0x88A8, 0x9100)


class Line(NamedTuple):
    """A field, or a heading above fields (without octets)."""

    offset: int
    octets: bytes
    depth: int
    name: str
    value: str = ""
    meaning: str = ""
    section: str = ""


class Walk:
    """The walk through one datagram."""

    def __init__(
        self, payload: bytes, templates: Templates, *, exporter: int, socket: int, lend: bool
    ) -> None:
        """Walk through `payload`, with what is known of its exporter."""
        self.payload = payload
        self.octets = Octets(np.frombuffer(payload, np.uint8))
        self.templates = templates
        self.exporter = exporter
        self.socket = socket
        self.lend = lend
        self._of_flow = False
        """Whether the records are those of a flow sample: formats of the two kinds overlap."""

    def lines(self, family: str | None) -> Iterator[Line]:
        """All lines, each when it is asked for; `family` is the protocol that its port has."""
        version = int.from_bytes(self.payload[:2] if family == NETFLOW else self.payload[:4], "big")
        walks: dict[tuple[str, int], Callable[[], Iterator[Line]]] = {
            (NETFLOW, 5): self._netflow5,
            (NETFLOW, 9): partial(self._message, NETFLOW9),
            (NETFLOW, 10): partial(self._message, IPFIX),
            (SFLOW, 5): self._sflow,
        }
        walk = walks.get((family or "", version))
        if walk is None:
            why = "no protocol belongs to its port" if family is None else "of no known version"
            return iter((self._raw(0, len(self.payload), 0, "octets", f"cannot be read: {why}"),))
        return walk()

    # ── common ──

    def _raw(
        self, at: int, end: int, depth: int, name: str, why: str = "", section: str = ""
    ) -> Line:
        """Octets that are shown as they are."""
        return Line(at, self.payload[at:end], depth, name, "", why, section)

    def _heading(self, at: int, depth: int, name: str, section: str = "", value: str = "") -> Line:
        return Line(at, b"", depth, name, value, "", section)

    def _rest(self, at: int, end: int, depth: int, why: str, section: str = "") -> Iterator[Line]:
        """What is left, if anything is."""
        if at < end:
            padding = not any(self.payload[at:end])
            name, why = (
                ("padding", "filled up with zeros") if padding and why == "" else ("rest", why)
            )
            yield self._raw(at, end, depth, name, why, section)

    def _fits(self, layout: Layout, at: int, end: int) -> bool:
        return end - at >= layout.minimum_octets

    def _numbers(self, layout: Layout, at: int) -> dict[str, int]:
        """The values of a header of numbers."""
        columns = Columns(layout, self.octets, np.array([[at]]))
        return {n: int(columns[n][0]) for n in columns if columns[n].ndim == 1}

    def _fields(
        self,
        layout: Layout,
        segments: NDArray[np.int64],
        depth: int,
        section: str,
        dialect: Dialect | None = None,
    ) -> Iterator[Line]:
        """The fields of one record, whose segments begin there."""
        columns = Columns(layout, self.octets, segments[None, :])
        for index, (name, place) in enumerate(layout.places.items()):
            at = int(segments[place.segment]) + place.offset
            kind = place.field.kind
            column = columns[name]
            end = at + place.field.width
            if place.field.width == VARIABLE:
                end = int(segments[place.segment + 1])
            value = as_texts(kind, column)[0]
            plain = name.partition("#")[0]
            where = section
            if dialect is not None:
                where += dialect.numbered(plain, scope=index < layout.scopes)
            if place.field.width == VARIABLE:
                where += "; length in front: RFC 7011 section 7"
            text = "" if value is None else str(value)
            yield Line(at, self.payload[at:end], depth, name, text, meaning(plain, value), where)

    def _fixed(self, layout: Layout, at: int, depth: int, section: str) -> Iterator[Line]:
        """The fields of a layout without variable lengths."""
        return self._fields(layout, np.array([at]), depth, section)

    # ── NetFlow v5 ──

    def _netflow5(self) -> Iterator[Line]:
        size, header = len(self.payload), headers.NETFLOW5
        if not self._fits(header, 0, size):
            yield from self._rest(0, size, 0, "too short for a header")
            return
        yield self._heading(0, 0, "NetFlow v5 header", _B3)
        yield from self._fixed(header, 0, 1, _B3)
        count = self._numbers(header, 0)["count"]
        layout = netflow5.layout()
        at, width = header.minimum_octets, layout.minimum_octets
        for number in range(1, count + 1):
            if at + width > size:
                break
            yield self._heading(at, 0, f"record {number} of {count}", _B4)
            yield from self._fixed(layout, at, 1, _B4)
            at += width
        yield from self._rest(at, size, 0, "does not fit the number of records in the header")

    # ── NetFlow v9, IPFIX ──

    def _message(self, dialect: Dialect) -> Iterator[Line]:
        size, header, set_header = len(self.payload), dialect.header, dialect.set_header
        if not self._fits(header, 0, size):
            yield from self._rest(0, size, 0, "too short for a header")
            return
        yield self._heading(0, 0, dialect.title, dialect.message)
        yield from self._fixed(header, 0, 1, dialect.message)
        said = self._numbers(header, 0)
        # NetFlow v9 does not say how long a packet is: it is the datagram.
        length, at = said.get("length", size), header.minimum_octets
        end = min(size, max(length, at))
        while at < end and self._fits(set_header, at, end):
            of_set = self._numbers(set_header, at)
            number, length = of_set.values()
            if length < set_header.minimum_octets:
                break
            set_end = min(end, at + length)
            key = Key(self.exporter, said[dialect.domain], number, dialect.version)
            yield from self._set(at, set_end, dialect, key)
            at = set_end
        yield from self._rest(at, end, 0, f"no {dialect.noun}: too short, or its length is wrong")
        yield from self._rest(end, size, 0, "behind the message", dialect.message)

    def _set(self, at: int, end: int, dialect: Dialect, key: Key) -> Iterator[Line]:
        """A set; the id of `key` is its own."""
        content, number = at + dialect.set_header.minimum_octets, key.template
        yield self._heading(at, 0, dialect.what(number), dialect.sets)
        yield from self._fixed(dialect.set_header, at, 1, dialect.set_headers)
        kinds = TEMPLATE_SETS[dialect.version]
        if number in kinds:
            yield from self._templates(content, end, dialect, options=number == kinds[1])
        elif number < FIRST_DATA_SET:
            yield from self._rest(content, end, 1, "set id is reserved", dialect.set_headers)
        else:
            yield from self._data(content, end, dialect, key)

    def _data(self, at: int, end: int, dialect: Dialect, key: Key) -> Iterator[Line]:
        """The records of a data set."""
        layout = self.templates.history(key)[-1][1]
        if layout is None and self.lend:
            layout = self.templates.of_other_domain(key, self.socket)
        if layout is None:
            why = f"template {key.template} of observation domain {key.domain} has not come yet"
            yield from self._rest(at, end, 1, why, dialect.data)
            return
        kind = "options record" if layout.scopes else "record"
        section = dialect.options_data if layout.scopes else dialect.data
        located = layout.locate(self.octets, np.array([at]), np.array([end]))
        for row, segments in enumerate(located.segments):
            yield self._heading(int(segments[0]), 1, f"{kind} {row + 1}", section)
            yield from self._fields(layout, segments, 2, section, dialect)
        why = "a value ends past its set" if located.broken[0] else ""
        yield from self._rest(int(located.rest[0]), end, 1, why, dialect.padding)

    def _templates(self, at: int, end: int, dialect: Dialect, *, options: bool) -> Iterator[Line]:
        """The template records of a set."""
        section = dialect.options_template if options else dialect.template
        content, version = self.payload[at:end], dialect.version
        for record in read_templates(content, options=options, version=version):
            while self.payload[at : at + 4] == bytes(4):
                yield from self._rest(at, at + 4, 1, "", dialect.padding)
                at += 4
            if isinstance(record, BadTemplate):
                yield from self._rest(at, end, 1, record.reason, section)
                return
            lines = list(self._template(at, record, dialect, section, options=options))
            yield from lines
            at = lines[-1].offset + len(lines[-1].octets)
        yield from self._rest(at, end, 1, "", dialect.padding)

    def _template(
        self, at: int, record: Definition, dialect: Dialect, section: str, *, options: bool
    ) -> Iterator[Line]:
        """One template record: its id, its fields."""
        layout = record.layout
        fields, scopes = ((), 0) if layout is None else (layout.fields, layout.scopes)
        verb = "withdrawn" if layout is None else f"{len(fields)} fields"
        yield self._heading(at, 1, f"template {record.template}, {verb}", section)
        names = ["templateId", "fieldCount"]
        if layout is not None and options:
            lengths = dialect.options_lengths
            names = [*names, *lengths] if len(lengths) == 1 else [names[0], *lengths]
        for name in names:
            octets = self.payload[at : at + 2]
            why = described(name) if layout else described(f"{name} of 0")
            yield Line(at, octets, 2, name, str(int.from_bytes(octets, "big")), why, section)
            at += 2
        for index, field in enumerate(fields):
            octets = self.payload[at : at + dialect.specifier_octets(self.payload[at : at + 2])]
            text = dialect.specified(octets, field, scope=index < scopes)
            why = described(field.name)
            yield Line(at, octets, 2, field.name, text, why, dialect.specifier)
            at += len(octets)

    # ── sFlow ──

    def _sflow(self) -> Iterator[Line]:
        size, section = len(self.payload), "sFlow v5 section 5, sample_datagram_v5"
        layout = headers.SFLOW.get(int.from_bytes(self.payload[4:8], "big"))
        if layout is None or not self._fits(layout, 0, size):
            yield from self._rest(0, size, 0, "too short for a header, or no agent address")
            return
        yield self._heading(0, 0, "sFlow datagram header", section)
        yield from self._fixed(layout, 0, 1, section)
        at = layout.minimum_octets
        count = self._numbers(layout, 0)["samples"]
        yield from self._items(at, size, count, 0, "sample")

    def _items(self, at: int, end: int, count: int, depth: int, noun: str) -> Iterator[Line]:
        """Samples of a datagram, or records of a sample: format, length, content."""
        section = f"sFlow v5 section 5, {noun}"
        item = headers.SFLOW_ITEM
        for number in range(1, count + 1):
            if not self._fits(item, at, end):
                break
            said = self._numbers(item, at)
            content, content_end = (
                at + item.minimum_octets,
                at + item.minimum_octets + said["length"],
            )
            if content_end > end:
                break
            enterprise, form = said["format"] >> 12, said["format"] & 0xFFF
            name = f"{noun} {number} of {count}, format {enterprise}/{form}"
            yield self._heading(at, depth, name, section)
            yield from self._fixed(item, at, depth + 1, section)
            walk = self._sample if noun == "sample" else self._record
            yield from walk(content, content_end, said["format"], depth + 1)
            at = min(end, content_end + (-content_end % 4 if noun == "record" else 0))
        yield from self._rest(at, end, depth, "" if noun == "record" else f"no {noun}", section)

    def _sample(self, at: int, end: int, number: int, depth: int) -> Iterator[Line]:
        sample = SAMPLES.get(number)
        if sample is None or not self._fits(sample.layout, at, end):
            yield from self._rest(at, end, depth, "a sample that is not known, or cut short")
            return
        section = f"sFlow v5 section 5, {'flow' if 'flow' in sample.kind else 'counters'}_sample"
        yield from self._fixed(sample.layout, at, depth, section)
        count = self._numbers(sample.layout, at)["records"]
        at += sample.layout.minimum_octets
        self._of_flow = sample.kind == "flow sample"
        yield from self._items(at, end, count, depth, "record")

    def _record(self, at: int, end: int, number: int, depth: int) -> Iterator[Line]:
        if self._of_flow and number == RAW_HEADER and self._fits(HEADER, at, end):
            section = "sFlow v5 section 5, sampled_header"
            yield from self._fixed(HEADER, at, depth, section)
            said = self._numbers(HEADER, at)
            at += HEADER.minimum_octets
            packet_end = min(end, at + said["headerLength"])
            if said["headerProtocol"] == ETHERNET_HEADER:
                yield self._heading(at, depth, "the sampled packet")
                yield from self._ethernet(at, packet_end, depth + 1)
            else:
                yield from self._rest(at, packet_end, depth, "a header that is no Ethernet")
            if packet_end < end:
                # Open vSwitch does not write the zeros that XDR asks for.
                why = "fills up four octets; whatever was in the exporter's memory, if not 0"
                yield self._raw(packet_end, end, depth, "padding", why, "RFC 4506 section 3")
            return
        layout = (_FLOW_RECORDS if self._of_flow else COUNTERS).get(number)
        if layout is not None and self._fits(layout, at, end):
            section = f"sFlow v5 section 5, {'flow data' if self._of_flow else 'counters'}"
            yield from self._fixed(layout, at, depth, section)
            at += layout.minimum_octets
            if layout is COUNTERS[PORT_NAME]:
                name_end = min(end, at + self._numbers(layout, at - 4)["portNameLength"])
                text = self.payload[at:name_end].decode("utf-8", "replace")
                yield Line(at, self.payload[at:name_end], depth, "interfaceName", text, "", section)
                at = name_end
            yield from self._rest(at, end, depth, "")
            return
        parsed = parse(self.octets, number, np.array([at]), np.array([end]))
        if self._of_flow and number in VARIABLE_DATA and parsed.whole[0]:
            yield self._variable_data(at, end, depth, parsed.columns)
        else:
            yield from self._rest(at, end, depth, "a record that is not known, or cut short")

    def _variable_data(self, at: int, end: int, depth: int, columns: Values) -> Line:
        """Extended data with addresses of either kind and lists: all of it in one line."""
        texts = []
        for name, column in columns.items():
            (value,) = as_texts(kind_of(name), column() if callable(column) else column)
            texts.append(f"{name} {value}")
        section = "sFlow v5 section 5, flow data"
        return Line(at, self.payload[at:end], depth, "fields", ", ".join(texts), "", section)

    def _ethernet(self, at: int, end: int, depth: int) -> Iterator[Line]:
        """A frame: its headers as far as they are known, then its payload."""
        layout, section = headers.ETHERNET, "IEEE 802.3"
        kind = None
        while self._fits(layout, at, end):
            yield from self._fixed(layout, at, depth, section)
            at += layout.minimum_octets
            kind = int.from_bytes(self.payload[at - 2 : at], "big")
            if kind not in _VLAN_TAGS:
                break
            layout, section = headers.VLAN_TAG, "IEEE 802.1Q"
        protocol = None
        if kind == ETHERTYPE_IPV4 and self._fits(headers.IPV4, at, end):
            yield from self._fixed(headers.IPV4, at, depth, "RFC 791 section 3.1")
            said = self._numbers(headers.IPV4, at)
            options_end = min(end, at + 4 * (said["versionAndHeaderLength"] & 15))
            at += headers.IPV4.minimum_octets
            if options_end > at:
                yield self._raw(at, options_end, depth, "options", "", "RFC 791 section 3.1")
                at = options_end
            first = said["flagsAndFragmentOffset"] & 0x1FFF == 0
            protocol = said["protocolIdentifier"] if first else None
        elif kind == ETHERTYPE_IPV6 and self._fits(headers.IPV6, at, end):
            yield from self._fixed(headers.IPV6, at, depth, "RFC 8200 section 3")
            protocol = self._numbers(headers.IPV6, at)["nextHeaderIPv6"]
            at += headers.IPV6.minimum_octets
        transport = {
            TCP: (headers.TCP, "RFC 9293 section 3.1"),
            UDP: (headers.UDP, "RFC 768"),
            ICMP: (headers.ICMP, "RFC 792"),
            ICMPV6: (headers.ICMP, "RFC 4443 section 2.1"),
        }.get(protocol or 0)
        if transport is None and protocol in WITH_PORTS.tolist():
            transport = (headers.PORTS, "RFC 9260, RFC 4340, RFC 3828")
        if transport is not None and self._fits(transport[0], at, end):
            yield from self._fixed(transport[0], at, depth, transport[1])
            at += transport[0].minimum_octets
        if at < end:
            yield self._raw(at, end, depth, "payload", "what follows in the packet")
