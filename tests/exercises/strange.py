"""``python -m tests.exercises.strange``: writes the case that stands beside samples in exercise 04.

Datagrams of sFlow with what nobody has to know, and what the generator does not make: records and
samples of other types, headers that are not of Ethernet, packets that are not of IPv4, and IPv4
headers with options. Two of their samples are of packets that a collector has to tell.

Source: sFlow version 5 (sflow.org), the structures of the datagram, of flow and counters samples.
"""

from __future__ import annotations

import struct
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

from collector.corpus.case import EXPORTS, Manifest, Truth
from collector.key import FlowKey
from collector.recording import Writer, encapsulate_udp
from lab.corpus import write_case
from lab.exercises.model import find

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = find("04").folder / "strange"
AGENT = "192.0.2.1"
RATE = 256
FLOW, COUNTERS, OF_AN_ENTERPRISE = 1, 2, 4413 << 12 | 1
RAW_HEADER, EXTENDED_SWITCH = 1, 1001
ETHERNET, FDDI = 1, 4
FCS_OCTETS, ETHERNET_OCTETS = 4, 14
IPV4_WITH_OPTIONS = 0x46
ARP = bytes.fromhex("ffffffffffff020000000001080600010800060400010200000000010a090001")
ARP += bytes.fromhex("0000000000000a090002") + bytes(18)
BEGIN_NS = 1_700_000_000_000_000_000
OPTIONS = bytes((1, 1, 1, 0))
"""Three that do nothing, and the end (RFC 791 section 3.1)."""


def words(*given: int) -> bytes:
    """32-bit words in network byte order."""
    return struct.pack(f"!{len(given)}I", *given)


def kind(number: int, content: bytes) -> bytes:
    """A sample or a record: type, length, content, filled up to a word."""
    content += bytes(-len(content) % 4)
    return words(number, len(content)) + content


def header(frame: bytes, protocol: int = ETHERNET) -> bytes:
    """A record with all of a packet."""
    told = words(protocol, len(frame) + FCS_OCTETS, FCS_OCTETS, len(frame))
    return kind(RAW_HEADER, told + frame)


def flow(number: int, *records: bytes) -> bytes:
    """A flow sample."""
    return kind(
        FLOW, words(number, 1, RATE, RATE * number, 0, 1, 2, len(records)) + b"".join(records)
    )


def datagram(number: int, *samples: bytes) -> bytes:
    """Of the agent."""
    agent = int(ip_address(AGENT))
    return words(5, 1, agent, 0, number, 1_000 * number, len(samples)) + b"".join(samples)


def with_options(frame: bytes) -> bytes:
    """A frame whose IPv4 header has options, and so its ports four octets further on."""
    ip = bytearray(frame[14:34] + OPTIONS)
    ip[0] = IPV4_WITH_OPTIONS
    ip[2:4] = (len(frame) - ETHERNET_OCTETS + len(OPTIONS)).to_bytes(2)
    ip[10:12] = bytes(2)
    total = sum(struct.unpack("!12H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip[10:12] = (0xFFFF - total).to_bytes(2)
    return frame[:14] + bytes(ip) + frame[34:]


def row(frame: bytes, key: FlowKey) -> dict[str, object]:
    """What is true of a sampled frame; octets above Ethernet are told of IP alone."""
    octets = RATE * len(frame)
    above = octets - RATE * ETHERNET_OCTETS if key.ip_version else None
    seen = {"protocol": "sflow5", "exporter": AGENT, "observation_domain": None, "agent": AGENT}
    counted = {"packets": RATE, "octets_l2": octets, "octets_l3": above}
    unsaid = dict.fromkeys(("flowDirection", "tcpControlBits", "first_ns", "last_ns"))
    return {**seen, **unsaid, **counted, "sampling": RATE, "flow": key.to_json()}


def write(folder: Path) -> None:
    """Write the case."""
    one, other = ("10.9.0.1", 41_001, "10.9.0.2", 5_301), ("10.9.0.3", 41_002, "10.9.0.4", 5_302)
    never = ("10.9.0.5", 41_003, "10.9.0.6", 5_303)
    longer = with_options(encapsulate_udp(*one, bytes(80)))
    plain = encapsulate_udp(*other, bytes(61))
    misread = encapsulate_udp(*never, bytes(40))
    # Whoever takes it for a header reads: Ethernet.
    switch = kind(EXTENDED_SWITCH, words(1, 7, 1, 0))
    datagrams = [
        datagram(1, flow(1, switch, header(longer)), kind(COUNTERS, words(1, 1, 0))),
        datagram(2, flow(2, header(ARP)), kind(OF_AN_ENTERPRISE, words(*range(1, 12)))),
        datagram(3, flow(3, header(misread, FDDI)), flow(4, header(plain), switch)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with Writer(folder / EXPORTS) as writer:
        for number, octets in enumerate(datagrams):
            frame = encapsulate_udp(AGENT, 40_000, "192.0.2.254", 6_343, octets)
            writer.write(BEGIN_NS + number, frame)
    manifest = Manifest(
        title="What nobody has to know",
        about="Step over samples, records, headers and packets of kinds that are not known.",
        protocols=["sflow5"],
        features=["ipv4", "non-ip", "sampling", "sflow-counters"],
        exporter="tests/exercises/strange.py",
        remake="python -m tests.exercises.strange",
    )
    udp = [FlowKey(4, source, to, 17, port, to_port) for source, port, to, to_port in (one, other)]
    arp = FlowKey(0, "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", 0x0806, 0, 0)
    flows = [row(longer, udp[0]), row(plain, udp[1]), row(ARP, arp)]
    counts = {"datagrams": 3, "records": 3, "missing": 0, "duplicates": 0, "undecodable": 0}
    write_case(folder, manifest, Truth(flows, counts), folder / EXPORTS)


if __name__ == "__main__":
    write(FOLDER)
    sys.exit()
