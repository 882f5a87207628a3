"""Any layout, any records: what was written with it is read with it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import Datagrams, decode
from collector.decode.elements import RAW, elements
from collector.decode.templates import BadTemplate, Definition, read_templates
from collector.flows import flows
from tests.unit.collector.columns import records
from tests.unit.collector.oracle import Oracle

pytestmark = pytest.mark.usefixtures("each_way")

ELEMENTS = elements()
NUMBERS = sorted(ELEMENTS)
IPFIX = [key for key in NUMBERS if key[1] < 1 << 15]
TEXTS = [key for key in IPFIX if ELEMENTS[key].kind in RAW]
FIXED = {"ipv6Address": [16], "ipv4Address": [4], "macAddress": [6]}


@st.composite
def fields(draw):
    """A field of a template: enterprise, number, width."""
    if draw(st.booleans()):
        key = draw(st.sampled_from([*TEXTS, (0, 9999), (6871, 14), (9, 12_345), (29_305, 1)]))
        return (*key, draw(st.sampled_from([65535, 65535, 0, 1, 5])))
    key = draw(st.sampled_from(IPFIX))
    kind = ELEMENTS[key].kind
    if kind in RAW:
        return (*key, 65535)
    return (*key, draw(st.sampled_from([*FIXED.get(kind, [1, 2, 3, 4, 7, 8]), 0, 1, 16, 65535])))


def template(number, specification):
    """A template record."""
    octets = struct.pack("!HH", number, len(specification))
    for enterprise, element, width in specification:
        if enterprise:
            octets += struct.pack("!HHI", element | 0x8000, width, enterprise)
        else:
            octets += struct.pack("!HH", element, width)
    return octets


def message(*sets, domain=1, sequence=0):
    """An IPFIX message of (id, content) sets."""
    body = b"".join(struct.pack("!HH", kind, len(octets) + 4) + octets for kind, octets in sets)
    return struct.pack("!HHIII", 10, len(body) + 16, 1_700_000_000, sequence, domain) + body


@st.composite
def data_records(draw, specification):
    """The octets of one record."""
    octets = b""
    for _, _, width in specification:
        if width == 65535:
            size = draw(st.sampled_from([0, 1, 3, 254, 255, 300]))
            long = size >= 255 or draw(st.integers(0, 9)) == 0
            octets += b"\xff" + struct.pack("!H", size) if long else bytes([size])
            width = size  # noqa: PLW2901
        octets += draw(st.binary(min_size=min(width, 8), max_size=min(width, 8))).ljust(width, b".")
    return octets


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_round_trip(data):
    specification = data.draw(st.lists(fields(), min_size=1, max_size=6))
    messages = [message((2, template(300, specification)))]
    for _ in range(data.draw(st.integers(1, 4))):
        written = data.draw(st.lists(data_records(specification), max_size=4))
        messages.append(message((300, b"".join(written)), (300, b"".join(written[:1]))))
    oracle = Oracle()
    for one in messages:
        oracle.feed("netflow", one)
    decoded = decode(Datagrams.of(messages, 4739))
    flows(decoded)
    assert records(decoded) == oracle.records
    assert {fault.datagram for fault in decoded.summary.undecodable} == oracle.faulty


ONE = [(0, 2, 8)]
TWO = [(0, 1, 4), (0, 82, 65535)]


def values(decoded, name):
    """Datagram to the values of one element."""
    return {
        int(where): int(value)
        for batch in decoded.batches
        if name in batch.columns
        for where, value in zip(batch.datagram, batch.columns[name], strict=True)
    }


def test_a_redefined_template_serves_only_what_follows():
    count = struct.pack("!Q", 7)
    decoded = decode(
        Datagrams.of(
            [
                message((2, template(300, ONE))),
                message((300, count)),
                message((2, template(300, TWO)), (300, struct.pack("!IB", 9, 0))),
                message((300, struct.pack("!IB", 11, 0))),
            ],
            4739,
        )
    )
    assert values(decoded, "packetDeltaCount") == {2: 7}
    assert values(decoded, "octetDeltaCount") == {3: 9, 4: 11}
    assert not decoded.summary.faults


def test_data_before_its_first_template_is_decoded_by_it():
    decoded = decode(
        Datagrams.of([message((300, struct.pack("!Q", 7))), message((2, template(300, ONE)))], 4739)
    )
    assert values(decoded, "packetDeltaCount") == {1: 7}


def test_withdrawn_templates_are_not_used():
    count = struct.pack("!Q", 7)
    for withdrawal in (struct.pack("!HH", 300, 0), struct.pack("!HH", 2, 0)):
        decoded = decode(
            Datagrams.of(
                [
                    message((2, template(300, ONE)), (300, count)),
                    message((2, withdrawal), (300, count)),
                ],
                4739,
            )
        )
        assert values(decoded, "packetDeltaCount") == {1: 7}
        assert decoded.summary.undecodable_by_reason == {
            "no template 300 in observation domain 1": 1
        }
        assert decoded.summary.templates == 0


def test_templates_belong_to_exporter_and_domain():
    announced = Datagrams.of([message((2, template(300, ONE)))] * 2, 4739)
    count = struct.pack("!Q", 7)
    decoded = decode(
        Datagrams.of([message((2, template(300, ONE))), message((300, count), domain=2)], 4739)
    )
    assert decoded.summary.records == 0
    assert decoded.summary.faults == 1
    assert decode(announced).summary.templates == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (template(300, ONE), 1),
        (template(300, ONE) + template(301, TWO), 2),
        (template(300, ONE) + b"\0\0", 1),
        (template(300, ONE) + b"\0\0\0\0", 1),
        (b"", 0),
    ],
)
def test_template_sets(content, expected):
    found = read_templates(content, options=False)
    assert len(found) == expected
    assert all(isinstance(record, Definition) for record in found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (template(300, ONE)[:-1], "template ends past its set"),
        (template(255, ONE), "template id below 256"),
        (template(300, [(0, 82, 0)]), "template of records without octets"),
        (struct.pack("!HH", 300, 65535), "template ends past its set"),
    ],
)
def test_bad_template_sets(content, reason):
    assert [record.reason for record in read_templates(content, options=False)] == [reason]
    assert isinstance(read_templates(content, options=False)[0], BadTemplate)
