"""What is compared: expectations and witnesses in, a verdict out; and their JSON.

Frozen values only. Counting layers: ``octets_l2`` is the frame without FCS, ``octets_l3`` the IP
packet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import TypeAdapter

from collector.check.pattern import Pattern
from collector.check.tolerance import Region, Tolerance
from collector.key import ICMP, ICMPV6, TCP, UDP, FlowKey

if TYPE_CHECKING:
    from collector.check.plain import Plain
    from collector.check.witnesses import Witnesses


class Outcome(StrEnum):
    """The four values of a verdict."""

    PASS = "PASS"  # noqa: S105 (not a password)
    FAIL = "FAIL"
    INVALID = "INVALID"
    SKIPPED = "SKIPPED"


_PROTOCOLS: Final = {UDP: "udp", TCP: "tcp", ICMP: "icmp", ICMPV6: "icmp"}
_KEYS: Final = ("key", "leaves_as")
"""The flow keys in an expected flow."""


def kinds_of(key: FlowKey) -> set[str]:
    """What a flow's packets are called: ``{ipv4, ip, udp, udp/53}``, ``{non_ip}``."""
    if not key.ip_version:
        return {"non_ip"}
    protocol = _PROTOCOLS.get(key.protocol, str(key.protocol))
    return {f"ipv{key.ip_version}", "ip", protocol, f"{protocol}/{key.destination_port}"}


def has(key: FlowKey, measure: str) -> bool:
    """Whether a flow has what is measured: only TCP has flags, only IP has layer 3 octets."""
    if measure == "tcpControlBits":
        return bool(key.ip_version) and key.protocol == TCP
    return measure != "octets_l3" or bool(key.ip_version)


def why_unseen(not_seen: Mapping[str, str], kinds: AbstractSet[str]) -> str | None:
    """Why packets of these kinds are not reported; None if they are.

    Args:
        not_seen: as `Point.not_seen`.
        kinds: as `kinds_of` gives them.
    """
    for kind, reason in not_seen.items():
        if (kind.removeprefix("not ") in kinds) != kind.startswith("not "):
            return reason
    return None


@dataclass(frozen=True)
class Point:
    """An exporter at a switch, and how its exports are told from the others'.

    Attributes:
        exporter: its name in the scenario.
        title: its name for people.
        protocol: ``netflow5``, ``ipfix`` or ``sflow5``.
        observation_point: the switch.
        observation_domain: of NetFlow and IPFIX; None for sFlow.
        agent: sFlow's agent address; None for the others.
        flow_direction: only records with this flowDirection count; None: all do.
        measures: what it reports of a flow.
        sampling: one packet in so many is looked at.
        not_seen: why packets of a kind are not reported, by kind: ``ipv4``, ``ipv6``, ``non_ip``,
            ``udp/<destination port>``; by ``not <kind>``, why those of all other kinds are not.
        on_switch_clock: whether its times follow the switch's clock, which the flush moves.
        early_ms: how much too early its times may be, because it tells the clock less finely.
        tells_egress: whether it reports a packet again where it goes out (flowDirection 1).
        port: the one port at which it listens, to both directions; None: all that enters the
            switch.
        marker: what it reports of packets to this address is left out: a flush sends them.
        address: where its datagrams come from.
        also_to: another address, which gets the same.
        after_actions: whether its keys are those that packets leave the switch with.
        habits: whose way of filling in the formats it has (`collector.decode.BY_NAME`).
        later_fragments_as: the protocol that it gives later IPv6 fragments; None: the true one.
    """

    exporter: str
    title: str
    protocol: str
    observation_point: str
    observation_domain: int | None
    agent: str | None
    flow_direction: int | None
    measures: tuple[str, ...]
    sampling: int
    not_seen: Mapping[str, str]
    on_switch_clock: bool = False
    tells_egress: bool = False
    early_ms: int = 0
    port: str | None = None
    marker: str | None = None
    address: str = "127.0.0.1"
    also_to: str | None = None
    habits: str = "Open vSwitch"
    later_fragments_as: int | None = None
    after_actions: bool = False

    @property
    def place(self) -> str:
        """Where the wire shows what it is shown: the port, or the switch."""
        return self.port or self.observation_point

    def is_shown(self, flow: ExpectedFlow) -> bool:
        """Whether a flow's packets come by."""
        return self.place in (flow.ports if self.port else flow.path)

    def told(self, flow: ExpectedFlow) -> ExpectedFlow:
        """A flow as it reports it: before the switch has rewritten it, or after that."""
        told = flow.gone if self.after_actions else flow
        return told.at_port(self.port) if self.port else told

    def key_of(self, flow: ExpectedFlow) -> FlowKey:
        """The key under which it reports a flow, given as it is `told`."""
        if self.later_fragments_as is None or not flow.later_fragments or flow.key.ip_version != 6:
            return flow.key
        return flow.key._replace(protocol=self.later_fragments_as)

    def blind_to(self, key: FlowKey) -> str | None:
        """Why this exporter cannot report a flow; None if it can."""
        return why_unseen(self.not_seen, kinds_of(key))


