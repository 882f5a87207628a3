"""Templates: field lists that exporters announce, kept per exporter, observation domain and id.

Source: RFC 7011 section 3.4 and 8. The octets of a field list are compiled into a layout once,
however many exporters announce the same list. NetFlow v9 (RFC 3954) writes its lists almost alike.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decode.elements import IANA, element
from collector.decode.layout import Field, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE_SET: Final = 2
OPTIONS_TEMPLATE_SET: Final = 3
FIRST_DATA_SET: Final = 256
"""Smallest id of a template, so of a set of data records."""
_ENTERPRISE_BIT: Final = 0x8000
_TWO = struct.Struct("!HH")
_FOUR = struct.Struct("!I")


class Definition(NamedTuple):
    """One template record: what id means from now on."""

    template: int
    layout: Layout | None
    """None: withdrawn."""


class BadTemplate(NamedTuple):
    """A template record that cannot be read; nothing behind it in its set can."""

    offset: int
    """Octets from the start of the set's content."""
    needed: int
    available: int
    reason: str


@lru_cache(maxsize=1024)
def read_templates(content: bytes, *, options: bool) -> tuple[Definition | BadTemplate, ...]:
    """The template records in the content of a template set or options template set.

    Over UDP exporters send the same sets again and again: each is read once.
    """
    return tuple(_template_records(content, options=options))


def _template_records(content: bytes, *, options: bool) -> Iterator[Definition | BadTemplate]:
    """The template records one by one."""
    at, header = 0, 6 if options else 4
    while len(content) - at >= 4:
        template, count = _TWO.unpack_from(content, at)
        if (
            template < FIRST_DATA_SET
            and not count
            and template in (0, TEMPLATE_SET, OPTIONS_TEMPLATE_SET)
        ):
            # Either padding, or all templates of this kind withdrawn (RFC 7011 section 8.1).
            if template:
                yield Definition(template, None)
            at += 4
            continue
        if template < FIRST_DATA_SET:
            yield BadTemplate(at, 0, len(content) - at, "template id below 256")
            return
        if not count:
            yield Definition(template, None)
            at += 4
            continue
        end = _field_list_end(content, at + header, count)
        if end > len(content):
            yield BadTemplate(at, end - at, len(content) - at, "template ends past its set")
            return
        scopes = _FOUR.unpack_from(content, at + 2)[0] & 0xFFFF if options else 0
        layout = compile_layout(content[at + header : end], scopes)
        if not layout.minimum_octets or scopes > count:
            reason = (
                "template of records without octets"
                if scopes <= count
                else "more scopes than fields"
            )
            yield BadTemplate(at, 0, len(content) - at, reason)
        else:
            yield Definition(template, layout)
        at = end


def _field_list_end(content: bytes, at: int, count: int) -> int:
    """Where a list of `count` field specifiers ends, perhaps past the content."""
    size = len(content)
    for _ in range(count):
        at += 8 if at < size and content[at] & 0x80 else 4
    return at


@lru_cache(maxsize=4096)
def compile_layout(specifiers: bytes, scopes: int) -> Layout:
    """The layout that the octets of a list of field specifiers (RFC 7011 section 3.2) describe."""
    fields, at = [], 0
    while at < len(specifiers):
        number, width = _TWO.unpack_from(specifiers, at)
        at += 4
        enterprise = IANA
        if number & _ENTERPRISE_BIT:
            (enterprise,) = _FOUR.unpack_from(specifiers, at)
            number &= ~_ENTERPRISE_BIT
            at += 4
        fields.append(Field(*element(enterprise, number, width)[:2], width))
    return Layout(tuple(fields), scopes)


class Key(NamedTuple):
    """Where a template id has a meaning."""

    exporter: int
    """Address as a 128-bit number."""
    domain: int
    template: int


class Templates:
    """All templates known, with the changes while a block of datagrams is decoded.

    A change happens at an instant: a number that grows with the order of the sets in a block. So
    data sets are decoded by what was valid when they came, though all sets of one layout are
    decoded together.
    """

    def __init__(self) -> None:
        """None known."""
        self._known: dict[Key, Layout | None] = {}
        self._changes: dict[Key, list[tuple[int, Layout | None]]] = {}
        self._by_socket: dict[tuple[int, int, int], dict[Layout, int]] = {}

    def __len__(self) -> int:
        """How many templates are valid."""
        return sum(layout is not None for layout in self._known.values())

    def define(self, key: Key, socket: int, instant: int, layout: Layout | None) -> None:
        """From `instant` on `key`, sent from this source port, has this layout or (None) none."""
        if self._known.get(key) is layout is not None:
            return  # Sent again, as UDP exporters do.
        self._changes.setdefault(key, [(-1, self._known.get(key))]).append((instant, layout))
        self._known[key] = layout
        if layout is not None:
            self._by_socket.setdefault((key.exporter, socket, key.template), {})[layout] = instant

    def withdraw_all(
        self, exporter: int, domain: int, socket: int, instant: int, *, options: bool
    ) -> None:
        """All templates, or all options templates, of a domain become invalid."""
        for key, layout in list(self._known.items()):
            if key[:2] == (exporter, domain) and layout and bool(layout.scopes) == options:
                self.define(key, socket, instant, None)

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

    def of_other_domain(self, exporter: int, socket: int, template: int) -> Layout | None:
        """What an id means in all domains that this socket announced it for, if one thing."""
        layouts = self._by_socket.get((exporter, socket, template), {})
        return next(iter(layouts)) if len(layouts) == 1 else None

    def settle(self) -> None:
        """The block is decoded: forget when what became valid."""
        self._changes.clear()
