"""What a collector told against what is true: every difference is named, and nothing else is."""

from __future__ import annotations

import pytest

from collector.backends import BACKENDS
from collector.backends.base import flow
from collector.backends.custom import Custom, Settings
from collector.conform import FLOW, Result, compare, flow_of

OURS = BACKENDS["flowlab"]
NFDUMP = BACKENDS["nfdump"]
PMACCT = BACKENDS["pmacct"]


def row(**changes):
    usual = {
        "protocol": "ipfix",
        "exporter": "192.0.2.1",
        "observation_domain": 1,
        "agent": None,
        "flowDirection": 0,
        "flow": flow("10.0.0.1", "10.0.0.2", 6, 40_000, 80),
        "packets": 10,
        "octets_l2": None,
        "octets_l3": 1_000,
        "tcpControlBits": 0x1B,
        "first_ns": 1_000_000_000,
        "last_ns": 2_000_000_000,
        "sampling": 1,
    }
    return usual | changes


def told(backend=OURS, **changes):
    """The same as a back end says it."""
    one = row(**changes)
    one["family"] = "sflow" if one["protocol"] == "sflow5" else "netflow"
    if backend is not OURS:
        one["octets"] = one.pop("octets_l3")
    return one


def found(truth, seen, backend=OURS):
    return [
        (one.field, one.expected, one.observed) for one in compare(truth, seen, backend).findings
    ]


def test_what_is_alike_passes_and_is_counted():
    result = compare([row()], [told()], OURS)
    assert result.result is Result.PASS
    assert result.compared == 5  # packets, octets, flags, and two times


def test_that_nothing_is_told_where_nothing_is_to_be_told_is_compared_too():
    silent = compare([], [], OURS)
    assert (silent.result, silent.compared) == (Result.PASS, 1)
    assert compare([], [told()], OURS).result == Result.FAIL


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"packets": 11}, "packets"),
        ({"octets_l3": 2_000}, "octets_l3"),
        ({"tcpControlBits": 0x1A}, "tcpControlBits"),
        ({"first_ns": 999_999_999}, "first_ns"),
        ({"last_ns": None}, "last_ns"),
        ({"observation_domain": 2}, "observation_domain"),
        ({"exporter": "192.0.2.2"}, "exporter"),
        ({"flowDirection": 1}, "flowDirection"),
        ({"flow": flow("10.0.0.1", "10.0.0.2", 6, 40_000, 81)}, "destinationTransportPort"),
        ({"flow": flow("10.0.0.1", "10.0.0.2", 17, 40_000, 80)}, "protocolIdentifier"),
    ],
)
def test_the_one_field_that_differs_is_named(change, field):
    ((name, expected, observed),) = found([row()], [told(**change)])
    assert name == field
    assert expected != observed


def test_a_flow_that_is_missing_and_one_that_nobody_sent():
    other = {"flow": flow("10.9.9.9", "10.8.8.8", 17, 1, 2), "packets": 3, "octets_l3": 90}
    other |= {"exporter": "192.0.2.9", "observation_domain": 7}
    assert found([row()], [told(**other)]) == [(FLOW, 10, None), (FLOW, None, 3)]
    assert found([row(), row(**other)], [told()]) == [(FLOW, 3, None)]


def test_the_same_flow_twice_is_twice_as_much():
    assert ("packets", 10, 20) in found([row()], [told(), told()])


def test_records_of_a_flow_are_summed_on_both_sides():
    halves = [row(packets=4, first_ns=1_500_000_000), row(packets=6, last_ns=1_600_000_000)]
    seen = [told(octets_l3=2_000)]
    assert found(halves, seen) == []


def test_what_no_record_says_is_not_asked_for():
    assert found([row(tcpControlBits=None)], [told(tcpControlBits=0)]) == []


def test_no_direction_is_the_first_one():
    assert found([row(flowDirection=None)], [told(flowDirection=0)]) == []


def test_a_coarser_clock_is_no_fault_but_a_wrong_one_is():
    truth = [row(first_ns=1_000_900_000)]
    assert found(truth, [told(NFDUMP, first_ns=1_000_000_000)], NFDUMP) == []
    assert found(truth, [told(NFDUMP, first_ns=999_000_000)], NFDUMP)


