"""A profile: an exporter's habits, and the flows that it tells of.

Only what can be set, and what is refused; the file that it stands in is the lab's matter.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from collector.corpus.case import FEATURES
from collector.decode import BY_NAME
from collector.decode.elements import forward_names
from collector.decode.layout import VARIABLE
from collector.decode.templates import IPFIX, NETFLOW9
from collector.encode import NotEncodableError, Template, template

MOST_RECORDS = 1_000_000_000
MOST_DIFFERENT = 1_000_000
_DEFAULT_DIFFERENT = 100


def _address(text: str) -> str:
    return str(ip_address(text))


def _feature(name: str) -> str:
    if name not in FEATURES:
        raise ValueError(f"there is no feature {name!r}; there is {', '.join(FEATURES)}")
    return name


Address = Annotated[str, AfterValidator(_address)]
Feature = Annotated[str, AfterValidator(_feature)]
Seconds = Annotated[float, Field(ge=0, le=100_000_000)]
Word = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
Records = Annotated[int, Field(ge=1, le=MOST_RECORDS)]
FieldOf = str | dict[str, int | Literal["variable"]]


class Part(BaseModel):
    """A part of a profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FlowsOf(Part):
    """The flows; records are drawn of them, each flow first once."""

    different: Annotated[int, Field(ge=1, le=MOST_DIFFERENT)] = Field(
        default=_DEFAULT_DIFFERENT, description="Flow keys."
    )
    sources: Annotated[int, Field(ge=1, le=1 << 18)] = Field(
        default=1 << 18, description="Addresses that flows come from, at most."
    )
    destinations: Annotated[int, Field(ge=1, le=1 << 12)] = Field(
        default=1 << 12, description="Addresses that they go to, at most."
    )
    protocols: dict[Literal["udp", "tcp", "icmp"], Annotated[int, Field(ge=1, le=100)]] = Field(
        default={"tcp": 80, "udp": 20},
        min_length=1,
        description="How many of each, as weights.",
    )
    ipv6_percent: Annotated[int, Field(ge=0, le=100)] = 0
    packets: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20, description="In a record, on average."
    )
    packet_octets: tuple[
        Annotated[int, Field(ge=64, le=9_000)], Annotated[int, Field(ge=64, le=9_000)]
    ] = Field(default=(118, 1_500), description="Of an IP packet: the least, and the most.")
    longest_s: Seconds = Field(default=60, description="How long a flow lasts at most.")
    active_timeout_s: Seconds = Field(
        default=0, description="A longer flow is told in several records; 0: it is not cut."
    )
    idle_timeout_s: Seconds = Field(
        default=1, description="A record leaves so long after the last packet."
    )
    records_per_s: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    answered_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        default=100, description="Of biflows: how many records have packets of the other direction."
    )
    vlan: Annotated[int, Field(ge=0, le=4_094)] = 0
    mpls: Annotated[int, Field(ge=0, le=0xF_FFFF)] = Field(default=0, description="A label.")
    interfaces: Annotated[int, Field(ge=1, le=60_000)] = 16
    scan: Annotated[int, Field(ge=0, le=1 << 16)] = Field(
        default=0, description="So many of the flows are one source's, a SYN to as many addresses."
    )
    flood: Annotated[int, Field(ge=0, le=1 << 16)] = Field(
        default=0, description="So many of the flows are SYNs of as many sources to one address."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.packet_octets[0] > self.packet_octets[1]:
            raise ValueError("packet_octets: the least is more than the most")
        if self.scan + self.flood > self.different:
            raise ValueError("scan and flood are more than there are different flows")
        return self


class TemplateOf(Part):
    """A template, and which records it is for."""

    id: Annotated[int, Field(ge=256, le=0xFFFF)]
    fields: tuple[FieldOf, ...] = Field(min_length=1, max_length=200)
    ip: Literal[4, 6] | None = Field(default=None, description="Only flows of this version.")
    protocol: Literal["udp", "tcp", "icmp"] | None = Field(
        default=None, description="Only flows of this protocol."
    )
    only_in_lists: bool = Field(default=False, description="No record is of it, but a list.")
    scopes: Annotated[int, Field(ge=0, le=10)] = Field(
        default=0, description="Of options data: how many of the first fields are its scope."
    )
    rows: tuple[dict[str, Any], ...] = Field(
        default=(), max_length=1_000, description="Of options data: its records."
    )

    @property
    def specified(self) -> list[str | tuple[str, int]]:
        """The fields, as the encoder takes them."""
        found: list[str | tuple[str, int]] = []
        for one in self.fields:
            if isinstance(one, str):
                found.append(one)
            else:
                found += [
                    (name, VARIABLE if width == "variable" else int(width))
                    for name, width in one.items()
                ]
        return found

    def template(self, version: int) -> Template:
        """As it is announced.

        Raises:
            NotEncodableError: the format cannot name one of its elements.
        """
        return template(self.id, self.specified, scopes=self.scopes, version=version)

    @field_validator("fields")
    @classmethod
    def _widths(cls, given: tuple[FieldOf, ...]) -> tuple[FieldOf, ...]:
        for one in given:
            for width in one.values() if isinstance(one, dict) else ():
                if width != "variable" and not 0 < int(width) < VARIABLE:
                    raise ValueError(f"a field has 1 to {VARIABLE - 1} octets, or is variable")
        return given


class Sampling(Part):
    """One packet in so many was counted."""

    rate: Annotated[int, Field(ge=1, le=16_383)] = 1
    random: bool = True


class Event(Part):
    """Something that happens to the exporter between two records."""

    after_records: Annotated[int, Field(ge=1, le=1_000_000)]
    kind: Literal["redefine", "withdraw", "restart", "clock_step", "template_flood"]
    step_s: Annotated[int, Field(ge=-86_400, le=86_400)] = Field(
        default=3_600, description="Of clock_step: by how much the clock is set."
    )
    templates: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=1_000, description="Of template_flood: how many that nobody needs."
    )


