"""Echo requests and the replies that the other host's kernel gives."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import replace
from typing import Annotated, ClassVar, Final, NamedTuple

from pydantic import Field

from collector.key import ICMP, ICMPV6, FlowKey
from lab.scenario.units import Octets, Rate
from lab.traffic.base import (
    IP_HEADER_OCTETS,
    PATIENCE_S,
    Conversation,
    Ends,
    Line,
    PlannedFlow,
    address,
    paced,
)

ICMP_HEADER_OCTETS: Final = 8


class _Echo(NamedTuple):
    family: socket.AddressFamily
    protocol: int
    request: int
    reply: int
    skip_octets: int  # a raw IPv4 socket hands over the IP header too, an IPv6 one does not


_ECHO: Final = {
    4: _Echo(socket.AF_INET, ICMP, 8, 0, 20),
    6: _Echo(socket.AF_INET6, ICMPV6, 128, 129, 0),
}


class Ping(Conversation):
    """Echo requests, each answered (RFC 792, RFC 4443 section 4)."""

    kind: ClassVar[str] = "ping"
    title: ClassVar[str] = "echo requests and replies"
    protocol: ClassVar[str] = "icmp"
    roles: ClassVar[tuple[str, ...]] = ("send",)
    answered: ClassVar[tuple[str, ...]] = ("replies",)

    count: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=3, description="How many requests."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1472)] = Field(
        default=56, description="What each request carries, and its reply gives back."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=1000)] = Field(
        default=100, description="Requests per second."
    )

    @property
    def source_ports(self) -> int:
        """One, which is not a port but tells this ping's echoes from another's (identifier)."""
        return 1

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: {self.count} echo requests of "
            f"{self.payload_octets} octets, each answered"
        )

    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """See `Conversation.plan`."""
        echo = _ECHO[self.ip_version]
        octets = IP_HEADER_OCTETS[self.ip_version] + ICMP_HEADER_OCTETS + self.payload_octets
        source = address(ends.source, self.ip_version)
        destination = address(ends.destination, self.ip_version)
        directions = (
            (source, destination, echo.request, self.source, self.destination),
            (destination, source, echo.reply, self.destination, self.source),
        )
        requests, replies = (
            PlannedFlow(
                FlowKey(self.ip_version, sender, receiver, echo.protocol, 0, kind << 8),
                sending_host,
                receiving_host,
                packets=self.count,
                octets_l3=self.count * octets,
            )
            for sender, receiver, kind, sending_host, receiving_host in directions
        )
        return requests, replace(replies, answers=requests)

    def declared(self, role: str) -> dict[str, int]:  # noqa: ARG002 (there is one role)
        """See `Conversation.declared`."""
        return {"requests": self.count, "replies": self.count}

    def send(self, ends: Ends, line: Line) -> dict[str, int]:
        """See `Conversation.send`."""
        echo = _ECHO[self.ip_version]
        identifier = ends.source_port & 0xFFFF
        with socket.socket(echo.family, socket.SOCK_RAW, echo.protocol) as raw:
            raw.bind((address(ends.source, self.ip_version), 0))
            target = (address(ends.destination, self.ip_version), 0)

            def look() -> None:
                line.arrived += _replies(raw, echo, identifier, wait_s=0)

            for number in paced(self.count, self.rate_pps, ends.window, line, look):
                message = _message(echo, identifier, number, self.payload_octets)
                raw.sendto(message, target)
                look()
            patient_until_s = time.monotonic() + PATIENCE_S
            while line.arrived < self.count and time.monotonic() < patient_until_s:
                line.arrived += _replies(raw, echo, identifier, wait_s=PATIENCE_S / 4)
        return {"requests": self.count, "replies": line.arrived}


def _message(echo: _Echo, identifier: int, number: int, payload_octets: int) -> bytes:
    """An echo request; the kernel fills in ICMPv6's checksum, ICMP's is ours."""
    payload = bytes(index & 0xFF for index in range(payload_octets))
    blank = struct.pack("!BBHHH", echo.request, 0, 0, identifier, number) + payload
    if echo.protocol == ICMPV6:
        return blank
    return blank[:2] + struct.pack("!H", _checksum(blank)) + blank[4:]


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)


def _replies(raw: socket.socket, echo: _Echo, identifier: int, wait_s: float) -> int:
    """Read what is there; count the replies that are ours."""
    count = 0
    while select.select([raw], [], [], 0 if count else wait_s)[0]:
        message = raw.recv(65536)[echo.skip_octets :]
        kind, _, _, whose, _ = struct.unpack_from("!BBHHH", message)
        count += int(kind == echo.reply and whose == identifier)
    return count
