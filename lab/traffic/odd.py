"""UDP datagrams with something unusual about them: cut up, tagged, or behind extension headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from collector.key import UDP
from lab.scenario.units import Octets, Rate
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.traffic.schedule import Cast, Schedule

_MORE_FRAGMENTS: Final = 0x2000
_UNIT: Final = 8
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_IPV4_OCTETS, _IPV6_OCTETS, _FRAGMENT_OCTETS, _UDP_OCTETS = 20, 40, 8, 8


class _Datagrams(Scheduled, FromTo):
    """What all of these have in common."""

    protocol: ClassVar[str] = "udp"

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=5001, description="Destination port."
    )
    datagrams: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=10, description="How many datagrams."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1400)] = Field(
        default=64, description="What each datagram carries."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Datagrams per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return 1

    def _words(self, how: str) -> str:
        datagrams = f"{self.datagrams} UDP datagrams of {self.payload_octets} octets"
        return f"{self.source} → {self.destination}: {datagrams} to port {self.port}, {how}"


class Fragments(_Datagrams):
    """UDP datagrams that do not fit into a packet; only the first fragment has ports."""

    kind: ClassVar[str] = "fragments"
    title: ClassVar[str] = "fragmented datagrams"

    payload_octets: Annotated[Octets, Field(ge=1, le=65_000)] = Field(
        default=4000, description="What each datagram carries, in all its fragments."
    )
    mtu_octets: Annotated[int, Field(ge=128, le=1500)] = Field(
        default=1500, description="The longest IP packet."
    )

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`; the headers leave at least 80 octets of a packet."""
        return self.datagrams * (self.payload_octets // (self.mtu_octets - 48) + 1)

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return self._words(f"in fragments of at most {self.mtu_octets}")

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`: one datagram cut up, and that again and again, identified.

        What the datagrams carry is zeros, so of each fragment its headers are all that is kept.
        """
        import numpy as np

        from lab.traffic import datagrams, frames
        from lab.traffic.schedule import Schedule

        sender = cast.number(self.source)
        whole = datagrams.to_hosts(
            cast,
            np.zeros(1),
            sender,
            cast.number(self.destination),
            source_port,
            self.port,
            self.payload_octets,
            ip_version=self.ip_version,
        )
        packet = whole.heads[0].tobytes().ljust(int(whole.lengths[0]), b"\0")
        cut = list(self._cut(packet, 0))
        size = self._headers_octets + _UDP_OCTETS
        headers = [frames.text(fragment[:size].ljust(size, b"\0")) for fragment in cut]
        heads = np.tile(np.concatenate(headers), (self.datagrams, 1))
        lengths = np.tile([len(fragment) for fragment in cut], self.datagrams)
        numbers = np.repeat(1 + np.arange(self.datagrams) % 65_535, len(cut))
        if self.ip_version == 4:
            heads[:, 18:20] = frames.number(numbers, 2)
            heads[:, 24:26] = 0
            checksum = ~frames.ones_sum(heads[:, 14 : 14 + _IPV4_OCTETS]) & 0xFFFF
            heads[:, 24:26] = frames.number(checksum, 2)
        else:
            heads[:, self._headers_octets - 4 : self._headers_octets] = frames.number(numbers, 4)
        due_s = np.repeat(datagrams.paced(self.datagrams, self.rate_pps), len(cut))
        return Schedule.of(cast, due_s, sender, heads, lengths)

    @property
    def _headers_octets(self) -> int:
        """Of a fragment, up to its piece of the datagram."""
        return 14 + (_IPV4_OCTETS if self.ip_version == 4 else _IPV6_OCTETS + _FRAGMENT_OCTETS)

    def _cut(self, frame: bytes, identification: int) -> Iterator[bytes]:
        """RFC 791 section 3.2, RFC 8200 section 4.5."""
        header = _IPV4_OCTETS if self.ip_version == 4 else _IPV6_OCTETS
        ethernet, ip, rest = frame[:14], frame[14 : 14 + header], frame[14 + header :]
        extension = 0 if self.ip_version == 4 else _FRAGMENT_OCTETS
        room = (self.mtu_octets - header - extension) // _UNIT * _UNIT
        for at in range(0, len(rest), room):
            piece, more = rest[at : at + room], int(at + room < len(rest))
            if self.ip_version == 4:
                yield ethernet + _ipv4_fragment(ip, identification, at, more, piece)
            else:
                yield ethernet + _ipv6_fragment(ip, identification, at, more, piece)


def _ipv4_fragment(ip: bytes, identification: int, at: int, more: int, piece: bytes) -> bytes:
    from lab.traffic import frames

    place = at // _UNIT | (_MORE_FRAGMENTS if more else 0)
    ends = (frames.text(ip[12:16]), frames.text(ip[16:20]))
    header = frames.ip(*ends, UDP, len(piece), identification=identification, fragment=place)
    return header.tobytes() + piece


def _ipv6_fragment(ip: bytes, identification: int, at: int, more: int, piece: bytes) -> bytes:
    octets = (_FRAGMENT_OCTETS + len(piece)).to_bytes(2, "big")
    fragment = bytes([UDP, 0]) + (at | more).to_bytes(2, "big") + identification.to_bytes(4, "big")
    return ip[:4] + octets + bytes([_FRAGMENT]) + ip[7:] + fragment + piece


class Vlan(_Datagrams):
    """UDP datagrams in frames with a tag of IEEE 802.1Q."""

    kind: ClassVar[str] = "vlan"
    title: ClassVar[str] = "VLAN-tagged frames"

    vlan: Annotated[int, Field(ge=1, le=4094)] = Field(default=10, description="The VLAN.")

    @property
    def vlans(self) -> tuple[int, ...]:
        """See `Traffic.vlans`."""
        return (self.vlan,)

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return self._words(f"tagged with VLAN {self.vlan}")

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        from lab.traffic import datagrams

        return datagrams.to_hosts(
            cast,
            datagrams.paced(self.datagrams, self.rate_pps),
            cast.number(self.source),
            cast.number(self.destination),
            source_port,
            self.port,
            self.payload_octets,
            ip_version=self.ip_version,
            vlan=self.vlan,
        )


class ExtensionHeaders(_Datagrams):
    """UDP datagrams behind IPv6 extension headers (RFC 8200 section 4)."""

    kind: ClassVar[str] = "extension-headers"
    title: ClassVar[str] = "IPv6 with extension headers"

    ip_version: Literal[6] = Field(default=6, description="6.")
    headers: Annotated[
        tuple[Literal["hop-by-hop", "routing", "fragment", "destination"], ...],
        Field(min_length=1, max_length=6),
    ] = Field(
        default=("hop-by-hop", "destination"),
        description="Which, in order: hop-by-hop, routing, fragment (the only one), destination.",
    )

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return self._words(f"behind the headers {', '.join(self.headers)}")

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        from lab.traffic import datagrams, frames
        from lab.traffic.schedule import Schedule

        plain = datagrams.to_hosts(
            cast,
            datagrams.paced(self.datagrams, self.rate_pps),
            cast.number(self.source),
            cast.number(self.destination),
            source_port,
            self.port,
            self.payload_octets,
            ip_version=6,
        )
        kinds = [_KINDS[name] for name in self.headers]
        between = b"".join(
            _EXTENSIONS[kind](after) for kind, after in zip(kinds, [*kinds[1:], UDP], strict=True)
        )
        ip = plain.heads[:, : 14 + _IPV6_OCTETS].copy()
        ip[:, 18:20] = frames.number(plain.lengths - 14 - _IPV6_OCTETS + len(between), 2)
        ip[:, 20] = kinds[0]
        heads = frames.joined(ip, frames.text(between), plain.heads[:, 14 + _IPV6_OCTETS :])
        return Schedule(cast, plain.at_s, plain.sender, heads, plain.lengths + len(between))


_KINDS: Final = {
    "hop-by-hop": _HOP_BY_HOP,
    "routing": _ROUTING,
    "fragment": _FRAGMENT,
    "destination": _DESTINATION,
}
_PADDING: Final = bytes([1, 4, 0, 0, 0, 0])
"""PadN over the six octets that an options header has at least (RFC 8200 section 4.2)."""
_EXTENSIONS: Final = {
    _HOP_BY_HOP: lambda after: bytes([after, 0]) + _PADDING,
    _DESTINATION: lambda after: bytes([after, 0]) + _PADDING,
    # Type 253 is for experiments (RFC 4727); no segments are left, so everybody passes over it.
    _ROUTING: lambda after: bytes([after, 0, 253, 0, 0, 0, 0, 0]),
    _FRAGMENT: lambda after: bytes([after, 0, 0, 0, 0, 0, 0, 1]),
}
