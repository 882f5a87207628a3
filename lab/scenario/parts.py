"""The parts of a scenario file that are well formed, each with its place.

A file with one wrong key still has hosts that can be looked up and packets that can be too
large; so what goes beyond the schema is checked part by part, not on a whole `Scenario`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from exporters import EXPORTERS, Exporter
from lab.controllers.settings import CONTROLLERS, Controller
from lab.disturbances import DISTURBANCES, Disturbance
from lab.scenario.expectation import Expectation
from lab.scenario.model import PARALLEL
from lab.traffic import KINDS, Traffic
from lab.traffic.base import FIRST_SOURCE_PORT, LAST_PORT
from lab.traffic.plan import plan
from topologies import SHAPES, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.scenario.faults import Path
    from lab.scenario.model import Scenario
    from lab.traffic.plan import Planned

_Value = TypeVar("_Value", bound=BaseModel)


@dataclass(frozen=True)
class Part(Generic[_Value]):
    """A part of a file.

    Attributes:
        path: where it is.
        kind: the name of the exporter or traffic kind; empty for an expectation.
        raw: what the file has there, keys and all.
        value: what it is; None if it is not well formed.
    """

    path: Path
    kind: str
    raw: Mapping[str, Any]
    value: _Value | None


@dataclass(frozen=True)
class Parts:
    """All parts of one file, in its order.

    Attributes:
        topology: None if it is not well formed.
        exporters: by place in the file.
        stages: steps; those of a stage run at the same time.
        expectations: what has to be observed.
        disturbances: what goes wrong.
        controller: who tells the switches what to do; None if nobody does.
    """

    topology: Topology | None
    exporters: tuple[Part[Exporter], ...]
    stages: tuple[tuple[Part[Traffic], ...], ...]
    expectations: tuple[Part[Expectation], ...]
    disturbances: tuple[Part[Disturbance], ...] = ()
    controller: Part[Controller] | None = None

    @property
    def steps(self) -> tuple[Part[Traffic], ...]:
        """The steps of all stages."""
        return tuple(step for stage in self.stages for step in stage)

    @cached_property
    def planned(self) -> Mapping[Path, Planned]:
        """The steps that are right, with the ports that they will have, by path."""
        if self.topology is None:
            return {}
        hosts = {host.name for host in self.topology.hosts}
        stages = [[step for step in stage if can_be_planned(step, hosts)] for stage in self.stages]
        stages = [stage for stage in stages if stage]
        values = [[step.value for step in stage if step.value is not None] for stage in stages]
        paths = [step.path for stage in stages for step in stage]
        steps = [step for stage in plan(values, self.topology) for step in stage]
        return dict(zip(paths, steps, strict=True))


def can_be_planned(part: Part[Traffic], hosts: set[str]) -> bool:
    """Whether a step has all that its packets are made of."""
    step = part.value
    if step is None or len({*step.hosts}) < len(step.hosts) or not {*step.hosts} <= hosts:
        return False
    first = getattr(step, "source_port", None) or FIRST_SOURCE_PORT
    return first + step.all_source_ports - 1 <= LAST_PORT


def take_apart(data: object, scenario: Scenario | None) -> Parts:
    """The parts of a file's data, as far as it has any.

    Args:
        data: what the file has.
        scenario: what it is, if all of it is well formed; else each part is tried on its own.
    """
    if not isinstance(data, dict):
        return Parts(None, (), (), ())
    exporters, stages, expectations = _places(data)
    disturbances = list(_disturbances(data.get("fault")))
    if scenario is not None:
        steps = iter([step for stage in scenario.traffic for step in stage])
        return Parts(
            scenario.build_topology(),
            tuple(map(_known, exporters, scenario.exporters)),
            tuple(tuple(_known(place, next(steps)) for place in stage) for stage in stages),
            tuple(map(_known, expectations, scenario.expect)),
            tuple(map(_known, disturbances, scenario.fault)),
            _controller(data.get("controller")),
        )
    return Parts(
        _topology(data.get("topology")),
        tuple(_tried(place, EXPORTERS[place.kind]) for place in exporters),
        tuple(tuple(_tried(place, KINDS[place.kind]) for place in stage) for stage in stages),
        tuple(_tried(place, Expectation) for place in expectations),
        tuple(_tried(place, DISTURBANCES[place.kind]) for place in disturbances),
        _controller(data.get("controller")),
    )


class _Place(NamedTuple):
    path: Path
    kind: str
    raw: Mapping[str, Any]


def _known(place: _Place, value: _Value) -> Part[_Value]:
    return Part(*place, value)


def _tried(place: _Place, model: type[_Value]) -> Part[_Value]:
    return Part(*place, _valid(model, place.raw))


def _places(
    data: Mapping[str, Any],
) -> tuple[list[_Place], list[list[_Place]], list[_Place]]:
    """Where exporters, steps (by stage) and expectations are."""
    return (
        list(_exporters(data.get("exporters"))),
        [list(stage) for stage in _stages(data.get("traffic"))],
        [
            _Place(path, "", raw)
            for path, raw in _items(("expect",), data.get("expect"))
            if isinstance(raw, dict)
        ],
    )


def _topology(raw: object) -> Topology | None:
    for _, kind, below in _kinds((), raw):
        parameters = _valid(SHAPES[kind].parameters, below) if kind in SHAPES else None
        return SHAPES[kind].build(parameters) if parameters else None
    return None


def _controller(raw: object) -> Part[Controller] | None:
    for path, kind, below in _kinds(("controller",), raw):
        if kind in CONTROLLERS and isinstance(below, dict):
            return _tried(_Place(path, kind, below), CONTROLLERS[kind])
    return None


def _exporters(raw: object) -> Iterator[_Place]:
    path: Path = ("exporters",)
    items = [(path, raw)] if isinstance(raw, dict | str) else _items(path, raw)
    for place, item in items:
        for below_path, kind, below in _kinds(place, item):
            if kind in EXPORTERS:
                yield _Place(below_path, kind, below if isinstance(below, dict) else {})


def _disturbances(raw: object) -> Iterator[_Place]:
    path: Path = ("fault",)
    items = [(path, raw)] if isinstance(raw, dict) else _items(path, raw)
    for place, item in items:
        for below_path, kind, below in _kinds(place, item):
            if kind in DISTURBANCES and isinstance(below, dict):
                yield _Place(below_path, kind, below)


def _stages(raw: object) -> Iterator[Iterator[_Place]]:
    for path, stage in _items(("traffic",), raw):
        if isinstance(stage, dict) and PARALLEL in stage:
            together = list(_items((*path, PARALLEL), stage[PARALLEL]))
            yield (step for place, item in together for step in _steps(place, item))
        else:
            yield _steps(path, stage)


def _steps(path: Path, raw: object) -> Iterator[_Place]:
    if isinstance(raw, dict) and len(raw) == 1:
        for place, kind, below in _kinds(path, raw):
            if kind in KINDS and isinstance(below, dict):
                yield _Place(place, kind, below)


def _kinds(path: Path, raw: object) -> Iterator[tuple[Path, str, object]]:
    """Each ``kind: settings`` of a mapping; a word alone is a kind without settings."""
    if isinstance(raw, str):
        yield path, raw, {}
    elif isinstance(raw, dict):
        for kind, below in raw.items():
            yield (*path, kind), kind, {} if below is None else below


def _items(path: Path, raw: object) -> Iterator[tuple[Path, object]]:
    if isinstance(raw, list):
        for index, item in enumerate(raw):
            yield (*path, index), item


def _valid(model: type[_Value], raw: object) -> _Value | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None
