"""Addresses as columns: two 64-bit halves, so nothing is lost and everything groups as numbers.

An address column is a uint64 array of shape (n, 2): the upper and the lower half of an IPv6 address
in network order. IPv4 addresses are held IPv4-mapped (RFC 4291 section 2.5.5.2), MAC addresses as
48-bit numbers.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

IPV4_MAPPED = 0xFFFF << 32
"""The lower half of ::ffff:0.0.0.0."""


def ipv4_column(addresses: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """IPv4 addresses as numbers, shape (n,), to an address column, shape (n, 2)."""
    column = np.zeros((len(addresses), 2), np.uint64)
    column[:, 1] = addresses
    column[:, 1] |= np.uint64(IPV4_MAPPED)
    return column


def halves(text: str) -> tuple[int, int]:
    """The two halves of an address in text.

    Raises:
        ValueError: it is not an IPv4 or IPv6 address.
    """
    address = ipaddress.ip_address(text)
    number = int(address) if address.version == 6 else IPV4_MAPPED | int(address)
    return number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF


def ip_text(upper: int, lower: int) -> str:
    """The canonical text of an address (RFC 5952); IPv4-mapped ones as IPv4."""
    if not upper:
        if lower >> 32 == 0xFFFF:
            return socket.inet_ntoa((lower & 0xFFFF_FFFF).to_bytes(4, "big"))
        # The C library would write ::1.2.3.4 for some of these.
        return str(ipaddress.IPv6Address(lower))
    return socket.inet_ntop(socket.AF_INET6, (upper << 64 | lower).to_bytes(16, "big"))


def mac_text(address: int) -> str:
    """A MAC address as aa:bb:cc:dd:ee:ff."""
    return (address & 0xFFFF_FFFF_FFFF).to_bytes(6, "big").hex(":")


def ip_texts(column: Iterable[Iterable[int]]) -> list[str]:
    """The canonical text of every address of a column."""
    return [ip_text(int(upper), int(lower)) for upper, lower in column]
