"""UDP datagrams of one size at a steady rate, in one flow or in several."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from collector.key import UDP, FlowKey
from lab.scenario.units import Octets, Rate
from lab.traffic.base import (
    IP_HEADER_OCTETS,
    Conversation,
    Ends,
    Line,
    PlannedFlow,
    address,
    paced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from topologies.model import Host

UDP_HEADER_OCTETS: Final = 8
_AFTERMATH_S: Final = 0.5
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


class Udp(Conversation):
    """UDP datagrams from one host to another; nothing comes back."""

    kind: ClassVar[str] = "udp"
    title: ClassVar[str] = "UDP datagrams"
    protocol: ClassVar[str] = "udp"

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=5001, description="Destination port."
    )
    source_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="First source port; chosen, always the same, if not given."
    )
    flows: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many flows, each from a source port of its own."
    )
    datagrams: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=1, description="Datagrams in each flow."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1472)] = Field(
        default=64, description="What each datagram carries."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Datagrams per second, over all flows together."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return self.flows

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        flows = "" if self.flows == 1 else f" in each of {self.flows} flows"
        plural = "" if self.datagrams == 1 else "s"
        return (
            f"{self.source} → {self.destination}: {self.datagrams} UDP datagram{plural}{flows} of "
            f"{self.payload_octets} octets to port {self.port}, {self.rate_pps:g} per second"
        )

    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """See `Conversation.plan`."""
        octets = IP_HEADER_OCTETS[self.ip_version] + UDP_HEADER_OCTETS + self.payload_octets
        source = address(ends.source, self.ip_version)
        destination = address(ends.destination, self.ip_version)
        return tuple(
            PlannedFlow(
                FlowKey(self.ip_version, source, destination, UDP, port, self.port),
                self.source,
                self.destination,
                packets=self.datagrams,
                octets_l3=self.datagrams * octets,
            )
            for port in range(ends.source_port, ends.source_port + self.flows)
        )

    def declared(self, role: str) -> dict[str, int]:  # noqa: ARG002 (both count the same)
        """See `Conversation.declared`."""
        datagrams = self.flows * self.datagrams
        return {"datagrams": datagrams, "payload_octets": datagrams * self.payload_octets}

    def send(self, ends: Ends, line: Line) -> dict[str, int]:
        """See `Conversation.send`."""
        target = (address(ends.destination, self.ip_version), self.port)
        count = self.flows * self.datagrams
        octets = 0
        with ExitStack() as opened:
            senders = [
                opened.enter_context(self._socket(ends.source, ends.source_port + number))
                for number in range(self.flows)
            ]
            for sender in senders:
                sender.connect(target)
            for number in paced(count, self.rate_pps, ends.window, line):
                payload = number.to_bytes(8, "big").ljust(self.payload_octets, b"\0")
                octets += senders[number % self.flows].send(payload[: self.payload_octets])
        return {"datagrams": count, "payload_octets": octets}

    def receive(self, ends: Ends, line: Line, ready: Callable[[], None]) -> dict[str, int]:
        """See `Conversation.receive`."""
        wanted = self.flows * self.datagrams
        octets = 0
        with self._socket(ends.destination, self.port) as receiver:
            receiver.settimeout(_AFTERMATH_S)
            ready()
            while line.arrived < wanted:
                try:
                    octets += len(receiver.recv(65536))
                except TimeoutError:
                    if line.sender_done:
                        break
                    continue
                line.arrived += 1
        return {"datagrams": line.arrived, "payload_octets": octets}

    def _socket(self, host: Host, port: int) -> socket.socket:
        own = socket.socket(_FAMILY[self.ip_version], socket.SOCK_DGRAM)
        own.bind((address(host, self.ip_version), port))
        return own
