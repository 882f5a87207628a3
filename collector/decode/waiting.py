"""Data sets that came before their template, kept within limits until it comes.

Over UDP data overtakes templates, and a collector that is started between two announcements sees
nothing but data at first (RFC 7011 section 8.4, RFC 3954 section 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from collector.decode import limits
from collector.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Sets that wait for their template."""

    def __init__(self, most: Limits = limits.DEFAULT) -> None:
        """Nothing waits."""
        self.most = most
        self.octets = 0
        self.sets = 0
        self._held: dict[Key, list[Held]] = {}

    def room(self, octets: int) -> bool:
        """Whether one more set of this length may wait."""
        most = self.most
        return self.sets < most.waiting_sets and self.octets + octets <= most.waiting_octets

    def hold(self, key: Key, held: Held) -> None:
        """Let a set wait."""
        self._held.setdefault(key, []).append(held)
        self.sets += 1
        self.octets += len(held.content)

    def keys(self, version: int) -> list[Key]:
        """What is waited for."""
        return [key for key in self._held if key.version == version]

    def peek(self, key: Key) -> Held:
        """The first set that waits for a template."""
        return self._held[key][0]

    def take(self, key: Key) -> list[Held]:
        """The sets that waited for a template; they wait no longer."""
        held = self._held.pop(key)
        self.sets -= len(held)
        self.octets -= sum(len(one.content) for one in held)
        return held

    def give_up(self, before: int) -> Iterator[Fault]:
        """Nothing comes any more: a fault per set that waits, in datagrams after `before`."""
        for key in list(self._held):
            reason = no_template(key.template, key.domain)
            for held in self.take(key):
                size = len(held.content)
                yield Fault(held.datagram - before, held.offset - 4, 0, size + 4, reason)


def no_template(template: int, domain: int) -> str:
    """Why a set cannot be read."""
    return f"no template {template} in observation domain {domain}"
