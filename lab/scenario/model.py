"""What a scenario is, once it is known to be well formed: a frozen value that JSON can carry.

The shape of the JSON (and of Python data) is the shape of the YAML, so `Scenario.model_validate`
reads back what `Scenario.model_dump` has written. What only a topology or an exporter can tell
to be wrong is not looked for here but in `lab.scenario.check`.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce
from ipaddress import ip_network
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    field_serializer,
    model_validator,
)

from collector.check.pattern import Pattern
from collector.check.tolerance import Region, Tolerance
from collector.key import ICMP, ICMPV6, TCP, TCP_FLAGS, UDP, flags_text
from exporters import EXPORTERS, Exporter
from lab.controllers.settings import CONTROLLERS, Controller
from lab.disturbances import DISTURBANCES, Disturbance
from lab.scenario.faults import any_of, closest, found, quote
from lab.scenario.units import Count, Octets, Seconds, fault
from lab.traffic import KINDS, Traffic
from topologies import SHAPES, Shape, Topology
from topologies.shapes import ShapeParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import PydanticCustomError

PARALLEL: Final = "parallel"
"""The key of a stage whose steps run at the same time."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""A scenario's name is a folder's name too."""

MEASURES: Final[Mapping[str, str]] = {
    "packets": "packets",
    "octets_l2": "octets_l2",
    "octets_l3": "octets_l3",
    "records": "records",
    "tcp_flags": "tcpControlBits",
    "duration_s": "duration_s",
    "gap_s": "gap_s",
    "in_port": "in_port",
    "out_port": "out_port",
}
"""What an expectation may speak of, and what checks call it."""

TOPOLOGY: Final = "topology"
IN_A_FILE: Final = "file"
"""In place of a shape: the file that holds one, which is read before there is a `Scenario`."""
_PROTOCOLS: Final = {UDP: "udp", TCP: "tcp", ICMP: "icmp", ICMPV6: "icmp"}

MOST_STEPS: Final = 1000


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        serialize_by_alias=True,
        str_strip_whitespace=True,
        defer_build=True,  # once, as part of Scenario; that is what `flowlab show` waits for
    )


# ------------------------------------------------------------------ one of several, by its key


def _one_key(kinds: Mapping[str, Any], what: str, *, bare: bool) -> BeforeValidator:
    """A check that a value is ``{kind: …}`` (or, if ``bare``, the kind's name alone)."""
    known = f"write {any_of(kinds)}"

    def check(value: Any) -> Any:
        if isinstance(value, str):
            _check_kind(value, kinds, what, known)
            if not bare:
                raise fault(f"{value} needs settings", f"write '{value}: {{…}}'")
        elif isinstance(value, dict) and len(value) == 1:
            key = str(next(iter(value)))
            _check_kind(key, kinds, what, known, below=key)
        elif isinstance(value, dict) and value:
            raise _too_many_keys(value, kinds, what)
        elif not isinstance(value, tuple | BaseModel):
            raise fault(f"expected one {what}, found {found(value)}", known)
        return value

    return BeforeValidator(check)


def _check_kind(
    kind: str, kinds: Mapping[str, Any], what: str, known: str, *, below: str = ""
) -> None:
    if kind in kinds:
        return
    if kind == PARALLEL:
        raise fault("parallel inside parallel", "list its steps here directly", below=below)
    near = closest(kind, kinds)
    hint = f"did you mean {near!r}?" if near else known
    raise fault(f"unknown {what} {quote(kind)}", hint, below=below)


def _too_many_keys(value: Mapping[Any, Any], kinds: Mapping[str, Any], what: str) -> Exception:
    keys = [str(key) for key in value]
    message = f"expected one {what}, found the keys {', '.join(map(quote, keys[:4]))}"
    first = keys[0]
    if first in kinds and value[first] is None:
        return fault(message, f"indent the settings of {first} further than {first!r} itself")
    listed = f"begin each {what} with '- ' in a list"
    return fault(message, "keep one of them" if what == TOPOLOGY else listed)


