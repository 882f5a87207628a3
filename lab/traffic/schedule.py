"""Packets known beforehand, to the octet: when each is sent, by whom, and what becomes of it.

Everything in columns: a schedule of a million packets is a few arrays. From it follow the flows
that must be seen, the answers that the hosts' kernels give, and what the player must do. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.key import ICMP, ICMPV6, TCP, TCP_FLAGS, UDP, FlowKey
from lab.traffic import frames
from lab.traffic.base import PlannedFlow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from collector.decode.packet import Packets
    from topologies.model import Host

_ECHO: Final = {(4, ICMP): (8, 0), (6, ICMPV6): (128, 129)}
_GROUP_BIT: Final = np.uint64(40)
"""Of a MAC address as a number: whether it is a group's (IEEE 802)."""
_ICMPS: Final = (ICMP, ICMPV6)
_CODE: Final = 0xFF
_RESET_OCTETS: Final = {4: 40, 6: 60}
_IP_BEGINS: Final = 14
_TCP_OCTETS: Final = 20
_PORTS_OCTETS: Final = 4
"""Of UDP and the like; of ICMP they are type, code and checksum."""


@dataclass(frozen=True)
class Cast:
    """The hosts of a topology in columns: one row per host, in the order of their numbers."""

    hosts: tuple[Host, ...]

    def number(self, name: str) -> int:
        """A host's row."""
        return self._numbers[name]

    @cached_property
    def mac(self) -> NDArray[np.uint8]:
        """MAC addresses, shape (hosts, 6)."""
        return _rows(bytes.fromhex(host.mac.replace(":", "")) for host in self.hosts)

    @cached_property
    def ip(self) -> dict[int, NDArray[np.uint8]]:
        """IP addresses by version, shape (hosts, 4) and (hosts, 16)."""
        return {
            4: _rows(host.ipv4.packed for host in self.hosts),
            6: _rows(host.ipv6.packed for host in self.hosts),
        }

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {host.name: number for number, host in enumerate(self.hosts)}


def _rows(octets: Iterable[bytes]) -> NDArray[np.uint8]:
    rows = list(octets)
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


@dataclass(frozen=True)
class Sink:
    """What a host must have open so that its kernel takes packets without a word.

    Attributes:
        host: its name.
        ip_version: 4 or 6.
        protocol: UDP, or the IP protocol of a raw socket.
        port: of UDP; 0 for the others.
    """

    host: str
    ip_version: int
    protocol: int
    port: int


