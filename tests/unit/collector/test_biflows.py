"""Records of both directions (RFC 5103) become a flow for each direction that had packets."""

from __future__ import annotations

import struct

import pytest

from collector.aggregate import Sums, question
from collector.decode import Datagrams, decode
from collector.flows import each, flows, observed
from tests.unit.collector.test_layouts import message, template

pytestmark = pytest.mark.usefixtures("each_way")

REVERSE = 29_305
ENDS = [(0, 8, 4), (0, 12, 4), (0, 7, 2), (0, 11, 2), (0, 4, 1), (0, 10, 4), (0, 239, 1)]
FORWARD = [(0, 2, 8), (0, 1, 8), (0, 6, 2), (0, 152, 8), (0, 153, 8)]
FIELDS = [*ENDS, *FORWARD, *((REVERSE, number, width) for _, number, width in FORWARD)]
ASKED_MS = 1_700_000_000_000


def record(there, back, protocol=6, ports=(40_000, 443)):
    """A record: packets, octets, flags, and begin and end in milliseconds, both ways."""
    ends = struct.pack("!IIHHBIB", 0x0A000001, 0x0A000002, *ports, protocol, 3, 1)
    return ends + b"".join(struct.pack("!QQHQQ", *one) for one in (there, back))


def exports(*records, fields=FIELDS, **more):
    sets = [(2, template(256, fields)), (256, b"".join(records))]
    return decode(Datagrams.of([message(*sets, **more)], 4739))


THERE = (5, 500, 0x02, ASKED_MS, ASKED_MS + 900)
BACK = (7, 9_000, 0x12, ASKED_MS + 20, ASKED_MS + 850)
NOTHING = (0, 0, 0, 0, 0)


def test_both_directions_are_flows_with_the_numbers_and_the_place_of_the_record():
    decoded = exports(record(THERE, BACK), record(THERE, NOTHING, ports=(1, 2)))
    assert not decoded.summary.faults
    rows = {row["sourceTransportPort"]: row for row in flows(decoded).to_dicts()}
    assert sorted(rows) == [1, 443, 40_000]
    there, back = rows[40_000], rows[443]
    assert (there["source"], there["destination"]) == ("10.0.0.1", "10.0.0.2")
    assert (there["packets"], there["octets_l3"], there["tcpControlBits"]) == (5, 500, 0x02)
    assert (back["source"], back["destination"]) == ("10.0.0.2", "10.0.0.1")
    assert (back["destinationTransportPort"], back["protocolIdentifier"]) == (40_000, 6)
    assert (back["packets"], back["octets_l3"], back["tcpControlBits"]) == (7, 9_000, 0x12)
    assert (back["first_ns"], back["last_ns"]) == (
        (ASKED_MS + 20) * 1_000_000,
        (ASKED_MS + 850) * 1_000_000,
    )
    assert (there["datagram"], there["offset"]) == (back["datagram"], back["offset"])
    assert rows[1]["offset"] - there["offset"] == len(record(THERE, BACK))
    assert back["octets_l2"] is None
    assert back["observation_domain"] == 1


def test_the_other_direction_is_of_the_same_ip_version():
    fields = [
        *((0, 8, 4), (0, 12, 4), (0, 27, 16), (0, 28, 16), (0, 60, 1)),
        *((0, 2, 8), (REVERSE, 2, 8)),
    ]
    record = struct.pack("!II", 1, 2) + bytes(15) + b"\3" + bytes(15) + b"\4"
    found = flows(exports(record + b"\6" + struct.pack("!QQ", 5, 7), fields=fields))
    rows = {row["packets"]: (row["source"], row["destination"]) for row in found.to_dicts()}
    assert rows == {5: ("::3", "::4"), 7: ("::4", "::3")}


def test_what_has_no_reverse_element_is_not_known_of_the_reverse_direction():
    fields = [*ENDS, *FORWARD, (REVERSE, 2, 8)]
    sent = record(THERE, NOTHING)[: -8 * 3 - 2]
    sent = sent[:-8] + struct.pack("!Q", 3)
    rows = flows(exports(sent, fields=fields)).sort("sourceTransportPort").to_dicts()
    assert [row["packets"] for row in rows] == [3, 5]
    unknown = ("octets_l3", "tcpControlBits", "first_ns", "last_ns")
    assert [rows[0][name] for name in unknown] == [None] * 4


def test_a_rate_scales_both_directions():
    fields = [*FIELDS, (0, 34, 4)]
    decoded = exports(record(THERE, BACK) + struct.pack("!I", 10), fields=fields)
    rows = flows(decoded).sort("sourceTransportPort").to_dicts()
    assert [(row["packets"], row["samples"]) for row in rows] == [(70, 7), (50, 5)]


def test_type_and_code_of_icmp_do_not_become_a_port():
    decoded = exports(record(THERE, BACK, protocol=1, ports=(0, 0x0800)))
    rows = flows(decoded).sort("source").to_dicts()
    assert [row["destinationTransportPort"] for row in rows] == [0x0800, 0x0800]
    assert [row["sourceTransportPort"] for row in rows] == [0, 0]


def test_a_conversation_is_one_row_from_who_began_it():
    sums = Sums(question(None, None, bidirectional=True))
    for columns in observed(exports(record(THERE, BACK))):
        sums.observe(columns)
    (row,) = sums.table().to_dicts()
    assert (row["source"], row["packets"], row["reverse_packets"]) == ("10.0.0.1", 5, 7)


def test_the_interface_that_one_direction_came_in_by_is_the_one_the_other_went_out_by():
    rows = each(exports(record(THERE, BACK))).to_dicts()
    assert [(row["ingressInterface"], row["egressInterface"]) for row in rows] == [
        (3, None),
        (None, 3),
    ]


def test_reverse_elements_without_counts_make_no_flow():
    fields = [*ENDS, *FORWARD, *((REVERSE, 6, 2), (REVERSE, 152, 8), (REVERSE, 153, 8))]
    sent = record(THERE, BACK)[:-34] + record(THERE, BACK)[-18:]
    assert len(flows(exports(sent, fields=fields))) == 1