class Profile(Part):
    """An exporter, and what it sees."""

    title: str = Field(min_length=1, max_length=200)
    about: str = Field(min_length=1, max_length=4_000)
    features: tuple[Feature, ...] = ()
    protocol: Literal["netflow5", "netflow9", "ipfix", "sflow5"]
    address: Address = "192.0.2.1"
    domain: Word = Field(default=1, description="v5: engine type << 8 | engine id.")
    habits: str = "as the formats say"
    records: Records = Field(default=200, description="How many, unless the command says it.")
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    flows: FlowsOf = Field(default_factory=FlowsOf)
    templates: tuple[TemplateOf, ...] = Field(default=(), max_length=1_000)
    values: dict[str, Any] = Field(
        default_factory=dict, description="What a field says in every record."
    )
    templates_after_records: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    refresh_records: Annotated[int, Field(ge=0, le=MOST_RECORDS)] = Field(
        default=0, description="Templates and options data come again so often; 0: once."
    )
    sampling: Sampling = Field(default_factory=Sampling)
    records_per_datagram: Annotated[int, Field(ge=1, le=10_000)] | None = None
    most_octets: Annotated[int, Field(ge=100, le=65_507)] = 1_472
    align: Literal[1, 2, 4, 8] = Field(default=4, description="Sets are filled up to this.")
    sequence: Word = Field(default=0, description="Of the first datagram.")
    uptime_s: Seconds = Field(default=86_400, description="When it begins.")
    captured_octets: Annotated[int, Field(ge=14, le=1_400)] = Field(
        default=128, description="Of sFlow: of every sampled packet."
    )
    counters: bool = Field(default=False, description="Of sFlow: counter samples too.")
    events: tuple[Event, ...] = Field(default=(), max_length=100)
    exporters: Annotated[int, Field(ge=1, le=64)] = 1
    one_address: bool = Field(
        default=False, description="Several exporters have one address, and a domain each."
    )
    fault: tuple[dict[str, Any], ...] = Field(
        default=(), max_length=20, description="Of the way to the collector: as in scenarios."
    )

    @property
    def version(self) -> int:
        """Of its templates."""
        return NETFLOW9 if self.protocol == "netflow9" else IPFIX

    @property
    def by_templates(self) -> bool:
        """Whether its records have templates."""
        return self.protocol in ("netflow9", "ipfix")

    @property
    def biflows(self) -> bool:
        """Whether any of its records tell of the other direction (RFC 5103)."""
        reverse = forward_names().keys()
        templates = [one.template(self.version) for one in self.templates]
        return any(not reverse.isdisjoint(one.layout.places) for one in templates)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.habits not in BY_NAME:
            raise ValueError(f"habits: there is {', '.join(map(repr, BY_NAME))}")
        if self.by_templates != bool(self.templates):
            verb = "needs" if self.by_templates else "has no"
            raise ValueError(f"{self.protocol} {verb} templates")
        if len({one.id for one in self.templates}) != len(self.templates):
            raise ValueError("templates: two have the same id")
        if self.events and not self.by_templates:
            raise ValueError(f"{self.protocol}: events are of exporters with templates")
        if self.protocol == "netflow9" and any(one.kind == "withdraw" for one in self.events):
            raise ValueError("NetFlow v9 cannot withdraw templates (RFC 3954 has no such record)")
        if self.protocol == "netflow5" and self.flows.ipv6_percent:
            raise ValueError("NetFlow v5 has no room for IPv6 addresses: ipv6_percent must be 0")
        for one in self.templates:
            try:
                one.template(self.version)
            except NotEncodableError as wrong:
                raise ValueError(f"template {one.id}: {wrong}") from None
        return self
