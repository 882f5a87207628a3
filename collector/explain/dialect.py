"""How the two formats with templates say the same: names, numbers, and where that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from collector import headers
from collector.decode.elements import NETFLOW9_NTOP, NTOP
from collector.decode.layout import VARIABLE
from collector.decode.templates import IPFIX as IPFIX_VERSION
from collector.decode.templates import NETFLOW9 as NETFLOW9_VERSION
from collector.decode.templates import TEMPLATE_SETS
from collector.explain.meaning import ELEMENT_OF

if TYPE_CHECKING:
    from collector.decode.layout import Field, Layout


class Dialect(NamedTuple):
    """IPFIX or NetFlow v9; what is not explained here is a section of its text."""

    version: int
    title: str
    header: Layout
    set_header: Layout
    noun: str
    """What a set is called."""
    message: str
    sets: str
    set_headers: str
    padding: str
    template: str
    options_template: str
    specifier: str
    data: str
    options_data: str
    domain: str
    """The header's field that templates belong to."""
    options_lengths: tuple[str, ...]
    """The field, or the fields, of two octets each that an options template has besides."""

    def what(self, number: int) -> str:
        """What a set of this id is."""
        template, options = TEMPLATE_SETS[self.version]
        names = {template: f"template {self.noun}", options: f"options template {self.noun}"}
        return names.get(number, f"data {self.noun} {number}")

    def specifier_octets(self, octets: bytes) -> int:
        """The length of a field specifier that begins like this."""
        return 8 if self.version == IPFIX_VERSION and octets[0] & 0x80 else 4

    def specified(self, octets: bytes, field: Field, *, scope: bool) -> str:
        """What a field specifier says."""
        number = int.from_bytes(octets[:2], "big")
        width = "variable length" if field.width == VARIABLE else f"{field.width} octets"
        if self.version == NETFLOW9_VERSION:
            return f"{'scope' if scope else 'field'} type {number}, {width}"
        of = f" of enterprise {int.from_bytes(octets[4:], 'big')}" if len(octets) > 4 else ""
        return f"element {number & 0x7FFF}{of}, {width}"

    def numbered(self, name: str, *, scope: bool) -> str:
        """The number of an element; empty if it is not known by its name."""
        enterprise, number = ELEMENT_OF.get(name, (0, 0))
        if self.version == IPFIX_VERSION:
            of = f"{enterprise}/" if enterprise else ""
            return f"; element {of}{number}" if number else ""
        if scope or not number:
            return ""  # Scopes have numbers of their own.
        return f"; field type {number + (NETFLOW9_NTOP if enterprise == NTOP else 0)}"


IPFIX: Final = Dialect(
    version=IPFIX_VERSION,
    title="IPFIX message header",
    header=headers.IPFIX,
    set_header=headers.IPFIX_SET,
    noun="set",
    message="RFC 7011 section 3.1",
    sets="RFC 7011 section 3.3",
    set_headers="RFC 7011 section 3.3.2",
    padding="RFC 7011 section 3.3.1",
    template="RFC 7011 section 3.4.1",
    options_template="RFC 7011 section 3.4.2.2",
    specifier="RFC 7011 section 3.2",
    data="RFC 7011 section 3.4.3",
    options_data="RFC 7011 section 3.4.3",
    domain="observationDomainId",
    options_lengths=("scopeFieldCount",),
)
NETFLOW9: Final = Dialect(
    version=NETFLOW9_VERSION,
    title="NetFlow v9 packet header",
    header=headers.NETFLOW9,
    set_header=headers.NETFLOW9_SET,
    noun="FlowSet",
    message="RFC 3954 section 5.1",
    sets="RFC 3954 section 5",
    set_headers="RFC 3954 section 5.2",
    padding="RFC 3954 section 5.3",
    template="RFC 3954 section 5.2",
    options_template="RFC 3954 section 6.1",
    specifier="RFC 3954 section 8",
    data="RFC 3954 section 5.3",
    options_data="RFC 3954 section 6.2",
    domain="source_id",
    options_lengths=("optionScopeLength", "optionLength"),
)