@dataclass(frozen=True, slots=True)
class ExpectedFlow:
    """A flow that the scenario's traffic makes.

    Attributes:
        key: the flow.
        path: the switches that it crosses.
        packets: how many; None: as many as crossed the wire.
        octets_l2: likewise.
        octets_l3: likewise.
        payload_octets: what a TCP connection carries this way; None for the rest.
        ports: the switch ports that it crosses, in or out.
        retag_octets: how many octets longer all copies of a packet together leave than as many
            would be of its length when it comes, for VLAN tags put on and taken off.
        egress_octets_l2: the octets of all that leaves the one switch of `path`, where its packets
            are not all retagged alike; None: they are, see `retag_octets`.
        port_octets: the ports where its packets are longer than at the switches (or shorter: below
            0), since VLAN tags are put on and taken off in between, and by how many octets each.
        reactive: whether a controller may send some of its packets on: those count twice.
        perhaps: whether it may be that none of its packets comes there.
        copies: by how many ports each packet leaves, switch by switch as in `path`; None: by one.
        later_fragments: whether its packets are fragments but not the first, so without ports.
        leaves_as: the key that its packets leave the switches of `path` with, where these rewrite
            them; None: they do not.
    """

    key: FlowKey
    path: tuple[str, ...]
    packets: int | None = None
    octets_l2: int | None = None
    octets_l3: int | None = None
    payload_octets: int | None = None
    ports: tuple[str, ...] = ()
    copies: tuple[int, ...] | None = None
    later_fragments: bool = False
    retag_octets: int = 0
    reactive: bool = False
    perhaps: bool = False
    leaves_as: FlowKey | None = None
    egress_octets_l2: int | None = None
    port_octets: tuple[tuple[str, int], ...] = ()

    @property
    def gone(self) -> ExpectedFlow:
        """The same flow as it leaves."""
        return self if self.leaves_as is None else replace(self, key=self.leaves_as, leaves_as=None)

    def copies_at(self, switch: str) -> int:
        """By how many ports each of its packets leaves a switch."""
        return 1 if self.copies is None else self.copies[self.path.index(switch)]

    def at_port(self, port: str) -> ExpectedFlow:
        """The same flow with the octets that it has at a port."""
        longer = dict(self.port_octets).get(port)
        if longer is None or self.packets is None or self.octets_l2 is None:
            return self  # where only the wire can tell, it tells of that port
        octets = self.octets_l2 + longer * self.packets
        return replace(self, octets_l2=octets, port_octets=())


class Asked(NamedTuple):
    """An exporter at a switch that an expectation is about.

    Attributes:
        exporter: its name.
        switch: where.
        why_not: why it is not asked after all; empty: it is.
    """

    exporter: str
    switch: str
    why_not: str = ""


