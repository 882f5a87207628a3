"""From steps to flows: everything known before anything runs."""

from __future__ import annotations

import pytest

from collector.key import FlowKey
from lab.traffic import KINDS
from lab.traffic.base import PATIENCE_S
from lab.traffic.plan import WINDOW_PACKETS, flows, plan
from topologies import SHAPES

LINEAR = SHAPES["linear"]
TOPOLOGY = LINEAR.build(LINEAR.parameters(switches=2))


def step(kind, source="h1", destination="h2", **settings):
    return KINDS[kind](source=source, destination=destination, **settings)


def planned(*steps):
    return flows(plan([[one] for one in steps], TOPOLOGY))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (
            step("udp", datagrams=3, payload_octets=100),
            [(FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40000, 5001), 3, 3 * 128)],
        ),
        (
            step("udp", ip_version=6, payload_octets=0),
            [(FlowKey(6, "2001:db8::1", "2001:db8::2", 17, 40000, 5001), 1, 48)],
        ),
        (
            step("udp", flows=2, source_port=7, port=9),
            [
                (FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 7, 9), 1, 92),
                (FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 8, 9), 1, 92),
            ],
        ),
        (
            step("ping", count=2),
            [
                (FlowKey(4, "10.0.0.1", "10.0.0.2", 1, 0, 8 << 8), 2, 168),
                (FlowKey(4, "10.0.0.2", "10.0.0.1", 1, 0, 0), 2, 168),
            ],
        ),
        (
            step("ping", count=1, ip_version=6, payload_octets=0),
            [
                (FlowKey(6, "2001:db8::1", "2001:db8::2", 58, 0, 128 << 8), 1, 48),
                (FlowKey(6, "2001:db8::2", "2001:db8::1", 58, 0, 129 << 8), 1, 48),
            ],
        ),
        (
            step("tcp", send_octets="1KiB"),
            [
                (FlowKey(4, "10.0.0.1", "10.0.0.2", 6, 40000, 80), None, None),
                (FlowKey(4, "10.0.0.2", "10.0.0.1", 6, 80, 40000), None, None),
            ],
        ),
    ],
)
def test_every_kind_plans_its_flows_to_the_octet(declared, expected):
    assert [(flow.key, flow.packets, flow.octets_l3) for flow in planned(declared)] == expected


def test_tcp_declares_what_it_carries_each_way():
    there, back = planned(step("tcp", send_octets=10, receive_octets=20))
    assert (there.payload_octets, back.payload_octets) == (10, 20)


def test_automatic_source_ports_never_meet():
    keys = [flow.key for flow in planned(step("udp", flows=3), step("tcp"), step("udp"))]
    assert sorted(key.source_port for key in keys if key.source == "10.0.0.1") == [
        *(40000, 40001, 40002),
        *(40003, 40004),
    ]


def test_steps_with_one_key_are_one_flow():
    (request, reply) = planned(step("ping", count=2), step("ping", count=3))
    assert (request.packets, request.octets_l3) == (5, 5 * 84)
    assert reply.packets == 5


def test_parallel_steps_share_the_window():
    (stage,) = plan([[step("udp")] * 3], TOPOLOGY)
    assert [one.rounds[0].window for one in stage] == [WINDOW_PACKETS // 3] * 3
    assert [one.at_once for one in stage] == [3, 3, 3]
    assert [one.label for one in stage] == ["step 1.1", "step 1.2", "step 1.3"]


def test_on_slow_links_the_other_end_has_more_time():
    slow = LINEAR.build(LINEAR.parameters(switches=2, bandwidth_mbps=0.5))
    (stage,) = plan([[step("tcp", send_octets="1MB")] * 2], slow)
    ends = stage[0].rounds[0]
    assert ends.patience_s(1_000_000, 100e6) > 1_000_000 * 8 / 0.25e6
    assert ends.patience_s(1_000_000, 10_000) > 1_000_000 * 8 / 10_000
    assert ends.patience_s(0, 10_000) == PATIENCE_S


def test_as_many_source_ports_are_counted_as_are_used():
    assert step("udp", flows=5, repeat=7).all_source_ports == 35
    assert step("udp", flows=5, repeat=7, source_port=9).all_source_ports == 5
    assert step("fragments", repeat=7).all_source_ports == 1
