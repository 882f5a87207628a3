"""Datagrams as the records of a pcap file: the other way of `collector.pcap`, in columns.

Each datagram becomes a frame as `collector.recording` makes them one by one: Ethernet, IPv4 or
IPv6, and UDP, with valid checksums; times in nanoseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import headers
from collector.decode.address import IPV4_MAPPED
from collector.decode.packet import IPV4, IPV6, UDP
from collector.encode.checksum import checksums, word_sums
from collector.encode.packet import IP_HEADERS, ipv4_fields, ipv6_fields
from collector.encode.pieces import Joined, Merged, Pieces, Rows, Slices, render
from collector.encode.records import pack
from collector.encode.session import ROOM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.datagrams import Datagrams

_HOP_LIMIT: Final = 64
_ALL_ONES: Final = 0xFFFF


def pcap_records(datagrams: Datagrams) -> NDArray[np.uint8]:
    """The octets that `recording.Writer.write_records` takes, of a file in nanoseconds.

    Where there is room in front of the datagrams, that is where the headers are written.
    """
    four = _is_ipv4(datagrams.source) & _is_ipv4(datagrams.destination)
    if four.all():
        heads = _headers(datagrams, four=True)
        heads = Joined([_record_headers(datagrams, heads.length + datagrams.length), heads])
        if datagrams.room == ROOM:
            heads.write(datagrams.buffer, datagrams.offset - ROOM)
            return datagrams.buffer
        return render(Joined([heads, _payloads(datagrams)])).buffer
    parts = []
    for version in (False, True):
        some = datagrams.take(np.flatnonzero(four == version))
        parts.append(Joined([_headers(some, four=version), _payloads(some)]))
    frames = Merged(parts, four.astype(np.int64))
    return render(Joined([_record_headers(datagrams, frames.length), frames])).buffer


def _record_headers(datagrams: Datagrams, frame_octets: NDArray[np.int64]) -> Pieces:
    """What a capture has in front of each frame."""
    seconds, fraction = np.divmod(datagrams.timestamp_ns, 1_000_000_000)
    fields = np.stack([seconds, fraction, frame_octets, frame_octets], axis=1).astype("<u4")
    return Rows(fields.view(np.uint8))


def _payloads(datagrams: Datagrams) -> Slices:
    return Slices(datagrams.buffer, datagrams.offset, datagrams.length)


def _is_ipv4(addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether addresses are IPv4-mapped."""
    upper, lower = addresses.T
    mapped = lower >> np.uint64(32) == np.uint64(IPV4_MAPPED >> 32)
    found: NDArray[np.bool_] = mapped & (upper == 0)
    return found


def _headers(datagrams: Datagrams, *, four: bool) -> Pieces:
    """Headers of Ethernet, IPv4 or IPv6, and UDP."""
    udp_octets = datagrams.length + headers.UDP.minimum_octets
    header = IP_HEADERS[4 if four else 6]
    fields: dict[str, Any] = {
        "destinationMacAddress": 0,
        "sourceMacAddress": 0,
        "ethernetType": IPV4 if four else IPV6,
        "ipClassOfService": 0,
        "ipTotalLength": udp_octets + header.minimum_octets,
        "ipTTL": _HOP_LIMIT,
        "protocolIdentifier": UDP,
        "sourceIPAddress": datagrams.source,
        "destinationIPAddress": datagrams.destination,
        "sourceTransportPort": datagrams.source_port,
        "destinationTransportPort": datagrams.destination_port,
        "udpMessageLength": udp_octets,
    }
    # The pseudo-header: addresses, protocol, length (RFC 768, RFC 8200 section 8.1). An address
    # that is mapped has a word of ones too many, which changes nothing; what a number leaves when
    # divided by 65535 is what its words leave.
    total = word_sums(_payloads(datagrams))
    total += datagrams.source_port.astype(np.int64) + datagrams.destination_port
    total += 2 * udp_octets + UDP
    for address in (datagrams.source, datagrams.destination):
        for half in address.T:
            total += (half % np.uint64(_ALL_ONES)).astype(np.int64)
    checksum = checksums(total)
    fields["checksum"] = np.where(checksum == 0, _ALL_ONES, checksum)
    fields |= ipv4_fields(fields) if four else ipv6_fields(fields)
    layout = headers.stacked(headers.ETHERNET, header, headers.UDP)
    return pack(layout, fields, len(udp_octets))
