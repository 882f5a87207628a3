"""Elephants and mice: many flows among many hosts, their sizes and beginnings by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from lab.scenario.units import Count, Octets, Rate
from lab.traffic.base import FIRST_SOURCE_PORT, Scheduled

if TYPE_CHECKING:
    from lab.traffic.schedule import Cast, Schedule

PORTS: Final = (443, 53, 123, 8801, 4500)
"""Where the flows go to: services over UDP."""
_SOURCE_PORTS: Final = 25_000

Distribution = Literal["constant", "uniform", "exponential", "pareto"]


class Mix(Scheduled):
    """UDP flows between hosts: most are mice, a few are elephants with most of the packets."""

    kind: ClassVar[str] = "mix"
    title: ClassVar[str] = "elephants and mice"
    protocol: ClassVar[str] = "udp"

    among: Annotated[tuple[str, ...], Field(min_length=2)] | None = Field(
        default=None,
        alias="hosts",
        description="The hosts that talk; all.",
        examples=[["h1", "h2"]],
    )
    ip_version: Literal[4, 6] = Field(default=4, description="4 or 6.")
    flows: Annotated[Count, Field(ge=1, le=200_000)] = Field(
        default=100, description="How many flows."
    )
    sizes: Distribution = Field(
        default="pareto", description="How packets per flow are distributed."
    )
    mean_packets: Annotated[float, Field(ge=1, le=10_000)] = Field(
        default=10, description="Packets of a flow, on average."
    )
    most_packets: Annotated[Count, Field(ge=1, le=100_000)] = Field(
        default=1000, description="No flow has more packets."
    )
    arrivals: Distribution = Field(
        default="exponential", description="How the times between two flows' beginnings are."
    )
    flows_per_s: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Flows that begin in a second, on average."
    )
    flow_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Packets per second within a flow."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=10_000, description="Never more packets per second than so many, all in all."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1452)] = Field(
        default=100, description="What each packet carries."
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=1, description="Decides on all of that."
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """See `Traffic.hosts`."""
        return self.among or ()

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`: the mean is kept but for the flows that are cut at the most."""
        return int(self.flows * min(self.mean_packets, self.most_packets))

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        who = "all hosts" if self.among is None else ", ".join(self.among)
        return (
            f"{self.flows} UDP flows among {who}: {self.sizes} sizes of {self.mean_packets:g} "
            f"packets on average, {self.arrivals} arrivals"
        )

    def schedule(self, cast: Cast, source_port: int) -> Schedule:  # noqa: ARG002 (has its own)
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic import chance, datagrams

        seed, flows = self.seed, self.flows
        names = self.among or [host.name for host in cast.hosts]
        members = np.array([cast.number(name) for name in names])
        one = chance.below(seed, flows, len(members), "sender")
        other = (one + 1 + chance.below(seed, flows, len(members) - 1, "receiver")) % len(members)
        drawn = chance.drawn(self.sizes, self.mean_packets, seed, flows, "sizes")
        sizes = np.clip(np.rint(drawn), 1, self.most_packets).astype(np.int64)
        gaps_s = chance.drawn(self.arrivals, 1 / self.flows_per_s, seed, flows, "arrivals")
        begin_s = np.cumsum(gaps_s) - gaps_s[0]
        flow = np.repeat(np.arange(flows), sizes)
        within = np.arange(len(flow)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        wanted_s = begin_s[flow] + within / self.flow_pps
        order = np.argsort(wanted_s, kind="stable")
        flow, wanted_s = flow[order], wanted_s[order]
        # Where too many want to go at once they queue: each goes a step after the one before.
        steps_s = np.arange(len(flow)) / self.rate_pps
        due_s = np.maximum.accumulate(wanted_s - steps_s) + steps_s
        number = np.arange(flows)
        return datagrams.to_hosts(
            cast,
            due_s,
            members[one][flow],
            members[other][flow],
            (FIRST_SOURCE_PORT + number % _SOURCE_PORTS)[flow],
            np.array(PORTS)[(number + number // _SOURCE_PORTS) % len(PORTS)][flow],
            self.payload_octets,
            ip_version=self.ip_version,
        )
