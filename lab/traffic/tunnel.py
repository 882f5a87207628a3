"""What two sites say to each other, as the network between them sees it: in a tunnel.

The two hosts are the sites' gateways. The hosts behind them are on paper only: their packets leave
the gateway encapsulated already. RFC 2784 (GRE), RFC 2003 (IP in IP), RFC 7348 (VXLAN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from collector.key import UDP
from lab.scenario.units import Octets, Rate
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lab.traffic.frames import Octets as Columns
    from lab.traffic.schedule import Cast, Schedule

_GRE, _IP_IN_IP, _VXLAN_PORT = 47, 4, 4789
_NEAR, _FAR = (192, 168, 1, 0), (192, 168, 2, 0)
"""The sites' networks."""
_FIRST_MAC: Final = 0x0E_00_00_00_00_00
"""Of hosts behind gateways: locally administered, and nobody else's."""
_INNER_PORT: Final = 5001
_FIRST_SOURCE_PORT, _SOURCE_PORTS = 49_152, 16_384
"""Dynamic ports, of which RFC 7348 section 5 has one chosen for each inner flow."""
_VNI_IS_VALID: Final = 0x08


class Tunnel(Scheduled, FromTo):
    """Flows between two sites, each packet in a packet between their gateways."""

    kind: ClassVar[str] = "tunnel"
    title: ClassVar[str] = "flows inside a tunnel"
    protocol: ClassVar[str] = "ip"

    by: Literal["gre", "ip-in-ip", "vxlan"] = Field(
        default="gre", description="How packets are put into packets."
    )
    vni: Annotated[int, Field(ge=0, le=0xFFFFFF)] = Field(
        default=1, description="VXLAN's network identifier."
    )
    flows: Annotated[int, Field(ge=1, le=250)] = Field(
        default=4, description="Flows inside: from 192.168.1.i to 192.168.2.i, UDP to port 5001."
    )
    datagrams: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=10, description="How many datagrams each of them has."
    )
    payload_octets: Annotated[Octets, Field(ge=0, le=1400)] = Field(
        default=64, description="What each datagram carries."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Packets per second, of all flows together."
    )

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`."""
        return self.flows * self.datagrams

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        flows = "a flow" if self.flows == 1 else f"{self.flows} flows"
        datagrams = f"{self.datagrams} UDP datagrams of {self.payload_octets} octets"
        return f"{self.source} → {self.destination}: {flows} of {datagrams}, inside {self.by}"

    def schedule(self, cast: Cast, source_port: int) -> Schedule:  # noqa: ARG002 (the RFC has one)
        """See `Scheduled.schedule`: the flows take turns."""
        import numpy as np

        from lab.traffic import datagrams, frames
        from lab.traffic.schedule import Schedule

        flow = np.arange(self.frames) % self.flows
        inner = self._inner(flow + 1)
        octets = inner.shape[1] + self.payload_octets
        sender, receiver = cast.number(self.source), cast.number(self.destination)
        here, there = (cast.ip[self.ip_version][[end]] for end in (sender, receiver))
        protocol, shim = self._shim(flow, octets)
        heads = frames.joined(
            frames.ethernet(
                cast.mac[[receiver]], cast.mac[[sender]], datagrams.TYPES[self.ip_version]
            ),
            frames.ip(here, there, protocol, shim.shape[1] + octets),
            shim,
            inner,
        )
        due_s = datagrams.paced(self.frames, self.rate_pps)
        lengths = heads.shape[1] + self.payload_octets
        return Schedule.of(cast, due_s, sender, heads, lengths)

    def _inner(self, number: NDArray[np.int64]) -> Columns:
        """What each inner packet begins with; VXLAN carries frames, the others packets."""
        from lab.traffic import frames

        near, far = (frames.text(bytes(net)) | frames.number(number, 4) for net in (_NEAR, _FAR))
        ports = [_INNER_PORT] * len(number)
        packet = (
            frames.ip(near, far, UDP, frames.UDP_OCTETS + self.payload_octets),
            frames.udp(near, far, ports, _INNER_PORT, self.payload_octets),
        )
        if self.by != "vxlan":
            return frames.joined(*packet)
        from_mac, to_mac = (frames.number(_FIRST_MAC | site << 16 | number, 6) for site in (1, 2))
        return frames.joined(frames.ethernet(to_mac, from_mac, frames.IPV4), *packet)

    def _shim(self, flow: NDArray[np.int64], octets: int) -> tuple[int, Columns]:
        """What is between the outer IP header and the inner packet, and its protocol number."""
        from lab.traffic import frames

        if self.by == "gre":
            return _GRE, frames.joined(frames.number(0, 2), frames.number(frames.IPV4, 2))
        if self.by == "ip-in-ip":
            return _IP_IN_IP, frames.text(b"")
        port = _FIRST_SOURCE_PORT + flow % _SOURCE_PORTS
        header = bytes([_VNI_IS_VALID, 0, 0, 0]) + self.vni.to_bytes(3, "big") + b"\0"
        return UDP, frames.joined(
            frames.number(port, 2),
            frames.number(_VXLAN_PORT, 2),
            frames.number(frames.UDP_OCTETS + len(header) + octets, 2),
            frames.number(0, 2),  # No checksum: RFC 7348 section 5, for IPv6 RFC 6935.
            frames.text(header),
        )
