"""Records to datagrams, as a profile's exporter would send them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode import BY_NAME
from collector.decode.address import ipv4_column
from collector.decode.elements import RAW
from collector.decode.layout import VARIABLE
from collector.decode.packet import ICMP, ICMPV6, TCP, UDP
from collector.decode.sflow_layouts import COUNTERS
from collector.encode import (
    Division,
    NotEncodableError,
    Session,
    Template,
    all_withdrawn,
    announced,
    data,
    ipfix,
    lists,
    netflow5,
    netflow9,
    repeating,
    sflow,
    template,
    time_columns,
)
from collector.encode.packet import sampled
from collector.encode.pieces import Slices, slices
from collector.generate.flows import BEGIN_NS, records, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from collector.decode import Datagrams
    from collector.encode import Sent
    from collector.encode.sets import Items
    from collector.generate.flows import Columns, Table
    from collector.generate.profile import Event, Profile, TemplateOf

PORTS: Final = {"netflow5": 2055, "netflow9": 2055, "ipfix": 4739, "sflow5": 6343}
_PROTOCOLS: Final = {"tcp": (TCP,), "udp": (UDP,), "icmp": (ICMP, ICMPV6)}
_PLACE: Final = "{}"
"""Where the number of the interface stands in a name."""
_FCS_OCTETS: Final = 4
_UP_BEFORE_MS: Final = 10_000
"""Uptime of an exporter that restarted, when its first flow begins."""
_FLOOD_FIRST: Final = 40_000
_SECOND_NS: Final = 1_000_000_000
_SAMPLER: Final = (
    *("samplingInterval", "samplerRandomInterval", "samplingPacketInterval"),
    "samplingPopulation",
)


_REVERSE_TIMES: Final = ("reverse_first_ns", "reverse_last_ns")
_TIMES: Final = frozenset({"first_ns", "last_ns", "export_ns", *_REVERSE_TIMES})
_ALWAYS: Final = frozenset({"tuple", "ingressInterface", *_TIMES})
_PACKET: Final = (
    *("ipVersion", "ethernetType", "sourceMacAddress", "destinationMacAddress", "vlanId"),
    *("protocolIdentifier", "sourceTransportPort", "destinationTransportPort", "tcpControlBits"),
)
"""Columns that become the headers of a sampled packet."""


@dataclass(frozen=True)
class Block:
    """Some records, and the datagrams that tell them."""

    sent: Sent
    records: Columns
    """As `flows.records` gives them, with what was said: times as told."""
    source_port: int

    def datagrams(self, profile: Profile) -> Datagrams:
        """With addresses."""
        return self.sent.datagrams(
            PORTS[profile.protocol], exporter=profile.address, source_port=self.source_port
        )


@dataclass
class Exporter:
    """An exporter between two blocks: what it remembers."""

    profile: Profile
    drawn: Table
    session: Session
    agent: sflow.Agent
    kinds: list[_Kind] = field(default_factory=list)
    source_port: int = 40_000
    done: int = 0
    """Records told."""
    shift_ns: int = 0
    """By how much its clock was set."""

    @classmethod
    def of(cls, profile: Profile, seed: int, number: int = 0) -> Exporter:
        """One that has told nothing yet; `number` tells several apart."""
        boot_ms = BEGIN_NS // 1_000_000 - int(profile.uptime_s * 1_000)
        exporter = cls(
            profile,
            table(profile.flows, seed),
            Session(profile.sequence, profile.domain, boot_ms),
            sflow.Agent(profile.address, profile.domain, profile.sequence, boot_ms),
            source_port=40_000 + number,
        )
        exporter.kinds = [
            _kind(one, one.id, profile.version, one.specified) for one in profile.templates
        ]
        return exporter

    def blocks(self, count: int, seed: int) -> Iterator[Block]:
        """All datagrams with `count` records.

        Raises:
            NotEncodableError: the profile asks for what the format cannot say.
        """
        profile = self.profile
        drawn = records(
            profile.flows,
            self.drawn,
            count,
            seed,
            wanted=self._wanted(),
            single=profile.protocol == "sflow5",
            biflows=profile.biflows,
        )
        for columns in drawn:
            rows = len(columns["tuple"])
            ends = [one.after_records - self.done for one in profile.events]
            cuts = sorted({0, rows, *(end for end in ends if 0 < end < rows)})
            for begin, end in pairwise(cuts):
                events = [one for one in profile.events if one.after_records == self.done]
                some = {name: column[begin:end] for name, column in columns.items()}
                yield self._phase(some, events)

    def _wanted(self) -> frozenset[str]:
        """Columns of the table that are told, or decided by; none: all."""
        if not self.profile.by_templates:
            return frozenset()
        fields = {name for one in self.kinds for name in one.template.layout.places}
        return frozenset({*fields, "ipVersion", "protocolIdentifier", "ingressInterface"})

    def _phase(self, columns: Columns, events: Sequence[Event]) -> Block:
        """Records between two events, and what the events before them make it say."""
        ahead: list[Items] = []
        for event in events:
            ahead += self._happens(event, int(columns["export_ns"][0]))
        columns = dict(columns)
        for name in _TIMES & columns.keys():
            columns[name] = columns[name] + self.shift_ns
        encode = {"netflow5": self._netflow5, "sflow5": self._sflow}.get(self.profile.protocol)
        sent = encode(columns) if encode else self._by_templates(columns, ahead)
        self.done += len(columns["tuple"])
        return Block(sent, columns, self.source_port)

    def _happens(self, event: Event, now_ns: int) -> list[Items]:
        """What an event changes, and what is sent of it ahead of the next record."""
        session = self.session
        if event.kind == "redefine":
            self.kinds = [one.turned() for one in self.kinds]
            return self._announced()
        if event.kind == "withdraw":
            withdrawn = [all_withdrawn()]
            self.kinds = [one.renumbered() for one in self.kinds]
            if any(one.template.options for one in self.kinds):
                withdrawn.append(all_withdrawn(options=True))
            return [*withdrawn, *self._announced()]
        if event.kind == "restart":
            # No flow that it tells can have begun before it did.
            up_ms = int(self.profile.flows.longest_s * 1_000) + _UP_BEFORE_MS
            self.session = replace(session, sequence=0, boot_ms=now_ns // 1_000_000 - up_ms)
            self.source_port += 1_000
            return self._announced()
        if event.kind == "clock_step":
            self.shift_ns += event.step_s * _SECOND_NS
            self.session = replace(session, boot_ms=session.boot_ms + event.step_s * 1_000)
            return []
        wanted: list[str | tuple[str, int]] = [
            "sourceIPv4Address",
            "destinationIPv4Address",
            ("octetDeltaCount", 4),
        ]
        flood = [
            template(_FLOOD_FIRST + number, wanted, version=self.profile.version)
            for number in range(event.templates)
        ]
        return announced(flood)

    def _division(self, most_octets: int | None = None) -> Division:
        return Division(self.profile.records_per_datagram, most_octets or self.profile.most_octets)

    # ── NetFlow v5 ──

    def _netflow5(self, columns: Columns) -> Sent:
        profile = self.profile
        division = netflow5.FULL
        if profile.records_per_datagram:
            division = Division(min(profile.records_per_datagram, 30))
        rate = profile.sampling.rate
        told = {
            **columns,
            **profile.values,
            "flowStartMilliseconds": columns["first_ns"] // 1_000_000,
            "flowEndMilliseconds": columns["last_ns"] // 1_000_000,
        }
        if BY_NAME[profile.habits].netflow5_octets == "l2":
            told["octetDeltaCount"] = columns["layer2OctetDeltaCount"]
        sent, self.session = netflow5.datagrams(
            told,
            self.session,
            columns["export_ns"],
            division=division,
            sampling_interval=rate if rate > 1 else 0,
            sampling_algorithm=(2 if profile.sampling.random else 1) if rate > 1 else 0,
            habits=BY_NAME[profile.habits],
        )
        return sent

    # ── NetFlow v9 and IPFIX ──

    def _by_templates(self, columns: Columns, ahead: Sequence[Items]) -> Sent:
        profile = self.profile
        kind_of = self._kind_of(columns)
        parts: list[Items] = []
        order: NDArray[np.integer[Any]] = np.zeros(len(kind_of), np.int64)
        for number, kind in enumerate(self.kinds):
            rows = np.flatnonzero(kind_of == number)
            if not len(rows):
                continue
            whole = len(rows) == len(kind_of)
            some = columns if whole else _rows(kind.template, columns, rows)
            order[rows] = len(parts)
            parts.append(data(kind.template, self._told(kind, some), len(rows)))
        where = self._where(len(kind_of))
        stream = repeating(self._announced(), parts, columns["export_ns"], where, order)
        parts, order, times = list(stream.parts), stream.order, stream.export_time_ns
        if ahead:
            once = np.repeat(np.arange(len(ahead)), [len(one.pieces.length) for one in ahead])
            parts = [*ahead, *parts]
            order = np.concatenate([once, order + len(ahead)])
            times = np.concatenate([np.full(len(once), times[0]), times])
        options: dict[str, Any] = {
            "order": order,
            "division": self._division(),
            "align": profile.align,
        }
        if profile.protocol == "ipfix":
            sent, self.session = ipfix.messages(parts, self.session, times, **options)
        else:
            # The header has whole seconds beside an uptime in milliseconds (RFC 3954 section 5.1).
            # So that there is one truth, these clocks tick together.
            seconds = times // _SECOND_NS * _SECOND_NS
            sent, self.session = netflow9.packets(
                parts, self.session, seconds, **options, habits=BY_NAME[profile.habits]
            )
        return sent

    def _where(self, count: int) -> NDArray[np.int64]:
        """Ahead of which records the templates come."""
        first, every = self.profile.templates_after_records, self.profile.refresh_records
        number = self.done + np.arange(count)
        due = number == first
        if every:
            due |= (number > first) & ((number - first) % every == 0)
        return np.flatnonzero(due)

    def _announced(self) -> list[Items]:
        """Templates, and options data."""
        items = announced([one.template for one in self.kinds])
        for kind in self.kinds:
            for row in kind.settings.rows:
                told = {name: _column(kind.template, name, value) for name, value in row.items()}
                items.append(data(kind.template, _filled(kind.template, told, 1), 1))
        return items

    def _kind_of(self, columns: Columns) -> NDArray[np.int64]:
        """Which template each record is of: the first that it fits."""
        found = np.full(len(columns["tuple"]), -1)
        for number, kind in reversed(list(enumerate(self.kinds))):
            if kind.template.options or kind.settings.only_in_lists:
                continue
            fits = np.ones(len(found), np.bool_)
            if kind.settings.ip is not None:
                fits &= columns["ipVersion"] == kind.settings.ip
            if kind.settings.protocol is not None:
                # Far faster than np.isin where there are one or two.
                wanted = _PROTOCOLS[kind.settings.protocol]
                fits &= np.any([columns["protocolIdentifier"] == one for one in wanted], axis=0)
            found[fits] = number
        if (found < 0).any():
            raise NotEncodableError("some flows fit no template: add one without ip and protocol")
        return found

    def _told(self, kind: _Kind, columns: Columns) -> Columns:
        """What records of a template say."""
        of = kind.template
        count = len(columns["tuple"])
        rate = self.profile.sampling.rate
        told: Columns = dict.fromkeys(_SAMPLER, rate)
        told |= {name: columns[name] for name in of.layout.places if name in columns}
        sent = columns["export_ns"], self.session.boot_ms
        told |= time_columns(of.layout, columns["first_ns"], columns["last_ns"], *sent)
        if columns.keys() >= {*_REVERSE_TIMES}:
            first, last = (columns[name] for name in _REVERSE_TIMES)
            told |= time_columns(of.layout, first, last, *sent, reverse=True)
        for name, value in self.profile.values.items():
            if name in of.layout.places:
                told[name] = self._value(of, name, value)
                if isinstance(value, str) and _PLACE in value:
                    told[name] = self._names(value, columns["ingressInterface"])
        return _filled(of, told, count)

    def _names(self, pattern: str, interface: NDArray[np.int64]) -> Slices:
        """The name of each interface."""
        numbers = range(self.profile.flows.interfaces + 1)
        names = slices([pattern.replace(_PLACE, str(one)).encode() for one in numbers])
        return Slices(names.buffer, names.offset[interface], names.length[interface])

    def _value(self, of: Template, name: str, value: Any) -> Any:
        """A value of a profile, as the encoder takes it."""
        if not isinstance(value, dict):
            return _column(of, name, value)
        rows = value.get("rows", [])
        semantic = value.get("semantic", "undefined")
        if "element" in value:
            return lists.basic_list(np.array(rows, np.int64), value["element"], semantic)
        inner = next(one.template for one in self.kinds if one.settings.id == value["template"])
        columns = {
            one: np.array([row[one] for row in rows], np.int64) for one in inner.layout.places
        }
        return lists.sub_template_list(inner, columns, len(rows), semantic)

    # ── sFlow ──

    def _sflow(self, columns: Columns) -> Sent:
        profile = self.profile
        count = len(columns["tuple"])
        head, self.agent = sflow.numbered(
            self.agent,
            {
                "sourceIdIndex": columns["ingressInterface"],
                "samplingInterval": np.full(count, profile.sampling.rate),
                "ingressInterface": columns["ingressInterface"],
                "egressInterface": columns["egressInterface"],
            },
        )
        is_six = columns["ipVersion"] == 6
        told = {name: columns[name] for name in _PACKET}
        packets = {**told, "ipTotalLength": columns["octetDeltaCount"]}
        for end in ("source", "destination"):
            four = ipv4_column(columns[f"{end}IPv4Address"].astype(np.uint32))
            six = columns[f"{end}IPv6Address"]
            packets[f"{end}IPAddress"] = np.where(is_six[:, None], six, four)
        frame = columns["layer2OctetDeltaCount"] + _FCS_OCTETS
        captured = np.minimum(frame - _FCS_OCTETS, profile.captured_octets)
        record = sflow.raw_header(sampled(packets, captured), frame)
        parts = [sflow.samples(sflow.FLOW, head, [record])]
        if profile.counters:
            parts.append(self._counters())
        sent, self.agent = sflow.datagrams(
            parts,
            self.agent,
            np.append(columns["export_ns"], columns["export_ns"][-1:].repeat(len(parts) - 1)),
            division=self._division(min(profile.most_octets, 1_400)),
        )
        return sent

    def _counters(self) -> sflow.Samples:
        """One sample of the first interface's counters."""
        head, self.agent = sflow.numbered(
            self.agent, {"sourceIdIndex": np.array([1])}, kind="counters"
        )
        nothing = dict.fromkeys(COUNTERS[1].places, 0)
        return sflow.samples(sflow.COUNTER, head, [sflow.counter_record(1, nothing, 1)])


