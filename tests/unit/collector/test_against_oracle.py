"""The column decoders agree with plain ones: on real exports, on changed and on cut ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import pcap
from collector.decode import OPEN_VSWITCH, PORTS, Datagrams, decode
from collector.flows import flows
from tests.unit.collector.columns import records
from tests.unit.collector.oracle import Oracle, packet

pytestmark = pytest.mark.usefixtures("each_way")

if TYPE_CHECKING:
    from collections.abc import Sequence

GOLDEN = Path(__file__).parents[2] / "golden"
SAMPLE_FIELDS = {"samplingInterval": 0, "frameLength": 0, "stripped": 0} | packet(b"")


def payloads(name: str) -> list[tuple[int, bytes]]:
    """Destination port and octets of each datagram of a golden capture."""
    found = pcap.datagrams(pcap.read(GOLDEN / name))
    spans = zip(found.destination_port, found.offset, found.length, strict=True)
    return [(int(port), found.buffer[at : at + size].tobytes()) for port, at, size in spans]


EXPORTS = payloads("openvswitch.pcap")
TEMPLATES = [data for port, data in EXPORTS if port == 4739 and data[16:18] in (b"\0\2", b"\0\3")]
RECORDS = [item for item in EXPORTS if item[1] not in TEMPLATES]
ONE_OF_EACH = [
    max((item for item in RECORDS if item[0] == port), key=lambda item: len(item[1]))
    for port in (2055, 4739, 6343)
]


def datagrams(items: Sequence[tuple[int, bytes]]) -> Datagrams:
    """Datagrams of one exporter, to several ports."""
    made = Datagrams.of([data for _, data in items], 0)
    made.destination_port[:] = [port for port, _ in items]
    return made


def assert_agree(items: Sequence[tuple[int, bytes]]) -> None:
    """Decode both ways and compare every field of every record, and which datagrams are faulty."""
    oracle = Oracle(all_domains=True)
    for port, data in items:
        oracle.feed(PORTS[port], data)
    decoded = decode(datagrams(items), OPEN_VSWITCH)
    assert records(decoded, SAMPLE_FIELDS) == oracle.records
    if decoded.summary.faults <= 1000:
        assert {fault.datagram for fault in decoded.summary.undecodable} == oracle.faulty
    flows(decoded)
    for fault in decoded.summary.undecodable:
        assert 0 <= fault.offset <= len(items[fault.datagram - 1][1])
        assert fault.available >= 0


@pytest.mark.parametrize("name", ["openvswitch.pcap", "openvswitch-flow-sampling.pcap"])
def test_real_exports(name):
    assert_agree(payloads(name))


@pytest.mark.parametrize("port", [2055, 4739, 6343])
def test_every_truncation(port):
    whole = next(item for item in ONE_OF_EACH if item[0] == port)
    cut = [(port, whole[1][:length]) for length in range(len(whole[1]))]
    assert_agree([(4739, data) for data in TEMPLATES] + cut)


def test_every_truncation_of_a_template_gives_no_phantom():
    data = next(item for item in RECORDS if item[0] == 4739)
    for length in range(0, len(TEMPLATES[0]), 7):
        assert_agree([(4739, TEMPLATES[0][:length]), data])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_octets(data):
    items = data.draw(st.lists(st.sampled_from(RECORDS), min_size=1, max_size=8))
    changed = []
    for port, payload in items:
        octets = bytearray(payload)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, min(len(octets) - 1, 250)))
            octets[at] = data.draw(st.integers(0, 255))
        changed.append((port, bytes(octets[: data.draw(st.integers(0, len(octets)))])))
    assert_agree([(4739, template) for template in TEMPLATES] + changed)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_templates(data):
    octets = bytearray(data.draw(st.sampled_from(TEMPLATES)))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(16, len(octets) - 1))] = data.draw(st.integers(0, 255))
    records_of_ipfix = [item for item in RECORDS if item[0] == 4739]
    assert_agree([(4739, bytes(octets)), *records_of_ipfix])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([2055, 4739, 6343]), st.binary(max_size=200)), max_size=6)
)
def test_any_octets(items):
    heads = {2055: b"\0\5", 4739: b"\0\x0a", 6343: b"\0\0\0\5\0\0\0\1"}
    assert_agree(items + [(port, heads[port] + data) for port, data in items])


def test_single_octet_changes_of_one_record_of_each_protocol():
    rng = np.random.default_rng(5)
    for port, payload in ONE_OF_EACH:
        changed = []
        for at in range(min(len(payload), 300)):
            octets = bytearray(payload)
            octets[at] = int(rng.integers(256))
            changed.append((port, bytes(octets)))
        assert_agree([(4739, data) for data in TEMPLATES] + changed)
