"""Packets of the author's own, layer by layer as scapy has them, written as data.

Nothing of a file is ever evaluated: a layer is one of a list of names, a field is one that the
layer has, and a value is a number, plain text or a list of numbers. What scapy would look up or
expand (host names, networks, service names) is refused.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lab.scenario.faults import quote
from lab.scenario.units import Rate, fault
from lab.traffic.alike import odd
from lab.traffic.base import FromTo, Scheduled

if TYPE_CHECKING:
    from lab.traffic.schedule import Cast, Schedule

LAYERS: Final = {
    **dict.fromkeys(("Ether", "Dot1Q", "ARP"), "scapy.layers.l2"),
    **dict.fromkeys(("GRE",), "scapy.layers.l2"),
    **dict.fromkeys(("IP", "ICMP", "UDP", "TCP"), "scapy.layers.inet"),
    **dict.fromkeys(
        (
            "IPv6",
            "IPv6ExtHdrHopByHop",
            "IPv6ExtHdrDestOpt",
            "IPv6ExtHdrFragment",
            "IPv6ExtHdrRouting",
            "ICMPv6EchoRequest",
            "ICMPv6EchoReply",
            "ICMPv6DestUnreach",
            "ICMPv6TimeExceeded",
        ),
        "scapy.layers.inet6",
    ),
    "SCTP": "scapy.layers.sctp",
    "VXLAN": "scapy.layers.vxlan",
    "MPLS": "scapy.contrib.mpls",
    "Raw": "scapy.packet",
}
"""The layers by name, and the modules of scapy that they are in."""
MOST_FRAME_OCTETS: Final = 1518
_LEAST_FRAME_OCTETS: Final = 14
_ADDRESSES: Final = frozenset({"src", "dst", "psrc", "pdst"})
_MACS: Final = frozenset({"hwsrc", "hwdst"})
_LETTERS: Final = frozenset({"flags"})
_VERSION: Final = {"IP": 4, "IPv6": 6, "ARP": 4}
_TEXT: Final = ("Raw", "load")
_IP: Final = ("IP", "IPv6")

Value = int | str | list[int]
Layer = dict[str, dict[str, Value] | None]


def _known(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Refuse what is no layer, or no field of it, and what not everybody would read alike."""
    for layer in layers:
        if len(layer) != 1:
            raise fault("a layer is one name with its fields", "write - UDP: {dport: 53}")
        ((name, fields),) = layer.items()
        if name not in LAYERS:
            raise fault(f"unknown layer {name!r}", f"the layers are {', '.join(LAYERS)}")
        for field, value in (fields or {}).items():
            _check_field(name, field, value)
    frame = _octets(layers, (None, None))
    if not _LEAST_FRAME_OCTETS <= len(frame) <= MOST_FRAME_OCTETS:
        hint = f"a frame has {_LEAST_FRAME_OCTETS} to {MOST_FRAME_OCTETS} octets"
        raise fault(f"these layers make a frame of {len(frame)} octets", hint)
    if wrong := odd(frame):
        raise fault(*wrong)
    return layers


def _check_field(layer: str, field: str, value: Value) -> None:
    known = {one.name: one for one in _class(layer).fields_desc}
    if field not in known:
        raise fault(f"{layer} has no field {field!r}", f"its fields are {', '.join(known)}")
    if isinstance(value, list) and (layer, field) != _TEXT:
        raise fault(f"{layer}.{field} takes one number, found a list", "write a number")
    if isinstance(value, str) and (layer, field) != _TEXT:
        _check_text(layer, field, value)
    bits = getattr(known[field], "size", None)
    if isinstance(value, int) and bits is not None and not 0 <= value < 1 << bits:
        # Scapy would leave out the bits that are too many.
        message = f"{layer}.{field} has {bits} bits, found {value}"
        raise fault(message, f"write 0 to {(1 << bits) - 1}")
    try:
        _octets(({layer: {field: value}},), (None, None))
    except PydanticCustomError:
        raise fault(f"{layer}.{field} cannot be {quote(str(value))}", _TOO_LARGE) from None


def _check_text(layer: str, field: str, value: str) -> None:
    """Text stands for an address, or for flags."""
    mac = layer == "Ether" or field in _MACS
    if field in _ADDRESSES | _MACS:
        version = _VERSION.get(layer)
        if not (_is_mac(value) if mac else _is_ip(value, version)):
            example = "02:00:00:00:00:01" if mac else _ANY_IP["IPv6" if version == 6 else "IP"]
            what = "address" if mac else f"IPv{version} address" if version else "IP address"
            raise fault(f"{value!r} is no {what}", f"write one like {example}")
    elif field not in _LETTERS or not value.isalpha():
        raise fault(f"{layer}.{field} takes a number, found {value!r}", "write a number")


