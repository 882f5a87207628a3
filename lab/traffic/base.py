"""What every traffic kind is: declared in a scenario, planned to the packet, made by two programs.

Knows: hosts, flow keys, and how the programs of a step talk to each other. Must not know:
exporters, switches, Mininet. The programs run as forked processes inside the hosts' network
namespaces, so they are plain methods that open plain sockets.
"""

from __future__ import annotations

import mmap
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.scenario.units import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.key import FlowKey
    from lab.traffic.schedule import Cast, Schedule
    from topologies.model import Host

ETHERNET_HEADER_OCTETS: Final = 14
IP_HEADER_OCTETS: Final = {4: 20, 6: 40}
IPV6_FRAGMENT: Final = 44
"""The protocol number of the fragment header (RFC 8200 section 4.5)."""
MOST_FRAMES: Final = 1_000_000
"""The most that a step of scheduled packets may send."""
MOST_OCTETS: Final = 256 << 20
"""The most that the beginnings of one step's frames may take in memory."""
_HEADERS_OCTETS: Final = 160
"""What frames have before the zeros behind them, at most: those of a tunnel over IPv6."""
FIRST_SOURCE_PORT: Final = 40_000
"""Automatic source ports count up from here: in no well-known range, the same at each run."""
LAST_PORT: Final = 65_535

PATIENCE_S: Final = 5.0
"""How long a program waits for its other end without any progress before it gives up."""

_POLL_S: Final = 0.00005
_SLOWER: Final = 1.5
"""So many times as long as the octets alone take at most: headers and acknowledgements."""


@dataclass(frozen=True)
class Ends:
    """Where a step's traffic runs.

    Attributes:
        source: the host that starts it.
        destination: the host that it is meant for.
        source_port: the first source port that the step may use.
        window: packets that may be under way at once, so that a stalled switch loses none.
        link_bps: what the slowest link leaves to each of the steps that run at once.
    """

    source: Host
    destination: Host
    source_port: int
    window: int = 48
    link_bps: float = inf

    def patience_s(self, octets: int, rate_bps: float) -> float:
        """How long to wait for the other end while so many octets come, at most at a rate."""
        return PATIENCE_S + _SLOWER * octets * 8 / min(rate_bps, self.link_bps)


@dataclass(frozen=True)
class PlannedFlow:
    """One flow that a step makes, known before anything runs.

    Attributes:
        key: the flow's key.
        source: name of the host that sends it.
        destination: name of the host that gets it; None: everybody, or `nobody`.
        packets: how many; None where only the wire can tell (TCP).
        octets_l3: IP headers and all that is in them, over all packets; None likewise.
        payload_octets: what is inside TCP, over the whole connection; None if not TCP.
        octets_l2: whole frames without FCS, where that is not octets_l3 and an Ethernet header
            for each packet; None if it is.
        later_fragments: whether its packets are fragments but not the first, so without ports.
        fragments: whether they are fragments, the first included.
        nobody: whether it is for a station that is not there, and not for everybody.
        answers: the flow that a host's answers are to, without which there are none; how many
            packets that flow has does not matter here.
    """

    key: FlowKey
    source: str
    destination: str | None
    packets: int | None = None
    octets_l3: int | None = None
    payload_octets: int | None = None
    octets_l2: int | None = None
    later_fragments: bool = False
    fragments: bool = False
    nobody: bool = False
    answers: PlannedFlow | None = None

    @property
    def rules_see(self) -> FlowKey:
        """The key that a switch's rules match: they know no ports of fragments.

        Open vSwitch's way of handling fragments is "normal" (``ovs-ofctl(8)``: set-frags): not
        even the first one has ports. The protocol of later IPv6 fragments is the header's, 44.
        Source: Open vSwitch 3.1, ``ofproto/ofproto-dpif.c``, ``lib/flow.c``; tried.
        """
        if not self.fragments:
            return self.key
        later_ipv6 = self.later_fragments and self.key.ip_version == 6
        protocol = IPV6_FRAGMENT if later_ipv6 else self.key.protocol
        return self.key._replace(protocol=protocol, source_port=0, destination_port=0)

    @property
    def whole_frames(self) -> int | None:
        """Octets of the whole frames, without FCS."""
        if self.octets_l2 is not None or self.packets is None or self.octets_l3 is None:
            return self.octets_l2
        return self.octets_l3 + ETHERNET_HEADER_OCTETS * self.packets


@dataclass(frozen=True)
class Report:
    """What one traffic program did.

    Attributes:
        counts: what it counted, under the names that `Traffic.declared` uses.
        error: why it could not do its work; None if it could.
        started_ns: wall clock, nanoseconds, before its first packet.
        finished_ns: likewise, after its last.
    """

    counts: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    started_ns: int = 0
    finished_ns: int = 0


class Stalled(Exception):
    """The other end did not answer for `PATIENCE_S`."""


class Line:
    """What sender and receiver of one step tell each other out of band, in shared memory.

    The receiver publishes how many packets came; the sender stays at most a window ahead of
    that. So pacing is exact while all goes well, and nothing overruns the switch's receive
    queue when the machine is busy with something else.
    """

    def __init__(self) -> None:
        """Make the line; both programs inherit it when they are forked."""
        self._shared = mmap.mmap(-1, 24)
        self._words = memoryview(self._shared).cast("Q")

    @property
    def arrived(self) -> int:
        """Packets that came so far."""
        return self._words[0]

    @arrived.setter
    def arrived(self, packets: int) -> None:
        self._words[0] = packets

    @property
    def sender_done(self) -> bool:
        """Whether nothing more will be sent."""
        return bool(self._words[1])

    @property
    def listening(self) -> bool:
        """Whether the receiver is ready."""
        return bool(self._words[2])

    def listen(self) -> None:
        """Say that the receiver is ready."""
        self._words[2] = 1

    def hang_up(self) -> None:
        """Say that nothing more will be sent."""
        self._words[1] = 1


