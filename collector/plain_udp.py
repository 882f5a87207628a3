"""The UDP datagrams of plain frames, which are nearly all: a fast path past the dissector.

Plain is: the link's header without VLAN tags or labels, IPv4 without options that is no fragment,
or IPv6 without extension headers, UDP (RFC 791, 8200, 768), all headers captured and in agreement.
What is found here is what `collector.links` would find, several times faster: all headers of a
frame are copied together, and fields read out of the copy. Everything else is left to it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import kernel
from collector.decode.address import ipv4_column
from collector.decode.packet import IPV4, IPV6, UDP
from collector.links import LINUX_COOKED, LINUX_COOKED_2, RAW_IP
from collector.recording import ETHERNET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from collector.decode.octets import Octets

_Fields = dict[str, tuple[Any, int]]
"""Of a header: type, and octets from its start."""
_LINKS: Final[dict[int, tuple[int, int | None]]] = {
    ETHERNET: (14, 12),
    LINUX_COOKED: (16, 14),
    LINUX_COOKED_2: (20, 0),
    **dict.fromkeys(RAW_IP, (0, None)),
}
"""Octets of the link's header, and where in it the EtherType is, if it is there."""
_UDP: Final[_Fields] = {
    "source_port": (">u2", 0),
    "destination_port": (">u2", 2),
    "udp_length": (">u2", 4),
}
_UDP_OCTETS: Final = 8
_IPV4: Final[_Fields] = {
    "first": ("u1", 0),
    "length": (">u2", 2),
    "fragment": (">u2", 6),
    "protocol": ("u1", 9),
    "source": (">u4", 12),
    "destination": (">u4", 16),
}
_IPV4_OCTETS: Final = 20
_IPV4_FIRST: Final = 0x45
"""The version, and the length of a header without options in words."""
_FRAGMENTED: Final = 0x3FFF
"""More fragments, or an offset."""
_IPV6: Final[_Fields] = {
    "first": ("u1", 0),
    "length": (">u2", 4),
    "protocol": ("u1", 6),
    "source": ((">u8", 2), 8),
    "destination": ((">u8", 2), 24),
}
_IPV6_OCTETS: Final = 40


class Payloads(NamedTuple):
    """What UDP carries; every column has one value per datagram."""

    row: NDArray[np.int64]
    """Of its frame."""
    start: NDArray[np.int64]
    """Index of its first octet."""
    length: NDArray[np.int64]
    """Octets that are there."""
    missing: NDArray[np.int64]
    """Octets that were not captured."""
    source: NDArray[np.uint64]
    """Address column."""
    source_port: NDArray[np.uint16]
    destination: NDArray[np.uint64]
    """Address column."""
    destination_port: NDArray[np.uint16]

    @classmethod
    def joined(cls, parts: Sequence[Payloads]) -> Payloads:
        """Those of all parts, in the order of their frames."""
        some = [part for part in parts if len(part.row)] or parts[:1]
        if len(some) == 1:
            return some[0]
        order = np.argsort(np.concatenate([part.row for part in some]), kind="stable")
        return cls(*(np.concatenate(column)[order] for column in zip(*some, strict=True)))


def plain_udp(
    octets: Octets,
    start: NDArray[np.int64],
    captured: NDArray[np.int64],
    rows: NDArray[np.int64],
    linktype: int,
) -> list[Payloads]:
    """What plain frames carry among those in `rows`, which are all of one link.

    Args:
        octets: the buffer the frames are in.
        start: index of each frame's first octet.
        captured: octets of each frame that are there.
        rows: the frames that are looked at, ascending.
        linktype: theirs.
    """
    if linktype not in _LINKS:
        return []
    all_of_them = len(rows) == len(start)
    compiled = kernel.plain_udp(
        octets.buffer,
        start if all_of_them else start[rows],
        captured if all_of_them else captured[rows],
        *_LINKS[linktype],
    )
    if compiled is not None:
        return [_payloads_of(compiled, rows)]
    found = []
    for network in (IPV4, IPV6):
        form = _form(linktype, network)
        rows = rows[captured[rows] >= form.itemsize]
        if not len(rows):
            break
        headers = octets.records(start[rows], form)
        declared, plain = _declared(headers, network)
        if plain.all():
            found.append(_payloads(headers, declared, rows, start, captured))
            break
        found.append(_payloads(headers[plain], declared[plain], rows[plain], start, captured))
        rows = rows[~plain]
    return found


def _payloads_of(udp: kernel.PlainUdp, rows: NDArray[np.int64]) -> Payloads:
    """What the kernel has found among these rows."""
    columns: list[NDArray[Any]] = [rows, *udp[1:]]
    if not udp.plain.all():
        columns = [column[udp.plain] for column in columns]
    return Payloads(*columns)


@cache
def _form(linktype: int, network: int) -> np.dtype[np.void]:
    """The headers of a plain frame."""
    at, ethernet_type = _LINKS[linktype]
    fields: _Fields = {} if ethernet_type is None else {"ethernet_type": (">u2", ethernet_type)}
    ip, ip_octets = (_IPV4, _IPV4_OCTETS) if network == IPV4 else (_IPV6, _IPV6_OCTETS)
    fields |= {name: (kind, at + place) for name, (kind, place) in ip.items()}
    at += ip_octets
    fields |= {name: (kind, at + place) for name, (kind, place) in _UDP.items()}
    return np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [place for _, place in fields.values()],
            "itemsize": at + _UDP_OCTETS,
        }
    )


def _declared(headers: NDArray[Any], network: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Octets of payload, as the headers declare it; and which frames are plain."""
    plain = headers["protocol"] == UDP
    if "ethernet_type" in (headers.dtype.names or ()):
        plain &= headers["ethernet_type"] == network
    room = headers["length"].astype(np.int64)
    if network == IPV4:
        plain &= headers["first"] == _IPV4_FIRST
        plain &= headers["fragment"] & _FRAGMENTED == 0
        room -= _IPV4_OCTETS
    else:
        plain &= headers["first"] >> 4 == 6
    # What the UDP header says, but never more than the IP packet has.
    declared = np.minimum(headers["udp_length"], room) - _UDP_OCTETS
    plain &= declared >= 0
    return declared, plain


def _payloads(
    headers: NDArray[Any],
    declared: NDArray[np.int64],
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    captured: NDArray[np.int64],
) -> Payloads:
    """What frames carry that are known to be plain."""
    octets = headers.itemsize
    length = np.minimum(captured[rows] - octets, declared)
    source, destination = (_address(headers[name]) for name in ("source", "destination"))
    return Payloads(
        row=rows,
        start=start[rows] + octets,
        length=length,
        missing=declared - length,
        source=source,
        source_port=headers["source_port"].astype(np.uint16),
        destination=destination,
        destination_port=headers["destination_port"].astype(np.uint16),
    )


def _address(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """An address column, of IPv4 numbers or IPv6 halves."""
    return ipv4_column(numbers) if numbers.ndim == 1 else numbers.astype(np.uint64)
