"""The shapes on paper: names, addresses, ports, paths, and what Mininet is told of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from topologies import SHAPES, Crossing, Hop, Port, Quality, Topology


def build(shape: str, **parameters: object) -> Topology:
    return SHAPES[shape].build(SHAPES[shape].parameters(**parameters))


SOME = [
    ("single", {}),
    ("single", {"hosts": 5}),
    ("linear", {}),
    ("linear", {"switches": 1}),
    ("linear", {"switches": 4, "hosts_per_switch": 3}),
    ("tree", {}),
    ("tree", {"depth": 1, "fanout": 4}),
    ("tree", {"depth": 3, "fanout": 2}),
    ("tree", {"depth": 2, "fanout": 3}),
    ("star", {}),
    ("star", {"points": 2, "hosts_per_switch": 3}),
    ("ring", {}),
    ("ring", {"switches": 5, "hosts_per_switch": 2}),
    ("leaf-spine", {}),
    ("leaf-spine", {"spines": 4, "leaves": 5, "hosts_per_leaf": 1}),
    ("fat-tree", {}),
    ("fat-tree", {"k": 2}),
    ("campus", {}),
    ("campus", {"buildings": 1, "access_per_building": 3, "hosts_per_access": 2}),
    ("dual-homed", {}),
    ("vlans", {"switches": 3, "vlans": 2, "hosts_per_vlan": 2}),
    ("five-routers", {}),
]
ALL = pytest.mark.parametrize(
    "topology",
    [build(shape, **parameters) for shape, parameters in SOME],
    ids=[f"{shape} {parameters}" for shape, parameters in SOME],
)


def test_the_shapes_are_found():
    assert {"linear", "single", "tree", "leaf-spine", "fat-tree", "five-routers"} <= set(SHAPES)
    for name, shape in SHAPES.items():
        assert shape.name == name
        assert shape.summary.endswith(".")


def test_addresses_follow_the_number():
    topology = build("linear", switches=2, hosts_per_switch=200)
    first, far = topology.host("h1"), topology.host("h300")
    assert first.mac == "02:00:00:00:00:01"
    assert (first.ipv4, first.ipv6) == (IPv4Address("10.0.0.1"), IPv6Address("2001:db8::1"))
    assert far.mac == "02:00:00:00:01:2c"
    assert (far.ipv4, far.ipv6) == (IPv4Address("10.0.1.44"), IPv6Address("2001:db8::12c"))


@ALL
def test_names_count_from_one_without_gaps(topology):
    assert [host.name for host in topology.hosts] == [
        f"h{number}" for number in range(1, len(topology.hosts) + 1)
    ]
    assert [(switch.name, switch.number) for switch in topology.switches] == [
        (f"s{number}", number) for number in range(1, len(topology.switches) + 1)
    ]


@ALL
def test_switch_ports_count_from_one_and_those_of_hosts_from_zero(topology):
    for switch in topology.switches:
        ports = topology.ports(switch.name)
        assert [port.number for port in ports] == list(range(1, len(ports) + 1))
        assert [port.name for port in ports] == [f"{switch.name}-eth{p.number}" for p in ports]
    for host in topology.hosts:
        first, *standby = topology.ports(host.name)
        assert first == topology.attachment(host.name) == Port(host.name, f"{host.name}-eth0", 0)
        assert len(standby) == (topology.kind == "dual-homed")


@ALL
def test_every_path_leads_along_links(topology):
    for source, destination in pairs(topology):
        hops = topology.path(source, destination)
        assert len({hop.switch for hop in hops}) == len(hops)
        ports = {
            (port.node, port.number): port
            for s in topology.switches
            for port in topology.ports(s.name)
        }
        first, last = hops[0], hops[-1]
        assert topology.peer(ports[first.switch, first.in_port]).node == source
        assert topology.peer(ports[last.switch, last.out_port]).node == destination
        for one, other in pairwise(hops):
            assert (
                topology.peer(ports[one.switch, one.out_port]) == ports[other.switch, other.in_port]
            )


def pairs(topology: Topology) -> list[tuple[str, str]]:
    """All pairs of hosts that can talk to each other."""
    return [
        (one.name, other.name)
        for one, other in permutations(topology.hosts, 2)
        if one.vlan == other.vlan
    ]


@ALL
def test_without_rings_the_way_back_is_the_way_there(topology):
    if topology.blocked:
        return
    for source, destination in pairs(topology):
        there, back = topology.path(source, destination), topology.path(destination, source)
        assert [(h.switch, h.in_port, h.out_port) for h in back] == [
            (h.switch, h.out_port, h.in_port) for h in reversed(there)
        ]


@ALL
def test_no_way_is_shorter_than_the_path(topology):
    for source, destination in pairs(topology):
        hops = topology.path(source, destination)
        assert len(hops) == distance(topology, source, destination)
        equal = topology.equal_ways_to(destination)
        for hop in hops:
            assert equal[hop.switch][0].number == hop.out_port
            for port in equal[hop.switch]:
                far = topology.peer(port).node
                nearer = 0 if far == destination else distance(topology, far, destination)
                assert nearer == distance(topology, hop.switch, destination) - 1


def distance(topology: Topology, node: str, destination: str) -> int:
    """Switches between two nodes, the first one too if it is one, by looking at everything."""
    switches = {switch.name for switch in topology.switches}
    goal = topology.peer(topology.attachment(destination)).node
    start = node if node in switches else topology.peer(topology.attachment(node)).node
    rings, seen = [{start}], {start}
    while goal not in seen:
        near = {topology.peer(port).node for one in rings[-1] for port in topology.ports(one)}
        rings.append((near & switches) - seen)
        seen |= rings[-1]
    return len(rings)


@ALL
def test_every_switch_knows_the_way_to_every_host(topology):
    for host in topology.hosts:
        ways = topology.ways_to(host.name)
        assert set(ways) == {switch.name for switch in topology.switches}
    for source, destination in pairs(topology):
        for hop in topology.path(source, destination):
            assert topology.ways_to(destination)[hop.switch].number == hop.out_port


@ALL
def test_what_is_sent_to_all_crosses_each_switch_once_and_reaches_all(topology):
    ports = {(port.node, port.number): port for port in topology._peers}
    for host in topology.hosts:
        spreads = topology.flood(host.name)
        crossed = [spread.switch for spread in spreads]
        assert sorted(crossed) == sorted(switch.name for switch in topology.switches)
        arrived = [
            topology.peer(ports[spread.switch, number])
            for spread in spreads
            for number in spread.out_ports
        ]
        assert len(set(arrived)) == len(arrived)
        entries = {(spread.switch, spread.in_port) for spread in spreads[1:]}
        assert {(p.node, p.number) for p in arrived if p.node in crossed} == entries
        friends = [o.name for o in topology.hosts if o != host and o.vlan == host.vlan]
        assert sorted(p.node for p in arrived if p.node not in crossed) == sorted(friends)
        assert list(topology.reached(host.name)) == friends


@ALL
def test_the_blocked_ports_are_those_of_links_that_close_rings_and_of_standby_interfaces(topology):
    switches = {switch.name for switch in topology.switches}
    trunks = [link for link in topology.links if {link.a.node, link.b.node} <= switches]
    open_ = [link for link in trunks if not {link.a, link.b} & topology.blocked]
    assert len(open_) == len(switches) - 1
    assert all({link.a, link.b} <= topology.blocked for link in trunks if link not in open_)
    others = [port for port in topology.blocked if topology.peer(port).node not in switches]
    assert all(topology.peer(port).number > 0 for port in others)


def test_hosts_in_different_vlans_have_no_path_and_frames_between_switches_have_tags():
    topology = build("vlans")
    assert topology.path("h1", "h3") == (Hop("s1", 1, 3), Hop("s2", 3, 1, 10))
    assert topology.path("h4", "h2") == (Hop("s2", 2, 3), Hop("s1", 3, 2, 20))
    assert topology.flood("h1") == (Crossing("s1", 1, (3,)), Crossing("s2", 3, (1,), 10))
    with pytest.raises(ValueError, match="h1 and h2 are in different VLANs"):
        topology.path("h1", "h2")


def test_links_between_switches_are_what_the_parameters_say():
    topology = build("linear", bandwidth_mbps=10, loss_percent=1)
    qualities = {(link.a.node, link.b.node): link.quality for link in topology.links}
    assert qualities == {
        ("h1", "s1"): Quality(),
        ("h2", "s2"): Quality(),
        ("s2", "s1"): Quality(bandwidth_mbps=10, loss_percent=1),
    }


OWN = {
    "hosts": ["web", "client"],
    "switches": ["core", "edge"],
    "links": [["client", "edge"], ["edge", "core"], ["web", "core"]],
    "qualities": [{"ends": ["core", "edge"], "delay_ms": 5}],
}


def test_a_network_of_ones_own():
    topology = build("custom", **OWN)
    assert topology.path("client", "web") == (Hop("edge", 1, 2), Hop("core", 1, 2))
    assert topology.links[1].quality == Quality(delay_ms=5)
    assert str(topology.host("web").ipv4) == "10.0.0.1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"switches": ["core", "core", "edge"]}, "two nodes are called core"),
        ({"switches": ["core", "edge", "lo"]}, "Linux has a 'lo' of its own"),
        ({"hosts": ["h1", "h2", "all"]}, "Linux has a 'all' of its own"),
        ({"links": [*OWN["links"], ["web", "nobody"]]}, "a link ends at nobody, which is no host"),
        ({"links": [*OWN["links"], ["core", "core"]]}, "a link joins core to itself"),
        ({"links": [*OWN["links"], ["web", "client"]]}, "joins the hosts web and client directly"),
        ({"links": [["client", "edge"], ["edge", "core"]]}, "the host web has 0 links"),
        ({"links": [*OWN["links"], ["web", "core"], ["web", "edge"]]}, "the host web has 3 links"),
        ({"qualities": [{"ends": ["web", "edge"]}]}, "a link of web and edge, which is not there"),
        ({"vlans": [["core", 10]]}, "vlans names core, which is no host"),
        ({"hosts": ["web", "a-name"]}, "String should match pattern"),
    ],
)
def test_what_is_no_network_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        build("custom", **OWN | change)


@pytest.mark.parametrize(
    ("shape", "parameters", "links"),
    [
        # As ``mn --topo … --verbosity output`` with the command ``net`` shows them.
        ("single", {"hosts": 3}, "h1-eth0:s1-eth1 h2-eth0:s1-eth2 h3-eth0:s1-eth3"),
        (
            "linear",
            {"switches": 3},
            "h1-eth0:s1-eth1 h2-eth0:s2-eth1 s2-eth2:s1-eth2 h3-eth0:s3-eth1 s3-eth2:s2-eth3",
        ),
        (
            "tree",
            {"depth": 2, "fanout": 2},
            (
                "s2-eth1:h1-eth0 s2-eth2:h2-eth0 s1-eth1:s2-eth3 "
                "s3-eth1:h3-eth0 s3-eth2:h4-eth0 s1-eth2:s3-eth3"
            ),
        ),
    ],
)
def test_ports_are_those_of_mininets_own_topologies(shape, parameters, links):
    topology = build(shape, **parameters)
    assert " ".join(f"{link.a.name}:{link.b.name}" for link in topology.links) == links


@pytest.mark.parametrize(
    ("shape", "parameters", "ends", "path"),
    [
        ("single", {}, ("h1", "h2"), [Hop("s1", 1, 2)]),
        ("linear", {}, ("h1", "h2"), [Hop("s1", 1, 2), Hop("s2", 2, 1)]),
        (
            "linear",
            {"switches": 3, "hosts_per_switch": 2},
            ("h6", "h1"),
            [Hop("s3", 2, 3), Hop("s2", 4, 3), Hop("s1", 3, 1)],
        ),
        ("linear", {"switches": 3, "hosts_per_switch": 2}, ("h3", "h4"), [Hop("s2", 1, 2)]),
        (
            "tree",
            {"fanout": 3},
            ("h1", "h9"),
            [Hop("s2", 1, 4), Hop("s1", 1, 3), Hop("s4", 4, 3)],
        ),
    ],
)
def test_paths(shape, parameters, ends, path):
    assert list(build(shape, **parameters).path(*ends)) == path


class Recorder:
    """Takes what a Mininet ``Topo`` would take."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, method):
        return lambda *names, **options: self.calls.append((method, *names, options))


