"""Generated corpora: a capture for every feature of the formats, made with `collector.encode`.

To add one, write a function that gives the datagrams and decorate it. Values differ from field to
field and from record to record, so that no two can be taken for each other.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scapy.all import (
    GRE,
    ICMP,
    IP,
    SCTP,
    TCP,
    UDP,
    VXLAN,
    Dot1AD,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    Raw,
)
from scapy.contrib.mpls import MPLS

from collector.decode.address import halves
from collector.decode.elements import RAW, elements, netflow9_number
from collector.decode.layout import VARIABLE
from collector.decode.sflow_layouts import COUNTERS, EXTENDED, PORT_NAME, SAMPLED
from collector.decode.templates import ENTERPRISE_BIT, IPFIX, NETFLOW9
from collector.encode import (
    Division,
    Session,
    all_withdrawn,
    announced,
    data,
    ipfix,
    lists,
    netflow5,
    netflow9,
    pcap_records,
    sflow,
    template,
    withdrawn,
)
from collector.encode.pieces import slices
from collector.encode.times import ntp
from collector.pcap import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from collector.encode import Sent, Template
    from collector.encode.sets import Items

SECOND_NS: Final = 1_000_000_000
NOW_NS: Final = 1_700_000_000 * SECOND_NS
NOW_MS: Final = NOW_NS // 1_000_000
BOOT_MS: Final = NOW_MS - 3_600_000
NETFLOW_PORT, IPFIX_PORT, SFLOW_PORT = 2055, 4739, 6343
ALONE: Final = Division(most_records=1)
Columns = dict[str, Any]


class Made(NamedTuple):
    """Datagrams, and where they are sent."""

    port: int
    sent: Sent


CASES: dict[str, Callable[[], Iterable[Made]]] = {}
"""Name of a case to what makes its datagrams."""

PEERS_OF: Final = {
    "ipfix-every-element": ("tshark",),
    "netflow9-every-element": ("tshark",),
}
"""Cases that only some peers are given: the others know a few dozen elements, and of those each
stands in `…-flows` and others beside what makes a flow of a record."""


def case(make: Callable[[], Iterable[Made]]) -> Callable[[], Iterable[Made]]:
    """List a case under the name of its function."""
    CASES[make.__name__.replace("_", "-")] = make
    return make


def write(name: str, capture: Path) -> None:
    """Write the capture of a case."""
    with Writer(capture) as writer:
        for made in CASES[name]():
            writer.write_records(pcap_records(made.sent.datagrams(made.port)).data)


# ── flows ──


def flows(count: int, begin: int = 0) -> Columns:
    """Columns of flows over IPv4, each value of its own."""
    number = np.arange(begin, begin + count)
    return {
        "sourceIPv4Address": 0x0A000001 + number,
        "destinationIPv4Address": 0xC0000201 + number,
        "sourceTransportPort": 30_000 + number,
        "destinationTransportPort": 1_000 + number,
        "protocolIdentifier": np.array([17, 6])[number % 2],
        "tcpControlBits": np.array([0, 0x1B])[number % 2],
        "ipClassOfService": 4 * (number % 40),
        "packetDeltaCount": 10 + number,
        "octetDeltaCount": 5_000 + 7 * number,
        "ingressInterface": 3 + number,
        "egressInterface": 103 + number,
        "flowStartMilliseconds": NOW_MS - 5_000 + number,
        "flowEndMilliseconds": NOW_MS - 2_000 + number,
    }


def flows6(count: int) -> Columns:
    """The same over IPv6."""
    number = np.arange(count).astype(np.uint64)
    fields = {name: value for name, value in flows(count).items() if "IPv4" not in name}
    upper = np.full(count, 0x20010DB8 << 32, np.uint64)
    fields["sourceIPv6Address"] = np.stack([upper, number + 1], axis=1)
    fields["destinationIPv6Address"] = np.stack([upper + np.uint64(1), number + 1], axis=1)
    return fields


def netflow(
    version: int, parts: Sequence[Items], session: Session | None = None, **options: Any
) -> Made:
    """Datagrams of NetFlow v9 or IPFIX."""
    encode, port = {
        IPFIX: (ipfix.messages, IPFIX_PORT),
        NETFLOW9: (netflow9.packets, NETFLOW_PORT),
    }[version]
    session = session or Session(sequence=1, domain=7, boot_ms=BOOT_MS)
    return Made(port, encode(parts, session, NOW_NS, **options)[0])


FLOW: Final = tuple(name for name in flows(1))
FLOW6: Final = tuple(name for name in flows6(1))
NARROW: Final = {
    "packetDeltaCount": 4,
    "octetDeltaCount": 4,
    "ingressInterface": 4,
    "egressInterface": 4,
    "tcpControlBits": 1,
    "sourceTransportPort": 2,
    "destinationTransportPort": 2,
    "protocolIdentifier": 1,
}


def flow_template(number: int, version: int, names: Iterable[str] = FLOW) -> Template:
    """A template as routers have it."""
    fields = [(name, NARROW[name]) if name in NARROW else name for name in names]
    return template(number, fields, version=version)


# ── NetFlow v5 ──


def v5(columns: Columns, session: Session, now_ns: int = NOW_NS, **options: Any) -> Made:
    """Datagrams of NetFlow v5."""
    return Made(NETFLOW_PORT, netflow5.datagrams(columns, session, now_ns, **options)[0])


@case
def netflow5_all_fields() -> Iterable[Made]:
    """Every field of the record, two engines."""
    number = np.arange(70)
    columns = flows(70) | {
        "ipNextHopIPv4Address": 0xC6336401 + number,
        "bgpSourceAsNumber": 64_512 + number,
        "bgpDestinationAsNumber": 65_000 + number,
        "sourceIPv4PrefixLength": number % 33,
        "destinationIPv4PrefixLength": (number + 9) % 33,
    }
    for domain in (0x0102, 0x0304):
        yield v5(columns, Session(sequence=100, domain=domain, boot_ms=BOOT_MS))


@case
def netflow5_sampling() -> Iterable[Made]:
    """The header says one packet in 512, at random."""
    options = {"sampling_interval": 512, "sampling_algorithm": 2}
    yield v5(flows(5), Session(domain=0x0001, boot_ms=BOOT_MS), **options)


@case
def netflow5_uptime_wraps() -> Iterable[Made]:
    """Flows that began before the uptime went over 2^32 ms, exported behind it."""
    session = Session(domain=0x0002, boot_ms=NOW_MS - 2**32 - 1_000)
    columns = flows(4)
    columns["flowStartMilliseconds"] = NOW_MS - np.array([9_000, 4_000, 1_500, 500])
    columns["flowEndMilliseconds"] = NOW_MS - np.array([8_000, 900, 1_200, 100])
    yield v5(columns, session)


@case
def netflow5_times_after_the_header() -> Iterable[Made]:
    """Packets that were seen a millisecond or two after the header was written."""
    columns = flows(3)
    columns["flowStartMilliseconds"] = NOW_MS + np.array([-500, 1, 1])
    columns["flowEndMilliseconds"] = NOW_MS + np.array([1, 1, 2])
    yield v5(columns, Session(domain=0x0003, boot_ms=BOOT_MS))


# ── NetFlow v9 and IPFIX ──


def flow_parts(version: int, count: int = 5) -> list[Items]:
    """Templates of IPv4 and of IPv6, and records of both."""
    four = flow_template(256, version)
    six = flow_template(257, version, FLOW6)
    return [*announced([four, six]), data(four, flows(count)), data(six, flows6(count))]


@case
def netflow9_flows() -> Iterable[Made]:
    """IPv4 and IPv6, sets filled up to four octets."""
    yield netflow(NETFLOW9, flow_parts(NETFLOW9), align=4)


@case
def ipfix_flows() -> Iterable[Made]:
    """The same."""
    yield netflow(IPFIX, flow_parts(IPFIX), align=4)


def _icmp(version: int) -> Iterable[Made]:
    four, six = flow_template(256, version), flow_template(257, version, FLOW6)
    told = {"sourceTransportPort": 0, "tcpControlBits": 0}
    pings = told | {"protocolIdentifier": 1, "destinationTransportPort": 0x0800}
    pings6 = told | {"protocolIdentifier": 58, "destinationTransportPort": 0x8100}
    parts = [*announced([four, six]), data(four, flows(2) | pings), data(six, flows6(2) | pings6)]
    yield netflow(version, parts)


@case
def netflow9_icmp() -> Iterable[Made]:
    """Type and code of ICMP in the destination port."""
    yield from _icmp(NETFLOW9)


@case
def ipfix_icmp() -> Iterable[Made]:
    """The same."""
    yield from _icmp(IPFIX)


def _uptimes(version: int) -> Iterable[Made]:
    """Times as uptimes."""
    names = [name for name in FLOW if not name.endswith("Milliseconds")]
    names += ["flowStartSysUpTime", "flowEndSysUpTime"]
    of = flow_template(256, version, names)
    columns = flows(4)
    for end in ("flowStart", "flowEnd"):
        columns[f"{end}SysUpTime"] = columns[f"{end}Milliseconds"] - BOOT_MS
    some = {name: columns[name] for name in names}
    parts = [*announced([of]), data(of, some)]
    if version == IPFIX:
        boot = template(300, ["observationDomainId", "systemInitTimeMilliseconds"], scopes=1)
        booted = {"observationDomainId": np.array([7]), "systemInitTimeMilliseconds": BOOT_MS}
        parts = [*announced([boot]), data(boot, booted), *parts]
    yield netflow(version, parts)


@case
def netflow9_uptimes() -> Iterable[Made]:
    """Times as uptimes, from the header's."""
    yield from _uptimes(NETFLOW9)