def test_a_tolerance_is_one():
    truth = [row(tolerance={"packets": 2})]
    assert found(truth, [told(packets=12)]) == []
    assert found(truth, [told(packets=13)])


def test_the_octets_of_a_sample_are_those_of_the_frame():
    truth = [row(protocol="sflow5", agent="10.255.0.1", octets_l2=1_140)]
    seen = told(PMACCT, protocol="sflow5", agent="10.255.0.1")
    assert found(truth, [seen | {"octets": 1_140}], PMACCT) == []
    assert found(truth, [seen | {"octets": 1_000}], PMACCT) == [("octets", 1_140, 1_000)]


def test_what_cannot_be_expressed_is_neither_right_nor_wrong():
    frames = row(
        flow={
            "sourceMacAddress": "00:00:00:00:00:01",
            "destinationMacAddress": "00:00:00:00:00:02",
            "ethernetType": 0x0806,
        }
    )
    alone = compare([frames], [], NFDUMP)
    assert alone.result is Result.NOT_EXPRESSIBLE
    assert sum(alone.left_out.values()) == 1
    beside = compare([frames, row()], [told(NFDUMP)], NFDUMP)
    assert beside.result is Result.PASS
    assert sum(beside.left_out.values()) == 1
    assert compare([frames], [], OURS).result is Result.FAIL


def test_type_and_code_of_icmp_are_not_asked_of_who_has_no_column_for_them():
    ping = row(flow=flow("10.0.0.1", "10.0.0.2", 1, 0, 8 << 8), tcpControlBits=None)
    blind = told(PMACCT, flow=flow("10.0.0.1", "10.0.0.2", 1, 0, 0), tcpControlBits=0)
    assert found([ping], [blind], PMACCT) == []
    assert found([ping], [told(flow=flow("10.0.0.1", "10.0.0.2", 1, 0, 0))]) == [
        ("icmpTypeCodeIPv4", 2048, 0)
    ]


def test_many_flows_that_were_read_as_others_are_paired_with_their_own():
    truth = [
        row(flow=flow("2001:db8::1", f"2001:db8::{n:x}", 17, 5, 1_000 + n), packets=n)
        for n in range(1, 200)
    ]
    seen = [
        told(flow=flow("2001:db8::1", "2001:db8::", 17, 5, 1_000 + n), packets=n)
        for n in range(1, 200)
    ]
    names = {one.field for one in compare(truth, seen, OURS).findings}
    assert names == {"destinationIPv6Address"}


def test_counts_of_the_whole_case_are_compared():
    result = compare([row()], [told()], OURS, {"missing": (3, 2), "datagrams": (5, 5)})
    (one,) = result.findings
    assert (one.field, one.expected, one.observed, dict(one.flow)) == ("missing", 3, 2, {})
    assert result.compared == 5 + 2
    assert flow_of(one.flow) == "the whole case"


def test_octets_of_a_flow_that_came_by_both_kinds_are_summed_layer_by_layer():
    backend = Custom(
        Settings.model_validate(
            {
                "name": "x",
                "command": ["x"],
                "output": {"format": "csv", "file": "stdout"},
                "columns": {"source": "s", "destination": "d", "packets": "p", "octets": "o"},
            }
        )
    )
    both = [row(octets_l2=1_140), row(octets_l2=1_140, protocol="sflow5")]
    key = row()["flow"]
    for truth in (both, both[::-1]):
        seen = [{"family": None, "flow": key, "packets": 20, "octets": 2_140}]
        assert compare(truth, seen, backend).findings == ()


def test_a_tolerance_of_a_layer_is_one_of_the_one_count():
    truth = [row(tolerance={"octets_l3": 5})]
    assert found(truth, [told(NFDUMP) | {"octets": 1_005}], NFDUMP) == []
    assert found(truth, [told(NFDUMP) | {"octets": 1_006}], NFDUMP)


def test_flows_that_go_with_one_that_cannot_be_told_are_counted_with_it():
    forth = row()
    back = row(reverse=True)
    compared = compare([forth, back], [], NFDUMP)
    assert sum(compared.left_out.values()) == 2