@dataclass(frozen=True)
class _Kind:
    """A template of a profile, as it is at the moment."""

    settings: TemplateOf
    template: Template

    def turned(self) -> _Kind:
        """The same id, with its fields the other way round; a scope stays in front."""
        scopes = self.settings.scopes
        names = self.settings.specified
        fields = [*names[:scopes], *reversed(names[scopes:])]
        return _kind(self.settings, self.template.id, self.template.version, fields)

    def renumbered(self) -> _Kind:
        """The same fields under another id."""
        return (
            self
            if self.settings.only_in_lists
            else replace(self, template=self.template._replace(id=self.template.id + _RENUMBERED))
        )


_RENUMBERED: Final = 1_000


def _kind(
    settings: TemplateOf, number: int, version: int, fields: Sequence[str | tuple[str, int]]
) -> _Kind:
    return _Kind(settings, template(number, fields, scopes=settings.scopes, version=version))


def _rows(of: Template, columns: Columns, rows: NDArray[np.int64]) -> Columns:
    """Some records, with what their template has."""
    wanted = {*of.layout.places, *_ALWAYS}
    return {name: column.take(rows, 0) for name, column in columns.items() if name in wanted}


def _filled(of: Template, told: Columns, count: int) -> Columns:
    """What nobody says is zero, or empty."""
    for name, place in of.layout.places.items():
        if name not in told:
            field_ = place.field
            if field_.kind in RAW:
                width = 0 if field_.width == VARIABLE else field_.width
                told[name] = np.zeros((count, width), np.uint8)
            elif field_.kind == "ipv6Address":
                told[name] = np.zeros((count, 2), np.uint64)
            else:
                told[name] = 0
    return told


def _column(of: Template, name: str, value: Any) -> Any:
    """A plain value as one that the encoder takes for every record."""
    kind = of.layout.places[name].field.kind
    if kind in RAW:
        return value.encode() if isinstance(value, str) else bytes(value)
    if kind == "ipv4Address" and isinstance(value, str):
        return int(IPv4Address(value))
    if kind == "macAddress" and isinstance(value, str):
        return int(value.replace(":", ""), 16)
    return value