@case
def ipfix_uptimes() -> Iterable[Made]:
    """Times as uptimes; the boot time is in options data."""
    yield from _uptimes(IPFIX)


def _many(version: int) -> Iterable[Made]:
    """Everything that changes what an id means."""
    first, second = flow_template(256, version), flow_template(256, version, reversed(FLOW))
    parts = [*announced([first]), data(first, flows(2))]
    parts += [*announced([second]), data(second, flows(2, 2))]
    yield netflow(version, parts, division=ALONE)


@case
def netflow9_redefinition() -> Iterable[Made]:
    """An id means something else afterwards."""
    yield from _many(NETFLOW9)


@case
def ipfix_redefinition() -> Iterable[Made]:
    """An id means something else afterwards."""
    yield from _many(IPFIX)


def _domains(version: int) -> Iterable[Made]:
    """One id in two observation domains."""
    for domain, names in ((1, FLOW), (2, tuple(reversed(FLOW)))):
        of = flow_template(256, version, names)
        parts = [*announced([of]), data(of, flows(2, domain))]
        yield netflow(version, parts, Session(domain=domain, boot_ms=BOOT_MS), division=ALONE)
    for domain, names in ((1, FLOW), (2, tuple(reversed(FLOW)))):
        of = flow_template(256, version, names)
        session = Session(sequence=2, domain=domain, boot_ms=BOOT_MS)
        yield netflow(version, [data(of, flows(2, 10 + domain))], session)