@dataclass(frozen=True)
class Explicit:
    """An expectation that the scenario's author wrote.

    Attributes:
        label: what messages call it.
        keys: the flows that it is about, as they come; their numbers are added up.
        asked: of whom; nobody: it cannot be judged.
        measures: the region of each measure.
        absent: no flow of this pattern may be seen there; then there are no keys and measures.
    """

    label: str
    keys: tuple[FlowKey, ...]
    asked: tuple[Asked, ...]
    measures: Mapping[str, Region]
    absent: Pattern | None = None


@dataclass(frozen=True)
class Expected:
    """All that a run is judged by: the content of ``expected.json``.

    Attributes:
        scenario: its name.
        points: every exporter at every switch.
        flows: what the traffic makes.
        explicit: what the scenario's author expects besides.
        tolerances: how far ``packets`` and ``octets`` may be off.
        programs: the traffic programs that have to report, ``step 1 send``.
        background: flows that nobody has to explain, whether they are there or not.
        look_for: what a reader of the report should look for, line by line.
        polls: how counters of ports have to be polled: ``OpenFlow``, ``SNMP``.
        faults: of datagrams, that have to strike at least one.
    """

    scenario: str
    points: tuple[Point, ...]
    flows: tuple[ExpectedFlow, ...]
    explicit: tuple[Explicit, ...] = ()
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    look_for: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    background: tuple[Pattern, ...] = ()
    polls: tuple[str, ...] = ()

    def is_background(self, key: FlowKey) -> bool:
        """Whether nobody has to explain a flow."""
        return any(pattern.fits(key) for pattern in self.background)

    def to_json(self) -> dict[str, Any]:
        """As ``expected.json`` has it: keys under their IANA names."""
        plain = asdict(replace(self, flows=()))
        for one, keys in zip(plain["explicit"], self.explicit, strict=True):
            one["keys"] = [key.to_json() for key in keys.keys]
        plain["flows"] = [
            {
                name: value.to_json() if isinstance(value, FlowKey) else value
                for name in ExpectedFlow.__slots__
                for value in [getattr(flow, name)]
            }
            for flow in self.flows
        ]
        return plain

    @classmethod
    def from_json(cls, data: Any) -> Expected:
        """What `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is not that.
        """
        flows = [
            {**flow, **{name: FlowKey.from_json(flow[name]) for name in _KEYS if flow.get(name)}}
            for flow in data["flows"]
        ]
        explicit = [
            {**one, "keys": [FlowKey.from_json(key) for key in one["keys"]]}
            for one in data["explicit"]
        ]
        whole = {**data, "flows": flows, "explicit": explicit}
        return TypeAdapter(cls).validate_python(whole)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How the lengths of some packets are spread.

    Attributes:
        squares: the sum of their squares, octets².
        longest: the largest, octets.
    """

    squares: float
    longest: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of a flow at one place; what is not known there is None.

    Attributes:
        packets: packets.
        octets_l2: octets of whole frames without FCS.
        octets_l3: octets of IP packets.
        tcp_control_bits: all TCP flags that occurred.
        first_ns: wall clock of the first packet.
        last_ns: wall clock of the last packet.
        records: how many data records or samples were added up.
        payload_octets: what TCP carried, from its sequence numbers.
        datagram: the export datagram that spoke of it first, from 1.
        lengths: of the packets, by ``octets_l2`` and ``octets_l3``; known of the wire only.
    """

    packets: int
    octets_l2: int | None = None
    octets_l3: int | None = None
    tcp_control_bits: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    records: int = 0
    payload_octets: int | None = None
    datagram: int | None = None
    lengths: Mapping[str, Lengths] = field(default_factory=dict)

    @property
    def duration_s(self) -> float | None:
        """From the first to the last packet."""
        if self.first_ns is None or self.last_ns is None:
            return None
        return (self.last_ns - self.first_ns) / 1e9


