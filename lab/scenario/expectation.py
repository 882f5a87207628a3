"""What an author may expect: of which flows, where, how many, and how exactly.

A value like all of a scenario: its JSON has the shape of the YAML.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from collector.check.pattern import Pattern
from collector.check.tolerance import Region, Tolerance
from collector.key import ICMP, ICMPV6, TCP, TCP_FLAGS, UDP, flags_text
from lab.scenario.faults import any_of, closest, found, quote
from lab.scenario.units import Count, Octets, Seconds, fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import PydanticCustomError

    from topologies import Topology

MEASURES: Final[Mapping[str, str]] = {
    "packets": "packets",
    "octets_l2": "octets_l2",
    "octets_l3": "octets_l3",
    "records": "records",
    "tcp_flags": "tcpControlBits",
    "duration_s": "duration_s",
    "gap_s": "gap_s",
    "in_port": "in_port",
    "out_port": "out_port",
}
"""What an expectation may speak of, and what checks call it."""
_PROTOCOLS: Final = {UDP: "udp", TCP: "tcp", ICMP: "icmp", ICMPV6: "icmp"}


class Frozen(BaseModel):
    """A part of a scenario: it never changes, and has no other keys than these."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        serialize_by_alias=True,
        str_strip_whitespace=True,
        defer_build=True,  # once, as part of Scenario; that is what `flowlab show` waits for
    )


def listed(value: Any) -> Any:
    """A list out of a single word, or out of a mapping of kinds to settings."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [{key: below} for key, below in value.items()]
    return value


_PERCENT: Final = re.compile(r"(?P<percent>[0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", re.ASCII)
_ALL: Final = 100.0


def _read_tolerance(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Tolerance(absolute=value)
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        percent = float(match["percent"])
        if percent <= _ALL:
            return Tolerance(relative=percent / _ALL)
    if isinstance(value, Tolerance):
        return value
    raise fault(f"expected a number or a percentage, found {found(value)}", "write 2, or 1%")


def _write_tolerance(tolerance: Tolerance) -> int | str:
    if tolerance.relative:
        return f"{tolerance.relative * _ALL:.6f}".rstrip("0").rstrip(".") + "%"
    return int(tolerance.absolute)


AnyTolerance = Annotated[
    Tolerance,
    BeforeValidator(_read_tolerance, json_schema_input_type=int | str),
    PlainSerializer(_write_tolerance),
]


def _exact(value: Any) -> Any:
    """A plain number means exactly so many."""
    return value if isinstance(value, dict | BaseModel) else {"exactly": value}


_WITHIN: Final[dict[str, Any]] = {"x-beside": {"within": "5%"}}


class Bounds(Frozen):
    """How many there must be: exactly so many, or at least and at most so many."""

    exactly: Count | None = Field(default=None, description="No more and no fewer.")
    at_least: Count | None = Field(default=None, description="So many or more.")
    at_most: Count | None = Field(default=None, description="So many or fewer.")
    about: Count | None = Field(
        default=None, description="So many, give or take `within`.", json_schema_extra=_WITHIN
    )
    within: AnyTolerance | None = Field(
        default=None,
        description="With `about`: how far it may be off, 2 or 1%.",
        examples=["5%"],
        json_schema_extra={"x-beside": {"about": 100}},
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        given = [self.exactly, self.at_least, self.at_most, self.about]
        if all(bound is None for bound in given):
            raise fault("no number is given", "write 'at_least', 'at_most', or the number alone")
        if self.exactly is not None and given != [self.exactly, None, None, None]:
            raise fault("'exactly' leaves no room for bounds", "remove at_least and at_most")
        if (self.about is None) != (self.within is None):
            raise fault("'about' and 'within' need each other", "write {about: 100, within: 5%}")
        if self.about is not None and given[:3] != [None, None, None]:
            raise fault("'about' is a range already", "remove at_least and at_most")
        region = self.region
        if region.low is not None and region.high is not None and region.low > region.high:
            message = f"at_least ({self.at_least}) is more than at_most ({self.at_most})"
            raise fault(message, "exchange the two")
        return self

    @property
    def region(self) -> Region:
        """The numbers that are right."""
        if self.exactly is not None:
            return Region(self.exactly, self.exactly)
        if self.about is not None and self.within is not None:
            return self.within.around(self.about)
        return Region(self.at_least, self.at_most)


class OctetBounds(Bounds):
    """As `Bounds`, in octets: ``1MiB`` may be written too."""

    exactly: Octets | None = Field(default=None, description="No more and no fewer.")
    at_least: Octets | None = Field(default=None, description="So many or more.")
    at_most: Octets | None = Field(default=None, description="So many or fewer.")
    about: Octets | None = Field(
        default=None, description="So many, give or take `within`.", json_schema_extra=_WITHIN
    )


class SecondsBounds(Bounds):
    """As `Bounds`, in seconds: ``500ms`` may be written too."""

    exactly: Seconds | None = Field(default=None, description="No more and no less.")  # type: ignore[assignment]
    at_least: Seconds | None = Field(default=None, description="So long or longer.")  # type: ignore[assignment]
    at_most: Seconds | None = Field(default=None, description="So long or shorter.")  # type: ignore[assignment]
    about: Seconds | None = Field(
        default=None, description="So long, give or take `within`.", json_schema_extra=_WITHIN
    )  # type: ignore[assignment]


def _write_bounds(bounds: Bounds | None) -> Any:
    if bounds is None:
        return None
    written = bounds.model_dump(exclude_none=True)
    return written.get("exactly", written)


def _read_flags(value: Any) -> Any:
    """``SYN|ACK`` as bits."""
    if not isinstance(value, str):
        return value
    bits = 0
    for name in (part.strip().upper() for part in value.split("|")):
        if name not in TCP_FLAGS:
            near = closest(name, TCP_FLAGS)
            hint = (
                f"did you mean {near}?" if near else f"join some of {', '.join(TCP_FLAGS)} by '|'"
            )
            raise fault(f"unknown TCP flag {quote(name)}", hint)
        bits |= TCP_FLAGS[name]
    return bits


CountBounds = Annotated[Bounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
DurationBounds = Annotated[SecondsBounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
LengthBounds = Annotated[OctetBounds, BeforeValidator(_exact), PlainSerializer(_write_bounds)]
TcpFlags = Annotated[
    int,
    Field(ge=1, le=255),
    BeforeValidator(_read_flags, json_schema_input_type=str),
    PlainSerializer(flags_text),
]
"""tcpControlBits, all packets' together: ``SYN|ACK|FIN``."""

