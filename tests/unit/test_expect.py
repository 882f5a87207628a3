"""From scenario to expectation, on paper."""

from __future__ import annotations

import pytest

from collector.check import Expected, Region
from lab.expect import expected
from lab.scenario.model import Scenario

UDP = {"udp": {"from": "h1", "to": "h4", "datagrams": 10, "payload_octets": 100}}


def scenario(**changes):
    plain = {
        "name": "case",
        "title": "A case",
        "topology": {"tree": {"depth": 2, "fanout": 2}},
        "exporters": ["netflow", "sflow", "ipfix"],
        "traffic": [UDP],
    }
    return Scenario.model_validate({**plain, **changes})


def test_a_flow_is_expected_at_the_switches_on_its_path_with_octets_of_both_layers():
    (flow,) = expected(scenario()).flows
    assert flow.path == ("s2", "s1", "s3")
    assert (flow.packets, flow.octets_l3, flow.octets_l2) == (10, 1280, 1420)


def test_every_exporter_at_every_switch_is_a_point_with_an_identity_of_its_own():
    points = expected(scenario()).points
    assert len(points) == 9
    assert len({(p.protocol, p.observation_domain, p.agent) for p in points}) == 9


def test_what_is_expected_survives_its_json():
    whole = expected(scenario(expect=[explicit(packets=10)], tolerances={"packets": "1%"}))
    assert Expected.from_json(whole.to_json()) == whole


def test_what_a_switch_rewrites_comes_in_under_one_key_and_leaves_under_another():
    case = scenario(
        controller={"address-translation": {"at": "s2"}},
        exporters=["netflow", {"softflowd": {"port": 1}}],
        traffic=[{"ping": {"from": "h1", "to": "h4"}}],
    )
    asked, left, asked_on, answered, given, given_on = expected(case).flows
    assert (asked.key.source, asked.path, asked.ports) == ("10.0.0.1", ("s2",), ("s2-eth1",))
    assert (left.key, left.path, left.ports) == (asked.leaves_as, (), ("s2-eth3",))
    assert (asked_on.key.source, asked_on.path) == ("10.200.0.1", ("s1", "s3"))
    assert (answered.key.destination, answered.path) == ("10.200.0.1", ("s3", "s1"))
    assert (given.key, given.path, given.ports) == (answered.key, ("s2",), ("s2-eth3",))
    assert (given_on.key, given_on.ports) == (given.leaves_as, ("s2-eth1",))
    assert given_on.key.destination == "10.0.0.1"
    assert Expected.from_json(expected(case).to_json()) == expected(case)


def test_behind_a_link_that_loses_packets_a_rewritten_flow_is_what_the_wire_has():
    row = {
        "hosts": ["h1", "h2"],
        "switches": ["s1", "s2", "s3"],
        "links": [["h1", "s1"], ["s1", "s2"], ["s2", "s3"], ["s3", "h2"]],
        "qualities": [{"ends": ["s2", "s3"], "loss_percent": 1}],
    }
    case = scenario(
        topology={"custom": row},
        controller={"address-translation": {"at": "s1"}},
        traffic=[{"ping": {"from": "h1", "to": "h2", "count": 1}}],
    )
    flows = [flow for flow in expected(case).flows if flow.path]
    assert [(flow.key.source, flow.path, flow.packets) for flow in flows] == [
        ("10.0.0.1", ("s1",), 1),
        ("10.200.0.1", ("s2",), 1),
        ("10.200.0.1", ("s3",), None),
        ("10.0.0.2", ("s3", "s2"), None),  # what was asked may not have come
        ("10.0.0.2", ("s1",), None),
    ]


def test_what_is_flooded_in_a_vlan_leaves_with_a_tag_by_trunks_and_by_the_bridges_own_port():
    case = scenario(
        topology={"vlans": {"hosts_per_vlan": 2}},
        traffic=[{"broadcast": {"from": "h1", "datagrams": 5}}],
    )
    first, second = expected(case).flows
    assert (first.path, first.copies, first.retag_octets) == (("s1",), (3,), 8)
    assert (second.path, second.copies, second.retag_octets) == (("s2",), (3,), -8)


def explicit(**measures):
    return {"flow": {"from": "h1", "to": "h4", "protocol": "udp"}, **measures}


def asked(one):
    return {(place.exporter, place.switch) for place in one.asked if not place.why_not}


