"""Structured data (RFC 6313)."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import Datagrams, Decoder
from collector.decode.elements import LISTS
from collector.decode.lists import Nested, read_list
from collector.decode.templates import compile_layout
from tests.unit.collector.test_layouts import message, template

PAIR = compile_layout(struct.pack("!4H", 7, 2, 82, 65535), 0)
HOLDER = compile_layout(struct.pack("!2H", 291, 65535), 0)
LAYOUTS = {300: PAIR, 301: HOLDER}
BASIC = b"\x03" + struct.pack("!HH", 7, 2) + struct.pack("!3H", 80, 443, 53)
SUB = b"\x04" + struct.pack("!H", 300) + b"\0\x50\4eth0" + b"\1\xbb\2lo"
MULTI = (
    b"\x01"
    + struct.pack("!HH", 300, 4 + len(SUB) - 3)
    + SUB[3:]
    + struct.pack("!HH", 301, 5 + len(BASIC))
    + bytes([len(BASIC)])
    + BASIC
)
RECORDS = (
    {"sourceTransportPort": 80, "interfaceName": b"eth0"},
    {"sourceTransportPort": 443, "interfaceName": b"lo"},
)


def test_lists():
    basic = Nested("allOf", (80, 443, 53))
    assert read_list("basicList", BASIC, LAYOUTS.get) == basic
    assert read_list("subTemplateList", SUB, LAYOUTS.get) == Nested("ordered", RECORDS)
    both = (*RECORDS, {"basicList": basic})
    assert read_list("subTemplateMultiList", MULTI, LAYOUTS.get) == Nested("exactlyOneOf", both)


def test_elements_of_enterprises_and_of_variable_length():
    octets = b"\xff" + struct.pack("!HHI", 0x8000 | 898, 65535, 6876) + b"\2ab\1c"
    assert read_list("basicList", octets, LAYOUTS.get) == Nested("undefined", (b"ab", b"c"))


def test_what_cannot_be_read_is_kept():
    unknown = b"\x03" + struct.pack("!H", 999) + b"abc"
    assert read_list("subTemplateList", unknown, LAYOUTS.get) == Nested("allOf", (), b"abc")
    assert read_list("basicList", BASIC[:-1], LAYOUTS.get) == Nested("allOf", (80, 443), b"\0")


def test_lists_of_a_record_are_read_with_its_templates():
    sent = message(
        (2, template(300, [(0, 7, 2), (0, 82, 65535)]) + template(400, [(0, 292, 65535)])),
        (400, bytes([len(SUB)]) + SUB),
    )
    decoder = Decoder()
    decoded = decoder.decode(Datagrams.of([sent], 4739))
    (batch,) = decoded.batches
    assert batch.columns["subTemplateList"].tolist() == [SUB]
    assert decoder.nested(batch, "subTemplateList") == [Nested("ordered", RECORDS)]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_changed_lists_never_raise(data):
    octets = bytearray(data.draw(st.sampled_from([BASIC, SUB, MULTI])))
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    read_list(data.draw(st.sampled_from(LISTS)), cut, LAYOUTS.get)
