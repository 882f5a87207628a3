"""Templates: what exporters write of the fields of their records.

Sources: RFC 7011 sections 3.2, 3.4 and 8 (IPFIX), RFC 3954 sections 5.2 and 6.1 (NetFlow v9).

    IPFIX        template id 2, field count 2, [scope field count 2,] fields of 4 octets, or 8 with
                 an enterprise number
    NetFlow v9   template id 2, field count 2, fields of 4 octets; or, of an options template,
                 template id 2, scope octets 2, option octets 2, scope fields, option fields

The octets of a field list are compiled into a layout once, however many exporters announce the
same list. Which templates are valid is the business of `template_store`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decode.elements import IANA, element, netflow9_element, netflow9_scope
from collector.decode.layout import Field, Layout
from collector.decode.limits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

IPFIX: Final = 10
NETFLOW9: Final = 9
FIRST_DATA_SET: Final = 256
"""Smallest id of a template, so of a set of data records."""
TEMPLATE_SETS: Final = {IPFIX: (2, 3), NETFLOW9: (0, 1)}
"""Version to the ids of template sets and options template sets."""
ENTERPRISE_BIT: Final = 0x8000
_CACHED_OCTETS: Final = 9_216
_TWO = struct.Struct("!HH")
_THREE = struct.Struct("!HHH")
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


Records = tuple[Definition | BadTemplate, ...]


def read_templates(
    content: bytes,
    *,
    options: bool,
    version: int = IPFIX,
    fields: int = DEFAULT.fields_per_template,
) -> Records:
    """The template records in the content of a template set or options template set.

    Over UDP exporters send the same sets again and again: each is read once, if it is not so long
    that remembering it costs more than reading it.

    Args:
        content: the octets behind the set's header.
        options: whether it is an options template set.
        version: IPFIX or NETFLOW9.
        fields: limit of fields in a template.
    """
    if len(content) > _CACHED_OCTETS:
        return tuple(_READERS[version](content, fields, options=options))
    return _read_cached(content, options, version, fields)


@lru_cache(maxsize=256)
def _read_cached(content: bytes, options: bool, version: int, fields: int) -> Records:  # noqa: FBT001
    """`read_templates`, remembered."""
    return tuple(_READERS[version](content, fields, options=options))


def _ipfix_records(
    content: bytes, limit: int, *, options: bool
) -> Iterator[Definition | BadTemplate]:
    """The template records of IPFIX one by one."""
    at, header = 0, 6 if options else 4
    while len(content) - at >= 4:
        template, count = _TWO.unpack_from(content, at)
        if template < FIRST_DATA_SET and not count and template in (0, 2, 3):
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
        bad = "more scopes than fields" if scopes > count else ""
        yield _defined(content, at, template, (at + header, end, scopes), (IPFIX, limit, bad))
        at = end


def _netflow9_records(
    content: bytes, limit: int, *, options: bool
) -> Iterator[Definition | BadTemplate]:
    """The template records of NetFlow v9 one by one; it has no withdrawal."""
    at, header = 0, 6 if options else 4
    while len(content) - at >= header:
        left = len(content) - at
        template, count, rest = _THREE.unpack_from(content + b"\0\0", at)
        if not template and not count:
            at += 4  # Padding.
            continue
        if template < FIRST_DATA_SET:
            yield BadTemplate(at, 0, left, "template id below 256")
            return
        size = count + rest if options else 4 * count
        end, scopes = at + header + size, count // 4 if options else 0
        odd = options and (count % 4 or rest % 4)
        if end > len(content):
            yield BadTemplate(at, end - at, left, "template ends past its set")
            return
        bad = "length of scopes or options is no multiple of 4" if odd else ""
        yield _defined(content, at, template, (at + header, end, scopes), (NETFLOW9, limit, bad))
        at = end


_READERS: Final = {IPFIX: _ipfix_records, NETFLOW9: _netflow9_records}


def _defined(
    content: bytes,
    at: int,
    template: int,
    place: tuple[int, int, int],
    known: tuple[int, int, str],
) -> Definition | BadTemplate:
    """What the template record at `at` says: its fields' begin, end and scopes are `place`.

    Args:
        content: of the set.
        at: where the record begins.
        template: its id.
        place: where the field list begins and ends, and its scopes.
        known: version, limit of fields, and what is wrong with the record ("": nothing).
    """
    begin, end, scopes = place
    version, limit, bad = known
    left = len(content) - at
    if not bad and end - begin > 8 * limit:
        bad = "more fields in a template than the limit"
    if bad:
        return BadTemplate(at, 0, left, bad)
    layout = compile_layout(content[begin:end], scopes, version)
    if len(layout.fields) > limit:
        return BadTemplate(at, 0, left, "more fields in a template than the limit")
    if not layout.minimum_octets:
        return BadTemplate(at, 0, left, "template of records without octets")
    return Definition(template, layout)


def _field_list_end(content: bytes, at: int, count: int) -> int:
    """Where a list of `count` field specifiers ends, perhaps past the content."""
    size = len(content)
    for _ in range(count):
        at += 8 if at < size and content[at] & 0x80 else 4
    return at


@lru_cache(maxsize=1024)
def compile_layout(specifiers: bytes, scopes: int, version: int = IPFIX) -> Layout:
    """The layout that the octets of a list of field specifiers describe."""
    fields: list[Field] = []
    at = 0
    while at < len(specifiers):
        number, width = _TWO.unpack_from(specifiers, at)
        at += 4
        enterprise = IANA
        if version == NETFLOW9:
            named = netflow9_scope if len(fields) < scopes else netflow9_element
            fields.append(Field(*named(number, width)[:2], width))
            continue
        if number & ENTERPRISE_BIT:
            (enterprise,) = _FOUR.unpack_from(specifiers, at)
            number &= ~ENTERPRISE_BIT
            at += 4
        fields.append(Field(*element(enterprise, number, width)[:2], width))
    return Layout(tuple(fields), scopes)