def _below(kind: str) -> BeforeValidator:
    """Take what is below the key ``kind``; a kind without settings is one with all defaults."""

    def unwrap(value: Any) -> Any:
        if isinstance(value, str):
            return {}
        if isinstance(value, dict):
            below = value[kind]
            return {} if below is None and kind != PARALLEL else below
        return value

    return BeforeValidator(unwrap)


def _one_of(
    kinds: Mapping[str, Any], what: str, kind_of_value: Callable[[Any], str | None], *, bare: bool
) -> Any:
    """The type of ``{kind: settings}``: a value of the kind's own type.

    The chosen kind becomes a part of an error's location, so that locations are the paths of
    the YAML.

    Args:
        kinds: the type for each kind.
        what: what such a thing is called in messages.
        kind_of_value: tells the kind of a value that is already one.
        bare: whether the kind's name alone is enough.
    """

    def kind_of(value: Any) -> str | None:
        if isinstance(value, dict):
            return str(next(iter(value), None))
        return value if isinstance(value, str) else kind_of_value(value)

    choices = [Annotated[type_, _below(kind), Tag(kind)] for kind, type_ in kinds.items()]
    union = reduce(or_, choices)
    return Annotated[union, Discriminator(kind_of), _one_key(kinds, what, bare=bare)]