@case
def netflow9_source_ids() -> Iterable[Made]:
    """One template id means different things in two observation domains."""
    yield from _domains(NETFLOW9)


@case
def ipfix_observation_domains() -> Iterable[Made]:
    """The same."""
    yield from _domains(IPFIX)


def _early(version: int) -> Iterable[Made]:
    of = flow_template(256, version)
    parts = [data(of, flows(2)), *announced([of]), data(of, flows(2, 2))]
    yield netflow(version, parts, division=ALONE)


@case
def netflow9_data_before_its_template() -> Iterable[Made]:
    """Two records come before their template."""
    yield from _early(NETFLOW9)


@case
def ipfix_data_before_its_template() -> Iterable[Made]:
    """Two records come before their template."""
    yield from _early(IPFIX)


def _withdrawal(withdrawal: Items) -> Iterable[Made]:
    of = flow_template(256, IPFIX)
    parts = [*announced([of]), data(of, flows(2)), withdrawal, data(of, flows(2, 2))]
    again = [*announced([of]), data(of, flows(2, 4))]
    yield netflow(IPFIX, [*parts, *again], division=ALONE)


@case
def ipfix_withdrawal() -> Iterable[Made]:
    """A template is withdrawn, used all the same, and announced again."""
    yield from _withdrawal(withdrawn([256]))


@case
def ipfix_withdrawal_of_all() -> Iterable[Made]:
    """All templates are withdrawn with one record."""
    yield from _withdrawal(all_withdrawn())