PortNumber = Annotated[int, Field(ge=1, le=65535)]
ANY: Final = "any"
_WORDS: Final = ("udp", "tcp", "icmp", ANY)
_LAST_PROTOCOL: Final = 255


def _read_protocol(value: Any) -> Any:
    if value in _WORDS or (isinstance(value, int) and 0 <= value <= _LAST_PROTOCOL):
        return value
    near = closest(value, _WORDS) if isinstance(value, str) else None
    hint = f"did you mean {near!r}?" if near else f"a number is 0 to {_LAST_PROTOCOL}"
    raise fault(f"expected udp, tcp, icmp, any or a number, found {found(value)}", hint)


Protocol = Annotated[
    int | str,
    BeforeValidator(
        _read_protocol, json_schema_input_type=Literal["udp", "tcp", "icmp", "any"] | int
    ),
]
"""A protocol above IP, by name or by number."""


def _read_ports(value: Any) -> Any:
    """``5000-5010`` as its ends, and one port as a range of one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    ends = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if ends is not None:
        first, last = int(ends[1]), int(ends[2])
        if first > last:
            raise fault(f"the range {value} ends before it begins", "exchange the two")
        return (first, last)
    if isinstance(value, list | tuple):
        return value
    raise fault(f"expected a port or a range, found {found(value)}", "write 80, or 5000-5010")


def _write_ports(ports: tuple[int, int] | None) -> int | str | None:
    if ports is None or ports[0] == ports[1]:
        return ports and ports[0]
    return f"{ports[0]}-{ports[1]}"


_RANGE: Final = re.compile(r"([0-9]{1,5}) ?- ?([0-9]{1,5})", re.ASCII)
Ports = Annotated[
    tuple[PortNumber, PortNumber],
    BeforeValidator(_read_ports, json_schema_input_type=PortNumber | str),
    PlainSerializer(_write_ports),
]
"""A port, or the first and the last of a range."""

Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(listed)]


def is_address(word: str) -> bool:
    """Whether a word is an address or a prefix, or ``any``, and so no host."""
    try:
        ip_network(word, strict=False)
    except ValueError:
        return word == ANY
    return True


class FlowPattern(Frozen):
    """Which flows something is about: all that have what is given here."""

    source: str = Field(
        default=ANY,
        alias="from",
        description="Who sends: a host, an address, or a prefix such as 10.0.0.0/24.",
        examples=["h1"],
    )
    destination: str = Field(
        default=ANY, alias="to", description="Who gets it: likewise.", examples=["h2"]
    )
    protocol: Protocol = Field(
        default=ANY, description="udp, tcp, icmp, or a number.", examples=["tcp"]
    )
    port: Ports | None = Field(
        default=None,
        description="Destination port, or a range such as 5000-5010; any if left out.",
        examples=[80],
    )
    source_port: Ports | None = Field(
        default=None, description="Source port, or a range; any if left out.", examples=[50000]
    )
    ip_version: Literal[4, 6] | None = Field(
        default=None,
        description="4 or 6; if left out 4 between two hosts, both elsewhere.",
        examples=[4],
    )

    @property
    def version(self) -> int | None:
        """The version of IP; None is any."""
        if self.ip_version is not None or is_address(self.source) or is_address(self.destination):
            return self.ip_version
        return 4

    @property
    def in_words(self) -> str:
        """As people say it: ``udp h1 → h2 to port 5001``."""
        ports = [
            f"{name} {_write_ports(ports)}"
            for name, ports in (("from port", self.source_port), ("to port", self.port))
            if ports is not None
        ]
        version = " over IPv6" if self.version == 6 else ""
        ends = f"{self.source} → {self.destination}"
        return f"{self.protocol} {' '.join([ends, *ports])}{version}"

    def pattern(self, topology: Topology) -> Pattern:
        """The same with addresses in place of hosts."""
        return Pattern(
            text=self.in_words,
            sources=_addresses(self.source, topology),
            destinations=_addresses(self.destination, topology),
            protocols=_protocol_numbers(self.protocol),
            source_ports=self.source_port,
            ports=self.port,
            ip_version=self.version,
        )


def _addresses(word: str, topology: Topology) -> tuple[str, ...] | None:
    if word == ANY:
        return None
    if is_address(word):
        network = ip_network(word, strict=False)
        return (str(network if network.num_addresses > 1 else network.network_address),)
    host = topology.host(word)
    return str(host.ipv4), str(host.ipv6), host.mac


def _protocol_numbers(protocol: str | int) -> tuple[int, ...] | None:
    if isinstance(protocol, int):
        return (protocol,)
    if protocol == ANY:
        return None
    return tuple(number for number, name in _PROTOCOLS.items() if name == protocol)


def nothing_expected() -> PydanticCustomError:
    """The fault of an expectation without any measure."""
    return fault("nothing is expected of this flow", f"add {any_of(MEASURES)}")


class Expectation(Frozen):
    """What has to be observed of some flows, beyond what follows from the traffic anyway.

    Where several flows have the pattern, their numbers are added up.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"flow": {"from": "h1", "to": "h2", "protocol": "tcp"}, "packets": {"at_least": 1}}
            ]
        }
    )

    flow: FlowPattern | None = Field(
        default=None,
        description="Which flows this is about; the traffic has to make some of them.",
    )
    absent: FlowPattern | None = Field(
        default=None,
        alias="not",
        description="In place of flow and of measures: no such flow may be seen there.",
        examples=[{"from": "h1", "to": "10.9.0.0/16"}],
        json_schema_extra={"x-beside": {}},
    )
    at: Names | None = Field(
        default=None,
        description="Switches that observe them; all on their path if left out.",
        examples=["s1"],
    )
    exporter: Names | None = Field(
        default=None,
        description="Exporters that report them; all that can if left out.",
        examples=["netflow"],
    )
    packets: CountBounds | None = Field(default=None, description="Packets.")
    octets_l2: LengthBounds | None = Field(
        default=None, description="Octets of the whole frames, without their checksums (FCS)."
    )
    octets_l3: LengthBounds | None = Field(
        default=None, description="Octets of the IP packets: headers and all that is in them."
    )
    records: CountBounds | None = Field(
        default=None, description="In how many records (samples, for sFlow) they are reported."
    )
    tcp_flags: TcpFlags | None = Field(
        default=None,
        description="The flags of all packets together: SYN|ACK|PSH|FIN.",
        examples=["SYN|ACK|PSH|FIN"],
    )

    duration_s: DurationBounds | None = Field(
        default=None,
        description="Seconds from the first to the last packet.",
        examples=[{"at_most": 60}],
    )

    gap_s: DurationBounds | None = Field(
        default=None,
        description="The longest time between the records of a flow; they may not overlap.",
        examples=[{"at_most": 1}],
    )
    in_port: PortNumber | None = Field(
        default=None, description="The switch's port, by its OpenFlow number, where they come in."
    )
    out_port: PortNumber | None = Field(
        default=None, description="Where they go out; packets that are flooded aside."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.flow is None and self.absent is None:
            raise fault("it is not said which flows this is about", "add 'flow', or 'not'")
        if self.absent is not None and (self.measures or self.flow is not None):
            raise fault("'not' stands alone", "remove flow and measures; keep 'at' and 'exporter'")
        if self.absent is None and not self.measures:
            raise nothing_expected()
        return self

    @property
    def pattern(self) -> FlowPattern:
        """The flows that this is about, whether they must be there or must not."""
        return self.absent or self.flow or FlowPattern()

    def only(self, measure: str) -> Expectation:
        """This expectation with one of its measures."""
        others = (key for key, name in MEASURES.items() if name != measure)
        return self.model_copy(update=dict.fromkeys(others))

    @property
    def measures(self) -> dict[str, Region]:
        """The right values by measure; the measures' names are those of checks."""
        given = {key: getattr(self, key) for key in MEASURES}
        return {
            MEASURES[key]: Region(value, value) if isinstance(value, int) else value.region
            for key, value in given.items()
            if value is not None
        }


# ------------------------------------------------------------------ tolerances


class Tolerances(Frozen):
    """How exact the verdict is; without tolerances it is exact."""

    packets: AnyTolerance = Field(
        default=Tolerance(), description="Of packets: 2, or 1%.", examples=[2]
    )
    octets: AnyTolerance = Field(
        default=Tolerance(), description="Of octets: 100, or 1%.", examples=["1%"]
    )

    def by_measure(self) -> dict[str, Tolerance]:
        """The tolerances by what they are of: ``packets``, ``octets``."""
        return {"packets": self.packets, "octets": self.octets}