def _listed(value: Any) -> Any:
    """A list out of a single word, or out of a mapping of kinds to settings."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [{key: below} for key, below in value.items()]
    return value


# ------------------------------------------------------------------ topology, exporters, traffic


def shape_of(parameters: ShapeParameters) -> Shape:
    """The shape whose parameters these are."""
    return next(shape for shape in SHAPES.values() if isinstance(parameters, shape.parameters))


def _shape_name(value: Any) -> str | None:
    return shape_of(value).name if isinstance(value, ShapeParameters) else None


def _stage_kind(value: Any) -> str | None:
    return value.kind if isinstance(value, Traffic) else PARALLEL


if TYPE_CHECKING:
    AnyTopology = ShapeParameters
    AnyExporter = Exporter
    AnyController = Controller
    AnyDisturbance = Disturbance
    Step = Traffic
    Stage = tuple[Traffic, ...]
else:
    AnyTopology = _one_of(
        {name: shape.parameters for name, shape in SHAPES.items()},
        TOPOLOGY,
        _shape_name,
        bare=True,
    )
    AnyController = _one_of(CONTROLLERS, "controller", lambda value: value.name, bare=True)
    AnyExporter = _one_of(EXPORTERS, "exporter", lambda value: value.name, bare=True)
    AnyDisturbance = _one_of(DISTURBANCES, "fault", lambda value: value.kind, bare=False)
    Step = _one_of(KINDS, "traffic kind", lambda value: value.kind, bare=False)
    _alone = {
        kind: Annotated[declared, AfterValidator(lambda step: (step,))]
        for kind, declared in KINDS.items()
    }
    _together = Annotated[tuple[Step, ...], Field(min_length=1, max_length=MOST_STEPS)]
    Stage = _one_of(_alone | {PARALLEL: _together}, "traffic kind", _stage_kind, bare=False)


def _written(kind: str, value: BaseModel) -> dict[str, Any]:
    """A kind and its settings as a file has them."""
    return {kind: value.model_dump(mode="json", by_alias=True, exclude_none=True)}


# ------------------------------------------------------------------ expectations


_PERCENT: Final = re.compile(r"(?P<percent>[0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", re.ASCII)
_ALL: Final = 100.0


def _read_tolerance(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Tolerance(absolute=value)
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        percent = float(match["percent"])
        if percent <= _ALL:
            return Tolerance(relative=percent / _ALL)
    if isinstance(value, Tolerance):
        return value
    raise fault(f"expected a number or a percentage, found {found(value)}", "write 2, or 1%")


def _write_tolerance(tolerance: Tolerance) -> int | str:
    if tolerance.relative:
        return f"{tolerance.relative * _ALL:.6f}".rstrip("0").rstrip(".") + "%"
    return int(tolerance.absolute)


AnyTolerance = Annotated[
    Tolerance,
    BeforeValidator(_read_tolerance, json_schema_input_type=int | str),
    PlainSerializer(_write_tolerance),
]


def _exact(value: Any) -> Any:
    """A plain number means exactly so many."""
    return value if isinstance(value, dict | BaseModel) else {"exactly": value}


_WITHIN: Final[dict[str, Any]] = {"x-beside": {"within": "5%"}}


class Bounds(_Frozen):
    """How many there must be: exactly so many, or at least and at most so many."""

    exactly: Count | None = Field(default=None, description="No more and no fewer.")
    at_least: Count | None = Field(default=None, description="So many or more.")
    at_most: Count | None = Field(default=None, description="So many or fewer.")
    about: Count | None = Field(
        default=None, description="So many, give or take `within`.", json_schema_extra=_WITHIN
    )
    within: AnyTolerance | None = Field(
        default=None,
        description="With `about`: how far it may be off, 2 or 1%.",
        examples=["5%"],
        json_schema_extra={"x-beside": {"about": 100}},
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        given = [self.exactly, self.at_least, self.at_most, self.about]
        if all(bound is None for bound in given):
            raise fault("no number is given", "write 'at_least', 'at_most', or the number alone")
        if self.exactly is not None and given != [self.exactly, None, None, None]:
            raise fault("'exactly' leaves no room for bounds", "remove at_least and at_most")
        if (self.about is None) != (self.within is None):
            raise fault("'about' and 'within' need each other", "write {about: 100, within: 5%}")
        if self.about is not None and given[:3] != [None, None, None]:
            raise fault("'about' is a range already", "remove at_least and at_most")
        region = self.region
        if region.low is not None and region.high is not None and region.low > region.high:
            message = f"at_least ({self.at_least}) is more than at_most ({self.at_most})"
            raise fault(message, "exchange the two")
        return self

    @property
    def region(self) -> Region:
        """The numbers that are right."""
        if self.exactly is not None:
            return Region(self.exactly, self.exactly)
        if self.about is not None and self.within is not None:
            return self.within.around(self.about)
        return Region(self.at_least, self.at_most)


class OctetBounds(Bounds):
    """As `Bounds`, in octets: ``1MiB`` may be written too."""

    exactly: Octets | None = Field(default=None, description="No more and no fewer.")
    at_least: Octets | None = Field(default=None, description="So many or more.")
    at_most: Octets | None = Field(default=None, description="So many or fewer.")
    about: Octets | None = Field(
        default=None, description="So many, give or take `within`.", json_schema_extra=_WITHIN
    )


class SecondsBounds(Bounds):
    """As `Bounds`, in seconds: ``500ms`` may be written too."""

    exactly: Seconds | None = Field(default=None, description="No more and no less.")  # type: ignore[assignment]
    at_least: Seconds | None = Field(default=None, description="So long or longer.")  # type: ignore[assignment]
    at_most: Seconds | None = Field(default=None, description="So long or shorter.")  # type: ignore[assignment]
    about: Seconds | None = Field(
        default=None, description="So long, give or take `within`.", json_schema_extra=_WITHIN
    )  # type: ignore[assignment]


def _write_bounds(bounds: Bounds | None) -> Any:
    if bounds is None:
        return None
    written = bounds.model_dump(exclude_none=True)
    return written.get("exactly", written)


def _read_flags(value: Any) -> Any:
    """``SYN|ACK`` as bits."""
    if not isinstance(value, str):
        return value
    bits = 0
    for name in (part.strip().upper() for part in value.split("|")):
        if name not in TCP_FLAGS:
            near = closest(name, TCP_FLAGS)
            hint = (
                f"did you mean {near}?" if near else f"join some of {', '.join(TCP_FLAGS)} by '|'"
            )
            raise fault(f"unknown TCP flag {quote(name)}", hint)
        bits |= TCP_FLAGS[name]
    return bits


CountBounds = Annotated[Bounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
DurationBounds = Annotated[SecondsBounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
LengthBounds = Annotated[OctetBounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
TcpFlags = Annotated[
    int,
    Field(ge=1, le=255),
    BeforeValidator(_read_flags, json_schema_input_type=str),
    PlainSerializer(flags_text),
]
"""tcpControlBits, all packets' together: ``SYN|ACK|FIN``."""

