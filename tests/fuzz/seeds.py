"""Cases to begin with: golden datagrams, and what the encoders make of every other feature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collector import pcap
from collector.decode.sflow_layouts import COUNTERS, EXTENDED, SAMPLED
from collector.decode.templates import IPFIX, NETFLOW9, TEMPLATE_SETS, read_templates
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
    sflow,
    template,
    withdrawn,
)
from collector.encode.packet import ETHERNET_TYPES, frame_octets, sampled
from tests.fuzz.check import case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.encode import Sent

GOLDEN = Path(__file__).parents[1] / "golden"
IPFIX_PORT = 4739
NOW_NS = 1_700_000_000_000_000_000
NAMES = ["sourceIPv4Address", "destinationIPv4Address", ("octetDeltaCount", 4), "packetDeltaCount"]
TIMES = ["flowStartSysUpTime", "flowEndSysUpTime"]


def seeds() -> list[bytes]:
    """All cases."""
    return [*_golden(), *_templated(), *_sflow(), _case(2055, netflow5.datagrams(_some(3), *_NOW))]


_NOW = (Session(domain=1), NOW_NS)


def _some(count: int) -> dict[str, Any]:
    """Columns of a few flows."""
    names = [name if isinstance(name, str) else name[0] for name in [*NAMES, *TIMES]]
    return {name: np.arange(count) + 1 for name in names}


def _payloads(sent: Sent) -> list[bytes]:
    spans = zip(sent.offset.tolist(), sent.length.tolist(), strict=True)
    return [sent.buffer[at : at + size].tobytes() for at, size in spans]


def _case(port: int, made: tuple[Sent, Any]) -> bytes:
    """What an encoder made, as a case."""
    return case([(port, payload) for payload in _payloads(made[0])])


def _golden() -> Iterator[bytes]:
    """A datagram of every length, of every template; these behind the one that brought it."""
    for name in ("openvswitch.pcap", "openvswitch-flow-sampling.pcap"):
        found = pcap.datagrams(pcap.read(GOLDEN / name))
        announced_by: dict[int, tuple[int, bytes]] = {}
        seen = set()
        rows = zip(found.destination_port, found.offset, found.length, strict=True)
        for port, at, size in [tuple(map(int, row)) for row in rows]:
            payload = found.buffer[at : at + size].tobytes()
            kind = int.from_bytes(payload[16:18], "big")
            if port == IPFIX_PORT and kind in TEMPLATE_SETS[IPFIX]:
                for one in read_templates(payload[20:], options=kind == TEMPLATE_SETS[IPFIX][1]):
                    announced_by[one.template] = port, payload
            elif (one_of := (port, kind if port == IPFIX_PORT else size)) not in seen:
                seen.add(one_of)
                first = [announced_by[kind]] if port == IPFIX_PORT else []
                yield case([*first, (port, payload)])


def _templated() -> Iterator[bytes]:
    """NetFlow v9 and IPFIX: options, what is learned, variable lengths, lists, withdrawals."""
    for version, encode in ((IPFIX, ipfix.messages), (NETFLOW9, netflow9.packets)):
        flow = template(300, [*NAMES, *TIMES], version=version)
        sampling = template(
            400, [("ingressInterface", 4), "samplingInterval"], scopes=1, version=version
        )
        named = template(
            401, [("ingressInterface", 4), ("interfaceName", 5)], scopes=1, version=version
        )
        ports = {
            "ingressInterface": np.arange(2),
            "samplingInterval": 64,
            "interfaceName": b"eth01",
        }
        parts = [*announced([flow, sampling, named])]
        parts += [data(sampling, ports), data(named, ports), data(flow, _some(3))]
        yield _case(2055, encode(parts, *_NOW, division=Division(2), align=4))
        # Data before its template, and what the id means afterwards.
        other = template(300, [("octetDeltaCount", 3)], version=version)
        parts = [data(flow, _some(2)), *announced([flow]), data(flow, _some(1))]
        parts += [*announced([other]), data(other, _some(4))]
        yield _case(2055, encode(parts, *_NOW, division=Division(1)))
    strings = template(301, ["interfaceName", ("octetDeltaCount", 2), "wlanSSID", "userName"])
    values = np.array([b"eth0", b"", b"x" * 300], object)
    columns = {"interfaceName": values, "wlanSSID": values[::-1], "userName": b"a"}
    parts = [*announced([strings]), data(strings, columns | {"octetDeltaCount": 5})]
    yield _case(4739, ipfix.messages(parts, *_NOW))
    yield from _lists(strings)
    flow = template(300, NAMES)
    for withdrawal in (withdrawn([300]), all_withdrawn(), all_withdrawn(options=True)):
        parts = [*announced([flow]), data(flow, _some(1)), withdrawal, data(flow, _some(1))]
        yield _case(4739, ipfix.messages(parts, *_NOW))


def _lists(strings: Any) -> Iterator[bytes]:
    """RFC 6313."""
    holder = template(302, ["basicList", "subTemplateList", "subTemplateMultiList"])
    columns = dict.fromkeys(["interfaceName", "wlanSSID", "userName"], b"ab") | {
        "octetDeltaCount": 1
    }
    columns = {
        "basicList": lists.basic_list(np.arange(4), "sourceTransportPort", "ordered"),
        "subTemplateList": lists.sub_template_list(strings, columns, 2, "allOf"),
        "subTemplateMultiList": lists.sub_template_multi_list([(strings, columns, 1)]),
    }
    parts = [*announced([strings, holder]), data(holder, columns, 2)]
    yield _case(4739, ipfix.messages(parts, *_NOW))


def _sflow() -> Iterator[bytes]:
    """Every kind of sample and of record."""
    packets: dict[str, Any] = {
        "ipVersion": np.array([4, 6, 4, 4]),
        "protocolIdentifier": np.array([6, 17, 1, 47]),
        "vlanId": np.array([0, 7, 0, 0]),
        "sourceIPAddress": np.array([[0, 0xFFFF << 32 | 1], [1, 2]] * 2, np.uint64),
        "destinationIPAddress": np.array([[0, 0xFFFF << 32 | 2], [3, 4]] * 2, np.uint64),
        "destinationTransportPort": np.array([443, 4789, 0x0800, 0]),
        "ipTotalLength": 100,
    }
    packets["ethernetType"] = np.array([ETHERNET_TYPES[int(v)] for v in packets["ipVersion"]])
    raw = sflow.raw_header(sampled(packets, np.full(4, 64)), frame_octets(packets) + 4)
    head, _ = sflow.numbered(sflow.Agent(), {"samplingInterval": np.full(4, 100)})
    for number, address in ((1, "192.0.2.1"), (3, "2001:db8::1")):
        parts = [sflow.samples(number, head, [raw])]
        for kind, layout in {**SAMPLED, **EXTENDED}.items():
            record = sflow.flow_record(kind, _numbers(layout), 4)
            parts.append(sflow.samples(number, head, [record]))
        counters = [
            sflow.counter_record(kind, _numbers(layout) | {"interfaceName": [b"eth0"] * 4}, 4)
            for kind, layout in COUNTERS.items()
        ]
        parts.append(sflow.samples(number + 1, head, counters))
        for part in parts:
            one = Division(1)
            made = sflow.datagrams([part], sflow.Agent(address), NOW_NS, division=one)
            yield case([(6343, payload) for payload in _payloads(made[0])[:2]])


def _numbers(layout: Any) -> dict[str, Any]:
    """A value per field."""
    return {
        name: np.ones((4, 2), np.uint64) if place.field.kind == "ipv6Address" else 5
        for name, place in layout.places.items()
    }
