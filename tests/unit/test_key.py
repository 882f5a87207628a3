"""The flow key and its names."""

from __future__ import annotations

import pytest

from collector.key import FlowKey

KEYS = [
    (FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 1, 2), "udp 10.0.0.1:1 → 10.0.0.2:2"),
    (FlowKey(6, "2001:db8::1", "::1", 6, 1, 2), "tcp [2001:db8::1]:1 → [::1]:2"),
    (FlowKey(4, "10.0.0.1", "10.0.0.2", 1, 0, 2048), "icmp 10.0.0.1 → 10.0.0.2 type 8 code 0"),
    (FlowKey(6, "::1", "::2", 58, 0, 33025), "icmp6 ::1 → ::2 type 129 code 1"),
    (FlowKey(4, "10.0.0.1", "10.0.0.2", 89, 0, 0), "protocol 89 10.0.0.1 → 10.0.0.2"),
    (
        FlowKey(0, "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", 0x0806, 0, 0),
        "ethertype 0x0806 02:00:00:00:00:01 → ff:ff:ff:ff:ff:ff",
    ),
]


@pytest.mark.parametrize(("key", "text"), KEYS)
def test_a_key_reads_like_people_write_it_and_survives_its_json(key, text):
    assert str(key) == text
    assert FlowKey.from_json(key.to_json()) == key


def test_names_are_those_of_the_registry():
    assert KEYS[2][0].to_json() == {
        "sourceIPv4Address": "10.0.0.1",
        "destinationIPv4Address": "10.0.0.2",
        "protocolIdentifier": 1,
        "icmpTypeCodeIPv4": 2048,
    }