@pytest.mark.parametrize(
    ("measures", "exporters"),
    [
        ({"packets": 10}, ("netflow", "sflow", "ipfix")),
        ({"octets_l3": 1280}, ("sflow", "ipfix")),
        ({"records": {"at_least": 1}}, ("netflow", "sflow", "ipfix")),
        ({"octets_l2": 1420, "exporter": "ipfix"}, ("ipfix",)),
    ],
)
def test_an_expectation_is_asked_only_of_those_that_can_meet_it(measures, exporters):
    (one,) = expected(scenario(expect=[explicit(**measures)])).explicit
    assert asked(one) == {(name, switch) for name in exporters for switch in ("s1", "s2", "s3")}


def test_bounds_become_regions():
    (one,) = expected(scenario(expect=[explicit(packets={"at_least": 2})])).explicit
    assert one.measures == {"packets": Region(2, None)}


def test_an_exporter_that_samples_is_held_to_numbers_only_if_it_is_named():
    sampling = scenario(
        exporters=["netflow", {"sflow": {"sampling": 4}}], expect=[explicit(packets=9)]
    )
    (one,) = expected(sampling).explicit
    assert {exporter for exporter, _ in asked(one)} == {"netflow"}
    assert {place.why_not for place in one.asked if place.exporter == "sflow"} == {
        "it samples 1 in 4"
    }


def test_a_measure_that_some_lack_does_not_keep_them_from_the_others():
    packets, octets = expected(scenario(expect=[explicit(packets=10, octets_l3=1280)])).explicit
    assert {exporter for exporter, _ in asked(packets)} == {"netflow", "sflow", "ipfix"}
    assert {exporter for exporter, _ in asked(octets)} == {"sflow", "ipfix"}
    assert "netflow" in {place.exporter for place in octets.asked}


def test_a_kind_that_is_listed_twice_is_asked_as_it_is_set_at_each_switch():
    twice = [{"sflow": {"at": "s1", "sampling": 10}}, {"sflow": {"at": "s2"}}]
    (one,) = expected(scenario(exporters=twice, expect=[explicit(packets=9)])).explicit
    assert asked(one) == {("sflow", "s2")}


def test_who_is_blind_to_some_of_the_flows_is_not_asked_for_their_sum():
    udp = {"from": "h1", "to": "h4", "port": 5001, "datagrams": 5}
    case = scenario(
        traffic=[{"udp": udp}, {"udp": {**udp, "ip_version": 6}}],
        expect=[{"flow": {"protocol": "udp"}, "packets": 10}],
    )
    (one,) = expected(case).explicit
    assert {exporter for exporter, _ in asked(one)} == {"sflow", "ipfix"}


def test_where_no_exporter_is_nobody_is_asked():
    at_one = scenario(
        exporters=["sflow", {"netflow": {"at": "s1"}}],
        expect=[explicit(packets=9, exporter="netflow", at="s2")],
    )
    (one,) = expected(at_one).explicit
    assert one.asked == ()


def test_a_rewritten_flow_is_meant_by_either_of_its_keys():
    case = scenario(
        topology={"linear": {"switches": 2}},
        controller={"address-translation": {"at": "s1"}},
        traffic=[{"udp": {"from": "h1", "to": "h2", "port": 5001, "datagrams": 5}}],
        expect=[
            {"flow": {"from": "h1", "to": "h2", "protocol": "udp"}, "packets": 5, "at": "s1"},
            {"flow": {"from": "10.200.0.1", "to": "h2"}, "packets": 5},
        ],
    )
    inside, outside = expected(case).explicit
    assert asked(inside) == {("netflow", "s1"), ("sflow", "s1"), ("ipfix", "s1")}
    assert ("netflow", "s1") in asked(outside)
    assert ("sflow", "s1") not in asked(outside)
    assert ("sflow", "s2") in asked(outside)


def test_every_program_has_to_report():
    assert expected(scenario()).programs == ("step 1 receive", "step 1 send")


def test_patterns_reach_all_flows_that_fit_and_hosts_become_addresses():
    flow = {"from": "10.0.0.0/24", "to": "h4", "port": "5000-5010"}
    (one,) = expected(scenario(expect=[{"flow": flow, "packets": 10}])).explicit
    assert [key.destination_port for key in one.keys] == [5001]
    assert {switch for _, switch in asked(one)} == {"s1", "s2", "s3"}
    (none,) = expected(scenario(expect=[{"not": {"from": "h2"}, "at": "s1"}])).explicit
    assert none.absent is not None
    assert none.absent.sources == ("10.0.0.2", "2001:db8::2", "02:00:00:00:00:02")
    assert none.keys == ()
    assert asked(none) == {("netflow", "s1"), ("sflow", "s1"), ("ipfix", "s1")}


