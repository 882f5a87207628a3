"""The flow key that everything is compared by: what was expected, on the wire, and exported.

Knows: which fields make a flow the same flow, and their IANA names. Imports nothing heavy, so
that `flowlab show` can use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58

TCP_FLAGS: Final[Mapping[str, int]] = {
    name: 1 << bit
    for bit, name in enumerate(("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"))
}
"""tcpControlBits by name (RFC 9293, section 3.1)."""

_FLAGS_IN_USE: Final = ("SYN", "ACK", "PSH", "URG", "ECE", "CWR", "FIN", "RST")


def flags_text(bits: int) -> str:
    """TcpControlBits as ``SYN|ACK|FIN``, in the order in which a connection shows them."""
    return "|".join(name for name in _FLAGS_IN_USE if bits & TCP_FLAGS[name]) or "none"


_NAMES: Final = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmp6"}
_ICMP_ELEMENT: Final = {4: "icmpTypeCodeIPv4", 6: "icmpTypeCodeIPv6"}


class FlowKey(NamedTuple):
    """One direction of one conversation.

    Attributes:
        ip_version: 4 or 6; 0 for a frame that is not IP.
        source: the address as text: RFC 5952 for IPv6, a MAC for a frame that is not IP.
        destination: likewise.
        protocol: IP protocol number; for a frame that is not IP its EtherType.
        source_port: transport port; 0 for ICMP and all that has none.
        destination_port: transport port; for ICMP ``type << 8 | code``, as NetFlow has it.
    """

    ip_version: int
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int

    def to_json(self) -> dict[str, Any]:
        """The key under its IANA names (RFC 7012), as verdict.json has it."""
        if self.ip_version == 0:
            return {
                "sourceMacAddress": self.source,
                "destinationMacAddress": self.destination,
                "ethernetType": self.protocol,
            }
        version = self.ip_version
        named: dict[str, Any] = {
            f"sourceIPv{version}Address": self.source,
            f"destinationIPv{version}Address": self.destination,
            "protocolIdentifier": self.protocol,
        }
        if self.protocol in (ICMP, ICMPV6):
            return {**named, _ICMP_ELEMENT[version]: self.destination_port}
        return {
            **named,
            "sourceTransportPort": self.source_port,
            "destinationTransportPort": self.destination_port,
        }

    @classmethod
    def from_json(cls, named: dict[str, Any]) -> FlowKey:
        """The key that `to_json` wrote.

        Raises:
            KeyError: an element that the key needs is not there.
        """
        if "ethernetType" in named:
            source, destination = named["sourceMacAddress"], named["destinationMacAddress"]
            return cls(0, source, destination, named["ethernetType"], 0, 0)
        version = 6 if "sourceIPv6Address" in named else 4
        icmp = named.get(_ICMP_ELEMENT[version])
        return cls(
            version,
            named[f"sourceIPv{version}Address"],
            named[f"destinationIPv{version}Address"],
            named["protocolIdentifier"],
            0 if icmp is not None else named["sourceTransportPort"],
            icmp if icmp is not None else named["destinationTransportPort"],
        )

    def __str__(self) -> str:
        """The flow as people write it: ``udp 10.0.0.1:40000 → 10.0.0.2:5001``."""
        if self.ip_version == 0:
            return f"ethertype 0x{self.protocol:04x} {self.source} → {self.destination}"
        name = _NAMES.get(self.protocol, f"protocol {self.protocol}")
        if self.protocol in (ICMP, ICMPV6):
            kind, code = divmod(self.destination_port, 256)
            return f"{name} {self.source} → {self.destination} type {kind} code {code}"
        if self.protocol not in (TCP, UDP) and not (self.source_port or self.destination_port):
            return f"{name} {self.source} → {self.destination}"
        return f"{name} {self._end(self.source, self.source_port)} → " + self._end(
            self.destination, self.destination_port
        )

    def _end(self, address: str, port: int) -> str:
        return f"[{address}]:{port}" if self.ip_version == 6 else f"{address}:{port}"
