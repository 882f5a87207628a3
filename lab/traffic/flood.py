"""A flood: many packets to one port, from forged sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from collector.key import TCP, TCP_FLAGS
from lab.scenario.units import Count, Octets, Rate
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    from lab.traffic.schedule import Cast, Schedule

FORGED_NETWORK: Final = (198 << 24) + (18 << 16)
"""198.18.0.0/15, meant for tests (RFC 2544 appendix C): no host has a route there to answer by."""
FORGED_ADDRESSES: Final = 1 << 17
_FIRST_PORT: Final = 1024
_PORTS: Final = 64_512


class Flood(Scheduled, FromTo):
    """Packets to one port from forged addresses of 198.18.0.0/15; nobody can answer them."""

    kind: ClassVar[str] = "flood"
    title: ClassVar[str] = "a flood from forged sources"
    protocol: ClassVar[str] = "tcp"

    ip_version: Literal[4] = Field(default=4, description="4.")
    method: Literal["syn", "udp"] = Field(default="syn", description="syn or udp.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=80, description="Destination port.")
    packets: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="How many packets."
    )
    sources: Annotated[Count, Field(ge=1, le=FORGED_ADDRESSES)] = Field(
        default=100, description="How many forged addresses they come from, each from one port."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1472)] = Field(
        default=64, description="What each carries (udp)."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=5000, description="Packets per second."
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=1, description="Decides on addresses and ports."
    )

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: {self.packets} {self.method.upper()} packets to "
            f"port {self.port} from {self.sources} forged addresses"
        )

    def schedule(self, cast: Cast, source_port: int) -> Schedule:  # noqa: ARG002 (forged too)
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic import chance, datagrams, frames
        from lab.traffic.schedule import Schedule

        shuffled = np.argsort(chance.uniform(self.seed, FORGED_ADDRESSES, "addresses"))
        forged = FORGED_NETWORK + shuffled[: self.sources]
        ports = _FIRST_PORT + chance.below(self.seed, self.sources, _PORTS, "ports")
        # Everybody once, then whoever chance chooses.
        more = chance.below(self.seed, self.packets, self.sources, "who")
        who = np.concatenate([np.arange(self.sources), more])[: self.packets]
        sender, target = cast.number(self.source), cast.number(self.destination)
        due_s = datagrams.paced(self.packets, self.rate_pps)
        source, ip = frames.number(forged[who], 4), cast.ip[4][[target]]
        if self.method == "udp":
            return datagrams.to_addresses(
                cast,
                due_s,
                sender,
                cast.mac[[target]],
                ip,
                ports[who],
                self.port,
                self.payload_octets,
                source_ip=source,
            )
        sequence = chance.below(self.seed, self.packets, 1 << 32, "sequence")
        heads = frames.joined(
            frames.ethernet(cast.mac[target], cast.mac[sender], frames.IPV4),
            frames.ip(source, ip, TCP, frames.TCP_OCTETS),
            frames.tcp(source, ip, ports[who], self.port, sequence, TCP_FLAGS["SYN"]),
        )
        return Schedule.of(cast, due_s, sender, heads, heads.shape[1])