def _others_look() -> None:
    """What a sender does about arrivals where another program tells it of them."""


def paced(
    count: int,
    rate_pps: float,
    window: int,
    line: Line,
    look: Callable[[], None] = _others_look,
) -> Iterator[int]:
    """Yield 0 to count - 1, each when its packet is due and the window lets it go.

    Args:
        count: how many packets.
        rate_pps: at this rate.
        window: so many at most that have not arrived.
        line: what tells how many have.
        look: sees to that, where the sender has to do it itself.

    Raises:
        Stalled: a full window stayed unanswered for `PATIENCE_S`.
    """
    gap_s = 1 / rate_pps
    due_s = time.monotonic()
    for number in range(count):
        wait_s = due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        _wait_for_window(number, window, line, look)
        yield number
        due_s += gap_s


def _wait_for_window(number: int, window: int, line: Line, look: Callable[[], None]) -> None:
    arrived, since_s = line.arrived, time.monotonic()
    while number - arrived >= window:
        time.sleep(_POLL_S)
        look()
        before, arrived = arrived, line.arrived
        if arrived != before:
            since_s = time.monotonic()
        elif time.monotonic() - since_s > PATIENCE_S:
            message = f"after {number} packets only {arrived} had arrived"
            raise Stalled(message)


class Traffic(BaseModel, ABC):
    """One step of a scenario's traffic: a `Conversation` or `Scheduled` packets."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    kind: ClassVar[str]
    title: ClassVar[str]
    protocol: ClassVar[str]
    programs: ClassVar[tuple[str, ...]] = ()
    """Programs of the machine that it runs."""

    at_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=0, description="Begin so long after the stage has begun."
    )
    repeat: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Do it so many times, one after the other."
    )

    @property
    def source_ports(self) -> int:
        """How many source ports the step uses, each time that it is done."""
        return 0

    @property
    def all_source_ports(self) -> int:
        """How many it uses in all: packets that are known beforehand are sent again as they are."""
        return self.source_ports

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it names."""
        return ()

    @property
    def vlans(self) -> tuple[int, ...]:
        """The VLANs whose tags its frames have."""
        return ()

    @property
    def uses_ipv6(self) -> bool:
        """Whether its hosts need IPv6."""
        return getattr(self, "ip_version", 4) == 6

    @abstractmethod
    def in_words(self) -> str:
        """One line for people: what the step sends."""


class FromTo(Traffic):
    """Traffic from one host to another."""

    source: str = Field(alias="from", description="The host that starts it.", examples=["h1"])
    destination: str = Field(
        alias="to", description="The host that it is meant for.", examples=["h2"]
    )
    ip_version: Literal[4, 6] = Field(default=4, description="4 or 6.")

    @property
    def hosts(self) -> tuple[str, ...]:
        """See `Traffic.hosts`."""
        return self.source, self.destination


class Conversation(FromTo):
    """Traffic that protocol stacks make; its methods plan it and make it."""

    roles: ClassVar[tuple[str, ...]] = ("receive", "send")
    answered: ClassVar[tuple[str, ...]] = ()
    """What its sender counts of answers: nobody knows how many come where packets are lost."""

    @property
    def all_source_ports(self) -> int:
        """See `Traffic.all_source_ports`: others each time, if the first one is not given."""
        given = getattr(self, "source_port", None) is not None
        return self.source_ports * (1 if given else self.repeat)

    @abstractmethod
    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """The flows that the step makes, both directions."""

    @abstractmethod
    def declared(self, role: str) -> dict[str, int]:
        """What the program of a role must have counted if all went as declared."""

    @abstractmethod
    def send(self, ends: Ends, line: Line) -> dict[str, int]:
        """The sending program; runs in the source host. Returns what it counted."""

    def receive(self, ends: Ends, line: Line, ready: Callable[[], None]) -> dict[str, int]:
        """The receiving program; runs in the destination host, calls ``ready`` when it listens."""
        raise NotImplementedError


class Scheduled(Traffic):
    """Packets that are known beforehand: planned by `schedule`, sent by `lab.traffic.player`."""

    @property
    def frames(self) -> int:
        """How many frames it sends, done once; about so many where chance decides."""
        names = ("count", "datagrams", "packets")
        return max(int(getattr(self, name, 1)) for name in names)

    @property
    def head_octets(self) -> int:
        """What is kept of each frame, at most: all of it but the zeros at its end."""
        return _HEADERS_OCTETS

    @model_validator(mode="after")
    def _is_not_too_much(self) -> Self:
        """What is known beforehand is kept in memory: there has to be an end to it."""
        if self.frames * self.repeat > MOST_FRAMES:
            message = f"{self.frames * self.repeat} packets are more than a step may have"
            raise fault(message, f"send at most {MOST_FRAMES}, repetitions included")
        if self.frames * self.repeat * self.head_octets > MOST_OCTETS:
            message = (
                f"{self.frames * self.repeat} packets of {self.head_octets} octets are more than "
                "a step may keep in memory"
            )
            most = MOST_OCTETS // self.head_octets
            raise fault(message, f"send at most {most}, repetitions included")
        return self

    @property
    def pause_s(self) -> float:
        """What is between the last packet and the first, if it is repeated."""
        return 1 / getattr(self, "rate_pps", 1000)

    @abstractmethod
    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """The packets of the step, done once.

        Args:
            cast: the hosts of the topology.
            source_port: the first source port that the step may use.
        """


def address(host: Host, ip_version: int) -> str:
    """A host's address as text."""
    return str(host.ipv4 if ip_version == 4 else host.ipv6)
