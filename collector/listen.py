"""Where to listen, as people write it: ``sflow://:6343``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.decode import NETFLOW, SFLOW
from collector.receive import Endpoint, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK: Final = "127.0.0.1"
"""Where to listen if no address is given: nobody else can send to it."""
_SCHEMES: Final = {"netflow": (NETFLOW, 2055), "ipfix": (NETFLOW, 4739), "sflow": (SFLOW, 6343)}
"""Scheme to protocol family and customary port. NetFlow and IPFIX tell themselves apart."""
_FORM: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>\d+))?")


class WrongListenError(ValueError):
    """This is no place to listen at; the text says why."""


class Listen(NamedTuple):
    """One place to listen at."""

    text: str
    family: str
    endpoint: Endpoint


def parse(texts: Iterable[str]) -> list[Listen]:
    """Read places like ``netflow://[::]:2055``; the same place twice counts once.

    Raises:
        WrongListenError: one is not of this form, or one port would have two protocols.
    """
    places = [_parse(text) for text in dict.fromkeys(texts)]
    families: dict[int, Listen] = {}
    for place in places:
        port = place.endpoint.port
        other = families.setdefault(port, place)
        if port and other.family != place.family:
            message = f"{other.text} and {place.text}: one port cannot have two protocols"
            raise WrongListenError(message)
    return places


def _parse(text: str) -> Listen:
    matched = _FORM.fullmatch(text)
    if matched is None or matched["scheme"] not in _SCHEMES:
        message = f"{text!r} is not like netflow://[::]:2055, ipfix://192.0.2.1 or sflow://:6343"
        raise WrongListenError(message)
    family, port = _SCHEMES[matched["scheme"]]
    address = f"{matched['host'] or LOOPBACK}:{matched['port'] or port}"
    try:
        return Listen(text, family, parse_endpoint(address))
    except ValueError as wrong:
        message = f"{text!r}: {wrong}; host names are not looked up"
        raise WrongListenError(message) from None


def parse_http(text: str) -> Endpoint:
    """Read where to answer on HTTP: ``127.0.0.1:9109``, ``:9109`` for loopback.

    Raises:
        WrongListenError: it is not of this form.
    """
    try:
        return parse_endpoint(f"{LOOPBACK}{text}" if text.startswith(":") else text)
    except ValueError as wrong:
        raise WrongListenError(str(wrong)) from None