def _is_ip(text: str, version: int | None) -> bool:
    try:
        return version in (None, ip_address(text).version)
    except ValueError:
        return False


def _is_mac(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 6 and all(
        len(part) == 2 and set(part.lower()) <= set("0123456789abcdef") for part in parts
    )


def _class(name: str) -> Any:
    import importlib
    import logging

    logging.getLogger("scapy").setLevel(logging.ERROR)  # it speaks of routes that nobody needs
    return getattr(importlib.import_module(LAYERS[name]), name)


def _octets(layers: tuple[Layer, ...], ends: tuple[Any, Any]) -> bytes:
    """The frame of some layers; addresses that are left out are those of the two hosts.

    Raises:
        PydanticCustomError: scapy cannot make it; its own words are about its own insides.
    """
    try:
        return bytes(_stacked(layers, ends))
    except Exception as odd:
        raise fault("these layers cannot be put together", _TOO_LARGE) from odd


def _stacked(layers: tuple[Layer, ...], ends: tuple[Any, Any]) -> Any:
    """The layers one in another, as scapy has them."""
    source, destination = ends
    packet = None
    names = [name for layer in layers for name in layer]
    if "Ether" not in names:
        layers = ({"Ether": None}, *layers)
    seen_ip = False
    for layer in layers:
        ((name, fields),) = layer.items()
        given = {field: _plain(name, field, value) for field, value in (fields or {}).items()}
        if name == "Ether":
            given = {"src": getattr(source, "mac", _ANY_MAC), **given}
            given = {"dst": getattr(destination, "mac", _ANY_MAC), **given}
        elif name in _IP:
            version = "ipv4" if name == "IP" else "ipv6"
            host = (source, destination) if not seen_ip else (None, None)
            seen_ip = True
            for field, end in zip(("src", "dst"), host, strict=True):
                given.setdefault(field, str(getattr(end, version, _ANY_IP[name])))
        elif name == "ARP":
            given = {"hwsrc": getattr(source, "mac", _ANY_MAC), **given}
            given = {"psrc": str(getattr(source, "ipv4", _ANY_IP["IP"])), **given}
            given = {"pdst": str(getattr(destination, "ipv4", _ANY_IP["IP"])), **given}
        one = _class(name)(**given)
        packet = one if packet is None else packet / one
    return packet or b""


_TOO_LARGE: Final = "look for a number that is too large for its field, or for unknown flags"
_ANY_MAC: Final = "02:00:00:00:00:01"
_ANY_IP: Final = {"IP": "10.0.0.1", "IPv6": "2001:db8::1"}


def _plain(layer: str, field: str, value: Value) -> object:
    if (layer, field) == ("Raw", "load"):
        return bytes(value) if isinstance(value, list) else str(value).encode()
    return value


class Packets(Scheduled, FromTo):
    """Packets whose layers the scenario gives, by scapy's names; it may leave out addresses."""

    kind: ClassVar[str] = "packets"
    title: ClassVar[str] = "packets of one's own"
    protocol: ClassVar[str] = "ip"

    layers: Annotated[
        tuple[Layer, ...], Field(min_length=1, max_length=12), AfterValidator(_known)
    ] = Field(
        description="The layers, outermost first: scapy's names and fields.",
        examples=[[{"IP": {"ttl": 3}}, {"UDP": {"dport": 53}}, {"Raw": {"load": "hello"}}]],
    )
    count: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1, description="How many of these packets."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=50_000)] = Field(
        default=1000, description="Packets per second."
    )

    @property
    def uses_ipv6(self) -> bool:
        """See `Traffic.uses_ipv6`."""
        return any(name.startswith("IPv6") for layer in self.layers for name in layer)

    @property
    def vlans(self) -> tuple[int, ...]:
        """See `Traffic.vlans`."""
        tags = [layer["Dot1Q"] or {} for layer in self.layers if "Dot1Q" in layer]
        return tuple(int(str(tag.get("vlan", 1))) for tag in tags[:1])

    @property
    def head_octets(self) -> int:
        """See `Scheduled.head_octets`."""
        return len(_octets(self.layers, (None, None)))

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        names = " / ".join(name for layer in self.layers for name in layer)
        return f"{self.source} → {self.destination}: {self.count} packets {names}"

    def schedule(self, cast: Cast, source_port: int) -> Schedule:  # noqa: ARG002 (has its own)
        """See `Scheduled.schedule`."""
        from lab.traffic import datagrams, frames
        from lab.traffic.schedule import Schedule

        sender = cast.number(self.source)
        ends = cast.hosts[sender], cast.hosts[cast.number(self.destination)]
        frame = frames.text(_octets(self.layers, ends))
        due_s = datagrams.paced(self.count, self.rate_pps)
        return Schedule.of(cast, due_s, sender, frame, frame.shape[1])
