"""ICMP errors: what a host says of a UDP datagram that it did not like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from collector.key import ICMP, ICMPV6
from lab.scenario.units import Rate
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    from lab.traffic.schedule import Cast, Schedule

ERRORS: Final = {
    "no-route": {4: (3, 0), 6: (1, 0)},
    "host-unreachable": {4: (3, 1), 6: (1, 3)},
    "port-unreachable": {4: (3, 3), 6: (1, 4)},
    "too-big": {4: (3, 4), 6: (2, 0)},
    "prohibited": {4: (3, 13), 6: (1, 1)},
    "time-exceeded": {4: (11, 0), 6: (3, 0)},
    "parameter-problem": {4: (12, 0), 6: (4, 0)},
}
"""Type and code by name and IP version (RFC 792, RFC 1812 section 5.2.7, RFC 4443)."""
_PROTOCOL: Final = {4: ICMP, 6: ICMPV6}
_QUOTED_PAYLOAD_OCTETS: Final = 8


class IcmpError(Scheduled, FromTo):
    """ICMP errors, each about a UDP datagram that ``to`` is said to have sent to ``from``."""

    kind: ClassVar[str] = "icmp-error"
    title: ClassVar[str] = "ICMP errors"
    protocol: ClassVar[str] = "icmp"

    error: Literal[
        "no-route",
        "host-unreachable",
        "port-unreachable",
        "too-big",
        "prohibited",
        "time-exceeded",
        "parameter-problem",
    ] = Field(default="port-unreachable", description="What was wrong.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=33_434, description="Where the datagram was sent."
    )
    count: Annotated[int, Field(ge=1, le=100_000)] = Field(default=3, description="How many.")
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=100, description="Errors per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return 1

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: {self.count} ICMP errors, "
            f"{self.error.replace('-', ' ')}"
        )

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic import datagrams, frames
        from lab.traffic.schedule import Schedule

        sender, receiver = cast.number(self.source), cast.number(self.destination)
        version = self.ip_version
        wrong = datagrams.to_hosts(
            cast,
            np.zeros(1),
            receiver,
            sender,
            source_port,
            self.port,
            _QUOTED_PAYLOAD_OCTETS,
            ip_version=version,
        )
        quoted = frames.joined(wrong.heads[:, 14:], frames.text(bytes(_QUOTED_PAYLOAD_OCTETS)))
        kind, code = ERRORS[self.error][version]
        message = frames.joined(frames.text(bytes([kind, code, 0, 0, 0, 0, 0, 0])), quoted)
        ends = cast.ip[version][[sender]], cast.ip[version][[receiver]]
        octets = np.array([message.shape[1]])
        # ICMPv6 has a pseudo header in its checksum (RFC 4443 section 2.3), ICMP has none.
        checksum = (
            frames.checksummed(*ends, ICMPV6, octets, message)
            if version == 6
            else ~frames.ones_sum(message) & 0xFFFF
        )
        message[:, 2:4] = frames.number(checksum, 2)
        heads = frames.joined(
            frames.ethernet(cast.mac[receiver], cast.mac[sender], datagrams.TYPES[version]),
            frames.ip(*ends, _PROTOCOL[version], message.shape[1]),
            message,
        )
        due_s = datagrams.paced(self.count, self.rate_pps)
        return Schedule.of(cast, due_s, sender, heads, heads.shape[1])
