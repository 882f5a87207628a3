"""A capture played again, its addresses mapped onto hosts."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field

from collector.key import ICMPV6, TCP, UDP
from lab.scenario.units import fault
from lab.traffic.base import Scheduled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lab.traffic.schedule import Cast, Schedule

MOST_PACKETS: Final = 20_000
LONGEST_FRAME_OCTETS: Final = 1514
_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMPV6: 2}
_IP: Final = 14
_ADDRESSES_AT: Final = {4: _IP + 12, 6: _IP + 8}


def _capture(name: str) -> str:
    """The absolute path of a capture: as given, or else as seen from the checkout."""
    from collector import pcap

    for path in (Path(name), _CHECKOUT / name):
        if path.is_file():
            try:
                pcap.read(path)
            except (OSError, pcap.NotACaptureError) as odd:
                raise fault(f"{name} cannot be replayed: {odd}", "give a pcap file") from None
            return str(path.resolve())
    raise fault(f"there is no file {name}", "give its path, as seen from where you run flowlab")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise fault(f"{text!r} is no IP address", "write one of the capture's addresses") from None


class Replay(Scheduled):
    """The IP packets of a capture between mapped addresses, at their pace; the rest is left out.

    Fragments, tagged frames and packets that the capture has only a part of are left out too.
    """

    kind: ClassVar[str] = "replay"
    title: ClassVar[str] = "a capture played again"
    protocol: ClassVar[str] = "ip"

    file: Annotated[str, AfterValidator(_capture)] = Field(
        description="The capture, pcap or pcapng.", examples=["scenarios/protocols/replayed.pcap"]
    )
    players: Annotated[
        dict[Annotated[str, AfterValidator(_address)], str], Field(min_length=2, max_length=1000)
    ] = Field(
        alias="hosts",
        description="The host that plays each address of the capture.",
        examples=[{"192.0.2.1": "h1", "192.0.2.2": "h2"}],
    )
    speed: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=1, description="So many times as fast as it was."
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """See `Traffic.hosts`."""
        return tuple(dict.fromkeys(self.players.values()))

    @property
    def uses_ipv6(self) -> bool:
        """See `Traffic.uses_ipv6`."""
        return any(ip_address(text).version == 6 for text in self.players)

    @property
    def frames(self) -> int:
        """See `Scheduled.frames`: not more than the capture has."""
        from collector import pcap

        return min(len(pcap.read(Path(self.file))), MOST_PACKETS)

    @property
    def head_octets(self) -> int:
        """See `Scheduled.head_octets`."""
        return LONGEST_FRAME_OCTETS

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return f"{Path(self.file).name} again, among {', '.join(self.hosts)}"

    def schedule(self, cast: Cast, source_port: int) -> Schedule:  # noqa: ARG002 (has its own)
        """See `Scheduled.schedule`."""
        import numpy as np

        from collector import pcap
        from collector.decode.address import halves
        from lab.traffic.alike import odd
        from lab.traffic.schedule import Schedule

        capture = pcap.read(Path(self.file))
        whole = (capture.lengths == capture.original_lengths) & (
            capture.lengths <= LONGEST_FRAME_OCTETS
        )
        rows = np.flatnonzero(whole)[:MOST_PACKETS]
        frames = [
            capture.buffer[at : at + length].tobytes()
            for at, length in zip(
                capture.offsets[rows].tolist(), capture.lengths[rows].tolist(), strict=True
            )
        ]
        times_ns = np.maximum.accumulate(capture.timestamps_ns[rows])
        at_s = (times_ns - times_ns[:1]) / 1e9 / self.speed
        packets = Schedule.of_frames(cast, at_s, 0, frames).packets
        players = {halves(text): cast.number(name) for text, name in self.players.items()}
        source, destination = (
            _players(column, players) for column in (packets.source, packets.destination)
        )
        played = (source >= 0) & (destination >= 0) & (source != destination)
        played &= ~packets.fragment & (packets.vlan_id == 0)
        chosen = np.flatnonzero(played)
        size = max(map(len, frames), default=0)
        transport = np.where(
            packets.transport > 0, packets.transport - np.arange(len(rows)) * size, 0
        )
        columns = (source, destination, packets.protocol, transport)
        recast = {
            row: _recast(frames[row], cast, *(int(column[row]) for column in columns))
            for row in chosen.tolist()
        }
        again = {row: frame for row, frame in recast.items() if odd(frame) is None}
        kept = np.array([*again], np.int64)
        begin_s = at_s[kept] - at_s[kept][:1]
        return Schedule.of_frames(cast, begin_s, source[kept], [*again.values()])


def _players(addresses: NDArray[Any], players: dict[tuple[int, int], int]) -> NDArray[Any]:
    import numpy as np

    return np.array([players.get((upper, lower), -1) for upper, lower in addresses.tolist()], int)


def _recast(
    frame: bytes, cast: Cast, source: int, destination: int, protocol: int, transport: int
) -> bytes:
    """A frame between two hosts instead, its checksums made anew, without padding.

    IPFIX would count padding among the octets of layer 3.

    Args:
        frame: as captured, without VLAN tag.
        cast: the hosts.
        source: row of the host that sends it.
        destination: row of the host that gets it.
        protocol: behind the IP headers.
        transport: where its header begins; 0: nowhere.
    """
    import numpy as np

    from lab.traffic import frames

    version = frame[_IP] >> 4
    ends = cast.ip[version][[source]], cast.ip[version][[destination]]
    addresses = b"".join(end.tobytes() for end in ends)
    at = _ADDRESSES_AT[version]
    macs = cast.mac[destination].tobytes() + cast.mac[source].tobytes()
    packet = bytearray(macs + frame[len(macs) : at] + addresses + frame[at + len(addresses) :])
    end = _IP + int.from_bytes(packet[_IP + 2 : _IP + 4], "big")
    if version == 6:
        end = at + len(addresses) + int.from_bytes(packet[_IP + 4 : _IP + 6], "big")
    else:
        header = slice(_IP, _IP + (packet[_IP] & 0x0F) * 4)
        packet[_IP + 10 : _IP + 12] = bytes(2)
        total = ~frames.ones_sum(frames.text(bytes(packet[header]))) & 0xFFFF
        packet[_IP + 10 : _IP + 12] = int(total[0]).to_bytes(2, "big")
    place = transport + _CHECKSUM_AT.get(protocol, 0)
    none = protocol == UDP and version == 4 and packet[place : place + 2] == bytes(2)
    if transport and protocol in _CHECKSUM_AT and not none:
        packet[place : place + 2] = bytes(2)
        segment = frames.text(bytes(packet[transport:end]))
        octets = np.array([end - transport])
        checksum = int(frames.checksummed(*ends, protocol, octets, segment)[0])
        if protocol == UDP:
            checksum = checksum or 0xFFFF
        packet[place : place + 2] = checksum.to_bytes(2, "big")
    return bytes(packet[:end])
