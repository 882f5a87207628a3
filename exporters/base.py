"""What every exporter is: settings, the commands that work it, and what it observes.

Knows: Open vSwitch's database columns. Must not know: Mininet, the wire format, the verdict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Command = tuple[str, ...]
"""Arguments of one ovs-vsctl command, without the leading ``--``."""

PORTS: Final = {"netflow5": 2055, "netflow9": 2055, "ipfix": 4739, "sflow5": 6343}
"""UDP port by protocol, where exports of it go."""

WHOLE_SECONDS_MS: Final = 1000
"""How early times of NetFlow v9 may be: its header tells the clock in whole seconds, rounded down,
and times are counted from there in milliseconds (RFC 3954 section 5.1)."""

LOOPBACK: Final = "127.0.0.1"
LOOPBACKS: Final = {"ipv4": LOOPBACK, "ipv6": "::1"}


def listed(value: object) -> object:
    """A list out of a single word."""
    return [value] if isinstance(value, str) else value


Switches = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)]
"""Names of switches; one alone may be written without a list."""


@dataclass(frozen=True)
class Bridge:
    """A switch as an exporter sees it.

    Attributes:
        name: the bridge's name, ``s1``.
        number: its number, 1 to 65535: what tells its exports from the others'.
    """

    name: str
    number: int

    def port(self, number: int) -> str:
        """The interface of one of its ports, ``s1-eth1``."""
        return f"{self.name}-eth{number}"


@dataclass(frozen=True)
class Identity:
    """How an observation point is named in the exports themselves.

    Attributes:
        observation_domain: IPFIX observation domain id, NetFlow v9's source id, or NetFlow v5's
            ``engine_type << 8 | engine_id``; None for sFlow.
        agent: sFlow's agent address; None for the others.
        address: the address that its datagrams come from, and go to.
    """

    observation_domain: int | None = None
    agent: str | None = None
    address: str = LOOPBACK


@dataclass(frozen=True)
class Observes:
    """What an exporter reports of the packets that it is shown.

    Attributes:
        measures: the measures of a flow that it reports exactly (or, sampling, estimates).
        sampling: one packet in so many is looked at; 1 means each one.
        not_seen: why a packet of some kind is not reported, by kind: ``ipv4``, ``ipv6``,
            ``non_ip``, ``udp/<destination port>``. A kind that is not here is seen; but where
            ``not <kind>`` is here, none is seen but that one.
        flow_direction: the value of flowDirection (61) that selects one record per packet;
            None where the exporter reports a packet once.
        on_switch_clock: whether its times follow the switch's clock, which a flush moves.
        early_ms: how much too early its times may be, because it tells the clock less finely.
        tells_egress: whether it reports a packet again where it goes out.
        tells_ports: whether its records name the switch's ports by their OpenFlow numbers.
        no_ports_since: which of its settings keeps it from that; empty: none.
        marker: where packets go that flowlab itself sends to flush it, and that it reports.
        habits: whose way of filling in the formats it has, by its name among the collector's.
        later_fragments_as: the protocol that it gives IPv6 fragments but the first; None: the true
            one.
        joins_fragments: whether it counts fragments in the flow that the first one told the ports
            of; else they are a flow without ports.
        after_actions: whether it tells packets as they leave the switch; else as they came. Where
            it tells them again going out that is always as they leave.
    """

    measures: tuple[str, ...]
    sampling: int = 1
    not_seen: dict[str, str] = field(default_factory=dict)
    flow_direction: int | None = None
    on_switch_clock: bool = False
    early_ms: int = 0
    tells_egress: bool = False
    tells_ports: bool = False
    no_ports_since: str = ""
    marker: str | None = None
    habits: str = "Open vSwitch"
    later_fragments_as: int | None = None
    joins_fragments: bool = False
    after_actions: bool = False


class Exporter(BaseModel, ABC):
    """One exporter with its settings.

    It is a `SwitchExporter`, a part of Open vSwitch, or a `Probe`, a program beside it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    differences: ClassVar[str] = ""
    """What is systematically different from the others: a list in Markdown, an item each. It is a
    part of docs/what-each-exporter-sees.md."""

    at: Switches | None = Field(
        default=None, description="The switches that have it; all.", examples=["s1"]
    )

    @property
    @abstractmethod
    def title(self) -> str:
        """Its name for people."""

    @property
    @abstractmethod
    def protocol(self) -> str:
        """What it speaks, as the collector calls it: a key of `PORTS`."""

    @property
    def collector_port(self) -> int:
        """The UDP port that its exports go to."""
        return PORTS[self.protocol]

    def addresses(self, bridge: Bridge) -> tuple[str, ...]:
        """Where its exports go, and so come from; the first one is what it is judged by."""
        return (self.identity(bridge).address,)

    def destinations(self, bridge: Bridge) -> tuple[str, ...]:
        """Where its exports go, ``address:port`` each, IPv6 addresses in brackets."""
        return tuple(
            f"[{address}]:{self.collector_port}"
            if ":" in address
            else f"{address}:{self.collector_port}"
            for address in self.addresses(bridge)
        )

    def wrong(self) -> tuple[str, str, str] | None:
        """The key, what is wrong with it beside the other keys, and what to do; None if nothing."""
        return None

    def is_on(self, switch: str) -> bool:
        """Whether a switch has it."""
        return self.at is None or switch in self.at

    @abstractmethod
    def identity(self, bridge: Bridge) -> Identity:
        """How ``bridge`` names itself in this exporter's datagrams."""

    @abstractmethod
    def observes(self) -> Observes:
        """What this exporter, so set, reports."""