def octets(*values: bytes) -> Any:
    """A column of octets."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


@case
def ipfix_variable_lengths() -> Iterable[Made]:
    """Strings of 0 to 300 octets between numbers."""
    of = template(256, [*FLOW[:5], "interfaceName", "packetDeltaCount", "wlanSSID"])
    columns = {name: flows(4)[name] for name in (*FLOW[:5], "packetDeltaCount")}
    columns["interfaceName"] = octets(b"eth0", b"", b"x" * 254, b"lo")
    columns["wlanSSID"] = octets(b"y" * 255, b"home", b"", b"z" * 300)
    yield netflow(IPFIX, [*announced([of]), data(of, columns)])


@case
def ipfix_only_variable_lengths() -> Iterable[Made]:
    """Records of one string."""
    of = template(256, ["interfaceName"])
    columns = {"interfaceName": octets(b"eth0", b"lo")}
    yield netflow(IPFIX, [*announced([of]), data(of, columns)])


def _padded(version: int) -> Iterable[Made]:
    names = [*FLOW[:5], ("paddingOctets", 3), *FLOW[5:], ("paddingOctets", 2)]
    fields = [(one, NARROW[one]) if one in NARROW else one for one in names]
    of = template(256, fields, version=version)
    yield netflow(version, [*announced([of]), data(of, flows(3))], align=8)


@case
def netflow9_padding() -> Iterable[Made]:
    """Padding in records and behind them."""
    yield from _padded(NETFLOW9)


@case
def ipfix_padding() -> Iterable[Made]:
    """Padding in records and behind them."""
    yield from _padded(IPFIX)


@case
def ipfix_long_template() -> Iterable[Made]:
    """More than 60 fields."""
    more = [name for name in NUMBERS if name not in FLOW and "IPv6" not in name][:60]
    of = template(256, [*FLOW, *more])
    columns = flows(3) | {name: np.arange(3) + n for n, name in enumerate(more)}
    yield netflow(IPFIX, [*announced([of]), data(of, columns)])


# ── elements ──

_WIDTHS: Final = {"unsigned8": 1, "unsigned16": 2, "unsigned32": 4, "unsigned64": 8, "signed32": 4}
_REDUCED_BESIDE: Final = (
    *("sourceIPv4Address", "destinationIPv4Address", "sourceTransportPort"),
    *("destinationTransportPort", "protocolIdentifier", "packetDeltaCount", "octetDeltaCount"),
)
IANA: Final = sorted(
    {
        known.name: known.kind
        for (enterprise, number), known in elements().items()
        if not enterprise and number < ENTERPRISE_BIT and known.name != "paddingOctets"
    }.items()
)
NUMBERS: Final = [name for name, kind in IANA if kind.startswith("unsigned") and kind in _WIDTHS]
_LISTS: Final = ("basicList", "subTemplateList", "subTemplateMultiList")


def values_of(name: str, kind: str, width: int, count: int) -> Any:
    """Any values of an element, the same ones every time."""
    seed = int.from_bytes(name.encode()[-6:], "big") % 1_000_003
    number = seed + np.arange(count)
    if kind in RAW or kind == "unsigned256":
        texts = [f"{name[:8]}-{row}".encode() for row in range(count)]
        if width == VARIABLE:
            return octets(*texts)
        return octets(*(text.ljust(width, b".")[:width] for text in texts))
    makers: dict[str, Callable[[], Any]] = {
        "ipv6Address": lambda: np.stack(
            [np.full(count, 0x20010DB8 << 32 | seed), number], axis=1
        ).astype(np.uint64),
        "boolean": lambda: 1 + number % 2,
        "dateTimeSeconds": lambda: NOW_MS // 1_000 - number % 5_000,
        "dateTimeMilliseconds": lambda: NOW_MS - number % 5_000_000,
        "dateTimeMicroseconds": lambda: ntp(NOW_NS - number * 1_001_001, microseconds=True),
        "dateTimeNanoseconds": lambda: ntp(NOW_NS - number * 1_001_001),
        **dict.fromkeys(("float32", "float64"), lambda: number % 1_000 / 8),
    }
    if kind in makers:
        return makers[kind]()
    sign = -1 if kind.startswith("signed") else 1
    return sign * (number % (1 << (8 * min(width, 7) - 1)))


def _registry(version: int, known: Sequence[tuple[str, str]]) -> Iterable[Made]:
    """Two records of each of these elements, in a datagram of its own behind its template."""
    parts: list[Items] = []
    fresh: list[bool] = []
    for number, (name, kind) in enumerate(known):
        width = 6 if kind in RAW and version == NETFLOW9 else None
        width = 3 if name.startswith("mpls") and "LabelStackSection" in name else width
        field = (name, width) if width else name
        # Something of a fixed length besides: see `ipfix_only_variable_lengths`.
        of = template(256 + number, [field, ("paddingOctets", 4)], version=version)
        place = of.layout.places[name]
        columns = {name: values_of(name, kind, place.field.width, 2)}
        parts += [*announced([of]), data(of, columns)]
        fresh += [True, False, False]
    yield netflow(version, parts, fresh=np.array(fresh))


@case
def ipfix_every_element() -> Iterable[Made]:
    """IANA's whole registry, in the width of each type."""
    yield from _registry(IPFIX, [(name, kind) for name, kind in IANA if kind not in _LISTS])


@case
def netflow9_every_element() -> Iterable[Made]:
    """The same, as far as NetFlow v9 has a number for it."""
    known = [(name, kind) for name, kind in IANA if _netflow9_has(name) and kind not in _LISTS]
    yield from _registry(NETFLOW9, known)


def _netflow9_has(name: str) -> bool:
    try:
        return netflow9_number(name, scope=False) > 0
    except KeyError:
        return False


