"""ARP requests to everybody, each answered by the host that has the address (RFC 826)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from lab.scenario.units import Rate
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    from lab.traffic.frames import Octets
    from lab.traffic.schedule import Cast, Schedule

_REQUEST, _REPLY = 1, 2
_FIXED: Final = bytes.fromhex("000108000604")
"""Ethernet, IPv4, and the lengths of their addresses."""


class Arp(Scheduled, FromTo):
    """Who has an address, asked of everybody; whoever has it answers the one who asked."""

    kind: ClassVar[str] = "arp"
    title: ClassVar[str] = "ARP requests and replies"
    protocol: ClassVar[str] = "arp"

    ip_version: Literal[4] = Field(default=4, description="4; IPv6 has no ARP.")
    count: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1, description="How many requests."
    )
    answered: bool = Field(default=True, description="Whether each one is answered.")
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=100, description="Requests per second."
    )

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        answered = "each answered" if self.answered else "none answered"
        asked = f"{self.count} ARP requests for {self.destination}"
        return f"{self.source} → everybody: {asked}, {answered}"

    def schedule(self, cast: Cast, source_port: int) -> Schedule:  # noqa: ARG002 (ARP has no ports)
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic.schedule import Schedule

        asker, owner = cast.number(self.source), cast.number(self.destination)
        due_s = np.arange(self.count) / self.rate_pps
        request = _message(cast, asker, owner, _REQUEST)
        parts = [Schedule.of(cast, due_s, asker, request, request.shape[1])]
        if self.answered:
            reply = _message(cast, owner, asker, _REPLY)
            parts.append(Schedule.of(cast, due_s, owner, reply, reply.shape[1]))
        return Schedule.together(parts)


def _message(cast: Cast, sender: int, target: int, operation: int) -> Octets:
    """One message; what a request does not know yet is zeros."""
    import numpy as np

    from lab.traffic import frames

    asking = operation == _REQUEST
    mac, ip = cast.mac[[sender]], cast.ip[4]
    to = frames.BROADCAST if asking else cast.mac[target]
    return frames.joined(
        frames.ethernet(to, mac, frames.ARP),
        frames.text(_FIXED),
        frames.number(operation, 2),
        mac,
        ip[[sender]],
        np.zeros((1, 6), np.uint8) if asking else cast.mac[[target]],
        ip[[target]],
    )
