"""What a scenario is, once it is known to be well formed: a frozen value that JSON can carry.

The shape of the JSON (and of Python data) is the shape of the YAML, so `Scenario.model_validate`
reads back what `Scenario.model_dump` has written. What only a topology or an exporter can tell
to be wrong is not looked for here but in `lab.scenario.check` and `ways`.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_serializer,
)

from exporters import EXPORTERS, Exporter
from lab.controllers.settings import CONTROLLERS, Controller
from lab.disturbances import DISTURBANCES, Disturbance
from lab.scenario.expectation import Expectation, FlowPattern, Frozen, Tolerances, listed
from lab.scenario.faults import any_of, closest, found, quote
from lab.scenario.units import fault
from lab.traffic import KINDS, Traffic
from topologies import SHAPES, Shape, Topology
from topologies.shapes import ShapeParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


PARALLEL: Final = "parallel"
"""The key of a stage whose steps run at the same time."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""A scenario's name is a folder's name too."""


TOPOLOGY: Final = "topology"
IN_A_FILE: Final = "file"
"""In place of a shape: the file that holds one, which is read before there is a `Scenario`."""

MOST_STEPS: Final = 1000


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


# ------------------------------------------------------------------ polling


class Snmp(Frozen):
    """Switch ports' counters, asked of a real SNMP agent while the traffic runs."""

    interval_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=1.0, description="How long from one question to the next."
    )


# ------------------------------------------------------------------ the scenario


class Scenario(Frozen):
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
    look_for: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
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
    exporters: Annotated[tuple[AnyExporter, ...], Field(min_length=1), BeforeValidator(listed)] = (
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
    fault: Annotated[tuple[AnyDisturbance, ...], BeforeValidator(listed)] = Field(
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