@case
def ipfix_reduced_sizes() -> Iterable[Made]:
    """Numbers in every width up to that of their type (RFC 7011 section 6.2)."""
    kinds = {"octetDeltaCount": "unsigned64", "ingressInterface": "unsigned32"}
    kinds |= {"vlanId": "unsigned16", "mibObjectValueInteger": "signed32"}
    fields = [(name, width) for name in kinds for width in range(1, 1 + _WIDTHS[kinds[name]])]
    parts: list[Items] = []
    for number, (name, width) in enumerate([*fields, ("samplingProbability", 4)]):
        base = [one for one in _REDUCED_BESIDE if one != name]
        of = template(256 + number, [*((one, NARROW.get(one, 4)) for one in base), (name, width)])
        columns = {one: flows(2, 2 * number)[one] for one in base}
        columns[name] = values_of(name, kinds.get(name, "float64"), width, 2)
        parts += [*announced([of]), data(of, columns)]
    yield netflow(IPFIX, parts)


def _enterprise(names: Sequence[str | tuple[str, int]], base: Sequence[str] = FLOW) -> Made:
    """Records with elements of an enterprise besides the usual ones."""
    fields: list[str | tuple[str, int]] = [
        (one, NARROW[one]) if one in NARROW else one for one in base
    ]
    of = template(256, [*fields, *names])
    columns = {one: flows(3)[one] for one in base}
    for name, place in of.layout.places.items():
        if name not in columns:
            columns[name] = values_of(name, place.field.kind, place.field.width, 3)
    return netflow(IPFIX, [*announced([of]), data(of, columns)])


@case
def ipfix_biflows() -> Iterable[Made]:
    """Both directions in one record (RFC 5103)."""
    yield _enterprise(
        [
            *("reverseOctetDeltaCount", "reversePacketDeltaCount", "reverseTcpControlBits"),
            *("reverseFlowStartMilliseconds", "reverseFlowEndMilliseconds"),
        ]
    )


def of_enterprise(number: int) -> list[str]:
    """Names of an enterprise's elements that are known, but for strings and lists."""
    return [
        known.name
        for (enterprise, _), known in sorted(elements().items())
        if enterprise == number and known.kind not in (*_LISTS,)
    ]


@case
def ipfix_vmware_elements() -> Iterable[Made]:
    """Those of Open vSwitch's tunnels (6876)."""
    yield _enterprise(of_enterprise(6876))


OF_HTTP: Final = ("applicationHTTPURIStatistics", "applicationHTTPHost")


@case
def ipfix_cisco_elements() -> Iterable[Made]:
    """Those of Cisco (9) that are known, and one that is not."""
    names = [name for name in of_enterprise(9) if name not in OF_HTTP]
    yield _enterprise([*names, ("9/4242", 4)])


@case
def ipfix_cisco_http_elements() -> Iterable[Made]:
    """Two of them that hold pairs of names and values."""
    yield _enterprise(OF_HTTP)


@case
def ipfix_ntop_elements() -> Iterable[Made]:
    """Those of ntop (35632), and one that is not known."""
    yield _enterprise([*of_enterprise(35632)[:40], ("35632/9999", 4)])


@case
def ipfix_cert_elements() -> Iterable[Made]:
    """Those of CERT (6871), and one that is not known."""
    yield _enterprise([*of_enterprise(6871)[:40], ("6871/9999", 4)])


@case
def ipfix_unknown_enterprise() -> Iterable[Made]:
    """Nobody's, of fixed and of variable length."""
    yield _enterprise([("64999/1", 4), ("64999/2", VARIABLE), ("0/9999", 3)])


@case
def ipfix_lists() -> Iterable[Made]:
    """RFC 6313."""
    inner = template(300, ["sourceTransportPort", "interfaceName"])
    holder = template(301, [*FLOW[:5], "basicList", "subTemplateList", "subTemplateMultiList"])
    within = {"sourceTransportPort": 7 + np.arange(2), "interfaceName": octets(b"eth0", b"eth1")}
    columns: Columns = {name: flows(2)[name] for name in FLOW[:5]}
    columns |= {
        "basicList": lists.basic_list(np.arange(4), "destinationTransportPort", "ordered"),
        "subTemplateList": lists.sub_template_list(inner, within, 2, "allOf"),
        "subTemplateMultiList": lists.sub_template_multi_list([(inner, within, 2)]),
    }
    yield netflow(IPFIX, [*announced([inner, holder]), data(holder, columns)])


# ── options ──