class SwitchExporter(Exporter):
    """A part of Open vSwitch; its methods give the commands that work it."""

    targets: Annotated[
        tuple[Literal["ipv4", "ipv6"], ...],
        Field(min_length=1, max_length=2),
        BeforeValidator(listed),
    ] = Field(
        default=("ipv4",),
        description="Where its exports go: ipv4, ipv6, or both, each of which gets all of them.",
        examples=[["ipv4", "ipv6"]],
    )

    def addresses(self, bridge: Bridge) -> tuple[str, ...]:  # noqa: ARG002 (one for all)
        """See `Exporter.addresses`."""
        return tuple(dict.fromkeys(LOOPBACKS[target] for target in self.targets))

    @abstractmethod
    def switch_on(self, bridge: Bridge, target: str) -> Command:
        """Start exporting what ``bridge`` sees to ``target``.

        Args:
            bridge: the bridge.
            target: ``address:port``; several are joined by ``","``, as the database has it.
        """

    def rules(self, bridge: Bridge) -> tuple[str, ...]:  # noqa: ARG002 (most need none)
        """Flows that ``bridge`` needs for it, as ovs-ofctl writes them."""
        return ()

    def expire(self, bridge: Bridge) -> Command:  # noqa: ARG002 (most have nothing to do)
        """Make everything held back fall due at the next tick of the switch's clock."""
        return ()

    def keep(self, bridge: Bridge, flows: int) -> Command:  # noqa: ARG002
        """Let its cache hold no more than so many flows; the oldest ones are sent at once."""
        return ()

    def flush(self, bridge: Bridge) -> Command:  # noqa: ARG002
        """Send what is still held back, where switching off is what sends it."""
        return ()


class Probe(Exporter):
    """A program beside the switch that listens at one of its ports, to both directions.

    Its datagrams go to an address of its own on loopback, and so come from there (Linux takes
    the address for the source too): that is how a collector tells one probe from another,
    whatever they say of themselves.
    """

    program: ClassVar[str]
    """Its executable, and the name of what runs it in `lab.run.probes`."""
    package: ClassVar[str]
    """The distribution's package that brings it."""
    network: ClassVar[int]
    """The second octet of its addresses."""

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=1, description="The switch's port at which it listens, by its OpenFlow number."
    )

    def interface(self, bridge: Bridge) -> str:
        """Where it listens."""
        return bridge.port(self.port)

    def address(self, bridge: Bridge) -> str:
        """The loopback address that its datagrams come from and go to."""
        return f"127.{self.network}.{bridge.number >> 8}.{bridge.number & 255}"

    @abstractmethod
    def command(self, bridge: Bridge, directory: str) -> Command:
        """The program and its arguments; in the foreground.

        Args:
            bridge: where it listens.
            directory: of its own, for its sockets and files.
        """

    def configuration(self, bridge: Bridge, directory: str) -> str:  # noqa: ARG002
        """What the file ``configuration`` in its directory has to say; empty: it has none."""
        return ""
