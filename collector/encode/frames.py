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
from collector.encode.pieces import Joined, Merged, Pieces, Rows, Slices, render
from collector.encode.records import pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.datagrams import Datagrams

_HOP_LIMIT: Final = 64
_ALL_ONES: Final = 0xFFFF


def pcap_records(datagrams: Datagrams) -> NDArray[np.uint8]:
    """The octets that `recording.Writer.write_records` takes, of a file in nanoseconds."""
    mapped = (datagrams.source[:, 0] == 0) & (datagrams.source[:, 1] >> np.uint64(32) == _MAPPED)
    rows = [np.flatnonzero(~mapped), np.flatnonzero(mapped)]
    frames = [
        _frames(datagrams.take(rows[0]), four=False),
        _frames(datagrams.take(rows[1]), four=True),
    ]
    merged = Merged(frames, mapped.astype(np.int64))
    seconds, fraction = np.divmod(datagrams.timestamp_ns, 1_000_000_000)
    header = np.stack([seconds, fraction, merged.length, merged.length], axis=1).astype("<u4")
    return render(Joined([Rows(header.view(np.uint8)), merged])).buffer


_MAPPED: Final = np.uint64(IPV4_MAPPED >> 32)


def _frames(datagrams: Datagrams, *, four: bool) -> Pieces:
    """Frames of IPv4, or of IPv6."""
    udp_octets = datagrams.length + headers.UDP.minimum_octets
    ends = (datagrams.source, datagrams.destination)
    ip = _ipv4(udp_octets, *ends) if four else _ipv6(udp_octets, *ends)
    udp: dict[str, Any] = {
        "sourceTransportPort": datagrams.source_port,
        "destinationTransportPort": datagrams.destination_port,
        "udpMessageLength": udp_octets,
    }
    # The pseudo-header: addresses, protocol, length (RFC 768, RFC 8200 section 8.1). An address
    # that is mapped has a word of ones too many, which changes nothing.
    payload = Slices(datagrams.buffer, datagrams.offset, datagrams.length)
    total = word_sums(payload)
    total += udp["sourceTransportPort"].astype(np.int64) + udp["destinationTransportPort"]
    total += 2 * udp_octets + UDP
    for address in ends:
        for shift in range(0, 64, 16):
            words = address >> np.uint64(shift) & np.uint64(0xFFFF)
            total += words.sum(axis=1).astype(np.int64)
    checksum = checksums(total)
    udp["checksum"] = np.where(checksum == 0, _ALL_ONES, checksum)
    ethernet = {
        "destinationMacAddress": 0,
        "sourceMacAddress": 0,
        "ethernetType": IPV4 if four else IPV6,
    }
    return Joined(
        [
            pack(headers.ETHERNET, ethernet, len(udp_octets)),
            ip,
            pack(headers.UDP, udp),
            payload,
        ]
    )


def _ipv4(
    udp_octets: NDArray[np.int64], source: NDArray[np.uint64], destination: NDArray[np.uint64]
) -> Pieces:
    """IPv4 headers (RFC 791 section 3.1)."""
    fields: dict[str, Any] = {
        "versionAndHeaderLength": 0x45,
        "ipClassOfService": 0,
        "ipTotalLength": udp_octets + headers.IPV4.minimum_octets,
        "fragmentIdentification": 0,
        "flagsAndFragmentOffset": 0,
        "ipTTL": _HOP_LIMIT,
        "protocolIdentifier": UDP,
        "headerChecksum": 0,
        "sourceIPv4Address": source[:, 1] & np.uint64(0xFFFF_FFFF),
        "destinationIPv4Address": destination[:, 1] & np.uint64(0xFFFF_FFFF),
    }
    fields["headerChecksum"] = checksums(word_sums(pack(headers.IPV4, fields)))
    return pack(headers.IPV4, fields)


def _ipv6(
    udp_octets: NDArray[np.int64], source: NDArray[np.uint64], destination: NDArray[np.uint64]
) -> Pieces:
    """IPv6 headers (RFC 8200 section 3)."""
    fields = {
        "versionClassAndFlowLabel": 6 << 28,
        "payloadLengthIPv6": udp_octets,
        "nextHeaderIPv6": UDP,
        "ipTTL": _HOP_LIMIT,
        "sourceIPv6Address": source,
        "destinationIPv6Address": destination,
    }
    return pack(headers.IPV6, fields)
