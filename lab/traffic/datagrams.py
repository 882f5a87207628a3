"""UDP datagrams in columns, from hosts to hosts: what most scheduled kinds are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from collector.key import UDP
from lab.traffic import frames
from lab.traffic.schedule import Schedule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from lab.traffic.frames import Octets
    from lab.traffic.schedule import Cast

TYPES = {4: frames.IPV4, 6: frames.IPV6}


def paced(count: int, rate_pps: float) -> NDArray[np.float64]:
    """When so many packets are due, at a steady rate."""
    return np.arange(count) / rate_pps


def to_hosts(
    cast: Cast,
    at_s: NDArray[np.float64],
    sender: ArrayLike,
    receiver: ArrayLike,
    source_port: ArrayLike,
    destination_port: ArrayLike,
    payload_octets: ArrayLike,
    *,
    ip_version: int = 4,
    payload: Octets | None = None,
    vlan: int | None = None,
) -> Schedule:
    """Datagrams to hosts; a single value stands for all.

    Args:
        cast: the hosts.
        at_s: when each is due.
        sender: rows of the hosts that send them.
        receiver: rows of the hosts that get them.
        source_port: where each comes from.
        destination_port: where each goes to.
        payload_octets: what each carries.
        ip_version: 4 or 6.
        payload: what the payloads begin with, shape (n, size).
        vlan: of the tag; None: without one.
    """
    target = np.atleast_1d(receiver)
    return to_addresses(
        cast,
        at_s,
        sender,
        cast.mac[target],
        cast.ip[ip_version][target],
        source_port,
        destination_port,
        payload_octets,
        payload=payload,
        vlan=vlan,
    )


def to_addresses(
    cast: Cast,
    at_s: NDArray[np.float64],
    sender: ArrayLike,
    mac: Octets,
    ip: Octets,
    source_port: ArrayLike,
    destination_port: ArrayLike,
    payload_octets: ArrayLike,
    *,
    source_ip: Octets | None = None,
    payload: Octets | None = None,
    vlan: int | None = None,
) -> Schedule:
    """Datagrams to any addresses, shapes (n, 6) and (n, 4) or (n, 16); else as `to_hosts`."""
    version = 4 if ip.shape[1] == 4 else 6
    rows = np.atleast_1d(sender)
    source = cast.ip[version][rows] if source_ip is None else source_ip
    octets = np.atleast_1d(np.asarray(payload_octets, np.int64))
    heads = frames.joined(
        frames.ethernet(mac, cast.mac[rows], TYPES[version], vlan),
        frames.ip(source, ip, UDP, octets + frames.UDP_OCTETS),
        frames.udp(source, ip, source_port, destination_port, octets, payload),
    )
    begun = 0 if payload is None else payload.shape[1]
    lengths = heads.shape[1] - begun + octets
    return Schedule.of(cast, at_s, sender, heads, lengths)
