"""Data sets that came before their template, kept within limits until it comes.

Over UDP data overtakes templates, and a collector that is started between two announcements sees
nothing but data at first (RFC 7011 section 8.4, RFC 3954 section 9).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from collector.decode import limits
from collector.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from collector.decode.limits import Limits
    from collector.decode.template_store import Key


class Held(NamedTuple):
    """A data set that waits."""

    content: bytes
    """Of the set, behind its header."""
    datagram: int
    """1-based, counted over all blocks."""
    offset: int
    """Octets from the start of the datagram to the content."""
    cut: bool
    """The set should be longer than what is there."""
    source: tuple[int, int]
    """Halves of the exporter's address."""
    socket: int
    export_time_ns: int
    uptime_ms: int


class Waiting:
    """Sets that wait for their template.

    What is full of sets whose template never comes, be it that somebody invents them, must not keep
    out those whose template does: what has waited longest makes room.
    """

    def __init__(self, most: Limits = limits.DEFAULT) -> None:
        """Nothing waits."""
        self.most = most
        self.octets = 0
        self._held: dict[Key, dict[int, Held]] = {}
        """By the number of each set."""
        self._order: OrderedDict[int, Key] = OrderedDict()
        """The numbers of all, ascending."""
        self._next = 0

    @property
    def sets(self) -> int:
        """How many wait."""
        return len(self._order)

    def newest(self, octets: NDArray[np.int64]) -> NDArray[np.intp]:
        """Which of the sets of one template may wait: the newest ones that are within the limits.

        Args:
            octets: of each set, in order of arrival. One without any has no records to wait with.

        Returns:
            Their indices, ascending.
        """
        most = self.most
        able = np.flatnonzero((octets > 0) & (octets <= most.waiting_octets))
        able = able[max(len(able) - most.waiting_sets, 0) :]
        behind = np.cumsum(octets[able][::-1])[::-1]
        return able[behind <= most.waiting_octets]

    def hold(self, key: Key, held: Held) -> None:
        """Let a set wait; `displaced` is to follow."""
        self._held.setdefault(key, {})[self._next] = held
        self._order[self._next] = key
        self._next += 1
        self.octets += len(held.content)

    def displaced(self, before: int) -> Iterator[Fault]:
        """Back within the limits: a fault, as of `give_up`, per set that makes room."""
        most = self.most
        while self.sets > most.waiting_sets or self.octets > most.waiting_octets:
            number, key = self._order.popitem(last=False)
            held = self._held[key].pop(number)
            if not self._held[key]:
                del self._held[key]
            self.octets -= len(held.content)
            yield _given_up(key, held, before)

    def keys(self, version: int) -> list[Key]:
        """What is waited for."""
        return [key for key in self._held if key.version == version]

    def peek(self, key: Key) -> Held:
        """The first set that waits for a template."""
        return next(iter(self._held[key].values()))

    def take(self, key: Key) -> list[Held]:
        """The sets that waited for a template; they wait no longer."""
        held = self._held.pop(key)
        for number in held:
            del self._order[number]
        self.octets -= sum(len(one.content) for one in held.values())
        return list(held.values())

    def give_up(self, before: int) -> Iterator[Fault]:
        """Nothing comes any more: a fault per set that waits, in datagrams after `before`."""
        for key in list(self._held):
            for held in self.take(key):
                yield _given_up(key, held, before)


def _given_up(key: Key, held: Held, before: int) -> Fault:
    """The fault that a set is which waited in vain, in datagrams after `before`."""
    size = len(held.content)
    reason = no_template(key.template, key.domain)
    return Fault(held.datagram - before, held.offset - 4, 0, size + 4, reason)


def no_template(template: int, domain: int) -> str:
    """Why a set cannot be read."""
    return f"no template {template} in observation domain {domain}"
