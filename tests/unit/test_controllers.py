"""What each controller does to flows, on paper."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from collector.key import ICMP, TCP, UDP, FlowKey
from exporters.ipfix_flow import IpfixFlow
from lab.controllers.settings import (
    CONTROLLERS,
    AccessList,
    AddressTranslation,
    Ecmp,
    FlowSampler,
    LearningSwitch,
    Mirror,
    choose,
)
from lab.traffic import PlannedFlow
from topologies import SHAPES


def build(shape, **parameters):
    return SHAPES[shape].build(SHAPES[shape].parameters(**parameters))


def flow(source, destination, *, protocol=UDP, source_port=40000, port=5001):
    key = FlowKey(4, address(source), address(destination or "all"), protocol, source_port, port)
    return PlannedFlow(key, source, destination, packets=10, octets_l3=1000)


def address(name):
    return f"10.0.0.{name[1:]}" if name.startswith("h") else name


def switches(crossings):
    return [crossing.switch for crossing in crossings]


def test_ecmp_keeps_a_flow_together_and_spreads_flows_evenly():
    topology = build("leaf-spine", spines=4, leaves=2, hosts_per_leaf=1)
    used = Counter()
    for port in range(40000, 40064):
        way = Ecmp().crossings(flow("h1", "h2", source_port=port), topology)
        assert way == Ecmp().crossings(flow("h1", "h2", source_port=port), topology)
        used[switches(way)[1]] += 1
    assert used == dict.fromkeys(("s1", "s2", "s3", "s4"), 16)


@pytest.mark.parametrize(
    ("protocol", "source_port", "index"),
    [(UDP, 40000, 0), (UDP, 40001, 1), (TCP, 40005, 2), (UDP, 7, 1), (ICMP, 0, 0), (47, 5, 0)],
)
def test_ecmps_choice(protocol, source_port, index):
    key = flow("h1", "h2", protocol=protocol, source_port=source_port).key
    assert choose("abc", key) == "abc"[index]


def test_in_a_fat_tree_the_second_choice_sees_half_of_the_buckets():
    topology = build("fat-tree")
    ways = [
        Ecmp().crossings(flow("h1", "h16", source_port=port), topology)
        for port in range(40000, 40008)
    ]
    assert len({switches(way)[2] for way in ways}) == 2  # of four core switches: polarization


def test_fragments_have_no_ports_that_could_choose_a_way():
    topology = build("leaf-spine", spines=2, leaves=2, hosts_per_leaf=1)
    whole = flow("h1", "h2", source_port=40001)
    fragments = replace(whole, fragments=True)
    first = replace(whole, key=whole.key._replace(source_port=40000))
    assert Ecmp().crossings(fragments, topology) == Ecmp().crossings(first, topology)
    assert Ecmp().crossings(fragments, topology) != Ecmp().crossings(whole, topology)


def test_rules_know_later_ipv6_fragments_by_their_header_alone():
    first = replace(flow("h1", "h2"), fragments=True)
    later = replace(first, key=first.key._replace(ip_version=6), later_fragments=True)
    assert first.rules_see[3:] == (UDP, 0, 0)
    assert later.rules_see[3:] == (44, 0, 0)
    assert flow("h1", "h2").rules_see == flow("h1", "h2").key


def test_an_access_list_without_a_protocol_drops_all_and_with_one_only_ip():
    arp = replace(flow("h1", None), key=FlowKey(0, "a", "b", 0x0806, 0, 0))
    assert AccessList(deny=[{"from": "h1"}]).drops(arp)
    assert not AccessList(deny=[{"from": "h1", "protocol": "udp"}]).drops(arp)


def test_the_sampler_is_told_of_every_exporter_and_of_its_switches():
    exporters = [
        IpfixFlow(at="s1", only="udp", port=53, install_rules=False),
        IpfixFlow(at=["s2", "s3"], sampling=3, install_rules=False),
    ]
    assert FlowSampler().told(exporters)["samples"] == [
        {"at": ("s1",), "only": "udp", "port": 53, "probability": 65535},
        {"at": ("s2", "s3"), "only": None, "port": None, "probability": 21845},
    ]


def test_what_is_denied_enters_the_first_switch_and_leaves_nowhere():
    topology = build("linear", switches=2)
    controller = AccessList(deny=[{"protocol": "udp", "port": 53}])
    (only,) = controller.crossings(flow("h1", "h2", port=53), topology)
    assert (only.switch, only.out_ports) == ("s1", ())
    assert switches(controller.crossings(flow("h1", "h2"), topology)) == ["s1", "s2"]


def test_a_mirror_adds_a_port_at_its_switch():
    topology = build("linear", switches=2, hosts_per_switch=2)
    controller = Mirror(at="s1", to="h2")
    first, second = controller.crossings(flow("h1", "h3"), topology)
    assert (first.out_ports, second.out_ports) == ((2, 3), (1,))
    (to_it,) = controller.crossings(flow("h1", "h2"), topology)
    assert to_it.out_ports == (2,)


def test_translation_touches_what_crosses_its_border_alone():
    topology = build("linear", switches=2, hosts_per_switch=2)
    translate = AddressTranslation(at="s1")
    out, on = translate.ways([flow("h1", "h3")], topology)
    assert (switches(out.crossings), out.leaves_as.source) == (["s1"], "10.200.0.1")
    assert (switches(on.crossings), on.flow.key, on.came_by) == (
        ["s2"],
        out.leaves_as,
        out.crossings,
    )
    forged = replace(flow("h1", "h3"), key=flow("h2", "h3").key)
    for untouched in (flow("h1", "h2"), flow("h3", "h4"), flow("h1", None), forged):
        (way,) = translate.ways([untouched], topology)
        assert (way.flow, way.leaves_as) == (untouched, None)


def test_a_learning_switch_floods_what_is_for_the_silent():
    topology = build("linear", switches=3)
    (way,) = LearningSwitch().ways([flow("h1", "h2")], topology)
    assert (switches(way.crossings), way.perhaps) == (["s1", "s2", "s3"], False)
    ways = LearningSwitch().ways([flow("h1", "h2"), flow("h2", "h1")], topology)
    there, off, back, off_back = (way for way in ways if not way.besides)
    assert (switches(there.crossings), there.perhaps) == (["s1", "s2"], False)
    assert (switches(off.crossings), off.perhaps, off.flow.packets) == (["s3"], True, None)
    assert (switches(back.crossings), switches(off_back.crossings)) == (["s2", "s1"], ["s3"])


def test_a_learning_switch_finds_hosts_along_the_tree_and_not_the_shortest_way():
    topology = build("ring", switches=5)
    assert switches(topology.path("h3", "h4")) != switches(topology.tree_path("h3", "h4"))
    assert switches(topology.tree_path("h3", "h4")) == ["s3", "s2", "s1", "s5", "s4"]


@pytest.mark.parametrize(
    ("controller", "key", "message"),
    [
        (Mirror(at="s1", to="h9"), "to", "there is no host 'h9'"),
        (Mirror(at="s2", to="h1"), "at", "h1 is at s1, and copies do not travel"),
        (AddressTranslation(at="s3"), "at", "no host is at s3"),
        (AccessList(deny=[{"from": "h7"}]), "deny", "there is no host 'h7'"),
        (AccessList(deny=[{"port": 53}]), "deny", "only UDP and TCP have ports"),
    ],
)
def test_what_cannot_be_in_a_topology(controller, key, message):
    wrong = controller.wrong(build("linear", switches=2))
    assert wrong is not None
    assert wrong[0] == key
    assert message in wrong[1]


def test_every_controller_says_what_it_is():
    assert all(kind.__doc__.splitlines()[0] for kind in CONTROLLERS.values())
