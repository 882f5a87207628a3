"""Flow records of sFlow besides the sampled header: what the agent read itself, and knows besides.

Source: sFlow Version 5, section 5, "Flow Data Types"; sFlow Extended NAT port (1020) and VNI
structures (1029, 1030). Sampled Ethernet, IPv4 and IPv6 (2, 3, 4) say what a header would say;
extended data (1001 and up) becomes batches of their own, joined to the sample by datagram and
`sampleOffset`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode.address import ipv4_column
from collector.decode.layout import Columns
from collector.decode.packet import ICMP, ICMPV6, IPV4, IPV6, TCP, Packets
from collector.decode.packet_columns import packet_columns
from collector.decode.sflow_layouts import EXTENDED, SAMPLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from collector.decode.octets import Octets

SAMPLED_ETHERNET: Final = 2
SAMPLED_IPV4: Final = 3
SAMPLED_IPV6: Final = 4
ROUTER: Final = 1002
GATEWAY: Final = 1003
MPLS: Final = 1006
NAT: Final = 1007
VARIABLE_DATA: Final = (ROUTER, GATEWAY, MPLS, NAT)
"""Extended data whose fields are of no fixed length."""
_FCS_OCTETS: Final = 4
_IPV4, _IPV6 = 1, 2
_MOST: Final = 256
"""Items of a list, and lists of lists, that are read; longer ones are faults."""

Values = dict[str, "NDArray[Any] | Callable[[], NDArray[Any]]"]


class Parsed(NamedTuple):
    """Records of one format."""

    columns: Values
    whole: NDArray[np.bool_]
    """Per record: all of it was there."""


def sampled_columns(octets: Octets, number: int, at: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The columns of a flow sample from its sampled Ethernet, IPv4 or IPv6 record.

    As with a sampled header; of IPv4 and IPv6 there are no MAC addresses, and no length of the
    frame.
    """
    fields = Columns(SAMPLED[number], octets, at[:, None])
    packets = Packets.undissected(len(at))
    if number == SAMPLED_ETHERNET:
        packets.source_mac[:] = fields["sourceMacAddress"]
        packets.destination_mac[:] = fields["destinationMacAddress"]
        packets.ethernet_type[:] = fields["ethernetType"] & 0xFFFF
        stripped = np.full(len(at), _FCS_OCTETS, np.uint32)
        return {
            "frameLength": fields["frameLength"],
            "stripped": stripped,
            **packet_columns(packets),
        }
    four = number == SAMPLED_IPV4
    for name, column in (("source", packets.source), ("destination", packets.destination)):
        address = fields[f"{name}IPv{4 if four else 6}Address"]
        column[:] = ipv4_column(address) if four else address
    packets.ip_version[:] = 4 if four else 6
    packets.ethernet_type[:] = IPV4 if four else IPV6
    packets.protocol[:] = protocol = fields["protocolIdentifier"] & 0xFF
    packets.ip_octets[:] = fields["ipTotalLength"]
    with_ports = protocol != (ICMP if four else ICMPV6)
    packets.source_port[:] = fields["sourceTransportPort"] * with_ports
    packets.destination_port[:] = fields["destinationTransportPort"] * with_ports
    packets.tcp_flags[:] = fields["tcpControlBits"]
    packets.has_tcp[:] = protocol == TCP
    return packet_columns(packets)


def parse(octets: Octets, number: int, at: NDArray[np.int64], end: NDArray[np.int64]) -> Parsed:
    """Read extended records of one format, from `at` to `end`; unknown ones stay octets."""
    if number in EXTENDED:
        layout = EXTENDED[number]
        whole = at + layout.minimum_octets <= end
        fields = Columns(layout, octets, at[whole][:, None])
        return Parsed({name: partial(fields.__getitem__, name) for name in fields}, whole)
    reader = _READERS.get(number)
    if reader is None:
        columns: Values = {"octets": partial(raw_octets, octets, at, end)}
        return Parsed(columns, np.ones(len(at), np.bool_))
    read = [
        reader(_Cursor(octets.buffer, *place))
        for place in zip(at.tolist(), end.tolist(), strict=True)
    ]
    whole = np.array([values is not None for values in read], np.bool_)
    rows = [values for values in read if values is not None]
    names = rows[0] if rows else {}
    return Parsed({name: _column(name, [row[name] for row in rows]) for name in names}, whole)