def _options(version: int, scoped: str, names: Columns) -> Iterable[Made]:
    """Options data, and flows that it is of."""
    width = {"scopeSystem": 4, "observationDomainId": 4, "ingressInterface": 4}.get(scoped)
    scope = (scoped, width) if width else scoped
    fields: list[str | tuple[str, int]] = [
        (name, 8) if isinstance(value, bytes) else name for name, value in names.items()
    ]
    of = template(300, [scope, *fields], scopes=1, version=version)
    told = {
        name: value.ljust(8, b"\0") if isinstance(value, bytes) else value
        for name, value in names.items()
    }
    columns = {scoped: octets(bytes(4)) if scoped == "scopeSystem" else np.array([7]), **told}
    extra = ["selectorId"] if "selectorId" in (scoped, *names) else []
    flow = template(
        256,
        [(one, NARROW[one]) if one in NARROW else one for one in [*FLOW, *extra]],
        version=version,
    )
    records = flows(3) | dict.fromkeys(extra, 7)
    parts = [*announced([flow, of]), data(of, columns), data(flow, records)]
    yield netflow(version, parts)


@case
def netflow9_sampling_options() -> Iterable[Made]:
    """samplingInterval and samplingAlgorithm of the whole system."""
    names = {"samplingInterval": 100, "samplingAlgorithm": 2}
    yield from _options(NETFLOW9, "scopeSystem", names)


@case
def netflow9_interface_names() -> Iterable[Made]:
    """Names of interfaces."""
    yield from _options(
        NETFLOW9, "ingressInterface", {"interfaceName": b"eth7", "interfaceDescription": b"uplink"}
    )


@case
def ipfix_sampling_options() -> Iterable[Made]:
    """samplingInterval of the observation domain."""
    yield from _options(
        IPFIX, "observationDomainId", {"samplingInterval": 100, "samplingAlgorithm": 2}
    )


@case
def ipfix_psamp_options() -> Iterable[Made]:
    """A selector that takes 1 packet of 100 (RFC 5477)."""
    names = {"selectorAlgorithm": 1, "samplingPacketInterval": 1, "samplingPacketSpace": 99}
    yield from _options(IPFIX, "selectorId", names)


@case
def ipfix_interface_names() -> Iterable[Made]:
    """Names of interfaces."""
    yield from _options(
        IPFIX, "ingressInterface", {"interfaceName": b"eth7", "interfaceDescription": b"uplink"}
    )


# ── sFlow ──


def _samples(
    number: int, records: Sequence[sflow.Record], count: int, rate: int = 1
) -> sflow.Samples:
    """Samples with these records."""
    head = {
        "sourceIdIndex": 5 + np.arange(count),
        "samplingInterval": np.full(count, rate),
        "ingressInterface": 20 + np.arange(count),
        "egressInterface": 40 + np.arange(count),
        "drops": 60 + np.arange(count),
    }
    columns, _ = sflow.numbered(sflow.Agent(), head)
    return sflow.samples(number, columns, records)


def _sflow(*parts: sflow.Samples, agent: str = "192.0.2.9", **options: Any) -> Made:
    """Datagrams of sFlow."""
    one = sflow.Agent(agent, 3, boot_ms=BOOT_MS)
    return Made(SFLOW_PORT, sflow.datagrams(parts, one, NOW_NS, **options)[0])


def _frames(packets: Iterable[Any], captured: int = 128) -> sflow.Record:
    """The first octets of frames, as agents sample them: FCS stripped."""
    made = [bytes(packet).ljust(60, b"\0") for packet in packets]
    lengths = np.array([len(frame) + 4 for frame in made])
    return sflow.raw_header(slices([frame[:captured] for frame in made]), lengths)


def _ether(number: int = 1, **fields: Any) -> Ether:
    return Ether(src=f"02:00:00:00:00:{number:02x}", dst=f"02:00:00:00:01:{number:02x}", **fields)


def _ip(number: int = 1, **fields: Any) -> IP:
    return IP(src=f"10.0.0.{number}", dst=f"10.1.0.{number}", ttl=60, id=1_000 + number, **fields)


def _ip6(number: int = 1, **fields: Any) -> IPv6:
    return IPv6(src=f"2001:db8::{number:x}", dst=f"2001:db8:1::{number:x}", hlim=60, **fields)


def _payload(octets_: int = 200) -> Raw:
    return Raw(bytes(octets_))


def sampled_packets(packets: Sequence[Any], number: int = 1, rate: int = 1) -> Made:
    """A sample of each packet."""
    return _sflow(_samples(number, [_frames(packets)], len(packets), rate))


TRANSPORTS: Final = (
    UDP(sport=1_111, dport=2_222) / _payload(),
    TCP(sport=3_333, dport=443, flags="SA", seq=7),
    TCP(sport=3_334, dport=444, flags="FPU") / _payload(),
    SCTP(sport=5_555, dport=6_666, tag=1) / _payload(20),
)


@case
def sflow_ipv4() -> Iterable[Made]:
    """TCP, UDP, SCTP and ICMP over IPv4."""
    packets = [_ether(n) / _ip(n, tos=n * 4) / one for n, one in enumerate(TRANSPORTS, 1)]
    packets.append(_ether(9) / _ip(9) / ICMP(type=8, code=0, id=1) / _payload(30))
    packets.append(_ether(10) / _ip(10) / ICMP(type=13, code=0) / _payload(30))
    yield sampled_packets(packets)