PortNumber = Annotated[int, Field(ge=1, le=65535)]
ANY: Final = "any"
_WORDS: Final = ("udp", "tcp", "icmp", ANY)
_LAST_PROTOCOL: Final = 255


def _read_protocol(value: Any) -> Any:
    if value in _WORDS or (isinstance(value, int) and 0 <= value <= _LAST_PROTOCOL):
        return value
    near = closest(value, _WORDS) if isinstance(value, str) else None
    hint = f"did you mean {near!r}?" if near else f"a number is 0 to {_LAST_PROTOCOL}"
    raise fault(f"expected udp, tcp, icmp, any or a number, found {found(value)}", hint)


Protocol = Annotated[
    int | str,
    BeforeValidator(
        _read_protocol, json_schema_input_type=Literal["udp", "tcp", "icmp", "any"] | int
    ),
]
"""A protocol above IP, by name or by number."""


def _read_ports(value: Any) -> Any:
    """``5000-5010`` as its ends, and one port as a range of one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    ends = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if ends is not None:
        first, last = int(ends[1]), int(ends[2])
        if first > last:
            raise fault(f"the range {value} ends before it begins", "exchange the two")
        return (first, last)
    if isinstance(value, list | tuple):
        return value
    raise fault(f"expected a port or a range, found {found(value)}", "write 80, or 5000-5010")


def _write_ports(ports: tuple[int, int] | None) -> int | str | None:
    if ports is None or ports[0] == ports[1]:
        return ports and ports[0]
    return f"{ports[0]}-{ports[1]}"


_RANGE: Final = re.compile(r"([0-9]{1,5}) ?- ?([0-9]{1,5})", re.ASCII)
Ports = Annotated[
    tuple[PortNumber, PortNumber],
    BeforeValidator(_read_ports, json_schema_input_type=PortNumber | str),
    PlainSerializer(_write_ports),
]
"""A port, or the first and the last of a range."""

Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]


def is_address(word: str) -> bool:
    """Whether a word is an address or a prefix, or ``any``, and so no host."""
    try:
        ip_network(word, strict=False)
    except ValueError:
        return word == ANY
    return True


class FlowPattern(_Frozen):
    """Which flows something is about: all that have what is given here."""

    source: str = Field(
        default=ANY,
        alias="from",
        description="Who sends: a host, an address, or a prefix such as 10.0.0.0/24.",
        examples=["h1"],
    )
    destination: str = Field(
        default=ANY, alias="to", description="Who gets it: likewise.", examples=["h2"]
    )
    protocol: Protocol = Field(
        default=ANY, description="udp, tcp, icmp, or a number.", examples=["tcp"]
    )
    port: Ports | None = Field(
        default=None,
        description="Destination port, or a range such as 5000-5010; any if left out.",
        examples=[80],
    )
    source_port: Ports | None = Field(
        default=None, description="Source port, or a range; any if left out.", examples=[50000]
    )
    ip_version: Literal[4, 6] | None = Field(
        default=None,
        description="4 or 6; if left out 4 between two hosts, both elsewhere.",
        examples=[4],
    )

    @property
    def version(self) -> int | None:
        """The version of IP; None is any."""
        if self.ip_version is not None or is_address(self.source) or is_address(self.destination):
            return self.ip_version
        return 4

    @property
    def in_words(self) -> str:
        """As people say it: ``udp h1 → h2 to port 5001``."""
        ports = [
            f"{name} {_write_ports(ports)}"
            for name, ports in (("from port", self.source_port), ("to port", self.port))
            if ports is not None
        ]
        version = " over IPv6" if self.version == 6 else ""
        ends = f"{self.source} → {self.destination}"
        return f"{self.protocol} {' '.join([ends, *ports])}{version}"

    def pattern(self, topology: Topology) -> Pattern:
        """The same with addresses in place of hosts."""
        return Pattern(
            text=self.in_words,
            sources=_addresses(self.source, topology),
            destinations=_addresses(self.destination, topology),
            protocols=_protocol_numbers(self.protocol),
            source_ports=self.source_port,
            ports=self.port,
            ip_version=self.version,
        )


def _addresses(word: str, topology: Topology) -> tuple[str, ...] | None:
    if word == ANY:
        return None
    if is_address(word):
        network = ip_network(word, strict=False)
        return (str(network if network.num_addresses > 1 else network.network_address),)
    host = topology.host(word)
    return str(host.ipv4), str(host.ipv6), host.mac


def _protocol_numbers(protocol: str | int) -> tuple[int, ...] | None:
    if isinstance(protocol, int):
        return (protocol,)
    if protocol == ANY:
        return None
    return tuple(number for number, name in _PROTOCOLS.items() if name == protocol)


def nothing_expected() -> PydanticCustomError:
    """The fault of an expectation without any measure."""
    return fault("nothing is expected of this flow", f"add {any_of(MEASURES)}")


class Expectation(_Frozen):
    """What has to be observed of some flows, beyond what follows from the traffic anyway.

    Where several flows have the pattern, their numbers are added up.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"flow": {"from": "h1", "to": "h2", "protocol": "tcp"}, "packets": {"at_least": 1}}
            ]
        }
    )

    flow: FlowPattern | None = Field(
        default=None,
        description="Which flows this is about; the traffic has to make some of them.",
    )
    absent: FlowPattern | None = Field(
        default=None,
        alias="not",
        description="In place of flow and of measures: no such flow may be seen there.",
        examples=[{"from": "h1", "to": "10.9.0.0/16"}],
        json_schema_extra={"x-beside": {}},
    )
    at: Names | None = Field(
        default=None,
        description="Switches that observe them; all on their path if left out.",
        examples=["s1"],
    )
    exporter: Names | None = Field(
        default=None,
        description="Exporters that report them; all that can if left out.",
        examples=["netflow"],
    )
    packets: CountBounds | None = Field(default=None, description="Packets.")
    octets_l2: LengthBounds | None = Field(
        default=None, description="Octets of the whole frames, without their checksums (FCS)."
    )
    octets_l3: LengthBounds | None = Field(
        default=None, description="Octets of the IP packets: headers and all that is in them."
    )
    records: CountBounds | None = Field(
        default=None, description="In how many records (samples, for sFlow) they are reported."
    )
    tcp_flags: TcpFlags | None = Field(
        default=None,
        description="The flags of all packets together: SYN|ACK|PSH|FIN.",
        examples=["SYN|ACK|PSH|FIN"],
    )

    duration_s: DurationBounds | None = Field(
        default=None,
        description="Seconds from the first to the last packet.",
        examples=[{"at_most": 60}],
    )

    gap_s: DurationBounds | None = Field(
        default=None,
        description="The longest time between the records of a flow; they may not overlap.",
        examples=[{"at_most": 1}],
    )
    in_port: PortNumber | None = Field(
        default=None, description="The switch's port, by its OpenFlow number, where they come in."
    )
    out_port: PortNumber | None = Field(
        default=None, description="Where they go out; packets that are flooded aside."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.flow is None and self.absent is None:
            raise fault("it is not said which flows this is about", "add 'flow', or 'not'")
        if self.absent is not None and (self.measures or self.flow is not None):
            raise fault("'not' stands alone", "remove flow and measures; keep 'at' and 'exporter'")
        if self.absent is None and not self.measures:
            raise nothing_expected()
        return self

    @property
    def pattern(self) -> FlowPattern:
        """The flows that this is about, whether they must be there or must not."""
        return self.absent or self.flow or FlowPattern()

    def only(self, measure: str) -> Expectation:
        """This expectation with one of its measures."""
        others = (key for key, name in MEASURES.items() if name != measure)
        return self.model_copy(update=dict.fromkeys(others))

    @property
    def measures(self) -> dict[str, Region]:
        """The right values by measure; the measures' names are those of checks."""
        given = {key: getattr(self, key) for key in MEASURES}
        return {
            MEASURES[key]: Region(value, value) if isinstance(value, int) else value.region
            for key, value in given.items()
            if value is not None
        }


# ------------------------------------------------------------------ tolerances


class Tolerances(_Frozen):
    """How exact the verdict is; without tolerances it is exact."""

    packets: AnyTolerance = Field(
        default=Tolerance(), description="Of packets: 2, or 1%.", examples=[2]
    )
    octets: AnyTolerance = Field(
        default=Tolerance(), description="Of octets: 100, or 1%.", examples=["1%"]
    )

    def by_measure(self) -> dict[str, Tolerance]:
        """The tolerances by what they are of: ``packets``, ``octets``."""
        return {"packets": self.packets, "octets": self.octets}


# ------------------------------------------------------------------ polling


class Snmp(_Frozen):
    """Switch ports' counters, asked of a real SNMP agent while the traffic runs."""

    interval_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=1.0, description="How long from one question to the next."
    )