def raw_octets(octets: Octets, at: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[Any]:
    """The octets of each record."""
    values = np.empty(len(at), object)
    for row, (first, last) in enumerate(zip(at.tolist(), end.tolist(), strict=True)):
        values[row] = octets.buffer[first:last].tobytes()
    return values


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    """Values of one field; addresses have two halves, lists stay Python's."""
    if name.endswith("Address"):
        return np.array(values, np.uint64).reshape(-1, 2)
    if isinstance(values[0], int):
        return np.array(values, np.int64)
    column = np.empty(len(values), object)
    column[:] = values
    return column


class _Short(Exception):
    """The record ends before its last field."""


class _Cursor:
    """Numbers of XDR one behind the other, up to a limit."""

    def __init__(self, buffer: NDArray[np.uint8], at: int, end: int) -> None:
        """Begin at `at`."""
        self._octets = buffer[at:end].tobytes()
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next octets."""
        if self._at + count > len(self._octets):
            raise _Short
        self._at += count
        return self._octets[self._at - count : self._at]

    def number(self) -> int:
        """An unsigned int."""
        return int.from_bytes(self.take(4), "big")

    def numbers(self) -> list[int]:
        """A variable-length array of them."""
        count = self.number()
        if count > _MOST:
            raise _Short
        return [self.number() for _ in range(count)]

    def address(self) -> tuple[int, int]:
        """An address of either kind, in halves; of an unknown one (0) nothing."""
        kind = self.number()
        if kind == _IPV4:
            return 0, 0xFFFF << 32 | self.number()
        if kind == _IPV6:
            octets = self.take(16)
            return int.from_bytes(octets[:8], "big"), int.from_bytes(octets[8:], "big")
        if kind:
            raise _Short
        return 0, 0


def _router(cursor: _Cursor) -> dict[str, Any]:
    """Extended router data."""
    return {
        "ipNextHopAddress": cursor.address(),
        "sourcePrefixLength": cursor.number(),
        "destinationPrefixLength": cursor.number(),
    }


def _gateway(cursor: _Cursor) -> dict[str, Any]:
    """Extended gateway data: the AS path is a list of segments (RFC 4271 section 4.3)."""
    fields: dict[str, Any] = {
        "bgpNextHopAddress": cursor.address(),
        "routerAsNumber": cursor.number(),
        "bgpSourceAsNumber": cursor.number(),
        "bgpPrevAdjacentAsNumber": cursor.number(),
    }
    segments = cursor.number()
    if segments > _MOST:
        raise _Short
    path = [(cursor.number(), cursor.numbers()) for _ in range(segments)]
    last = path[-1][1][-1] if path and path[-1][1] else 0
    fields["bgpDestinationAsNumber"] = last
    fields["bgpDestinationAsPath"] = [number for _, part in path for number in part]
    fields["bgpCommunities"] = cursor.numbers()
    fields["bgpLocalPreference"] = cursor.number()
    return fields


def _mpls(cursor: _Cursor) -> dict[str, Any]:
    """Extended MPLS data: labels are the upper 20 bits of each entry."""
    return {
        "mplsNextHopAddress": cursor.address(),
        "mplsInLabelStack": cursor.numbers(),
        "mplsOutLabelStack": cursor.numbers(),
    }


def _nat(cursor: _Cursor) -> dict[str, Any]:
    """Extended NAT data."""
    return {
        "postNATSourceAddress": cursor.address(),
        "postNATDestinationAddress": cursor.address(),
    }


def _guarded(read: Any) -> Any:
    """A reader that answers None for a record that is cut short."""

    def reader(cursor: _Cursor) -> dict[str, Any] | None:
        try:
            fields: dict[str, Any] = read(cursor)
        except _Short:
            return None
        return fields

    return reader


_READERS: Final = {
    ROUTER: _guarded(_router),
    GATEWAY: _guarded(_gateway),
    MPLS: _guarded(_mpls),
    NAT: _guarded(_nat),
}