def test_what_mininet_is_told():
    topo = Recorder()
    build("linear", switches=2).fill(topo)
    assert topo.calls == [
        ("addHost", "h1", {"mac": "02:00:00:00:00:01", "ip": "10.0.0.1/8"}),
        ("addHost", "h2", {"mac": "02:00:00:00:00:02", "ip": "10.0.0.2/8"}),
        ("addSwitch", "s1", {"dpid": "0000000000000001"}),
        ("addSwitch", "s2", {"dpid": "0000000000000002"}),
        ("addLink", "h1", "s1", {"port1": 0, "port2": 1}),
        ("addLink", "h2", "s2", {"port1": 0, "port2": 1}),
        ("addLink", "s2", "s1", {"port1": 2, "port2": 2}),
    ]


def test_a_path_needs_two_hosts_that_exist():
    topology = build("single")
    with pytest.raises(ValueError, match="no path from h1 to itself"):
        topology.path("h1", "h1")
    for ends in (("h1", "h9"), ("h9", "h1"), ("s1", "h1"), ("h1", "s1")):
        with pytest.raises(KeyError):
            topology.path(*ends)


@pytest.mark.parametrize(
    ("shape", "parameters", "message"),
    [
        ("single", {"hosts": 1}, "greater than or equal to 2"),
        ("single", {"hosts": 1001}, "less than or equal to 1000"),
        ("linear", {"switches": 200, "hosts_per_switch": 6}, "this makes 1200 hosts"),
        ("tree", {"depth": 8, "fanout": 2}, "this makes 255 switches; the most is 200"),
        ("tree", {"depth": 2, "fanout": 40}, "this makes 1600 hosts; the most is 1000"),
        ("tree", {"width": 2}, "Extra inputs"),
    ],
)
def test_what_one_machine_cannot_hold_is_refused(shape, parameters, message):
    with pytest.raises(ValidationError, match=message):
        SHAPES[shape].parameters(**parameters)


def test_parameters_can_be_compared_and_hashed():
    linear = SHAPES["linear"].parameters
    assert {linear(switches=3), linear(switches=3), linear(switches=2)} == {
        linear(switches=2),
        linear(switches=3),
    }
    assert build("linear", switches=3) == build("linear", switches=3)
    assert len({build("linear", switches=3), build("linear", switches=3)}) == 1


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 5), st.integers(1, 3))
def test_a_tree_has_the_size_of_a_tree(depth, fanout):
    topology = build("tree", depth=depth, fanout=fanout)
    assert len(topology.hosts) == fanout**depth
    assert len(topology.links) == len(topology.hosts) + len(topology.switches) - 1
