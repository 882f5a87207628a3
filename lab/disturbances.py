"""Faults that a scenario puts into the chain: what each is called, and what it can be set to.

Most strike between exporter and collector (`lab.run.faulty`), some the network between two steps
(`lab.run.session`). Each leaves the truth behind, so that what a good collector reports then can be
derived and compared (`collector.arrival`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from exporters.base import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

Step = Annotated[int, Field(ge=1, le=1000)]
Percent = Annotated[float, Field(gt=0, le=100)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Exporters = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(listed),
]


class Disturbance(BaseModel):
    """One fault with its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]


class OfDatagrams(Disturbance):
    """A fault of some export datagrams, chosen at random; the same seed chooses the same ones.

    The choice is made for each exporter apart, by the place of a datagram in its sequence.
    """

    percent: Percent = Field(
        description="How many of a hundred datagrams it strikes.", examples=[10]
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=1, description="The same seed strikes the same datagrams."
    )
    exporter: Exporters | None = Field(
        default=None,
        description="Exporters whose datagrams it strikes; all if left out.",
        examples=["netflow"],
    )


class Drop(OfDatagrams):
    """Datagrams that never arrive."""

    kind: ClassVar[str] = "drop"


class Duplicate(OfDatagrams):
    """Datagrams that arrive twice, one behind the other."""

    kind: ClassVar[str] = "duplicate"


class Reorder(OfDatagrams):
    """Datagrams that are overtaken by the next one of their exporter."""

    kind: ClassVar[str] = "reorder"


class Delay(OfDatagrams):
    """Datagrams that arrive later, behind all that came meanwhile."""

    kind: ClassVar[str] = "delay"

    delay_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(
        default=50, description="How much later they arrive."
    )


class Corrupt(OfDatagrams):
    """Datagrams whose first octets are spoiled: nobody can tell what they were."""

    kind: ClassVar[str] = "corrupt"


class Truncate(OfDatagrams):
    """Datagrams that are cut off inside their header."""

    kind: ClassVar[str] = "truncate"


class LateCollector(Disturbance):
    """A collector that is started when exporters have sent already: templates may be missed."""

    kind: ClassVar[str] = "late_collector"

    missed: Count = Field(description="Datagrams that came before it.", examples=[3])


class CollectorRestart(Disturbance):
    """A collector that goes away and comes back without any memory."""

    kind: ClassVar[str] = "collector_restart"

    after: Count = Field(description="Datagrams that it receives before.", examples=[20])
    missed: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=0, description="Datagrams that come while it is away."
    )


class LinkFlap(Disturbance):
    """A link that goes down, and up again, between two steps."""

    kind: ClassVar[str] = "link_flap"

    after_step: Step = Field(description="The step of the traffic that it comes after.")
    link: tuple[str, str] = Field(description="Its two ends.", examples=[["h1", "s1"]])


class SwitchRestart(Disturbance):
    """The switch program ends and starts again between two steps, with all bridges of the run.

    It gives up what it holds before, as an orderly restart does. Then it counts anew.
    """

    kind: ClassVar[str] = "switch_restart"

    after_step: Step = Field(description="The step of the traffic that it comes after.")


class NeedsPrivateSwitch(Exception):
    """A fault would strike the machine's own switch, which others may use."""


def needs_private(faults: Iterable[Disturbance], *, private: bool) -> None:
    """Make sure that a switch that is to be restarted may be.

    Raises:
        NeedsPrivateSwitch: it is the machine's own.
    """
    if not private and any(isinstance(fault, SwitchRestart) for fault in faults):
        message = "switch_restart needs the private switch: run without --datapath kernel"
        raise NeedsPrivateSwitch(message)


DISTURBANCES: dict[str, type[Disturbance]] = {
    kind.kind: kind
    for kind in (
        Drop,
        Duplicate,
        Reorder,
        Delay,
        Corrupt,
        Truncate,
        LateCollector,
        CollectorRestart,
        LinkFlap,
        SwitchRestart,
    )
}
"""Every fault by the name that a scenario calls it."""
