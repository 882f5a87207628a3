"""What a shape of topology is, and how the shapes of this package are found."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from topologies.model import Topology

MOST_SWITCHES = 200
MOST_HOSTS = 1000


class ShapeParameters(BaseModel):
    """What a scenario may choose of a shape; the base of every shape's ``Parameters``."""

    # Built when first used: most commands need one shape, or none.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    bandwidth_mbps: Annotated[float, Field(ge=0.1, le=10_000)] | None = Field(
        default=None, description="Of each link between switches, in 10⁶ bits a second."
    )
    delay_ms: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="How long a packet is on each link between switches."
    )
    loss_percent: Annotated[float, Field(gt=0, le=50)] | None = Field(
        default=None, description="How many of 100 packets each link between switches loses."
    )


@dataclass(frozen=True)
class Shape:
    """One kind of topology.

    Attributes:
        name: what scenario files call it.
        summary: what it is, in one line.
        parameters: the model of what may be chosen.
        build: makes the topology out of such parameters; pure.
    """

    name: str
    summary: str
    parameters: type[ShapeParameters]
    build: Callable[[ShapeParameters], Topology]


def discover(folder: Iterable[str]) -> dict[str, Shape]:
    """The shapes among the modules of the package in ``folder``, by name."""
    found: dict[str, Shape] = {}
    for info in sorted(pkgutil.iter_modules(folder), key=lambda info: info.name):
        module = import_module(f"topologies.{info.name}")
        if hasattr(module, "Parameters"):
            summary = (module.__doc__ or info.name).splitlines()[0]
            name = info.name.replace("_", "-")
            found[name] = Shape(name, summary, module.Parameters, module.build)
    return found


def within_limits(switches: int, hosts: int) -> None:
    """Refuse what one machine cannot hold.

    Raises:
        ValueError: there are too many switches or hosts; the message says how many.
    """
    if switches > MOST_SWITCHES:
        raise ValueError(f"this makes {switches} switches; the most is {MOST_SWITCHES}")
    if hosts > MOST_HOSTS:
        raise ValueError(f"this makes {hosts} hosts; the most is {MOST_HOSTS}")