def together(*counted: Counted | None) -> Counted:
    """Counts added up; what one of them does not know, the sum does not know either."""
    known = [one for one in counted if one is not None]
    if not known:
        return Counted(0, 0, 0, 0)
    return Counted(
        packets=sum(one.packets for one in known),
        octets_l2=_total(one.octets_l2 for one in known),
        octets_l3=_total(one.octets_l3 for one in known),
        tcp_control_bits=_all_bits(one.tcp_control_bits for one in known),
        first_ns=min((one.first_ns for one in known if one.first_ns is not None), default=None),
        last_ns=max((one.last_ns for one in known if one.last_ns is not None), default=None),
        records=sum(one.records for one in known),
        payload_octets=_total(one.payload_octets for one in known),
        datagram=min((one.datagram for one in known if one.datagram is not None), default=None),
        lengths=_all_lengths([one.lengths for one in known]),
    )


def _all_lengths(spreads: Sequence[Mapping[str, Lengths]]) -> dict[str, Lengths]:
    """Of all packets together, as far as all of them are known."""
    return {
        measure: Lengths(
            sum(one[measure].squares for one in spreads),
            max(one[measure].longest for one in spreads),
        )
        for measure in spreads[0]
        if all(measure in one for one in spreads)
    }


def _total(numbers: Iterable[int | None]) -> int | None:
    told = list(numbers)
    return None if None in told else sum(number or 0 for number in told)


def _all_bits(bits: Iterable[int | None]) -> int | None:
    told = [one for one in bits if one is not None]
    return reduce(or_, told) if told else None


class Collected(NamedTuple):
    """One number that a collector told, and what can be known of it.

    Attributes:
        exporter: whose datagrams.
        observation_point: the switch, or ``collector``.
        key: the flow; None: of all datagrams.
        measure: what is counted.
        knowable: the right number; None: it cannot be known.
        told: by the collector.
    """

    exporter: str
    observation_point: str
    key: FlowKey | None
    measure: str
    knowable: int | None
    told: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """What one data record says besides its counts; None is not told.

    Attributes:
        first_ns: wall clock of its first packet.
        last_ns: of its last.
        in_port: where they came in, as the exporter numbers ports.
        out_port: where they went out.
    """

    first_ns: int | None
    last_ns: int | None
    in_port: int | None
    out_port: int | None


