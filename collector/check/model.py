"""What is compared: expectations and witnesses in, a verdict out; and their JSON.

Frozen values only. Counting layers: ``octets_l2`` is the frame without FCS, ``octets_l3`` the IP
packet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from collector.check.tolerance import Region, Tolerance
from collector.key import FlowKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Outcome(StrEnum):
    """The four values of a verdict."""

    PASS = "PASS"  # noqa: S105 (not a password)
    FAIL = "FAIL"
    INVALID = "INVALID"
    SKIPPED = "SKIPPED"


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
        not_seen: why packets of a kind (``ipv4``, ``ipv6``, ``non_ip``) are not reported.
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

    def blind_to(self, key: FlowKey) -> str | None:
        """Why this exporter cannot report a flow; None if it can."""
        return self.not_seen.get(f"ipv{key.ip_version}" if key.ip_version else "non_ip")


@dataclass(frozen=True)
class ExpectedFlow:
    """A flow that the scenario's traffic makes.

    Attributes:
        key: the flow.
        path: the switches that it crosses.
        packets: how many; None: as many as crossed the wire.
        octets_l2: likewise.
        octets_l3: likewise.
        payload_octets: what a TCP connection carries this way; None for the rest.
    """

    key: FlowKey
    path: tuple[str, ...]
    packets: int | None = None
    octets_l2: int | None = None
    octets_l3: int | None = None
    payload_octets: int | None = None


@dataclass(frozen=True)
class Explicit:
    """An expectation that the scenario's author wrote.

    Attributes:
        label: what messages call it.
        keys: the flows that it is about; their numbers are added up.
        exporters: at which exporters.
        points: at which switches.
        measures: the region of each measure.
    """

    label: str
    keys: tuple[FlowKey, ...]
    exporters: tuple[str, ...]
    points: tuple[str, ...]
    measures: Mapping[str, Region]


@dataclass(frozen=True)
class Expected:
    """All that a run is judged by: the content of ``expected.json``."""

    scenario: str
    points: tuple[Point, ...]
    flows: tuple[ExpectedFlow, ...]
    explicit: tuple[Explicit, ...] = ()
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As ``expected.json`` has it."""
        return {
            "scenario": self.scenario,
            "points": [asdict(point) for point in self.points],
            "flows": [{**_fields(flow, "key"), "flow": flow.key.to_json()} for flow in self.flows],
            "explicit": [
                {
                    **_fields(one, "keys"),
                    "flows": [key.to_json() for key in one.keys],
                    "measures": {name: asdict(region) for name, region in one.measures.items()},
                }
                for one in self.explicit
            ],
            "tolerances": {name: asdict(one) for name, one in self.tolerances.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Expected:
        """What `to_json` gave.

        Raises:
            KeyError, TypeError: it is not that.
        """
        return cls(
            scenario=data["scenario"],
            points=tuple(
                Point(**{**point, "measures": tuple(point["measures"])}) for point in data["points"]
            ),
            flows=tuple(
                ExpectedFlow(
                    key=FlowKey.from_json(flow["flow"]),
                    path=tuple(flow["path"]),
                    **{name: flow[name] for name in _COUNTS},
                )
                for flow in data["flows"]
            ),
            explicit=tuple(
                Explicit(
                    label=one["label"],
                    keys=tuple(FlowKey.from_json(flow) for flow in one["flows"]),
                    exporters=tuple(one["exporters"]),
                    points=tuple(one["points"]),
                    measures={name: Region(**region) for name, region in one["measures"].items()},
                )
                for one in data["explicit"]
            ),
            tolerances={name: Tolerance(**one) for name, one in data["tolerances"].items()},
        )


_COUNTS = ("packets", "octets_l2", "octets_l3", "payload_octets")


def _fields(value: ExpectedFlow | Explicit, but: str) -> dict[str, Any]:
    return {name: item for name, item in vars(value).items() if name != but}


@dataclass(frozen=True)
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
    )


def _total(numbers: Iterable[int | None]) -> int | None:
    told = list(numbers)
    return None if None in told else sum(number or 0 for number in told)


def _all_bits(bits: Iterable[int | None]) -> int | None:
    told = [one for one in bits if one is not None]
    return reduce(or_, told) if told else None


@dataclass(frozen=True)
class Evidence:
    """All that was witnessed of a run.

    Attributes:
        wire: what entered each switch, by switch and flow.
        observed: what was exported, by exporter, switch and flow.
        strays: exported records that belong to no expected observation point: what they are.
        decoding: problems of the recorded datagrams, in words.
        recorded_datagrams: how many export datagrams were recorded.
        witnesses: the content of ``witnesses.json``.
        wire_problems: what is wrong with the captures of the wire, in words.
        notes: what is worth knowing, and no problem.
    """

    wire: Mapping[tuple[str, FlowKey], Counted]
    observed: Mapping[tuple[str, str, FlowKey], Counted]
    strays: tuple[str, ...]
    decoding: tuple[str, ...]
    recorded_datagrams: int
    witnesses: Mapping[str, Any]
    wire_problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One comparison and what came out of it."""

    exporter: str
    observation_point: str
    key: FlowKey
    measure: str
    expected: object
    observed: object
    outcome: Outcome
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``verdict.json`` has it."""
        return {
            "exporter": self.exporter,
            "observation_point": self.observation_point,
            "flow": self.key.to_json(),
            "measure": self.measure,
            "expected": self.expected,
            "observed": self.observed,
            "verdict": str(self.outcome),
            "why": self.why,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Check:
        """What `to_json` gave."""
        return cls(
            data["exporter"],
            data["observation_point"],
            FlowKey.from_json(data["flow"]),
            data["measure"],
            data["expected"],
            data["observed"],
            Outcome(data["verdict"]),
            data["why"],
        )


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
    """The content of ``verdict.json``."""

    scenario: str
    outcome: Outcome
    checks: tuple[Check, ...]
    breaks: tuple[Break, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As ``verdict.json`` has it."""
        return {
            "scenario": self.scenario,
            "verdict": str(self.outcome),
            "experiment": [asdict(one) for one in self.breaks],
            "notes": list(self.notes),
            "checks": [check.to_json() for check in self.checks],
        }
