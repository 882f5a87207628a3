"""Which keys may stand at a place of a scenario file, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporters import EXPORTERS
from lab.controllers.settings import CONTROLLERS, Denied
from lab.disturbances import DISTURBANCES
from lab.scenario.expectation import (
    Bounds,
    Expectation,
    FlowPattern,
    OctetBounds,
    SecondsBounds,
    Tolerances,
)
from lab.scenario.model import PARALLEL, Scenario, Snmp
from lab.traffic import KINDS
from topologies import SHAPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from lab.scenario.faults import Path


_FIXED: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    ("controller", "access-list", "deny"): Denied,
    (): Scenario,
    ("expect",): Expectation,
    ("expect", "flow"): FlowPattern,
    ("expect", "packets"): Bounds,
    ("expect", "octets_l2"): OctetBounds,
    ("expect", "octets_l3"): OctetBounds,
    ("expect", "records"): Bounds,
    ("expect", "not"): FlowPattern,
    ("expect", "duration_s"): SecondsBounds,
    ("expect", "gap_s"): SecondsBounds,
    ("background",): FlowPattern,
    ("tolerances",): Tolerances,
    ("snmp",): Snmp,
}


_KINDS: Final[Mapping[str, Mapping[str, type[BaseModel]]]] = {
    "topology": {name: shape.parameters for name, shape in SHAPES.items()},
    "controller": CONTROLLERS,
    "exporters": EXPORTERS,
    "fault": DISTURBANCES,
    "traffic": KINDS,
}


def model_at(path: Path) -> type[BaseModel] | None:
    """What a mapping at ``path`` has to be; None where no mapping belongs."""
    words = tuple(part for part in path if isinstance(part, str) and part != PARALLEL)
    if len(words) == 2 and words[1] in _KINDS.get(words[0], {}):
        return _KINDS[words[0]][words[1]]
    return _FIXED.get(words)


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the keys that files use."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
