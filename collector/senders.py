"""Who sent the datagrams of a recording, and of what kind they are: run after run."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decode import NETFLOW, PORTS, SFLOW
from collector.decode.address import ip_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.decode import Datagrams

FAMILIES: Final = (NETFLOW, SFLOW)
"""What a port is for: NetFlow and IPFIX tell themselves apart, sFlow does not."""


class Run(NamedTuple):
    """Datagrams that one sender sends to ports of one kind, one after the other."""

    first: int
    last: int
    """The one behind them."""
    exporter: str
    port: int
    """That they come from."""
    family: str


def runs(datagrams: Datagrams) -> Iterator[Run]:
    """A recording's datagrams, in order."""
    who = list(
        zip(
            ip_texts(datagrams.source),
            datagrams.source_port.tolist(),
            families_of(datagrams),
            strict=True,
        )
    )
    turns = [row for row in range(1, len(who)) if who[row] != who[row - 1]]
    for first, last in pairwise([0, *turns, len(who)] if who else []):
        yield Run(first, last, *who[first])


def families_of(datagrams: Datagrams) -> list[str]:
    """Whether each datagram is NetFlow or sFlow: by its port, else by its first octets."""
    found = []
    for port, at, size in zip(
        datagrams.destination_port.tolist(),
        datagrams.offset.tolist(),
        datagrams.length.tolist(),
        strict=True,
    ):
        family = PORTS.get(port)
        if family is None:
            # sFlow begins with a version of four octets, the others with one of two.
            is_sflow = size >= 2 and not datagrams.buffer[at : at + 2].any()
            family = SFLOW if is_sflow else NETFLOW
        found.append(family)
    return found
