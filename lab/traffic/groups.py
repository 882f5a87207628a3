"""Datagrams to many: a multicast group, and everybody."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field

from lab.scenario.units import Octets, Rate, fault
from lab.traffic.base import Scheduled

if TYPE_CHECKING:
    from lab.traffic.schedule import Cast, Schedule

EVERYBODY: Final = IPv4Address("255.255.255.255")


class _ToMany(Scheduled):
    """Datagrams of one host that every switch floods."""

    protocol: ClassVar[str] = "udp"

    source: str = Field(alias="from", description="The host that sends.", examples=["h1"])
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=5004, description="Destination port."
    )
    datagrams: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10, description="How many datagrams."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1452)] = Field(
        default=64, description="What each datagram carries."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Datagrams per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return 1

    @property
    def hosts(self) -> tuple[str, ...]:
        """See `Traffic.hosts`."""
        return (self.source,)

    def _words(self, whom: str) -> str:
        datagrams = f"{self.datagrams} UDP datagrams of {self.payload_octets} octets"
        return f"{self.source} → {whom}: {datagrams} to port {self.port}"

    def _schedule(
        self, cast: Cast, source_port: int, mac: bytes, address: IPv4Address | IPv6Address
    ) -> Schedule:
        from lab.traffic import datagrams, frames

        return datagrams.to_addresses(
            cast,
            datagrams.paced(self.datagrams, self.rate_pps),
            cast.number(self.source),
            frames.text(mac),
            frames.text(address.packed),
            source_port,
            self.port,
            self.payload_octets,
        )


def _a_group(text: Any) -> Any:
    try:
        group = ip_address(text)
    except ValueError:
        raise fault(f"{text!r} is no IP address", "write 239.1.1.1, or ff15::1") from None
    if not group.is_multicast:
        raise fault(f"{text} is no multicast address", "write 239.1.1.1, or ff15::1")
    return str(group)


class Multicast(_ToMany):
    """UDP datagrams to a multicast group; switches without IGMP snooping flood them."""

    kind: ClassVar[str] = "multicast"
    title: ClassVar[str] = "datagrams to a multicast group"

    group: Annotated[str, AfterValidator(_a_group)] = Field(
        default="239.1.1.1", description="The group's address, IPv4 or IPv6."
    )

    @property
    def uses_ipv6(self) -> bool:
        """See `Traffic.uses_ipv6`."""
        return ip_address(self.group).version == 6

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return self._words(f"group {self.group}")

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        group = ip_address(self.group)
        return self._schedule(cast, source_port, group_mac(group), group)


def group_mac(group: IPv4Address | IPv6Address) -> bytes:
    """The MAC address of a group (RFC 1112 section 6.4, RFC 2464 section 7)."""
    if group.version == 6:
        return b"\x33\x33" + group.packed[-4:]
    return b"\x01\x00\x5e" + bytes([group.packed[1] & 0x7F]) + group.packed[2:]


class Broadcast(_ToMany):
    """UDP datagrams to everybody (RFC 919)."""

    kind: ClassVar[str] = "broadcast"
    title: ClassVar[str] = "datagrams to everybody"

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return self._words("everybody")

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        return self._schedule(cast, source_port, b"\xff" * 6, EVERYBODY)
