"""Information elements: what a number in a template means.

The table is `elements.txt`, a line per element: the whole IANA registry "IPFIX Information
Elements" (RFC 7012), whose numbers up to 127 are NetFlow v9's too, and what Cisco (9), CERT (6871),
VMware with Open vSwitch (6876) and ntop (35632) send. It is read when the first element is asked
for. An element that is not there is kept as raw octets under "PEN/ID".
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

IANA: Final = 0
CERT: Final = 6871
NTOP: Final = 35_632
REVERSE: Final = 29_305
"""IANA's elements in the other direction of a biflow (RFC 5103 section 6.1)."""
_CERT_REVERSE_BIT: Final = 0x4000
"""CERT's elements likewise: YAF sets this bit in the id."""
NETFLOW9_NTOP: Final = 57_472
"""NetFlow v9 has no enterprises: ntop adds this to its ids (nProbe's manual)."""
_NTOP_ELEMENTS: Final = 1_024


class Element(NamedTuple):
    """An information element."""

    name: str
    """Its IANA name; "PEN/ID" for one that is not in the table."""
    kind: str
    """Abstract data type of RFC 7012 section 3.1."""
    units: str = ""
    """What is counted, as the registry has it: octets, packets, milliseconds, …"""


@cache
def elements() -> Mapping[tuple[int, int], Element]:
    """(private enterprise number, element id) to element; IANA's own have number 0."""
    table: dict[tuple[int, int], Element] = {}
    enterprise = IANA
    for line in Path(__file__).with_name("elements.txt").read_text("utf-8").split("\n"):
        if line.startswith("["):
            enterprise = int(line[1 : line.index("]")])
        elif line and not line.startswith("#"):
            number, *rest = line.split()
            table[enterprise, int(number)] = Element(*rest)
    return table


@cache
def kinds() -> Mapping[str, str]:
    """Every name that a column can have, unknown elements aside, and its abstract data type."""
    found = {scope.name: scope.kind for scope in _SCOPES.values()}
    for (enterprise, _), forward in elements().items():
        found[forward.name] = forward.kind
        if enterprise in (IANA, CERT):
            found[_reversed(forward).name] = forward.kind
    return found


_WIDTHS: Final = {
    "macAddress": (6,),
    "ipv4Address": (4,),
    "ipv6Address": (16,),
    "boolean": (1,),
    "float32": (4,),
    "float64": (4, 8),
    "dateTimeMicroseconds": (8,),
    "dateTimeNanoseconds": (8,),
}
"""Octets that a value of a type can have; numbers and the other types: 1 to 8 (RFC 7011 section
6.2, reduced-size encoding; some exporters also write them wider than their type)."""
LISTS: Final = ("basicList", "subTemplateList", "subTemplateMultiList")
"""Structured data types (RFC 6313): columns hold their octets, `collector.decode.lists` reads
them."""
RAW: Final = ("octetArray", "string", *LISTS)
"""Types whose values stay octets."""


@lru_cache(maxsize=4096)
def element(enterprise: int, number: int, width: int) -> Element:
    """The element with this number, as a field of this width.

    An unknown element, or one whose type has no values of this width, is raw octets under "PEN/ID".
    """
    known = _lookup(enterprise, number)
    if known is not None:
        if known.kind in RAW or width in _WIDTHS.get(known.kind, range(1, 9)):
            return known
        if known.kind == "unsigned256" and 8 < width <= 32:
            return known._replace(kind="octetArray")
    return Element(f"{enterprise}/{number}", "octetArray")


def _lookup(enterprise: int, number: int) -> Element | None:
    """An element of the table, or the reverse of one."""
    known = elements().get((enterprise, number))
    if known is None and enterprise == REVERSE:
        known = elements().get((IANA, number))
        return known and _reversed(known)
    if known is None and enterprise == CERT and number & _CERT_REVERSE_BIT:
        known = elements().get((CERT, number & ~_CERT_REVERSE_BIT))
        return known and _reversed(known)
    return known


def _reversed(forward: Element) -> Element:
    """The same in the other direction (RFC 5103 section 6.1: reverse, then the name)."""
    name = forward.name[:1].upper() + forward.name[1:]
    return forward._replace(name=f"reverse{name}")


@cache
def forward_names() -> Mapping[str, str]:
    """Name of an element in the other direction of a biflow to its name in the first one."""
    return {
        _reversed(known).name: known.name
        for (enterprise, _), known in elements().items()
        if enterprise in (IANA, CERT)
    }


@cache
def _numbers() -> Mapping[str, tuple[int, int]]:
    """Name to (private enterprise number, element id); a name that two have is the first one's."""
    numbers: dict[str, tuple[int, int]] = {}
    for (enterprise, number), known in elements().items():
        numbers.setdefault(known.name, (enterprise, number))
        if enterprise == IANA:
            numbers.setdefault(_reversed(known).name, (REVERSE, number))
        elif enterprise == CERT:
            numbers.setdefault(_reversed(known).name, (CERT, number | _CERT_REVERSE_BIT))
    return numbers


def number_of(name: str) -> tuple[int, int]:
    """(private enterprise number, element id) of a name, or of "PEN/ID": `element` the other way.

    Raises:
        KeyError: there is no such element.
    """
    enterprise, slash, number = name.partition("/")
    if slash and enterprise.isdecimal() and number.isdecimal():
        return int(enterprise), int(number)
    return _numbers()[name]


_SCOPES: Final = {
    1: Element("scopeSystem", "octetArray"),
    4: Element("scopeCache", "octetArray"),
}
"""NetFlow v9's scopes that have no element of the same number; 2 is an interface, 5 a template."""
_SCOPE_ELEMENTS: Final = {2: 10, 3: 141, 5: 145}


def netflow9_element(number: int, width: int) -> Element:
    """The element of a NetFlow v9 field type (RFC 3954 section 8): IANA's number, or ntop's."""
    if NETFLOW9_NTOP <= number < NETFLOW9_NTOP + _NTOP_ELEMENTS:
        return element(NTOP, number - NETFLOW9_NTOP, width)
    return element(IANA, number, width)


def netflow9_scope(number: int, width: int) -> Element:
    """The element of a NetFlow v9 scope field type (RFC 3954 section 6.1)."""
    if number in _SCOPE_ELEMENTS:
        return element(IANA, _SCOPE_ELEMENTS[number], width)
    return _SCOPES.get(number, Element(f"scope{number}", "octetArray"))


def netflow9_number(name: str, *, scope: bool) -> int:
    """The field type, or scope field type, of a name: the other way.

    Raises:
        KeyError: NetFlow v9 has none.
    """
    if scope:
        return _scope_number(name)
    enterprise, number = number_of(name)
    if enterprise == NTOP and number < _NTOP_ELEMENTS:
        return number + NETFLOW9_NTOP
    if enterprise != IANA:
        raise KeyError(name)
    return number


def _scope_number(name: str) -> int:
    """The scope field type of a name."""
    if name.startswith("scope") and name[5:].isdecimal():
        return int(name[5:])
    for number, scope in _SCOPES.items():
        if scope.name == name:
            return number
    enterprise, wanted = number_of(name)
    for number, of_element in _SCOPE_ELEMENTS.items():
        if (enterprise, wanted) == (IANA, of_element):
            return number
    raise KeyError(name)
