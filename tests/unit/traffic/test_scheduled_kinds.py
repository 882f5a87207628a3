"""Every scheduled kind: the same seed gives the same packets, and scapy finds them sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.utils import PcapWriter, checksum

from collector.decode.octets import Octets
from collector.decode.packet import dissect
from lab.traffic import KINDS
from lab.traffic.chance import drawn
from lab.traffic.schedule import Cast
from topologies import SHAPES

TOPOLOGY = SHAPES["tree"].build(SHAPES["tree"].parameters(depth=2, fanout=2))
CAST = Cast(TOPOLOGY.hosts)
ENDS = {"from": "h1", "to": "h3"}
LAYERS = [{"IP": {"ttl": 3}}, {"UDP": {"dport": 53}}, {"Raw": {"load": "hello"}}]
STEPS = {
    "arp": {**ENDS, "count": 4},
    "multicast": {"from": "h2", "datagrams": 5},
    "multicast over IPv6": {"from": "h2", "group": "ff15::9", "payload_octets": 31},
    "broadcast": {"from": "h2"},
    "scan": {"from": "h1", "to": ["h2", "h4"], "ports": "1-30"},
    "scan over IPv6": {**ENDS, "ports": [1, 9], "ip_version": 6},
    "flood": {**ENDS, "packets": 60, "sources": 20},
    "flood with datagrams": {**ENDS, "packets": 60, "method": "udp", "payload_octets": 33},
    "voip": {**ENDS, "calls": 3, "duration_s": 0.2},
    "video": {**ENDS, "duration_s": 0.3},
    "mix": {"flows": 200, "mean_packets": 5},
    "mix over IPv6": {"flows": 20, "ip_version": 6, "hosts": ["h1", "h2"]},
    "fragments": {**ENDS, "datagrams": 2},
    "fragments over IPv6": {**ENDS, "datagrams": 2, "ip_version": 6, "mtu_octets": 1280},
    "vlan": {**ENDS, "vlan": 7},
    "extension-headers": {**ENDS, "headers": ["hop-by-hop", "routing", "fragment", "destination"]},
    "icmp-error": {**ENDS, "error": "too-big"},
    "icmp-error over IPv6": {**ENDS, "ip_version": 6},
    "tunnel": {**ENDS, "flows": 3, "datagrams": 4},
    "tunnel by ip-in-ip": {**ENDS, "by": "ip-in-ip", "payload_octets": 33},
    "tunnel by vxlan": {**ENDS, "by": "vxlan", "vni": 77, "flows": 3},
    "tunnel by vxlan over IPv6": {**ENDS, "by": "vxlan", "ip_version": 6},
    "packets": {**ENDS, "layers": LAYERS, "count": 3},
    "replay": {
        "file": "scenarios/protocols/replayed.pcap",
        "hosts": {
            "192.0.2.1": "h1",
            "192.0.2.2": "h3",
            "2001:db8:1::1": "h1",
            "2001:db8:1::2": "h2",
        },
    },
}


def planned(name, **changes):
    kind = KINDS[name.partition(" ")[0]]
    return kind.model_validate({**STEPS[name], **changes}).schedule(CAST, 40_000)


def frames(schedule):
    for head, length in zip(schedule.heads, schedule.lengths.tolist(), strict=True):
        yield head.tobytes()[:length].ljust(length, b"\0")


def test_every_scheduled_kind_is_tried_here():
    scheduled = {name for name, kind in KINDS.items() if hasattr(kind, "schedule")}
    assert scheduled == {name.partition(" ")[0] for name in STEPS}


@pytest.mark.parametrize("name", STEPS)
def test_the_same_step_gives_the_same_packets(name):
    one, other = planned(name), planned(name)
    assert list(frames(one)) == list(frames(other))
    assert (one.at_s == other.at_s).all()


@pytest.mark.parametrize(
    "name", [name for name in STEPS if name.split()[0] in ("flood", "mix", "scan")]
)
def test_another_seed_gives_other_packets(name):
    assert list(frames(planned(name))) != list(frames(planned(name, seed=2)))


def inside(frame):
    """The frame in a frame of VXLAN, whose datagram has no checksum; any other one itself."""
    packet = Ether(frame)
    if VXLAN not in packet:
        return frame
    assert (packet[UDP].chksum, packet[UDP].len) == (0, len(packet[UDP]))
    return bytes(packet[VXLAN].payload)


@pytest.mark.parametrize("name", STEPS)
def test_scapy_finds_every_length_and_checksum_right(name):
    for frame in map(inside, list(frames(planned(name)))[:80]):
        packet = Ether(frame)
        if IP in packet:
            assert packet[IP].len == len(frame) - len(packet) + len(packet[IP])
            assert checksum(frame[14 + 4 * (Dot1Q in packet) :][:20]) == 0
        if IPv6 in packet:
            assert packet[IPv6].plen + 40 == len(packet[IPv6])
        if IP in packet and packet[IP].frag:
            continue
        for layer in (UDP, TCP, ICMP):
            if layer in packet and not (IP in packet and packet[IP].flags.MF):
                claimed = packet[layer].chksum
                if IPv6 in packet and "Fragment" in packet.summary():
                    continue
                inner = packet.copy()
                del inner[layer].chksum
                if layer is not ICMP or inner[ICMP].underlayer is not None:
                    again = Ether(bytes(inner))
                    assert again[layer].chksum in (claimed, 0xFFFF - claimed), packet.summary()


@pytest.mark.parametrize("name", STEPS)
def test_flows_add_up_to_the_packets_and_the_octets(name):
    schedule = planned(name)
    senders = set(schedule.senders)
    own = [flow for flow in schedule.flows if flow.source in senders or name == "arp"]
    answered = sum(flow.packets for flow in schedule.flows) - len(schedule)
    assert answered == {"scan": len(schedule), "replay": 3}.get(name.split()[0], 0)
    if not answered:
        assert sum(flow.whole_frames for flow in own) == schedule.octets


@pytest.mark.parametrize("name", STEPS)
def test_so_many_octets_of_header_tell_the_flows_and_no_fewer(name):
    schedule = planned(name)
    octets = schedule.header_octets
    assert cut(schedule, octets) == cut(schedule, schedule.heads.shape[1])
    assert cut(schedule, octets - 1) != cut(schedule, octets)


def cut(schedule, octets):
    """What is read of all frames where so many octets of each are there."""
    buffer = np.concatenate([schedule.heads.reshape(-1), np.zeros(64, np.uint8)])
    start = np.arange(len(schedule)) * schedule.heads.shape[1]
    read = dissect(Octets(buffer), start, np.minimum(schedule.lengths, octets))
    key = ("ip_version", "protocol", "source_port", "destination_port", "tcp_flags", "depth")
    return [getattr(read, name).tolist() for name in key]


def test_a_flood_has_as_many_sources_as_were_asked_for():
    flows = planned("flood").flows
    assert len(flows) == 20
    assert {flow.key.source.split(".")[0] for flow in flows} == {"198"}


def test_a_scan_hears_from_each_port():
    there = [flow for flow in planned("scan").flows if flow.source == "h1"]
    assert {(flow.destination, flow.key.destination_port) for flow in there} == {
        (host, port) for host in ("h2", "h4") for port in range(1, 31)
    }


def test_a_call_is_two_flows_of_equal_packets():
    flows = planned("voip").flows
    assert [(flow.packets, flow.octets_l3) for flow in flows] == [(10, 2000)] * 6


def test_a_key_picture_is_a_longer_burst():
    due_s = planned("video").at_s
    in_burst = np.bincount((due_s * 25 + 1e-9).astype(int))
    assert in_burst.tolist() == [20, 4, 4, 4, 4, 4, 4]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["constant", "uniform", "exponential", "pareto"]))
@settings(max_examples=40, deadline=None)
def test_a_mix_never_goes_faster_than_its_rate_and_loses_no_flow(seed, sizes):
    schedule = planned("mix", seed=seed, sizes=sizes, rate_pps=3000)
    assert (np.diff(schedule.at_s) > 1 / 3001).all()
    assert len(schedule.flows) == 200


@pytest.mark.parametrize("name", ["constant", "uniform", "exponential", "pareto"])
def test_distributions_have_their_mean_and_their_numbers(name):
    numbers = drawn(name, 10, 1, 200_000, "sizes")
    assert numbers.mean() == pytest.approx(10, rel=0.1)
    known = {"constant": 10, "uniform": 18.6288, "exponential": 26.8002, "pareto": 19.8986}
    assert numbers[0] == pytest.approx(known[name], abs=1e-3)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([{"os.system": {}}], "unknown layer 'os.system'"),
        ([{"IP": {"colour": 3}}], "IP has no field 'colour'"),
        ([{"IP": {"dst": "10.0.0.0/8"}}], "'10.0.0.0/8' is no IPv4 address"),
        ([{"IP": {"dst": "example.org"}}], "'example.org' is no IPv4 address"),
        ([{"IP": {}}, {"UDP": {"dport": "http"}}], "UDP.dport takes a number"),
        ([{"IP": {}, "UDP": {}}], "a layer is one name"),
        ([{"IP": {}}, {"Raw": {"load": "x" * 1600}}], "a frame of 1634 octets"),
        ([{"IP": {}}, {"UDP": {"dport": 70000}}], "UDP.dport cannot be '70000'"),
        ([{"IP": {"dst": "2001:db8::1"}}], "'2001:db8::1' is no IPv4 address"),
        ([{"IPv6": {"src": "10.0.0.1"}}], "'10.0.0.1' is no IPv6 address"),
        ([{"ARP": {"psrc": "::1"}}], "'::1' is no IPv4 address"),
        ([{"Dot1Q": {"vlan": [1, 2]}}], "Dot1Q.vlan takes one number, found a list"),
        ([{"Dot1Q": {"vlan": 5000}}], "Dot1Q.vlan has 12 bits, found 5000"),
        ([{"IP": {}}, {"TCP": {"flags": "XYZ"}}], "TCP.flags cannot be 'XYZ'"),
        ([{"IP": {"flags": "S"}}], "IP.flags cannot be 'S'"),
        ([{"VXLAN": {"flags": "Q"}}], "VXLAN.flags cannot be 'Q'"),
        ([{"Raw": {"load": [300]}}], "Raw.load cannot be '[300]'"),
        ([{"Ether": {"src": "h1"}}], "'h1' is no address"),
        ([{"IP": {}}, {"UDP": {"dport": 0}}], "UDP port 0 is nobody's"),
    ],
)
def test_layers_are_data_and_nothing_else(layers, says):
    with pytest.raises(ValidationError, match="1 validation error") as refused:
        KINDS["packets"].model_validate({**ENDS, "layers": layers})
    assert says in str(refused.value)


def test_what_an_author_leaves_out_is_taken_from_the_hosts():
    (frame, *_) = frames(planned("packets"))
    packet = Ether(frame)
    assert (packet.src, packet.dst) == ("02:00:00:00:00:01", "02:00:00:00:00:03")
    assert (packet[IP].src, packet[IP].dst, packet[IP].ttl) == ("10.0.0.1", "10.0.0.3", 3)
    assert packet[UDP].dport == 53


def test_a_replay_changes_addresses_and_keeps_ports_lengths_and_times():
    schedule = planned("replay")
    packets = [Ether(frame) for frame in frames(schedule)]
    assert len(packets) == 16  # of 18: another address, and ARP
    assert {packet[IP].src for packet in packets if IP in packet} == {"10.0.0.1", "10.0.0.3"}
    assert packets[0][UDP].dport == 53
    assert packets[0][IP].ttl == 57
    assert schedule.at_s[:3] == pytest.approx([0, 0.01, 0.02])
    assert planned("replay", speed=10).at_s[-1] == pytest.approx(schedule.at_s[-1] / 10)


def test_a_replay_cuts_padding_off_and_leaves_out_what_not_everybody_reads_alike(tmp_path):
    between = Ether() / IP(src="192.0.2.1", dst="192.0.2.2")
    captured = [
        bytes(between / UDP(sport=5, dport=6) / b"hi").ljust(60, b"\0"),
        bytes(between / UDP(sport=5, dport=0)),
        bytes(between / UDP(sport=5, dport=7)),
    ]
    with PcapWriter(str(tmp_path / "x.pcap"), linktype=1) as writer:
        for frame in captured:
            writer.write(frame)
    sent = list(frames(planned("replay", file=str(tmp_path / "x.pcap"))))
    assert [(len(frame), Ether(frame)[UDP].dport) for frame in sent] == [(44, 6), (42, 7)]


def test_what_cannot_be_replayed_is_a_fault():
    with pytest.raises(ValidationError, match="there is no file nowhere"):
        planned("replay", file="nowhere.pcap")
    with pytest.raises(ValidationError, match="cannot be replayed"):
        planned("replay", file="README.md")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("arp", {"count": 100_000, "repeat": 11}),
        ("mix", {"flows": "200k", "mean_packets": 10}),
        ("voip", {"calls": 1000, "duration_s": 600}),
        ("video", {"duration_s": 600, "pictures_per_s": 240}),
        ("scan", {"ports": "1-60000", "repeat": 9}),
        ("fragments", {"datagrams": 100_000, "payload_octets": 65_000}),
    ],
)
def test_a_step_that_would_fill_the_memory_is_refused(name, changes):
    with pytest.raises(ValidationError, match="packets are more than a step may have"):
        planned(name, **changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("packets", {"count": 1_000_000, "layers": [{"IP": {}}, {"Raw": {"load": "x" * 1400}}]}),
        ("replay", {"file": "tests/golden/probes-wire.pcap", "repeat": 1000}),
    ],
)
def test_a_step_whose_frames_would_fill_the_memory_is_refused(name, changes):
    with pytest.raises(ValidationError, match="octets are more than a step may keep in memory"):
        planned(name, **changes)


def test_of_fragments_only_headers_are_kept():
    schedule = planned("fragments", datagrams=15_000, payload_octets=5000)
    assert len(schedule) == 60_000
    assert schedule.heads.nbytes < 3 << 20
