"""Template records: what an exporter announces of the fields of its records.

The other way of `collector.decode.templates`, which has the form of the records. Sources: RFC 7011
sections 3.2, 3.4 and 8.1 (IPFIX), RFC 3954 sections 5.2 and 6.1 (NetFlow v9).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decode.elements import IANA, RAW, kinds, netflow9_number, number_of
from collector.decode.layout import VARIABLE
from collector.decode.templates import ENTERPRISE_BIT, IPFIX, NETFLOW9, compile_layout
from collector.encode.errors import NotEncodableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.decode.layout import Layout

_WIDTHS: Final = {
    "unsigned8": 1,
    "unsigned16": 2,
    "unsigned32": 4,
    "unsigned64": 8,
    "unsigned256": 32,
    "signed8": 1,
    "signed16": 2,
    "signed32": 4,
    "signed64": 8,
    "float32": 4,
    "float64": 8,
    "boolean": 1,
    "macAddress": 6,
    "ipv4Address": 4,
    "ipv6Address": 16,
    "dateTimeSeconds": 4,
    "dateTimeMilliseconds": 8,
    "dateTimeMicroseconds": 8,
    "dateTimeNanoseconds": 8,
}
"""Octets of a field that is not reduced (RFC 7011 section 6.1)."""


class Template(NamedTuple):
    """What an id means: as the decoders have it, and as it is announced."""

    id: int
    layout: Layout
    version: int = IPFIX

    @property
    def options(self) -> bool:
        """Its records are options data: the first fields are a scope."""
        return bool(self.layout.scopes)


def template(
    number: int,
    fields: Sequence[str | tuple[str, int]],
    *,
    scopes: int = 0,
    version: int = IPFIX,
) -> Template:
    """A template of named fields.

    Args:
        number: its id, 256 to 65535.
        fields: names of elements, or "PEN/ID", each with its octets (VARIABLE: see RFC 7011 section
        7) where they are not those of the element's type.
        scopes: how many of the first fields are the scope of options data.
        version: IPFIX or NETFLOW9.

    Raises:
        NotEncodableError: an element is not known, or the format cannot name it.
    """
    specified = [(name, _width(name)) if isinstance(name, str) else name for name in fields]
    octets = b"".join(
        _specifier(name, width, version, scope=index < scopes)
        for index, (name, width) in enumerate(specified)
    )
    return Template(number, compile_layout(octets, scopes, version), version)


def record(of: Template) -> bytes:
    """The template record that announces it.

    Raises:
        NotEncodableError: the format cannot name one of its elements.
    """
    fields, scopes = of.layout.fields, of.layout.scopes
    specifiers = [
        _specifier(field.name, field.width, of.version, scope=index < scopes)
        for index, field in enumerate(fields)
    ]
    if not scopes:
        head = struct.pack("!HH", of.id, len(fields))
    elif of.version == NETFLOW9:
        head = struct.pack("!HHH", of.id, 4 * scopes, 4 * (len(fields) - scopes))
    else:
        head = struct.pack("!HHH", of.id, len(fields), scopes)
    return head + b"".join(specifiers)


def withdrawal(number: int) -> bytes:
    """The template record that withdraws an id; 2 or 3: all templates, all options templates."""
    return struct.pack("!HH", number, 0)


def _width(name: str) -> int:
    """Octets of an element that is not reduced."""
    kind = kinds().get(name)
    if kind is None:
        message = f"how many octets has {name}? No element of that name is known"
        raise NotEncodableError(message)
    return VARIABLE if kind in RAW else _WIDTHS[kind]


def _specifier(name: str, width: int, version: int, *, scope: bool) -> bytes:
    """One field specifier."""
    try:
        if version == NETFLOW9:
            return struct.pack("!HH", netflow9_number(name, scope=scope), width)
        enterprise, number = number_of(name)
    except KeyError:
        format_name = "NetFlow v9" if version == NETFLOW9 else "IPFIX"
        message = f"{format_name} has no number for an element {name}"
        raise NotEncodableError(message) from None
    if number >= ENTERPRISE_BIT:
        message = f"IPFIX has no number for an element {name}: ids end at {ENTERPRISE_BIT - 1}"
        raise NotEncodableError(message)
    if enterprise == IANA:
        return struct.pack("!HH", number, width)
    return struct.pack("!HHI", number | ENTERPRISE_BIT, width, enterprise)
