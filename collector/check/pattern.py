"""Which flows something is about: by addresses, ports and protocol, each of which may be any."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.key import FlowKey


@dataclass(frozen=True)
class Pattern:
    """The flows that have all that is given; None is any.

    Attributes:
        text: as people write it.
        sources: addresses and prefixes (``10.0.0.0/24``) as text; MAC addresses of frames that
            are not IP.
        destinations: likewise.
        protocols: IP protocol numbers.
        source_ports: the first and the last.
        ports: likewise, of destination ports.
        ip_version: 4, 6, or 0 for frames that are not IP.
    """

    text: str
    sources: tuple[str, ...] | None = None
    destinations: tuple[str, ...] | None = None
    protocols: tuple[int, ...] | None = None
    source_ports: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    ip_version: int | None = None

    def fits(self, key: FlowKey) -> bool:
        """Whether a flow has this pattern."""
        return (
            self.ip_version in (None, key.ip_version)
            and (self.protocols is None or key.protocol in self.protocols)
            and _within(key.source_port, self.source_ports)
            and _within(key.destination_port, self.ports)
            and _is_one_of(key.source, self.sources)
            and _is_one_of(key.destination, self.destinations)
        )


def _within(port: int, ports: tuple[int, int] | None) -> bool:
    return ports is None or ports[0] <= port <= ports[1]


def _is_one_of(address: str, networks: tuple[str, ...] | None) -> bool:
    return networks is None or any(_contains(network, address) for network in networks)


@lru_cache(maxsize=65536)
def _contains(network: str, address: str) -> bool:
    if network == address:
        return True
    parsed = _address(address)
    return parsed is not None and _inside(network, parsed)


def _inside(network: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(network)
    except ValueError:  # a MAC address
        return False


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