# ------------------------------------------------------------------ the scenario


class Scenario(_Frozen):
    """A network, what is switched on in it, what happens, and what has to be seen."""

    name: Annotated[str, Field(pattern=f"^{NAME}$")] = Field(
        description="What commands and run folders call it; the file's name if left out.",
        examples=["my-scenario"],
    )
    title: Annotated[
        str,
        Field(min_length=1, max_length=120),
        BeforeValidator(lambda title: " ".join(title.split()) if isinstance(title, str) else title),
    ] = Field(description="One line that says what it is.")
    description: str = Field(
        default="",
        description="What it shows, in a few sentences.",
        examples=["One flow, told by two exporters."],
    )
    look_for: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="What to look for in the report, line by line.",
        examples=[["the packets: both agree", "the octets: they do not"]],
    )
    topology: AnyTopology = Field(
        description="The network; {file: network.yaml} takes it from a file beside this one."
    )
    controller: AnyController | None = Field(
        default=None,
        description="Who tells the switches what to do; they know all hosts if left out.",
    )
    exporters: Annotated[tuple[AnyExporter, ...], Field(min_length=1), BeforeValidator(_listed)] = (
        Field(description="What every switch exports with.")
    )
    snmp: Snmp | None = Field(
        default=None,
        description="Poll the switch ports' counters by SNMP as well (IF-MIB, from snmpd).",
        examples=[{"interval_s": 0.5}],
    )
    traffic: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=MOST_STEPS)] = Field(
        description="What is sent, one step after the other."
    )
    fault: Annotated[tuple[AnyDisturbance, ...], BeforeValidator(_listed)] = Field(
        default=(), description="What goes wrong on the way."
    )
    expect: tuple[Expectation, ...] = Field(
        default=(), description="What has to be observed, beyond what follows from the traffic."
    )
    background: tuple[FlowPattern, ...] = Field(
        default=(),
        description="Flows that may be seen, or not, and that nobody has to explain.",
        examples=[[{"protocol": "icmp", "ip_version": 6}]],
    )
    tolerances: Tolerances = Field(
        default=Tolerances.model_construct(),  # without building its schema apart
        description="How far observed numbers may be from expected ones.",
    )

    def to_json(self) -> dict[str, Any]:
        """As ``scenario.json`` has it: the file's own shape, all defaults filled in."""
        return self.model_dump(mode="json")

    def build_topology(self) -> Topology:
        """The network on paper."""
        return _build(self.topology)

    @property
    def uses_ipv6(self) -> bool:
        """Whether any traffic is IPv6."""
        return any(step.uses_ipv6 for stage in self.traffic for step in stage)

    @field_serializer("topology")
    def _write_topology(self, topology: ShapeParameters) -> Any:
        return _written(shape_of(topology).name, topology)

    @field_serializer("controller")
    def _write_controller(self, controller: Controller | None) -> Any:
        return None if controller is None else _written(controller.name, controller)

    @field_serializer("exporters")
    def _write_exporters(self, exporters: tuple[Exporter, ...]) -> Any:
        return [_written(exporter.name, exporter) for exporter in exporters]

    @field_serializer("fault")
    def _write_fault(self, fault: tuple[Disturbance, ...]) -> Any:
        return [_written(one.kind, one) for one in fault]

    @field_serializer("traffic")
    def _write_traffic(self, traffic: tuple[tuple[Traffic, ...], ...]) -> Any:
        stages = [[_written(step.kind, step) for step in stage] for stage in traffic]
        return [stage[0] if len(stage) == 1 else {PARALLEL: stage} for stage in stages]


@lru_cache(maxsize=16)
def _build(parameters: ShapeParameters) -> Topology:
    return shape_of(parameters).build(parameters)