@dataclass(frozen=True)
class Schedule:
    """Packets in the order in which they are sent.

    Attributes:
        cast: the hosts.
        at_s: when each is due, from the beginning of the step, shape (n,), never falling.
        sender: row of the host that sends it, shape (n,).
        heads: what each frame begins with, shape (n, size).
        lengths: octets of each frame, without FCS; behind its head are zeros. Shape (n,).
    """

    cast: Cast
    at_s: NDArray[np.float64]
    sender: NDArray[np.int64]
    heads: NDArray[np.uint8]
    lengths: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert len({len(self), len(self.sender), len(self.heads), len(self.lengths)}) == 1
        assert not len(self) or (np.diff(self.at_s) >= 0).all()

    def __len__(self) -> int:
        """How many packets."""
        return len(self.at_s)

    @classmethod
    def of(
        cls, cast: Cast, at_s: NDArray[np.float64], sender: object, heads: object, lengths: object
    ) -> Schedule:
        """As the constructor; in any order, and a single value stands for all packets."""
        order = np.argsort(at_s, kind="stable")
        count = len(at_s)

        def column(values: object, kind: type) -> NDArray[np.int64]:
            return np.broadcast_to(np.asarray(values, kind), (count,))[order]

        octets = np.asarray(heads, np.uint8)
        octets = np.broadcast_to(octets, (count, octets.shape[1]))[order]
        return cls(cast, at_s[order], column(sender, np.int64), octets, column(lengths, np.int64))

    @classmethod
    def of_frames(
        cls, cast: Cast, at_s: NDArray[np.float64], sender: object, frames: Sequence[bytes]
    ) -> Schedule:
        """Packets given as whole frames."""
        lengths = np.array([len(frame) for frame in frames], np.int64)
        size = int(lengths.max(initial=0))
        octets = b"".join(frame.ljust(size, b"\0") for frame in frames)
        heads = np.frombuffer(octets, np.uint8).reshape(len(frames), size)
        return cls.of(cast, at_s, sender, heads, lengths)

    @classmethod
    def together(cls, parts: Sequence[Schedule]) -> Schedule:
        """All parts as one, each packet when it is due."""
        size = max(part.heads.shape[1] for part in parts)
        heads = [np.pad(part.heads, ((0, 0), (0, size - part.heads.shape[1]))) for part in parts]
        return cls.of(
            parts[0].cast,
            np.concatenate([part.at_s for part in parts]),
            np.concatenate([part.sender for part in parts]),
            np.concatenate(heads),
            np.concatenate([part.lengths for part in parts]),
        )

    def repeated(self, times: int, pause_s: float) -> Schedule:
        """The same again and again, a pause between the last packet and the first."""
        if times == 1 or not len(self):
            return self
        round_s = float(self.at_s[-1]) + pause_s
        starts = np.repeat(np.arange(times) * round_s, len(self))
        return Schedule(
            self.cast,
            np.tile(self.at_s, times) + starts,
            np.tile(self.sender, times),
            np.tile(self.heads, (times, 1)),
            np.tile(self.lengths, times),
        )

    def later(self, by_s: float) -> Schedule:
        """The same, later."""
        return replace(self, at_s=self.at_s + by_s)

    @property
    def octets(self) -> int:
        """Octets of all frames."""
        return int(self.lengths.sum())

    @property
    def senders(self) -> tuple[str, ...]:
        """The hosts that send."""
        return tuple(self.cast.hosts[number].name for number in np.unique(self.sender))

    @cached_property
    def header_octets(self) -> int:
        """So much of each frame tells its flow, and TCP's flags: the most of all frames."""
        from collector.decode.packet import WITH_PORTS

        packets, size = self.packets, self.heads.shape[1]
        begin = np.arange(len(self), dtype=np.int64) * size
        behind_ip = packets.network + packets.ip_octets - packets.payload_octets
        behind = np.where(np.isin(packets.protocol, (*WITH_PORTS, *_ICMPS)), _PORTS_OCTETS, 0)
        behind[packets.protocol == TCP] = _TCP_OCTETS
        end = np.where(packets.transport > 0, packets.transport + behind, behind_ip) - begin
        return int(end[packets.ip_version != 0].max(initial=_IP_BEGINS))

    @cached_property
    def packets(self) -> Packets:
        """The packets taken apart, by the collector's own dissector."""
        from collector.decode.octets import Octets
        from collector.decode.packet import dissect

        size = self.heads.shape[1]
        buffer = np.ascontiguousarray(self.heads).reshape(-1)
        # Behind the last head there may be too few octets for the widest number.
        buffer = np.concatenate([buffer, np.zeros(64, np.uint8)])
        start = np.arange(len(self), dtype=np.int64) * size
        return dissect(Octets(buffer), start, np.minimum(self.lengths, size))

    @cached_property
    def receiver(self) -> NDArray[np.int64]:
        """Row of the host that each frame is addressed to; -1: a group, everybody or nobody."""
        macs = self.cast.mac.astype(np.uint64)
        weights = np.uint64(256) ** np.arange(5, -1, -1, dtype=np.uint64)
        known = macs @ weights
        order = np.argsort(known)
        place = np.searchsorted(known[order], self.packets.destination_mac)
        candidate = order[np.minimum(place, len(order) - 1)]
        return np.where(known[candidate] == self.packets.destination_mac, candidate, -1)

    @cached_property
    def flows(self) -> tuple[PlannedFlow, ...]:
        """The flows that it makes, the answers of the hosts' kernels included."""
        import polars as pl

        from collector.texts import end_texts

        packets = self.packets
        is_ip = packets.ip_version != 0
        ends = {}
        for end in ("source", "destination"):
            address = getattr(packets, end)
            ends[f"{end}_upper"] = np.where(is_ip, address[:, 0], 0)
            ends[f"{end}_lower"] = np.where(is_ip, address[:, 1], getattr(packets, f"{end}_mac"))
        key = {
            "version": packets.ip_version,
            **ends,
            "protocol": np.where(is_ip, packets.protocol, packets.ethernet_type),
            "source_port": packets.source_port,
            "destination_port": packets.destination_port,
            "sender": self.sender,
            "receiver": self.receiver,
            "answer": self._answers(),
            "later_fragment": packets.fragment & (packets.transport == 0),
            "fragment": packets.fragment,
            "nobody": (self.receiver < 0) & (packets.destination_mac >> _GROUP_BIT & 1 == 0),
        }
        table = (
            pl.DataFrame({**key, "l2": self.lengths, "l3": packets.ip_octets})
            .group_by(list(key), maintain_order=True)
            .agg(pl.len().alias("packets"), pl.col("l2").sum(), pl.col("l3").sum())
        )
        table = table.with_columns(
            end_texts(table["version"], table[f"{end}_upper"], table[f"{end}_lower"]).alias(end)
            for end in ("source", "destination")
        )
        names = [host.name for host in self.cast.hosts]
        return tuple(
            flow for row in table.select(_OF_A_FLOW).iter_rows() for flow in _planned(names, row)
        )

    def _answers(self) -> NDArray[np.int64]:
        """Row of the host that a kernel's answer to each packet goes to; -1: there is none.

        A host answers what is addressed to it, at both layers, from an address that it has a
        route and a neighbour for (so not from a forged one): a TCP segment without RST by a
        reset (RFC 9293 section 3.5.2, no port is open), an echo request by a reply (RFC 1122
        section 3.2.2.6), whatever its code. UDP and other protocols end in sinks, and nobody
        answers what has a wrong checksum.
        """
        packets = self.packets
        mine, asker = self._addressed_to_its_host(), self._source_host()
        whole = ~packets.fragment
        segment = packets.has_tcp & ((packets.tcp_flags & TCP_FLAGS["RST"]) == 0)
        echo = np.zeros(len(self), bool)
        for (version, protocol), (request, _) in _ECHO.items():
            echo |= (
                (packets.ip_version == version)
                & (packets.protocol == protocol)
                & (packets.destination_port >> 8 == request)
                & (packets.transport > 0)
            )
        asks = mine & whole & (segment | echo)
        asks[asks] = self._are_sound(np.flatnonzero(asks))
        itself = asker == self.receiver  # from its own address: thrown away (RFC 1122, 3.2.1.3)
        return np.where(asks & ~itself, asker, -1)

    def _are_sound(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the checksums of some packets hold: IPv4's own, and TCP's or ICMP's.

        They are no fragments and have no tag. What is behind their heads is zeros, which add
        nothing to a sum of ones' complements (RFC 1071).
        """
        if not len(rows):
            return np.zeros(0, bool)
        packets, size = self.packets, self.heads.shape[1]
        begin = (packets.transport[rows] - rows * size)[:, None]
        end = (_IP_BEGINS + packets.ip_octets[rows])[:, None]
        place, heads = np.arange(size), self.heads[rows]
        is_4 = packets.ip_version[rows] == 4
        before, after = np.where(is_4, 12, 8)[:, None], np.where(is_4, 20, 40)[:, None]

        def summed(first: Any, last: Any) -> NDArray[np.int64]:
            return frames.ones_sum(heads * ((place >= first) & (place < last)))

        ends = summed(_IP_BEGINS + before, _IP_BEGINS + after)
        pseudo = ends + packets.protocol[rows] + (end - begin)[:, 0]
        total = summed(begin, end) + np.where(packets.protocol[rows] == ICMP, 0, pseudo)
        sound: NDArray[np.bool_] = total % 0xFFFF == 0
        sound &= ~is_4 | (summed(_IP_BEGINS, begin) == 0xFFFF)
        return sound

    def sinks(self) -> tuple[Sink, ...]:
        """What must be open while it is played, or the kernels would send ICMP errors.

        IP protocol 0, which nothing can be open for, is there as well (`lab.scenario.ways`); but
        not fragments of it without the first one, which nobody puts together or answers.
        """
        packets = self.packets
        silent = np.isin(packets.protocol, (TCP, ICMP, ICMPV6))
        silent |= (packets.protocol == 0) & packets.fragment & (packets.transport == 0)
        ends = self._ends(self._addressed_to_its_host() & ~silent)
        return tuple(end for end in ends if end.protocol != UDP or end.port)

    def ports(self) -> tuple[Sink, ...]:
        """The ports of TCP and UDP that something comes to."""
        transport = np.isin(self.packets.protocol, (TCP, UDP))
        return tuple(
            end for end in self._ends(self._addressed_to_its_host() & transport) if end.port
        )

    def _ends(self, chosen: NDArray[np.bool_]) -> Iterator[Sink]:
        """Where some of the packets go, each place once; port 0 is that of later fragments."""
        packets, rows = self.packets, np.flatnonzero(chosen)
        columns = (self.receiver, packets.ip_version, packets.protocol)
        has_ports = np.isin(packets.protocol, (TCP, UDP))
        ports = np.where(has_ports, packets.destination_port, 0)
        places = np.unique(np.stack([*(c[rows] for c in columns), ports[rows]], axis=1), axis=0)
        for host, version, protocol, port in places.tolist():
            yield Sink(self.cast.hosts[host].name, version, protocol, port)

    def _addressed_to_its_host(self) -> NDArray[np.bool_]:
        """Whether a frame comes to a host's IP stack: its MAC, its IP address, no VLAN tag."""
        packets = self.packets
        mine: NDArray[np.bool_] = self._owner(packets.destination) == self.receiver
        mine &= (self.receiver >= 0) & (packets.vlan_id == 0)
        return mine

    def _source_host(self) -> NDArray[np.int64]:
        return self._owner(self.packets.source)

    def _owner(self, addresses: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Row of the host that has each IP address; -1: nobody."""
        from collector.decode.address import ipv4_column

        known = {4: ipv4_column(_u32(self.cast.ip[4])), 6: _halves(self.cast.ip[6])}
        owner = np.full(len(addresses), -1)
        for version, column in known.items():
            rows = np.flatnonzero(self.packets.ip_version == version)
            order = np.argsort(column[:, 1])  # the lower half alone tells hosts apart
            place = np.searchsorted(column[order, 1], addresses[rows, 1])
            candidate = order[np.minimum(place, len(order) - 1)]
            owner[rows] = np.where((column[candidate] == addresses[rows]).all(1), candidate, -1)
        return owner


_OF_A_FLOW: Final = (
    *("version", "source", "destination", "protocol", "source_port", "destination_port"),
    *("sender", "receiver", "answer", "later_fragment", "fragment", "nobody"),
    *("packets", "l2", "l3"),
)


def _planned(names: list[str], row: tuple[Any, ...]) -> Iterator[PlannedFlow]:
    """The flow of a row of `_OF_A_FLOW`, and what a host's kernel answers.

    Args:
        names: of the hosts.
        row: the values.
    """
    *parts, sender, receiver, answer, later_fragment, fragment, nobody, packets, l2, l3 = row
    key = FlowKey(*parts)
    flow = PlannedFlow(
        key,
        names[sender],
        names[receiver] if receiver >= 0 else None,
        packets=packets,
        octets_l3=l3 if key.ip_version else None,
        octets_l2=l2,
        later_fragments=later_fragment,
        fragments=fragment,
        nobody=nobody,
    )
    yield flow
    if answer < 0:
        return
    back = key._replace(
        source=key.destination,
        destination=key.source,
        source_port=key.destination_port,
        destination_port=key.source_port,
    )
    octets_l3 = packets * _RESET_OCTETS[key.ip_version]
    if key.protocol != TCP:
        reply = _ECHO[key.ip_version, key.protocol][1]
        code = key.destination_port & _CODE
        back = back._replace(source_port=0, destination_port=reply << 8 | code)
        octets_l3 = l3
    yield PlannedFlow(
        back,
        names[receiver],
        names[answer],
        packets=packets,
        octets_l3=octets_l3,
        answers=flow,
    )


def _u32(octets: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(octets).view(">u4").reshape(-1).astype(np.uint32)


def _halves(octets: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(octets).view(">u8").astype(np.uint64)
