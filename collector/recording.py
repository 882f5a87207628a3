"""Write datagrams into a pcap file that every tool can read.

Only the standard library, so that the receiver starts at once. Reading is `collector.pcap`.

File format: draft-ietf-opsawg-pcap (a 24-octet header, then 16 octets before every frame). Each
datagram becomes an Ethernet frame with the IP and UDP headers it had: addresses and ports are true,
what a socket does not tell (MAC addresses, TTL, identification) is zero or a constant.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import os
    from types import TracebackType

ETHERNET = 1
"""LINKTYPE_ETHERNET."""
MAGIC_US = 0xA1B2C3D4
MAGIC_NS = 0xA1B23C4D
SNAPLEN_OCTETS = 262_144
"""The longest frame a file may hold: what tcpdump uses too."""

_FILE_HEADER = struct.Struct("<IHHiIII")
_RECORD_HEADER = struct.Struct("<IIII")
_UDP = struct.Struct("!HHHH")
_UDP_PROTOCOL = 17
_HOP_LIMIT = 64
_IPV4 = struct.Struct("!HHIHH8s")
_TTL_AND_PROTOCOL = _HOP_LIMIT << 8 | _UDP_PROTOCOL
_IPV4_WORDS = 0x4500 + _TTL_AND_PROTOCOL
_IPV6 = struct.Struct("!IHH32s")
_PROTOCOL_AND_HOP_LIMIT = _UDP_PROTOCOL << 8 | _HOP_LIMIT
_MACS_IPV4 = bytes(12) + b"\x08\x00"
_MACS_IPV6 = bytes(12) + b"\x86\xdd"
_BUFFER_OCTETS = 1 << 18
"""For one write(2): with a mebibyte at once and more, ext4 of today's kernels (6.18 was measured)
takes five times the CPU for each octet, and more."""


class Writer:
    """A pcap file being written; frames reach the disk at `flush` or `close` at the latest."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        linktype: int = ETHERNET,
        *,
        nanoseconds: bool = True,
    ) -> None:
        """Create the file, or empty it, and write its header."""
        self._file = Path(path).open("wb", buffering=_BUFFER_OCTETS)  # noqa: SIM115 - see close
        self._unit_ns = 1 if nanoseconds else 1_000
        self._units_per_s = 1_000_000_000 // self._unit_ns
        magic = MAGIC_NS if nanoseconds else MAGIC_US
        self._file.write(_FILE_HEADER.pack(magic, 2, 4, 0, 0, SNAPLEN_OCTETS, linktype))

    def write(self, timestamp_ns: int, frame: bytes, original_length: int | None = None) -> None:
        """Append one frame; `original_length` says how long it was if it has been cut."""
        seconds, fraction = divmod(timestamp_ns // self._unit_ns, self._units_per_s)
        size = len(frame)
        header = _RECORD_HEADER.pack(seconds, fraction, size, original_length or size)
        self._file.write(header + frame)

    def write_records(self, records: bytes | memoryview) -> None:
        """Append whole records, headers included, already in the file's form."""
        octets = memoryview(records)
        for begin in range(0, len(octets), _BUFFER_OCTETS):
            self._file.write(octets[begin : begin + _BUFFER_OCTETS])

    def flush(self) -> None:
        """Hand everything written so far to the kernel: another process can read it."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        """Use as a context manager: closed on leaving."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def encapsulate_udp(
    source: str,
    source_port: int,
    destination: str,
    destination_port: int,
    payload: bytes,
) -> bytes:
    """Wrap a datagram into Ethernet, IPv4 or IPv6 and UDP, with valid checksums.

    Both addresses are text, of one family; IPv4-mapped IPv6 addresses (`::ffff:192.0.2.1`, what a
    dual-stack socket reports) become IPv4. Sources: RFC 791 section 3.1, RFC 8200 section 3, RFC
    768.

    Raises:
        OSError: an address is none.
    """
    ends = _ends(source, destination)
    size = _UDP.size + len(payload)
    # Pseudo-header, header and payload; an odd last octet is the upper half of a word.
    total = int.from_bytes(payload, "big") << 8 * (len(payload) & 1)
    total += ends.word_sum + 2 * size + _UDP_PROTOCOL + source_port + destination_port
    udp = _UDP.pack(source_port, destination_port, size, _checksum(total) or 0xFFFF)
    if ends.family == socket.AF_INET:
        octets = _IPV4.size + size
        checksum = _checksum(ends.word_sum + _IPV4_WORDS + octets)
        header = _IPV4.pack(0x4500, octets, 0, _TTL_AND_PROTOCOL, checksum, ends.octets)
        return b"".join((_MACS_IPV4, header, udp, payload))
    header = _IPV6.pack(6 << 28, size, _PROTOCOL_AND_HOP_LIMIT, ends.octets)
    return b"".join((_MACS_IPV6, header, udp, payload))


class _Ends(NamedTuple):
    """Source and destination address."""

    family: socket.AddressFamily
    octets: bytes
    """Both, one behind the other."""
    word_sum: int
    """The sum of their 16-bit words, modulo 65535."""


@lru_cache(maxsize=1024)
def _ends(source: str, destination: str) -> _Ends:
    """The octets of two addresses; the same few pairs come again and again."""
    pair = [address.partition("%")[0] for address in (source, destination)]
    if all(address.removeprefix("::ffff:").count(".") for address in pair):
        pair = [address.removeprefix("::ffff:") for address in pair]
    family = socket.AF_INET6 if any(":" in address for address in pair) else socket.AF_INET
    octets = b"".join(socket.inet_pton(family, address) for address in pair)
    return _Ends(family, octets, int.from_bytes(octets, "big") % 0xFFFF)


def _checksum(total: int) -> int:
    """The checksum of RFC 1071 over octets that are not all zero, given as one long number.

    The ones' complement sum of its 16-bit words is the number modulo 65535, because 65536 leaves 1:
    one division of a long integer is ten times faster than a loop.
    """
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)