@case
def sflow_ipv6() -> Iterable[Made]:
    """The same over IPv6."""
    packets = [_ether(n) / _ip6(n, tc=n * 4) / one for n, one in enumerate(TRANSPORTS, 1)]
    packets.append(_ether(9) / _ip6(9) / ICMPv6EchoRequest(id=1) / _payload(30))
    yield sampled_packets(packets)


@case
def sflow_sampling_rate() -> Iterable[Made]:
    """One packet in 1000."""
    yield sampled_packets([_ether(n) / _ip(n) / TRANSPORTS[0] for n in (1, 2)], rate=1_000)


@case
def sflow_expanded() -> Iterable[Made]:
    """Expanded flow samples."""
    yield sampled_packets([_ether(n) / _ip(n) / TRANSPORTS[0] for n in (1, 2)], number=3, rate=10)


@case
def sflow_ipv6_agent() -> Iterable[Made]:
    """An agent with an IPv6 address."""
    frames = _frames([_ether() / _ip() / TRANSPORTS[0]])
    yield _sflow(_samples(1, [frames], 1), agent="2001:db8::9")


@case
def sflow_vlan() -> Iterable[Made]:
    """802.1Q tags."""
    yield sampled_packets(
        [
            _ether(1) / Dot1Q(vlan=7, prio=5) / _ip(1) / TRANSPORTS[0],
            _ether(2) / Dot1Q(vlan=8) / _ip6(2) / TRANSPORTS[1],
        ]
    )


@case
def sflow_qinq() -> Iterable[Made]:
    """A tag in a tag."""
    packet = _ether(1) / Dot1AD(vlan=100) / Dot1Q(vlan=7) / _ip(1) / TRANSPORTS[0]
    yield sampled_packets([packet])


@case
def sflow_mpls() -> Iterable[Made]:
    """One label and two."""
    yield sampled_packets(
        [
            _ether(1) / MPLS(label=1_001, s=1, ttl=9) / _ip(1) / TRANSPORTS[0],
            _ether(2)
            / MPLS(label=1_002, s=0, ttl=9)
            / MPLS(label=1_003, s=1, ttl=8)
            / _ip(2)
            / TRANSPORTS[0],
        ]
    )


@case
def sflow_ipv6_extension_headers() -> Iterable[Made]:
    """Hop-by-hop and destination options."""
    yield sampled_packets(
        [
            _ether(1) / _ip6(1) / IPv6ExtHdrHopByHop() / TRANSPORTS[0],
            _ether(2) / _ip6(2) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TRANSPORTS[1],
        ]
    )


@case
def sflow_fragments() -> Iterable[Made]:
    """First and later fragments of IPv4 and IPv6."""
    yield sampled_packets(
        [
            _ether(1) / _ip(1, flags="MF") / TRANSPORTS[0],
            _ether(2) / _ip(2, frag=100, proto=17) / _payload(40),
            _ether(3) / _ip6(3) / IPv6ExtHdrFragment(m=1, id=9) / TRANSPORTS[0],
            _ether(4) / _ip6(4) / IPv6ExtHdrFragment(offset=100, id=9, nh=17) / _payload(40),
        ]
    )


@case
def sflow_tunnels() -> Iterable[Made]:
    """GRE, VXLAN, IP in IP."""
    inside = _ip(77) / UDP(sport=7_777, dport=8_888) / _payload(20)
    yield sampled_packets(
        [
            _ether(1) / _ip(1) / GRE() / inside,
            _ether(2)
            / _ip(2)
            / UDP(sport=50_000, dport=4_789)
            / VXLAN(vni=4_242)
            / _ether(66)
            / inside,
            _ether(3) / _ip(3, proto=4) / inside,
        ]
    )


@case
def sflow_no_ip() -> Iterable[Made]:
    """ARP, and an EtherType of nobody."""
    yield sampled_packets(
        [
            _ether(1, type=0x0806) / Raw(bytes.fromhex("0001080006040001") + bytes(20)),
            _ether(2, type=0x88B5) / _payload(50),
        ]
    )


@case
def sflow_header_protocols() -> Iterable[Made]:
    """Sampled headers that begin with IPv4 or IPv6."""
    for protocol, packet in ((11, _ip(1) / TRANSPORTS[0]), (12, _ip6(2) / TRANSPORTS[1])):
        found = bytes(packet)
        raw = sflow.raw_header(
            slices([found]), np.array([len(found)]), stripped=0, protocol=protocol
        )
        yield _sflow(_samples(1, [raw], 1))