def test_about_is_a_region_and_background_a_pattern():
    around = {"about": 100, "within": "5%"}
    whole = expected(
        scenario(
            expect=[explicit(packets=around, duration_s={"at_most": "500ms"})],
            background=[{"protocol": "icmp", "ip_version": 6}],
        )
    )
    packets, duration = whole.explicit
    assert packets.measures == {"packets": Region(95, 105)}
    assert duration.measures == {"duration_s": Region(None, 0.5)}
    assert {exporter for exporter, _ in asked(duration)} == {"ipfix"}
    assert whole.background[0].protocols == (1, 58)


def test_behind_a_link_that_loses_packets_the_wire_tells_how_many():
    tree = {"tree": {"depth": 2, "fanout": 2, "loss_percent": 5}}
    before, behind = expected(scenario(topology=tree)).flows
    assert (before.path, before.packets, before.perhaps) == (("s2",), 10, False)
    assert (behind.path, behind.packets, behind.perhaps) == (("s1", "s3"), None, True)


@pytest.mark.parametrize(
    ("port", "there"),
    [
        (1, [(("s2",), ("s2-eth1", "s2-eth3"), 10, False)]),
        (3, [(("s2",), ("s2-eth1",), 10, False), ((), ("s2-eth3",), None, True)]),
    ],
)
def test_a_probe_at_a_port_that_loses_packets_sees_what_is_left(port, there):
    tree = {"tree": {"depth": 2, "fanout": 2, "loss_percent": 5}}
    case = scenario(topology=tree, exporters=[{"softflowd": {"at": "s2", "port": port}}])
    *near, behind = expected(case).flows
    assert [(flow.path, flow.ports, flow.packets, flow.perhaps) for flow in near] == there
    assert (behind.path, behind.packets, behind.perhaps) == (("s1", "s3"), None, True)


def test_what_an_access_list_drops_is_expected_at_the_first_switch_and_nobody_waits_for_it():
    denied = {"access-list": {"deny": [{"protocol": "udp"}]}}
    whole = expected(scenario(controller=denied))
    (flow,) = whole.flows
    assert (flow.path, flow.copies) == (("s2",), (0,))
    assert whole.programs == ("step 1 send",)


def test_between_switches_with_vlans_frames_are_four_octets_longer():
    first, second = expected(
        scenario(
            topology={"vlans": {"switches": 2}},
            traffic=[{"udp": {"from": "h1", "to": "h3", "datagrams": 10, "payload_octets": 100}}],
        )
    ).flows
    assert (first.path, first.octets_l2, first.retag_octets) == (("s1",), 1420, 4)
    assert (second.path, second.octets_l2, second.retag_octets) == (("s2",), 1460, -4)


@pytest.mark.parametrize(
    ("port", "octets"),
    [(1, {"10.0.0.1": 1420, "10.0.0.3": 1420}), (3, {"10.0.0.1": 1460, "10.0.0.3": 1460})],
)
def test_at_a_port_a_frame_has_the_tag_that_it_has_there(port, octets):
    step = {"udp": {"from": "h1", "to": "h3", "datagrams": 10, "payload_octets": 100}}
    back = {"udp": {**step["udp"], "from": "h3", "to": "h1"}}
    whole = expected(
        scenario(
            topology={"vlans": {"switches": 2, "vlans": 2}},
            exporters=[{"pmacctd": {"at": "s1", "port": port, "export": "sflow5"}}],
            traffic=[step, back],
        )
    )
    (point,) = whole.points
    told = [point.told(flow) for flow in whole.flows if point.is_shown(flow)]
    assert {flow.key.source: flow.octets_l2 for flow in told} == octets
    assert Expected.from_json(whole.to_json()) == whole


def forged(*senders, **changes):
    """The same forged flow from several hosts of a VLAN, each at a switch of its own."""
    flood = {"to": "h3", "method": "udp", "packets": 20, "sources": 1, **changes}
    return [{"parallel": [{"flood": {**flood, "from": sender}} for sender in senders]}]


def test_one_flow_that_comes_to_a_switch_with_a_tag_and_without_is_summed_as_it_leaves():
    row = {"vlans": {"switches": 3, "vlans": 1}}
    probe = {"pmacctd": {"at": "s2", "port": 3, "export": "sflow5"}}
    case = scenario(topology=row, exporters=[probe], traffic=forged("h1", "h2"))
    whole = expected(case)
    at = {flow.path: flow for flow in whole.flows if flow.path}
    both = at["s2",]
    assert (both.packets, both.octets_l2, both.egress_octets_l2) == (40, 4320, 4400)
    last = at["s3",]
    assert (last.octets_l2, last.egress_octets_l2, last.retag_octets) == (4400, None, -4)
    (told,) = (flow for flow in whole.flows if whole.points[0].is_shown(flow))
    assert whole.points[0].told(told).octets_l2 == 4400