@dataclass(frozen=True)
class Evidence:
    """All that was witnessed of a run.

    Attributes:
        wire: what entered each switch, by switch and flow.
        observed: what was exported, by exporter, switch and flow; of a packet that is reported
            both coming in and going out, the former.
        egress: the latter.
        from_controller: what a controller handed back to each switch, by switch and flow.
        left: what left each switch, by switch and flow; only read where times are wrong.
        polled: where polled counters of ports differ from the wire, in words, by how they were
            polled.
        faults_missed: faults that were to happen and did not, in words.
        collected: what the collector made of what arrived, where faults befell the datagrams.
        at_ports: what crossed the ports of the points that have one, in either direction.
        strays: exported records that belong to no expected observation point: what they are.
        decoding: problems of the recorded datagrams, in words.
        recorded_datagrams: how many export datagrams were recorded.
        witnesses: the content of ``witnesses.json``.
        wire_problems: what is wrong with the captures of the wire, in words.
        notes: what is worth knowing, and no problem.
        records: the single records, by exporter, switch and flow, where an expectation asks for
            them.
    """

    wire: Mapping[tuple[str, FlowKey], Counted]
    observed: Mapping[tuple[str, str, FlowKey], Counted]
    strays: tuple[str, ...]
    decoding: tuple[str, ...]
    recorded_datagrams: int
    witnesses: Witnesses
    wire_problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    egress: Mapping[tuple[str, str, FlowKey], Counted] = field(default_factory=dict)
    at_ports: Mapping[tuple[str, FlowKey], Counted] = field(default_factory=dict)
    records: Mapping[tuple[str, str, FlowKey], tuple[Record, ...]] = field(default_factory=dict)
    collected: tuple[Collected, ...] = ()
    faults_missed: tuple[str, ...] = ()
    from_controller: Mapping[tuple[str, FlowKey], Counted] = field(default_factory=dict)
    left: Mapping[tuple[str, FlowKey], Counted] = field(default_factory=dict)
    polled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def only(self, keys: Iterable[FlowKey]) -> Evidence:
        """The same of a few flows, which can then be looked at one by one."""
        from collector.check.counts import Counts, keys_table

        if not isinstance(self.observed, Counts):
            return self  # few they are
        chosen = keys_table(keys)

        def few(counted: Mapping[Any, Counted]) -> Mapping[Any, Counted]:
            return counted.only(chosen) if isinstance(counted, Counts) else counted

        return replace(
            self,
            wire=few(self.wire),
            observed=few(self.observed),
            egress=few(self.egress),
            at_ports=few(self.at_ports),
            left=few(self.left),
        )

    def on_wire(self, point: Point, key: FlowKey) -> Counted | None:
        """What the wire showed a point of a flow."""
        seen = self.at_ports if point.port else self.wire
        return seen.get((point.place, key))

    def counted_again(self, point: Point, key: FlowKey) -> Counted | None:
        """What a point counts twice since a controller handed it back; a probe at a port does not.

        A packet that is handed back has come in once, and leaves once.
        """
        if point.port:
            return None
        return self.from_controller.get((point.observation_point, key))


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison and what came out of it.

    Attributes:
        key: the flow; None where it is about the export datagrams themselves.
        also: further flows whose numbers are in the sum, if it is one.
    """

    exporter: str
    observation_point: str
    key: FlowKey | None
    measure: str
    expected: object
    observed: object
    outcome: Outcome
    why: str = ""
    also: tuple[FlowKey, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As ``verdict.json`` has it."""
        summed = {"also": [key.to_json() for key in self.also]} if self.also else {}
        return {
            "exporter": self.exporter,
            "observation_point": self.observation_point,
            "flow": None if self.key is None else self.key.to_json(),
            **summed,
            "measure": self.measure,
            "expected": self.expected,
            "observed": self.observed,
            "verdict": str(self.outcome),
            "why": self.why,
        }


@dataclass(frozen=True)
class Break:
    """A link of the chain that did not hold.

    Attributes:
        link: the two witnesses that disagree, ``sent → wire``.
        what: what they say.
    """

    link: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """The content of ``verdict.json``.

    Attributes:
        scenario: its name.
        outcome: what came out.
        checks: all comparisons, one by one; without those of `plain`.
        breaks: links of the chain that did not hold.
        notes: what is worth knowing.
        look_for: what a reader should look for.
        plain: what passed just as expected, in columns, where that is too much to be listed.
    """

    scenario: str
    outcome: Outcome
    checks: tuple[Check, ...]
    breaks: tuple[Break, ...] = ()
    notes: tuple[str, ...] = ()
    look_for: tuple[str, ...] = ()
    plain: Plain | None = None

    @property
    def counted(self) -> Counter[Outcome]:
        """How many checks had which outcome."""
        counted = Counter(check.outcome for check in self.checks)
        counted[Outcome.PASS] += self.plain.count if self.plain else 0
        return counted

    def to_json(self) -> dict[str, Any]:
        """As ``verdict.json`` has it."""
        plain = {} if self.plain is None else {"passed_besides": self.plain.count}
        return {
            "scenario": self.scenario,
            "verdict": str(self.outcome),
            "look_for": list(self.look_for),
            "experiment": [asdict(one) for one in self.breaks],
            "notes": list(self.notes),
            **plain,
            "checks": [check.to_json() for check in self.checks],
        }
