"""Which frames are refused since the switch reads them otherwise; each was tried in a real run."""

from __future__ import annotations

import pytest

from lab.traffic.alike import odd
from lab.traffic.packets import _octets

TAG = {"Dot1Q": {"vlan": 7}}
UDP = {"UDP": {"sport": 7, "dport": 9}}
QUAD = 34984
"""0x88a8, a service provider's tag."""


def raw(octets):
    return {"Raw": {"load": "x" * octets}}


def ends_with(hexadecimal):
    return {"Raw": {"load": list(bytes.fromhex(hexadecimal))}}


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([TAG, TAG, {"IP": {}}, UDP], "one VLAN tag only"),
        ([{"Ether": {"type": QUAD}}, TAG, TAG, {"IP": {}}, UDP], "one VLAN tag only"),
        ([{"Ether": {"type": 0x9100}}, TAG, {"IP": {}}, UDP], "0x9100"),
        ([{"Ether": {"type": 0x8100}}, raw(2)], "ends within its VLAN tag"),
        ([{"MPLS": {"label": 7}}, {"IP": {}}, UDP], "behind MPLS labels"),
        ([TAG, {"MPLS": {"label": 7}}, {"IP": {}}, UDP], "behind MPLS labels"),
        ([{"Ether": {"type": 60}}, raw(60)], "the EtherType 60 is a length"),
        ([{"Ether": {"type": 0x800}}, raw(19)], "the IP header has 19 octets"),
        ([{"Ether": {"type": 0x86DD}}, raw(39)], "the IPv6 header has 39 octets"),
        ([{"IP": {"version": 5}}, UDP], "the EtherType says IP, the version is 5"),
        ([{"IPv6": {"version": 4}}, UDP], "the EtherType says IPv6, the version is 4"),
        ([{"IP": {"ihl": 4}}, UDP], "IP.ihl says 16 octets"),
        ([{"IP": {"ihl": 15}}, UDP], "IP.ihl says 60 octets"),
        ([{"IP": {"len": 24}}, UDP], "IP.len says 24 octets, there are 28"),
        ([{"IP": {"len": 100}}, UDP], "IP.len says 100 octets, there are 28"),
        ([{"IPv6": {"plen": 4}}, UDP], "IPv6.plen says 4 octets, there are 8"),
        ([{"IP": {"proto": 17}}, raw(7)], "7 octets are too few for UDP"),
        ([{"IP": {"proto": 6}}, raw(19)], "19 octets are too few for TCP"),
        ([{"IP": {"proto": 132}}, raw(11)], "11 octets are too few for SCTP"),
        ([{"IP": {"proto": 1}}, raw(5)], "5 octets are too few for ICMP"),
        ([{"IPv6": {"nh": 58}}, raw(4)], "4 octets are too few for ICMPv6"),
        ([{"IP": {"proto": 58}}, raw(8)], "ICMPv6 is not for IPv4"),
        ([{"IPv6": {"nh": 1}}, raw(8)], "ICMP is not for IPv6"),
        ([{"IP": {"proto": 33}}, raw(20)], "protocol 33 (DCCP)"),
        ([{"IPv6": {"nh": 136}}, raw(20)], "protocol 136 (UDP-Lite)"),
        ([{"IP": {}}, {"TCP": {"dataofs": 4}}], "TCP.dataofs says 16 octets"),
        ([{"IP": {}}, {"TCP": {"dataofs": 6}}], "TCP.dataofs says 24 octets"),
        ([{"IP": {}}, {"UDP": {"dport": 0}}], "UDP port 0"),
        ([{"IPv6": {}}, *8 * [{"IPv6ExtHdrDestOpt": {}}], UDP], "more than 7 extension headers"),
        ([{"IPv6": {"nh": 60}}, ends_with("1101000000000000")], "within an extension header"),
        ([{"IPv6": {"nh": 0}}, ends_with("11")], "within an extension header"),
        ([{"Ether": {"dst": "01:80:c2:00:00:0f"}}, {"IP": {}}, UDP], "drop what is for 01:80:c2"),
        ([{"Ether": {"dst": "01:00:0c:cc:cc:c7"}}, {"IP": {}}, UDP], "drop what is for 01:00:0c"),
    ],
)
def test_what_the_switch_reads_otherwise_is_odd(layers, says):
    found = odd(_octets(tuple(layers), (None, None)))
    assert found is not None
    assert says in found.message
    assert found.hint


@pytest.mark.parametrize(
    "layers",
    [
        [{"IP": {}}, UDP],
        [TAG, {"IP": {}}, UDP],
        [{"Ether": {"type": QUAD}}, TAG, {"IP": {}}, UDP],
        [{"ARP": {}}],
        [UDP],
        [{"Ether": {"dst": "01:80:c2:00:00:10"}}, {"IP": {}}, UDP],
        [{"Ether": {"dst": "01:00:5e:00:00:05"}}, {"IP": {}}, UDP],
        [{"IP": {}}, {"GRE": {"proto": 0x8847}}, {"MPLS": {"label": 7}}, {"IP": {}}, UDP],
        [{"IP": {"frag": 8}}, raw(4)],
        [{"IP": {"flags": "MF"}}, UDP, raw(8)],
        [{"IP": {}}, {"UDP": {"dport": 9, "len": 4}}, raw(4)],
        [{"IP": {"proto": 2}}, raw(8)],
        [{"IP": {}}, {"SCTP": {"dport": 9}}],
        [{"IP": {}}, {"TCP": {"flags": "FPU"}}],
        [{"IPv6": {}}, {"IPv6ExtHdrFragment": {"offset": 3, "nh": 17}}, raw(3)],
        [{"IPv6": {}}, *7 * [{"IPv6ExtHdrDestOpt": {}}], UDP],
        [{"IPv6": {"nh": 51}}, ends_with("1100000000000000"), UDP],
    ],
)
def test_what_everybody_reads_alike_is_not(layers):
    assert odd(_octets(tuple(layers), (None, None))) is None