LOSSY = {"tree": {"depth": 2, "fanout": 2, "loss_percent": 5}}


@pytest.mark.parametrize(
    "step",
    [
        {"ping": {"from": "h1", "to": "h4"}},
        {"scan": {"from": "h1", "to": "h4", "ports": 80}},
    ],
)
def test_an_answer_to_what_may_be_lost_is_not_sure_even_where_it_begins(step):
    flows = expected(scenario(topology=LOSSY, traffic=[step])).flows
    told = [(flow.key.source, flow.path, flow.packets is None, flow.perhaps) for flow in flows]
    assert told == [
        ("10.0.0.1", ("s2",), False, False),
        ("10.0.0.1", ("s1", "s3"), True, True),
        ("10.0.0.4", ("s3", "s1", "s2"), True, True),
    ]


def test_an_answer_that_no_loss_comes_before_is_sure():
    near = {"ping": {"from": "h1", "to": "h2"}}
    flows = expected(scenario(topology=LOSSY, traffic=[near])).flows
    assert [(flow.path, flow.packets) for flow in flows] == [(("s2",), 3), (("s2",), 3)]


@pytest.mark.parametrize("deny", [{"from": "h1"}, {"protocol": "tcp"}, {"to": "h4"}])
def test_what_an_access_list_drops_nobody_answers(deny):
    scan = {"scan": {"from": "h1", "to": "h4", "ports": 80}}
    denied = {"access-list": {"deny": [deny]}}
    flows = expected(scenario(controller=denied, traffic=[scan])).flows
    assert [(flow.key.source, flow.path, flow.copies) for flow in flows] == [
        ("10.0.0.1", ("s2",), (0,))
    ]


def test_a_broadcast_that_is_dropped_does_not_leave_by_the_bridges_own_port_either():
    denied = {"access-list": {"deny": [{"from": "h1"}]}}
    everybody = [{"broadcast": {"from": "h1"}}, {"broadcast": {"from": "h2"}}]
    dropped, *flooded = expected(scenario(controller=denied, traffic=everybody)).flows
    assert (dropped.path, dropped.copies) == (("s2",), (0,))
    assert [flow.copies for flow in flooded] == [(3, 2, 3)]


UNKNOWN = {
    "packets": {
        "from": "h1",
        "to": "h4",
        "layers": [{"Ether": {"dst": "02:00:00:00:00:63"}}, {"IP": {}}, {"UDP": {"dport": 53}}],
    }
}


@pytest.mark.parametrize(
    ("controller", "path", "copies"),
    [
        (None, ("s2", "s1", "s3"), (3, 2, 3)),
        ("learning-switch", ("s2", "s1", "s3"), (3, 2, 3)),
        ("shortest-path", ("s2",), (0,)),
        ("ecmp", ("s2",), (0,)),
        ({"mirror": {"at": "s2", "to": "h2"}}, ("s2",), (0,)),
        ({"address-translation": {"at": "s2"}}, ("s2",), (0,)),
    ],
)
def test_what_is_for_nobody_is_flooded_or_there_is_no_rule_for_it(controller, path, copies):
    (flow,) = expected(scenario(controller=controller, traffic=[UNKNOWN])).flows
    assert (flow.path, flow.copies) == (path, copies)


def test_what_a_learning_switch_floods_at_first_may_leave_by_ports_that_are_not_on_the_way():
    there, back = ({"udp": {"from": a, "to": b}} for a, b in (("h1", "h2"), ("h2", "h1")))
    case = scenario(
        topology={"single": {"hosts": 4}}, controller="learning-switch", traffic=[there, back]
    )
    sure, besides, *_ = expected(case).flows
    assert (sure.path, sure.ports, sure.perhaps) == (("s1",), ("s1-eth1", "s1-eth2"), False)
    assert (besides.path, besides.ports, besides.perhaps, besides.packets) == (
        (),
        ("s1-eth3", "s1-eth4"),
        True,
        None,
    )


def test_fragments_are_dropped_as_rules_see_them_without_ports():
    fragments = {"fragments": {"from": "h1", "to": "h4", "port": 5001}}
    denied = {"access-list": {"deny": [{"protocol": "udp", "port": 5001}]}}
    for flow in expected(scenario(controller=denied, traffic=[fragments])).flows:
        assert flow.path == ("s2", "s1", "s3")
    denied = {"access-list": {"deny": [{"protocol": "udp"}]}}
    fragments["fragments"]["ip_version"] = 6
    first, later = expected(scenario(controller=denied, traffic=[fragments])).flows
    assert (first.key.destination_port, first.path) == (5001, ("s2",))
    assert (later.later_fragments, later.path) == (True, ("s2", "s1", "s3"))
