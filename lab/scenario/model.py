"""What a scenario is, once it is known to be well formed: a frozen value that JSON can carry.

The shape of the JSON (and of Python data) is the shape of the YAML, so `Scenario.model_validate`
reads back what `Scenario.model_dump` has written. What only a topology or an exporter can tell
to be wrong is not looked for here but in `lab.scenario.check`.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce
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

from collector.check.tolerance import Region, Tolerance
from collector.key import ICMP, ICMPV6, TCP, TCP_FLAGS, UDP, flags_text
from exporters import EXPORTERS, Exporter
from lab.disturbances import DISTURBANCES, Disturbance
from lab.scenario.faults import any_of, closest, found, quote
from lab.scenario.units import Count, Octets, fault
from lab.traffic import KINDS, PlannedFlow, Traffic
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
}
"""What an expectation may speak of, and what checks call it."""

_TOPOLOGY: Final = "topology"
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
    return fault(message, "keep one of them" if what == _TOPOLOGY else listed)


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
    AnyDisturbance = Disturbance
    Step = Traffic
    Stage = tuple[Traffic, ...]
else:
    AnyTopology = _one_of(
        {name: shape.parameters for name, shape in SHAPES.items()},
        _TOPOLOGY,
        _shape_name,
        bare=True,
    )
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


def _exact(value: Any) -> Any:
    """A plain number means exactly so many."""
    return value if isinstance(value, dict | BaseModel) else {"exactly": value}


class Bounds(_Frozen):
    """How many there must be: exactly so many, or at least and at most so many."""

    exactly: Count | None = Field(default=None, description="No more and no fewer.")
    at_least: Count | None = Field(default=None, description="So many or more.")
    at_most: Count | None = Field(default=None, description="So many or fewer.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        given = [self.exactly, self.at_least, self.at_most]
        if all(bound is None for bound in given):
            raise fault("no number is given", "write 'at_least', 'at_most', or the number alone")
        if self.exactly is not None and given != [self.exactly, None, None]:
            raise fault("'exactly' leaves no room for bounds", "remove at_least and at_most")
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
        return Region(self.at_least, self.at_most)


class OctetBounds(Bounds):
    """As `Bounds`, in octets: ``1MiB`` may be written too."""

    exactly: Octets | None = Field(default=None, description="No more and no fewer.")
    at_least: Octets | None = Field(default=None, description="So many or more.")
    at_most: Octets | None = Field(default=None, description="So many or fewer.")


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
LengthBounds = Annotated[OctetBounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
TcpFlags = Annotated[
    int,
    Field(ge=1, le=255),
    BeforeValidator(_read_flags, json_schema_input_type=str),
    PlainSerializer(flags_text),
]
"""tcpControlBits, all packets' together: ``SYN|ACK|FIN``."""

PortNumber = Annotated[int, Field(ge=1, le=65535)]
Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]


class FlowPattern(_Frozen):
    """Which flows an expectation is about: all that have what is given here."""

    source: str = Field(
        alias="from", description="The host that sends the packets.", examples=["h1"]
    )
    destination: str = Field(alias="to", description="The host that gets them.", examples=["h2"])
    protocol: Literal["udp", "tcp", "icmp"] = Field(
        description="udp, tcp or icmp.", examples=["tcp"]
    )
    port: PortNumber | None = Field(
        default=None, description="Destination port; any if left out.", examples=[80]
    )
    source_port: PortNumber | None = Field(
        default=None, description="Source port; any if left out.", examples=[50000]
    )
    ip_version: Literal[4, 6] = Field(default=4, description="4 or 6.")

    def fits(self, flow: PlannedFlow) -> bool:
        """Whether a flow that the traffic makes has this pattern."""
        key = flow.key
        return (
            (self.source, self.destination) == (flow.source, flow.destination)
            and (self.ip_version, self.protocol) == (key.ip_version, _PROTOCOLS.get(key.protocol))
            and self.port in (None, key.destination_port)
            and self.source_port in (None, key.source_port)
        )


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

    flow: FlowPattern = Field(description="Which flows this is about.")
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

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.measures:
            raise nothing_expected()
        return self

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
    topology: AnyTopology = Field(description="The network.")
    exporters: Annotated[tuple[AnyExporter, ...], Field(min_length=1), BeforeValidator(_listed)] = (
        Field(description="What every switch exports with.")
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
