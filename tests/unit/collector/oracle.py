"""The decoders a second time, as plain as possible: record by record, field by field.

Slow, without numpy, written from the formats' texts and not from `collector.decode`: what both
agree on is right, or wrong twice for different reasons. They share only the table of element names.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from collector.decode.elements import element, netflow9_element, netflow9_scope

Record = tuple[str, int, int, dict[str, Any]]
"""Protocol, datagram (1-based), offset, fields."""


@dataclass
class Oracle:
    """Decodes datagrams in order."""

    all_domains: bool = False
    records: list[Record] = field(default_factory=list)
    faulty: set[int] = field(default_factory=set)
    templates: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    number: int = 0

    def feed(self, family: str, data: bytes, socket: int = 0) -> None:
        """Decode the next datagram."""
        self.number += 1
        self.data = data
        self.socket = socket
        if family == "sflow":
            known = {5: self.sflow}.get(int.from_bytes(data[:4], "big")) if len(data) >= 4 else None
        else:
            versions = {5: self.netflow5, 9: self.netflow9, 10: self.ipfix}
            known = versions.get(int.from_bytes(data[:2], "big")) if len(data) >= 2 else None
        if known is None:
            self.fault()
        else:
            known()

    def fault(self) -> None:
        self.faulty.add(self.number)

    def add(self, protocol: str, offset: int, fields: dict[str, Any]) -> None:
        self.records.append((protocol, self.number, offset, fields))

    # ── NetFlow v5 ──

    def netflow5(self) -> None:
        data = self.data
        if len(data) < 24:
            return self.fault()
        count = struct.unpack_from("!H", data, 2)[0]
        if len(data) != 24 + 48 * count:
            self.fault()
        names = [
            "sourceIPv4Address",
            "destinationIPv4Address",
            "ipNextHopIPv4Address",
            "ingressInterface",
            "egressInterface",
            "packetDeltaCount",
            "octetDeltaCount",
            "flowStartSysUpTime",
            "flowEndSysUpTime",
            "sourceTransportPort",
            "destinationTransportPort",
            "tcpControlBits",
            "protocolIdentifier",
            "ipClassOfService",
            "bgpSourceAsNumber",
            "bgpDestinationAsNumber",
            "sourceIPv4PrefixLength",
            "destinationIPv4PrefixLength",
        ]
        for index in range(count):
            at = 24 + 48 * index
            if at + 48 > len(data):
                break
            values = struct.unpack_from("!IIIHHIIIIHHxBBBHHBBxx", data, at)
            self.add("netflow5", at, dict(zip(names, values, strict=True)))
        return None

    # ── IPFIX ──

    def ipfix(self) -> None:
        data = self.data
        if len(data) < 16:
            return self.fault()
        _, length, _, _, domain = struct.unpack_from("!HHIII", data)
        if length != len(data):
            self.fault()
        end, at = min(len(data), max(16, length)), 16
        while at < end:
            if end - at < 4:
                return self.fault()
            kind, size = struct.unpack_from("!HH", data, at)
            if size < 4:
                return self.fault()
            stop = min(end, at + size)
            if at + size > end:
                self.fault()
            if kind in (2, 3):
                self.template_set(
                    data[at + 4 : stop], domain, options=kind == 3, cut=at + size > end
                )
            elif kind < 256:
                self.fault()
            else:
                self.data_set(at + 4, stop, (domain, kind), cut=at + size > end)
            at = stop
        return None

    def template_set(  # noqa: C901, PLR0912 - plain, all in one place
        self, body: bytes, domain: int, *, options: bool, cut: bool
    ) -> None:
        at = 0
        while len(body) - at >= 4:
            template, count = struct.unpack_from("!HH", body, at)
            if template < 256 and not count and template in (0, 2, 3):
                if template:
                    for key, known in list(self.templates.items()):
                        if key[0] == domain and known and bool(known[1]) == options:
                            self.templates[key] = None
                at += 4
                continue
            if template < 256:
                return None if cut else self.fault()
            if not count:
                self.templates[domain, template] = None
                at += 4
                continue
            begin, scopes = at + 4, 0
            if options:
                scopes = int.from_bytes(body[at + 4 : at + 6], "big")
                begin += 2
            fields = []
            for _ in range(count):
                head = body[begin : begin + 4]
                number, width = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
                begin += 4
                enterprise = 0
                if number & 0x8000:
                    enterprise = int.from_bytes(body[begin : begin + 4], "big")
                    begin += 4
                fields.append((element(enterprise, number & 0x7FFF, width), width))
                if begin > len(body):
                    return None if cut else self.fault()
            if scopes > count or not sum(width != 0 for _, width in fields):
                if not cut:
                    self.fault()
            else:
                self.templates[domain, template] = (tuple(fields), scopes)
                self.templates["socket", self.socket, template, domain] = (tuple(fields), scopes)
            at = begin
        return None

    def borrow(self, template: int) -> Any:
        found = {
            known
            for key, known in self.templates.items()
            if key[:3] == ("socket", self.socket, template)
        }
        return next(iter(found)) if len(found) == 1 else None

    def data_set(self, at: int, stop: int, key: tuple[int, int], *, cut: bool) -> None:
        known = self.templates.get(key)
        if known is None and self.all_domains:
            known = self.borrow(key[1])
        if known is None:
            return self.fault()
        fields, scopes = known
        minimum = sum(1 if width == 65535 else width for _, width in fields)
        while stop - at >= minimum:
            begin, values = at, {}
            for what, width in fields:
                if width == 65535:
                    width = self.data[at] if at < stop else 0  # noqa: PLW2901
                    at += 1
                    if width == 255:
                        width = int.from_bytes(self.data[at : at + 2], "big")  # noqa: PLW2901
                        width = width if at + 2 <= stop else 0  # noqa: PLW2901
                        at += 2
                if at + width > stop:
                    return None if cut else self.fault()
                raw = self.data[at : at + width]
                at += width
                name, occurrence = what.name, 1
                while name in values:
                    occurrence += 1
                    name = f"{what.name}#{occurrence}"
                values[name] = typed(what.kind, raw)
            protocol = "ipfix" if isinstance(key[0], int) else "netflow9"
            self.add("options" if scopes else protocol, begin, values)
        if any(self.data[at:stop]) and not cut:
            self.fault()
        return None

    # ── NetFlow v9 ──

    def netflow9(self) -> None:
        data = self.data
        if len(data) < 20:
            return self.fault()
        source, at = ("netflow9", int.from_bytes(data[16:20], "big")), 20
        while at < len(data):
            if len(data) - at < 4:
                return self.fault()
            kind, size = struct.unpack_from("!HH", data, at)
            if size < 4:
                return self.fault()
            stop, cut = min(len(data), at + size), at + size > len(data)
            if cut:
                self.fault()
            if kind < 2:
                self.netflow9_templates(data[at + 4 : stop], source, options=kind == 1, cut=cut)
            elif kind < 256:
                self.fault()
            else:
                self.data_set(at + 4, stop, (source, kind), cut=cut)
            at = stop
        return None

    def netflow9_templates(self, body: bytes, source: Any, *, options: bool, cut: bool) -> None:
        at, header = 0, 6 if options else 4
        while len(body) - at >= header:
            template, count = struct.unpack_from("!HH", body, at)
            if not template and not count:
                at += 4
                continue
            if template < 256:
                return None if cut else self.fault()
            scopes = size = 0
            if options:
                rest = int.from_bytes(body[at + 4 : at + 6], "big")
                scopes, size = count // 4, count + rest
            else:
                size = 4 * count
            begin, at = at + header, at + header + size
            if at > len(body):
                return None if cut else self.fault()
            fields = []
            for number, place in enumerate(range(begin, at - 3, 4)):
                kind, width = struct.unpack_from("!HH", body, place)
                named = netflow9_scope if number < scopes else netflow9_element
                fields.append((named(kind, width), width))
            uneven = options and (count % 4 or rest % 4)
            if uneven or not sum(width != 0 for _, width in fields):
                if not cut:
                    self.fault()
            else:
                self.templates[source, template] = (tuple(fields), scopes)
        return None

    # ── sFlow ──

    def sflow(self) -> None:
        data = self.data
        kind = int.from_bytes(data[4:8], "big") if len(data) >= 8 else 0
        header = {1: 28, 2: 40}.get(kind, 28)
        if kind not in (1, 2) or len(data) < header:
            return self.fault()
        for begin, form, body in self.items(header, len(data), data[header - 4 : header]):
            if form in (1, 3):
                self.flow_sample(begin, body, "!8I" if form == 1 else "!11I")
            if form in (2, 4):
                self.counter_sample(begin, body, 12 if form == 2 else 16)
        return None

    def items(self, at: int, end: int, count: bytes) -> list[tuple[int, int, int]]:
        """Of each item: where it begins, its format, its length."""
        found = []
        for _ in range(int.from_bytes(count, "big")):
            if end - at < 8:
                self.fault()
                break
            form, length = struct.unpack_from("!II", self.data, at)
            if length + 8 > end - at:
                self.fault()
                break
            found.append((at, form, length))
            at += (length + 8 + 3) // 4 * 4
        return found

    def counter_sample(self, begin: int, length: int, size: int) -> None:
        at = begin + 8
        if length < size:
            return self.fault()
        count = self.data[at + size - 4 : at + size]
        known = {1: 88, 2: 52, 5: 28, 7: 56, 1001: 28, 1004: 12, 1005: 4, 2203: 40, 2207: 24}
        for where, form, octets in self.items(at + size, at + length, count):
            name = int.from_bytes(self.data[where + 8 : where + 12], "big")
            if octets < known.get(form, 0) or (form == 1005 and name + 4 > octets):
                self.fault()
        return None

    def flow_sample(self, begin: int, length: int, head: str) -> None:
        size, at = struct.calcsize(head), begin + 8
        if length < size:
            return self.fault()
        values = struct.unpack_from(head, self.data, at)
        records = self.items(at + size, at + length, self.data[at + size - 4 : at + size])
        first: dict[int, bytes] = {}
        for where, form, octets in records:
            body = self.data[where + 8 : where + 8 + octets]
            if form in (1, 2, 3, 4):
                first.setdefault(form, body)
            elif not extended(form, body):
                self.fault()
        form = next((form for form in (1, 3, 4, 2) if form in first), 0)
        read = {1: header, 2: sampled_ethernet, 3: sampled_ipv4, 4: sampled_ipv6}.get(form)
        if read is not None:
            try:
                sampled = read(first[form])
            except struct.error:
                return self.fault()
            if sampled is not None:
                rate = {"samplingInterval": values[2 if head == "!8I" else 3]}
                self.add("flow sample", begin, rate | sampled)
        return None


def header(body: bytes) -> dict[str, Any] | None:
    """A sampled header."""
    protocol, frame, stripped, captured = struct.unpack_from("!4I", body)
    if captured > len(body) - 16:
        raise struct.error
    data = body[16 : 16 + captured]
    fake = {11: 0x0800, 12: 0x86DD, 13: 0x8847}.get(protocol)
    if fake:
        data = bytes(12) + struct.pack("!H", fake) + data
    elif protocol != 1:
        return None
    return {"frameLength": frame, "stripped": stripped} | packet(data)


def sampled_ethernet(body: bytes) -> dict[str, Any]:
    """A sampled Ethernet frame."""
    frame, source, destination, kind = struct.unpack_from("!I6sxx6sxxI", body)
    return {"frameLength": frame, "stripped": 4} | packet(
        destination + source + struct.pack("!H", kind & 0xFFFF)
    )


def sampled_ipv4(body: bytes) -> dict[str, Any]:
    """A sampled IPv4 packet."""
    length, protocol, source, destination, *rest = struct.unpack_from("!8I", body)
    mapped = 0xFFFF << 32
    return sampled_ip(length, protocol, (mapped | source, mapped | destination), rest, 4)


def sampled_ipv6(body: bytes) -> dict[str, Any]:
    """A sampled IPv6 packet."""
    length, protocol, source, destination, *rest = struct.unpack_from("!2I16s16s4I", body)
    ends = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
    return sampled_ip(length, protocol, ends, rest, 6)


def sampled_ip(
    length: int, protocol: int, ends: tuple[int, int], rest: list[int], version: int
) -> dict[str, Any]:
    """What IPv4 and IPv6 have in common."""
    protocol &= 0xFF
    ports = [0, 0] if protocol == {4: 1, 6: 58}[version] else rest[:2]
    return packet(b"") | {
        "ethernetType": {4: 0x0800, 6: 0x86DD}[version],
        "ipVersion": version,
        "sourceIPAddress": ends[0],
        "destinationIPAddress": ends[1],
        "protocolIdentifier": protocol,
        "sourceTransportPort": ports[0] & 0xFFFF,
        "destinationTransportPort": ports[1] & 0xFFFF,
        "tcpControlBits": rest[2] & 0xFFFF,
        "hasTcpHeader": int(protocol == 6),
        "ipTotalLength": length,
    }


def extended(form: int, body: bytes) -> bool:
    """Whether a record of extended data is whole."""
    fixed = {1001: 16, 1020: 8, 1029: 4, 1030: 4}
    shape = {1002: "ann", 1003: "annnpln", 1006: "all", 1007: "aa"}.get(form, "")
    at = fixed.get(form, 0)

    def number() -> int:
        nonlocal at
        at += 4
        return int.from_bytes(body[at - 4 : at], "big") if at <= len(body) else 1 << 20

    for part in shape:
        if part == "a":
            skip = {0: 0, 1: 4, 2: 16}.get(number())
            if skip is None:
                return False
            at += skip
        elif part == "n":
            number()
        else:
            for _ in range(count) if (count := number()) <= 256 and part == "p" else ():
                number()
                inner = number()
                if inner > 256:
                    return False
                at += 4 * inner
            if count > 256:
                return False
            at += 4 * count if part == "l" else 0
    return at <= len(body)


def typed(kind: str, raw: bytes) -> Any:
    """A value of an abstract data type; floats stay octets, so that even NaN equals itself."""
    if kind.startswith("float") or kind in ("octetArray", "string") or kind.endswith("List"):
        return raw
    return int.from_bytes(raw, "big", signed=kind.startswith("signed"))


def packet(frame: bytes) -> dict[str, Any]:
    """The header fields of one Ethernet frame."""
    fields: dict[str, Any] = dict.fromkeys(
        [
            "sourceMacAddress",
            "destinationMacAddress",
            "ethernetType",
            "vlanId",
            "ipVersion",
            "sourceIPAddress",
            "destinationIPAddress",
            "protocolIdentifier",
            "sourceTransportPort",
            "destinationTransportPort",
            "tcpControlBits",
            "hasTcpHeader",
            "ipTotalLength",
        ],
        0,
    )
    if len(frame) < 14:
        return fields
    fields["destinationMacAddress"] = int.from_bytes(frame[:6], "big")
    fields["sourceMacAddress"] = int.from_bytes(frame[6:12], "big")
    at, tags = 12, 0
    kind = int.from_bytes(frame[at : at + 2], "big")
    while kind in (0x8100, 0x88A8, 0x9100) and at + 6 <= len(frame) and tags < 4:
        if not tags:
            fields["vlanId"] = int.from_bytes(frame[at + 2 : at + 4], "big") & 0xFFF
        at, tags = at + 4, tags + 1
        kind = int.from_bytes(frame[at : at + 2], "big")
    fields["ethernetType"] = kind
    rest = frame[at + 2 :]
    labels = 0
    while kind in (0x8847, 0x8848) and len(rest) > 4 and labels < 8:
        bottom, rest, labels = rest[2] & 1, rest[4:], labels + 1
        if bottom:
            kind = fields["ethernetType"] = {4: 0x0800, 6: 0x86DD}.get(rest[0] >> 4, kind)
            break
    if kind == 0x0800 and len(rest) >= 20 and rest[0] >> 4 == 4:
        ipv4(fields, rest)
    if kind == 0x86DD and len(rest) >= 40 and rest[0] >> 4 == 6:
        ipv6(fields, rest)
    return fields


def ipv4(fields: dict[str, Any], data: bytes) -> None:
    """An IPv4 packet."""
    header, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    if header < 20 or total < header:
        return
    fields |= {"ipVersion": 4, "protocolIdentifier": data[9], "ipTotalLength": total}
    mapped = 0xFFFF << 32
    fields["sourceIPAddress"] = mapped | int.from_bytes(data[12:16], "big")
    fields["destinationIPAddress"] = mapped | int.from_bytes(data[16:20], "big")
    if not int.from_bytes(data[6:8], "big") & 0x1FFF:
        transport(fields, data[header:], total - header)


def ipv6(fields: dict[str, Any], data: bytes) -> None:
    """An IPv6 packet."""
    left = int.from_bytes(data[4:6], "big")
    fields |= {"ipVersion": 6, "ipTotalLength": left + 40}
    fields["sourceIPAddress"] = int.from_bytes(data[8:24], "big")
    fields["destinationIPAddress"] = int.from_bytes(data[24:40], "big")
    kind, data = data[6], data[40:]
    for _ in range(8):
        fields["protocolIdentifier"] = kind
        if kind not in (0, 43, 44, 51, 60):
            break
        if len(data) < 8:
            return
        size = {44: 8, 51: (data[1] + 2) * 4}.get(kind, (data[1] + 1) * 8)
        later = kind == 44 and int.from_bytes(data[2:4], "big") & 0xFFF8
        kind, left, data = data[0], left - size, data[size:]
        fields["protocolIdentifier"] = kind
        if later or left < 0:
            return
    else:
        return
    transport(fields, data, left)


def transport(fields: dict[str, Any], data: bytes, length: int) -> None:
    """The header behind IP; `length` is what IP says is there."""
    if len(data) < 4 or length < 4:
        return
    protocol, first, second = fields["protocolIdentifier"], data[:2], data[2:4]
    if protocol in (6, 17, 33, 132, 136):
        fields["sourceTransportPort"] = int.from_bytes(first, "big")
        fields["destinationTransportPort"] = int.from_bytes(second, "big")
    if protocol == {4: 1, 6: 58}[fields["ipVersion"]]:
        fields["destinationTransportPort"] = int.from_bytes(first, "big")
    if protocol == 6 and len(data) >= 20 and 20 <= (data[12] >> 4) * 4 <= length:
        fields["hasTcpHeader"] = 1
        fields["tcpControlBits"] = int.from_bytes(data[12:14], "big") & 0xFFF