@case
def sflow_sampled_ethernet_ipv4_ipv6() -> Iterable[Made]:
    """What the agent read of the packet itself."""
    common = {"sourceTransportPort": 1_111, "destinationTransportPort": 443}
    common |= {"tcpControlBits": 0x12, "ipClassOfService": 8, "protocolIdentifier": 6}
    fields: dict[int, Columns] = {
        2: {
            **dict.fromkeys(("padding", "padding#2"), 0),
            "frameLength": 300,
            "sourceMacAddress": 0x020000000001,
            "destinationMacAddress": 0x020000000101,
            "ethernetType": 0x0800,
        },
        3: common
        | {
            "ipTotalLength": 286,
            "sourceIPv4Address": 0x0A000001,
            "destinationIPv4Address": 0x0A010001,
        },
        4: common
        | {
            "ipTotalLength": 286,
            "sourceIPv6Address": np.array([halves("2001:db8::1")], np.uint64),
            "destinationIPv6Address": np.array([halves("2001:db8::2")], np.uint64),
        },
    }
    for number in SAMPLED:
        yield _sflow(_samples(1, [sflow.flow_record(number, fields[number], 1)], 1))


def _xdr(*values: int | bytes) -> bytes:
    """Numbers and octets one behind the other."""
    return b"".join(
        value if isinstance(value, bytes) else struct.pack("!I", value) for value in values
    )


def _address(text: str) -> bytes:
    upper, lower = halves(text)
    if "." in text:
        return _xdr(1, lower & 0xFFFF_FFFF)
    return _xdr(2) + struct.pack("!QQ", upper, lower)


_AS_PATH: Final = (1, 2, 3, 64_512, 64_513, 64_514)
VARIABLE_RECORDS: Final = {
    1002: (_address("192.0.2.77"), 24, 16),
    1003: (
        _address("192.0.2.78"),
        *(65_001, 65_002, 65_003),
        *_AS_PATH,
        *(2, 0xFDE90001, 0xFDE90002),
        150,
    ),
    1006: (_address("192.0.2.79"), 1, 0x000FF100, 2, 0x000FE000, 0x000FD100),
    1007: (_address("198.51.100.1"), _address("198.51.100.2")),
}
"""Extended records of no fixed length: router, gateway, MPLS, NAT."""


@case
def sflow_extended() -> Iterable[Made]:
    """What the agent says of a sample besides: a sample per kind of record."""
    frames = _frames([_ether() / _ip() / TRANSPORTS[0]])
    for number, layout in EXTENDED.items():
        fields = {name: 40 + n for n, name in enumerate(layout.places)}
        yield _sflow(_samples(1, [sflow.flow_record(number, fields, 1), frames], 1))
    for number, fields_ in VARIABLE_RECORDS.items():
        record = sflow.Record(number, slices([_xdr(*fields_)]))
        yield _sflow(_samples(1, [record, frames], 1))


@case
def sflow_unknown_records() -> Iterable[Made]:
    """A flow record of another enterprise in front of the header."""
    frames = _frames([_ether() / _ip() / TRANSPORTS[0]])
    unknown = sflow.Record(4_300 << 12 | 1, slices([bytes(range(1, 13))]))
    yield _sflow(_samples(1, [unknown, frames], 1))


def _counters(number: int) -> sflow.Record:
    """A counter record, each value of its own."""
    if number == PORT_NAME:
        return sflow.counter_record(number, {"interfaceName": octets(b"eth0")})
    layout = COUNTERS[number]
    fields = {
        name: 0 if name.startswith("padding") else 10 * n + place.field.width
        for n, (name, place) in enumerate(layout.places.items())
    }
    return sflow.counter_record(number, fields, 1)


@case
def sflow_counters() -> Iterable[Made]:
    """Every kind of counter record, each in a sample of its own."""
    head = {"sequenceNumber": np.array([1]), "sourceIdIndex": np.array([5])}
    for number in COUNTERS:
        yield _sflow(sflow.samples(2, head, [_counters(number)]))


@case
def sflow_expanded_counters() -> Iterable[Made]:
    """Several in one sample, expanded."""
    head = {"sequenceNumber": np.array([1]), "sourceIdIndex": np.array([5])}
    yield _sflow(sflow.samples(4, head, [_counters(1), _counters(2)]))


@case
def sflow_counters_of_open_vswitch() -> Iterable[Made]:
    """In the order in which Open vSwitch sends them."""
    head = {"sequenceNumber": np.array([1]), "sourceIdIndex": np.array([5])}
    numbers = (1, 7, 1004, 1005, 2)
    yield _sflow(sflow.samples(2, head, [_counters(number) for number in numbers]))
