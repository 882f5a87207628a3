"""The shapes on paper: names, addresses, ports, paths, and what Mininet is told of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from topologies import SHAPES, Hop, Port, Topology


def build(shape: str, **parameters: int) -> Topology:
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
]
ALL = pytest.mark.parametrize(
    "topology",
    [build(shape, **parameters) for shape, parameters in SOME],
    ids=[f"{shape} {parameters}" for shape, parameters in SOME],
)


def test_the_shapes_are_found():
    assert list(SHAPES) == ["linear", "single", "tree"]
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
def test_switch_ports_count_from_one_and_hosts_have_one_port(topology):
    for switch in topology.switches:
        ports = topology.ports(switch.name)
        assert [port.number for port in ports] == list(range(1, len(ports) + 1))
        assert [port.name for port in ports] == [f"{switch.name}-eth{p.number}" for p in ports]
    for host in topology.hosts:
        assert topology.ports(host.name) == (Port(host.name, f"{host.name}-eth0", 0),)


@ALL
def test_every_path_leads_along_links(topology):
    names = [host.name for host in topology.hosts]
    for source, destination in permutations(names, 2):
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


@ALL
def test_the_way_back_is_the_way_there(topology):
    names = [host.name for host in topology.hosts]
    for source, destination in permutations(names, 2):
        there, back = topology.path(source, destination), topology.path(destination, source)
        assert back == tuple(Hop(h.switch, h.out_port, h.in_port) for h in reversed(there))


@ALL
def test_every_switch_knows_the_way_to_every_host(topology):
    for host in topology.hosts:
        ways = topology.ways_to(host.name)
        assert set(ways) == {switch.name for switch in topology.switches}
        for source in topology.hosts:
            if source != host:
                for hop in topology.path(source.name, host.name):
                    assert ways[hop.switch].number == hop.out_port


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
