"""A SYN sweep: over the ports of a host, over hosts, or over both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from collector.key import TCP, TCP_FLAGS
from lab.scenario.units import Rate, fault
from lab.traffic.base import Scheduled

if TYPE_CHECKING:
    from lab.traffic.schedule import Cast, Schedule

_RANGE: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII)
_LAST: Final = 65_535


def _ports(value: Any) -> Any:
    """``1-1024``, a number, or a list of numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if not isinstance(value, str):
        return value
    match = _RANGE.fullmatch(value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= _LAST:
        raise fault(f"{value!r} is no range of ports", "write 1-1024, or a list of numbers")
    return tuple(range(int(match[1]), int(match[2]) + 1))


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Scan(Scheduled):
    """A SYN to each port of each host; nobody listens there, so each is answered by a reset."""

    kind: ClassVar[str] = "scan"
    title: ClassVar[str] = "a sweep over ports or hosts"
    protocol: ClassVar[str] = "tcp"

    source: str = Field(alias="from", description="The host that looks.", examples=["h1"])
    targets: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)] = Field(
        alias="to", description="The hosts that are looked at: one, or a list.", examples=["h2"]
    )
    ip_version: Literal[4, 6] = Field(default=4, description="4 or 6.")
    ports: Annotated[
        tuple[Annotated[int, Field(ge=1, le=_LAST)], ...],
        Field(min_length=1),
        BeforeValidator(_ports, json_schema_input_type=int | str | list[int]),
    ] = Field(default=(22, 80, 443), description="The ports: 80, 1-1024, or a list.")
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Packets per second."
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=1, description="Decides on the order of ports and hosts."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return 1

    @property
    def hosts(self) -> tuple[str, ...]:
        """See `Traffic.hosts`."""
        return self.source, *self.targets

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`."""
        return len(self.targets) * len(self.ports)

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        ports = f"{len(self.ports)} ports" if len(self.ports) > 1 else f"port {self.ports[0]}"
        return f"{self.source} → {', '.join(self.targets)}: a SYN to {ports}, answered by resets"

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic import chance, datagrams, frames
        from lab.traffic.schedule import Schedule

        count = len(self.targets) * len(self.ports)
        order = np.argsort(chance.uniform(self.seed, count, "order"), kind="stable")
        targets = np.repeat([cast.number(name) for name in self.targets], len(self.ports))[order]
        ports = np.tile(self.ports, len(self.targets))[order]
        sequence = chance.below(self.seed, count, 1 << 32, "sequence")
        sender = cast.number(self.source)
        source, target = cast.ip[self.ip_version][[sender]], cast.ip[self.ip_version][targets]
        heads = frames.joined(
            frames.ethernet(cast.mac[targets], cast.mac[sender], datagrams.TYPES[self.ip_version]),
            frames.ip(source, target, TCP, frames.TCP_OCTETS),
            frames.tcp(source, target, source_port, ports, sequence, TCP_FLAGS["SYN"]),
        )
        due_s = datagrams.paced(count, self.rate_pps)
        return Schedule.of(cast, due_s, sender, heads, heads.shape[1])
