"""Packets known beforehand: what they are, what they make, and who answers."""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from collector.key import FlowKey
from lab.traffic import KINDS
from lab.traffic.schedule import Cast, Schedule, Sink
from topologies import SHAPES

TOPOLOGY = SHAPES["linear"].build(SHAPES["linear"].parameters(switches=3))
CAST = Cast(TOPOLOGY.hosts)
H1, H2, H3 = (host.mac for host in TOPOLOGY.hosts)
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def frame(*, to=H2, ip="10.0.0.1", to_ip="10.0.0.2", payload: Packet):
    return bytes(Ether(src=H1, dst=to) / IP(src=ip, dst=to_ip) / payload)


def sent(*packets: bytes) -> Schedule:
    return Schedule.of_frames(CAST, np.arange(len(packets)) / 10, 0, packets)


def key(source, destination, protocol, *ports):
    return FlowKey(4, source, destination, protocol, *ports)


SYN = TCP(sport=5, dport=80, flags="S")
DATAGRAM = UDP(sport=5, dport=53) / b"abc"


def step(kind, **settings):
    return KINDS[kind].model_validate(settings)


@pytest.mark.parametrize(
    ("packet", "flows"),
    [
        (frame(payload=DATAGRAM), [(key("10.0.0.1", "10.0.0.2", 17, 5, 53), "h2", 1, 31, 45)]),
        (
            frame(payload=SYN),
            [
                (key("10.0.0.1", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54),
                (key("10.0.0.2", "10.0.0.1", 6, 80, 5), "h1", 1, 40, 54),
            ],
        ),
        (
            frame(payload=ICMP() / b"12345"),
            [
                (key("10.0.0.1", "10.0.0.2", 1, 0, 8 << 8), "h2", 1, 33, 47),
                (key("10.0.0.2", "10.0.0.1", 1, 0, 0), "h1", 1, 33, 47),
            ],
        ),
        (
            frame(payload=ICMP(code=5) / b"12345"),
            [
                (key("10.0.0.1", "10.0.0.2", 1, 0, 8 << 8 | 5), "h2", 1, 33, 47),
                (key("10.0.0.2", "10.0.0.1", 1, 0, 5), "h1", 1, 33, 47),
            ],
        ),
        # nor what has a wrong checksum
        (
            frame(payload=TCP(sport=5, dport=80, flags="S", chksum=1)),
            [(key("10.0.0.1", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54)],
        ),
        (
            frame(payload=ICMP(chksum=1) / b"12345"),
            [(key("10.0.0.1", "10.0.0.2", 1, 0, 8 << 8), "h2", 1, 33, 47)],
        ),
        (
            bytes(Ether(src=H1, dst=H2) / IP(src="10.0.0.1", dst="10.0.0.2", chksum=7) / SYN),
            [(key("10.0.0.1", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54)],
        ),
        # nobody answers a reset, a forged source, another host's packets, itself, or everybody
        (
            frame(payload=TCP(sport=5, dport=80, flags="RA")),
            [(key("10.0.0.1", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54)],
        ),
        (
            frame(ip="198.18.0.1", payload=SYN),
            [(key("198.18.0.1", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54)],
        ),
        (
            frame(to_ip="10.0.0.3", payload=SYN),
            [(key("10.0.0.1", "10.0.0.3", 6, 5, 80), "h2", 1, 40, 54)],
        ),
        (
            frame(ip="10.0.0.2", payload=SYN),
            [(key("10.0.0.2", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54)],
        ),
        (
            frame(to=EVERYBODY, to_ip="10.0.0.2", payload=SYN),
            [(key("10.0.0.1", "10.0.0.2", 6, 5, 80), None, 1, 40, 54)],
        ),
        # whose address the packet has forged is answered in its stead
        (
            frame(ip="10.0.0.3", payload=SYN),
            [
                (key("10.0.0.3", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 54),
                (key("10.0.0.2", "10.0.0.3", 6, 80, 5), "h3", 1, 40, 54),
            ],
        ),
        (
            bytes(Ether(src=H1, dst=H2) / Dot1Q(vlan=7) / IP(src="10.0.0.1", dst="10.0.0.2") / SYN),
            [(key("10.0.0.1", "10.0.0.2", 6, 5, 80), "h2", 1, 40, 58)],
        ),
    ],
)
def test_flows_and_the_kernels_answers_follow_from_the_frames(packet, flows):
    assert [
        (flow.key, flow.destination, flow.packets, flow.octets_l3, flow.whole_frames)
        for flow in sent(packet).flows
    ] == flows


def test_what_is_not_ip_has_macs_and_an_ethertype():
    (request, reply) = step("arp", **{"from": "h1", "to": "h3"}).schedule(CAST, 0).flows
    assert (request.key, request.destination) == (FlowKey(0, H1, EVERYBODY, 0x0806, 0, 0), None)
    assert (reply.key, reply.destination) == (FlowKey(0, H3, H1, 0x0806, 0, 0), "h1")
    assert (request.octets_l3, request.whole_frames) == (None, 42)


def test_sinks_take_what_kernels_would_complain_about():
    esp = bytes(
        Ether(src=H1, dst=H2) / IP(src="10.0.0.1", dst="10.0.0.2", proto=50) / Raw(b"x" * 8)
    )
    packets = [frame(payload=DATAGRAM), frame(payload=SYN), frame(to=H3, payload=DATAGRAM), esp]
    assert sent(*packets).sinks() == (Sink("h2", 4, 17, 53), Sink("h2", 4, 50, 0))


def test_fragments_of_protocol_0_without_the_first_one_need_no_sink():
    def of_protocol_0(**fields):
        ip = IP(src="10.0.0.1", dst="10.0.0.2", proto=0, **fields)
        return bytes(Ether(src=H1, dst=H2) / ip / Raw(b"x" * 8))

    assert sent(of_protocol_0(frag=8)).sinks() == ()
    for fields in ({}, {"flags": "MF"}):
        assert sent(of_protocol_0(**fields)).sinks() == (Sink("h2", 4, 0, 0),)


def test_repeating_keeps_the_pace_and_the_order():
    twice = sent(b"a" * 14, b"b" * 14).repeated(2, 0.5)
    assert twice.at_s == pytest.approx([0, 0.1, 0.6, 0.7])
    assert bytes(twice.heads[:, 0]) == b"abab"


def test_the_parts_of_a_step_are_sent_when_they_are_due():
    early, late = sent(b"a" * 20, b"b" * 20), sent(b"c" * 14).later(0.05)
    both = Schedule.together([late, early])
    assert bytes(both.heads[:, 0]) == b"acb"
    assert both.lengths.tolist() == [20, 14, 20]


def test_arp_messages_are_what_scapy_makes_of_them():
    schedule = step("arp", **{"from": "h1", "to": "h2"}).schedule(CAST, 0)
    whole = [bytes(head) for head in schedule.heads]
    request = ARP(op=1, hwsrc=H1, psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2")
    reply = ARP(op=2, hwsrc=H2, psrc="10.0.0.2", hwdst=H1, pdst="10.0.0.1")
    assert whole == [
        bytes(Ether(src=H1, dst=EVERYBODY) / request),
        bytes(Ether(src=H2, dst=H1) / reply),
    ]
