"""Voice and video over RTP (RFC 3550): steady both ways, and in bursts one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from lab.scenario.units import Octets, Rate
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from lab.traffic.frames import Octets as Columns
    from lab.traffic.schedule import Cast, Schedule

RTP_OCTETS: Final = 12
_VERSION_2: Final = 0x80
_PCMU, _VIDEO = 0, 96
"""Payload types: G.711 µ-law (RFC 3551 section 6), and the first one that is negotiated."""
_MARKER: Final = 0x80
_VOICE_HZ, _VIDEO_HZ = 8_000, 90_000
_EPSILON_S: Final = 1e-9
_PORTS_PER_CALL: Final = 2


class Voip(Scheduled, FromTo):
    """Calls: RTP packets both ways, one every 20 ms with G.711 unless told otherwise."""

    kind: ClassVar[str] = "voip"
    title: ClassVar[str] = "voice over RTP, both ways"
    protocol: ClassVar[str] = "udp"

    calls: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many at the same time, each with ports of its own."
    )
    port: Annotated[int, Field(ge=1024, le=63_000)] = Field(
        default=16_384,
        description="The called side's port in the first call; two more in the next.",
    )
    duration_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=0.5, description="How long they talk."
    )
    payload_octets: Annotated[Octets, Field(ge=1, le=1400)] = Field(
        default=160, description="Speech in each packet; 160 is 20 ms of G.711."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=1000)] = Field(
        default=50, description="Packets per second, in each direction of each call."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return self.calls * _PORTS_PER_CALL

    @property
    def packets(self) -> int:
        """Packets in each direction of each call."""
        return max(1, int(self.duration_s * self.rate_pps + _EPSILON_S))

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`: both ways."""
        return 2 * self.calls * self.packets

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        calls = "a call" if self.calls == 1 else f"{self.calls} calls"
        return (
            f"{self.source} ↔ {self.destination}: {calls}, {self.packets} RTP packets of "
            f"{self.payload_octets} octets of speech each way"
        )

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic import datagrams
        from lab.traffic.schedule import Schedule

        call, number = (part.ravel() for part in np.indices((self.calls, self.packets)))
        # Calls begin one after the other within the time between two packets.
        due_s = (number + call / self.calls) / self.rate_pps
        stamp = (number * (_VOICE_HZ / self.rate_pps)).astype(np.int64)
        ends = cast.number(self.source), cast.number(self.destination)
        ports = (
            source_port + _PORTS_PER_CALL * call,
            self.port + _PORTS_PER_CALL * call,
        )
        return Schedule.together(
            [
                datagrams.to_hosts(
                    cast,
                    due_s,
                    ends[way],
                    ends[1 - way],
                    ports[way],
                    ports[1 - way],
                    RTP_OCTETS + self.payload_octets,
                    ip_version=self.ip_version,
                    payload=_rtp(_PCMU, number, stamp, 2 * call + way),
                )
                for way in (0, 1)
            ]
        )


class Video(Scheduled, FromTo):
    """A video: a burst of packets for each picture, a longer one for each key picture."""

    kind: ClassVar[str] = "video"
    title: ClassVar[str] = "video over RTP, in bursts"
    protocol: ClassVar[str] = "udp"

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=5004, description="Destination port."
    )
    duration_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=1, description="How long it plays."
    )
    pictures_per_s: Annotated[int, Field(ge=1, le=240)] = Field(
        default=25, description="Pictures, and so bursts, per second."
    )
    burst_packets: Annotated[int, Field(ge=1, le=200)] = Field(
        default=4, description="Packets of a picture."
    )
    key_every: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=12, description="One picture in so many is a key picture, the first one is."
    )
    key_packets: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="Packets of a key picture."
    )
    payload_octets: Annotated[Octets, Field(ge=1, le=1440)] = Field(
        default=1200, description="What each packet carries behind the RTP header."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=10_000, description="Packets per second inside a burst."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return 1

    @property
    def pictures(self) -> int:
        """How many there are."""
        return max(1, int(self.duration_s * self.pictures_per_s + _EPSILON_S))

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`."""
        return self.pictures * max(self.burst_packets, self.key_packets)

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: {self.pictures} pictures of {self.burst_packets} "
            f"RTP packets, one in {self.key_every} of {self.key_packets}"
        )

    def schedule(self, cast: Cast, source_port: int) -> Schedule:
        """See `Scheduled.schedule`."""
        import numpy as np

        from lab.traffic import datagrams

        pictures = np.arange(self.pictures)
        sizes = np.where(pictures % self.key_every == 0, self.key_packets, self.burst_packets)
        picture = np.repeat(pictures, sizes)
        within = np.arange(len(picture)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        last = within == sizes[picture] - 1
        stamp = picture * _VIDEO_HZ // self.pictures_per_s
        kind = _VIDEO + _MARKER * last
        return datagrams.to_hosts(
            cast,
            picture / self.pictures_per_s + within / self.rate_pps,
            cast.number(self.source),
            cast.number(self.destination),
            source_port,
            self.port,
            RTP_OCTETS + self.payload_octets,
            ip_version=self.ip_version,
            payload=_rtp(kind, np.arange(len(picture)), stamp, 0),
        )


def _rtp(kind: ArrayLike, number: NDArray[Any], stamp: NDArray[Any], stream: ArrayLike) -> Columns:
    """RTP headers (RFC 3550 section 5.1)."""
    import numpy as np

    from lab.traffic import frames

    return frames.joined(
        frames.text(bytes([_VERSION_2])),
        frames.number(kind, 1),
        frames.number(number & 0xFFFF, 2),
        frames.number(stamp & 0xFFFFFFFF, 4),
        frames.number(np.asarray(stream) + 1, 4),
    )
