"""What every exporter is: settings, the commands that work it, and what it observes.

Knows: Open vSwitch's database columns. Must not know: Mininet, the wire format, the verdict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

Command = tuple[str, ...]
"""Arguments of one ovs-vsctl command, without the leading ``--``."""


@dataclass(frozen=True)
class Bridge:
    """A switch as an exporter sees it.

    Attributes:
        name: the bridge's name, ``s1``.
        number: its number, 1 to 65535: what tells its exports from the others'.
    """

    name: str
    number: int


@dataclass(frozen=True)
class Identity:
    """How an observation point is named in the exports themselves.

    Attributes:
        observation_domain: IPFIX observation domain id, or NetFlow v5's
            ``engine_type << 8 | engine_id``; None for sFlow.
        agent: sFlow's agent address; None for the others.
    """

    observation_domain: int | None = None
    agent: str | None = None


@dataclass(frozen=True)
class Observes:
    """What an exporter reports of the packets that enter its switch.

    Attributes:
        measures: the measures of a flow that it reports exactly (or, sampling, estimates).
        sampling: one packet in so many is looked at; 1 means each one.
        not_seen: why a packet of some kind is not reported, by kind: ``ipv4``, ``ipv6``,
            ``non_ip``, ``udp/<destination port>``. A kind that is not here is seen.
        flow_direction: the value of flowDirection (61) that selects one record per packet;
            None where the exporter reports a packet once.
        on_switch_clock: whether its times follow the switch's clock, which a flush moves.
        tells_egress: whether it reports a packet again where it goes out.
    """

    measures: tuple[str, ...]
    sampling: int = 1
    not_seen: dict[str, str] = field(default_factory=dict)
    flow_direction: int | None = None
    on_switch_clock: bool = False
    tells_egress: bool = False


class Exporter(BaseModel, ABC):
    """One exporter with its settings; its methods give the commands that work it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    protocol: ClassVar[str]
    port: ClassVar[int]

    @abstractmethod
    def switch_on(self, bridge: Bridge, target: str) -> Command:
        """Start exporting what ``bridge`` sees to ``target`` (``address:port``)."""

    def expire(self, bridge: Bridge) -> Command:  # noqa: ARG002 (most have nothing to do)
        """Make everything held back fall due at the next tick of the switch's clock."""
        return ()

    def flush(self, bridge: Bridge) -> Command:  # noqa: ARG002
        """Send what is still held back, where switching off is what sends it."""
        return ()

    @abstractmethod
    def identity(self, bridge: Bridge) -> Identity:
        """How ``bridge`` names itself in this exporter's datagrams."""

    @abstractmethod
    def observes(self) -> Observes:
        """What this exporter, so set, reports."""
