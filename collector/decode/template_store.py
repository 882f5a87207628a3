"""Which templates are valid: kept per exporter, observation domain and id, within limits.

Sources: RFC 7011 section 8 (management of templates), RFC 3954 section 7 (a NetFlow v9 source id is
what IPFIX calls an observation domain).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from collector.decode import limits
from collector.decode.templates import IPFIX

if TYPE_CHECKING:
    from collector.decode.layout import Layout
    from collector.decode.limits import Limits


class Key(NamedTuple):
    """Where a template id has a meaning."""

    exporter: int
    """Address as a 128-bit number."""
    domain: int
    template: int
    version: int = IPFIX


_Shared: TypeAlias = tuple[int, int, int, int]
"""Exporter, socket, template id, version."""


class Templates:
    """All templates known, with the changes while a block of datagrams is decoded.

    A change happens at an instant: a number that grows with the order of the sets in a block. So
    data sets are decoded by what was valid when they came, though all sets of one layout are
    decoded together.
    """

    def __init__(self, most: Limits = limits.DEFAULT) -> None:
        """None known."""
        self.most = most
        self.reached: Counter[str] = Counter()
        """Templates displaced, by the limit that did it."""
        self.generation = 0
        """Grows with every change: what was announced before it may mean something else now."""
        self._known: dict[Key, Layout] = {}
        self._of_exporter: dict[int, dict[Key, int]] = {}
        """Per exporter: its templates, longest not announced first, and when they were (ns)."""
        self._announced: dict[Key, int] = {}
        """The same of all exporters."""
        self._withdrawn: dict[Key, None] = {}
        self._uses: Counter[Layout] = Counter()
        self._fields = 0
        self._changes: dict[Key, list[tuple[int, Layout | None]]] = {}
        self._by_socket: dict[_Shared, dict[int, Layout]] = {}
        self._shared: OrderedDict[tuple[_Shared, int], None] = OrderedDict()
        """The domains of all of these, longest not announced first."""

    def __len__(self) -> int:
        """How many templates are valid."""
        return len(self._known)

    def define(self, key: Key, instant: int, layout: Layout | None, when_ns: int = 0) -> None:
        """From `instant` on `key` has this layout or (None) none; it was announced at `when_ns`."""
        if layout is not None:
            of_exporter = self._of_exporter.setdefault(key.exporter, {})
            for table in (of_exporter, self._announced):
                table.pop(key, None)
                table[key] = when_ns
        known = self._known.get(key)
        if known is layout:
            return  # Sent again, as UDP exporters do.
        self.generation += 1
        self._changes.setdefault(key, [(-1, known)]).append((instant, layout))
        if known is not None:
            self._release(known)
        if layout is None:
            self._forget(key)
            self._withdrawn[key] = None
            if len(self._withdrawn) > self.most.templates:
                del self._withdrawn[next(iter(self._withdrawn))]
            return
        self._known[key] = layout
        self._withdrawn.pop(key, None)
        self._uses[layout] += 1
        self._fields += len(layout.fields) if self._uses[layout] == 1 else 0
        self._keep_within_limits(key.exporter)

    def share(self, key: Key, socket: int, layout: Layout) -> None:
        """Remember what a socket announced, for the other domains it exports."""
        place = (key.exporter, socket, key.template, key.version)
        self._by_socket.setdefault(place, {})[key.domain] = layout
        self._shared[place, key.domain] = None
        self._shared.move_to_end((place, key.domain))
        if len(self._shared) > self.most.templates:
            (place, domain), _ = self._shared.popitem(last=False)
            del self._by_socket[place][domain]
            if not self._by_socket[place]:
                del self._by_socket[place]

    def _release(self, layout: Layout) -> None:
        """One template less has this layout."""
        self._uses[layout] -= 1
        if not self._uses[layout]:
            del self._uses[layout]
            self._fields -= len(layout.fields)

    def _forget(self, key: Key) -> None:
        """The template is not valid any more."""
        self._known.pop(key, None)
        self._announced.pop(key, None)
        of_exporter = self._of_exporter.get(key.exporter, {})
        of_exporter.pop(key, None)
        if not of_exporter:
            self._of_exporter.pop(key.exporter, None)

    def _drop(self, key: Key, limit: str) -> None:
        """Displace a template."""
        self.generation += 1
        self._release(self._known[key])
        self._forget(key)
        self.reached[limit] += 1

    def _keep_within_limits(self, exporter: int) -> None:
        """Displace what was announced longest ago; the newest template always stays."""
        of_exporter = self._of_exporter[exporter]
        if len(of_exporter) > self.most.templates_per_exporter:
            self._drop(next(iter(of_exporter)), limits.TEMPLATES_PER_EXPORTER)
        if len(self._known) > self.most.templates:
            self._drop(next(iter(self._announced)), limits.TEMPLATES)
        while self._fields > self.most.fields and len(self._known) > 1:
            self._drop(next(iter(self._announced)), limits.FIELDS)

    def withdraw_all(self, exporter: int, domain: int, instant: int, *, options: bool) -> None:
        """All templates, or all options templates, of a domain become invalid (IPFIX only)."""
        for key in list(self._of_exporter.get(exporter, ())):
            if (key.domain, key.version) == (domain, IPFIX) and (
                bool(self._known[key].scopes) == options
            ):
                self.define(key, instant, None)

    def expire(self, before_ns: int) -> int:
        """Forget templates last announced before this time; return how many."""
        expired = [key for key, when_ns in self._announced.items() if when_ns < before_ns]
        for key in expired:
            self._release(self._known[key])
            self._forget(key)
        return len(expired)

    def history(self, key: Key) -> list[tuple[int, Layout | None]]:
        """The layouts of a key in this block, each with the instant from which it is valid.

        Data that came before its first template is decoded by that template: datagrams overtake
        each other.
        """
        changes = self._changes.get(key)
        if changes is None:
            return [(-1, self._known.get(key))]
        if changes[0][1] is None and len(changes) > 1:
            return [(-1, changes[1][1]), *changes[2:]]
        return changes

    def current(self, key: Key) -> Layout | None:
        """The layout that a key has now."""
        return self._known.get(key)

    def may_come(self, key: Key) -> bool:
        """No template was withdrawn from this key: the first one may still be on its way."""
        return key not in self._withdrawn

    def of_other_domain(self, key: Key, socket: int) -> Layout | None:
        """What an id means in all domains that this socket announced it for, if one thing."""
        place = (key.exporter, socket, key.template, key.version)
        layouts = set(self._by_socket.get(place, {}).values())
        return next(iter(layouts)) if len(layouts) == 1 else None

    def settle(self) -> None:
        """The block is decoded: forget when what became valid."""
        self._changes.clear()
