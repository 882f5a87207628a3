"""Mininet's topologies, and people's own, as scenario files: the same network to the port."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from lab.cli import main
from topologies import SHAPES

OWN = """
from mininet.topo import Topo

print("a file may say what it likes")

class MyTopo(Topo):
    def build(self, hosts=2):
        left, right = self.addSwitch("s3"), self.addSwitch("s4", dpid="a")
        self.addLink(left, right, bw=10, delay="5ms", loss=0, max_queue_size=10)
        for number in range(1, int(hosts) + 1):
            host = self.addHost(f"h{number}", ip=f"10.1.1.{number}/24")
            self.addLink(right if number % 2 else left, host, bw=1)

class Ports(Topo):
    def build(self):
        switch = self.addSwitch("s1")
        for number in (1, 2):
            self.addLink(self.addHost(f"h{number}"), switch, port2=10 * number)

class Long(Topo):
    def build(self):
        switch = self.addSwitch("switch-of-the-core")
        for number in (1, 2):
            self.addLink(self.addHost(f"h{number}"), switch)

class Lonely(Topo):
    def build(self):
        self.addSwitch("s1")
        for number in (1, 2):
            self.addHost(f"h{number}")

topos = {"mytopo": lambda: MyTopo(), "more": MyTopo}
"""
DIFFERENT_NUMBERS = "the ports' numbers"


def new(folder, *arguments):
    done = CliRunner().invoke(main, ["new", str(folder / "my.yaml"), *arguments])
    return done.exit_code, done.output


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    return file


def network(folder):
    parameters = yaml.safe_load((folder / "my.yaml").read_text())["topology"]["custom"]
    shape = SHAPES["custom"]
    return shape.build(shape.parameters.model_validate(parameters))


def joined(topology):
    """Each link as its two ends, (node, port number)."""
    return {
        frozenset({(link.a.node, link.a.number), (link.b.node, link.b.number)})
        for link in topology.links
    }


@pytest.mark.parametrize(
    "text",
    ["minimal", "single,4", "reversed,4", "linear,3,2", "tree,depth=2,fanout=3", "torus,3,3"],
)
def test_ports_have_the_numbers_that_mininet_gives(tmp_path, text):
    from lab.run.mininet_topo import _made

    code, said = new(tmp_path, "--topo", text)
    assert code == 0, said
    assert DIFFERENT_NUMBERS not in said
    assert joined(network(tmp_path)) == {
        frozenset({(info["node1"], info["port1"]), (info["node2"], info["port2"])})
        for _, _, info in _made(text, None).links(withInfo=True)
    }
    assert CliRunner().invoke(main, ["lint", str(tmp_path / "my.yaml")]).exit_code == 0


def test_what_links_are_like_comes_along_and_the_rest_is_named(tmp_path, own):
    code, said = new(tmp_path, "--custom", str(own), "--topo", "more,hosts=3")
    assert code == 0, said
    topology = network(tmp_path)
    assert [switch.name for switch in topology.switches] == ["s3", "s4"]
    assert len(topology.hosts) == 3
    (between,) = [link for link in topology.links if {link.a.node, link.b.node} == {"s3", "s4"}]
    assert (between.quality.bandwidth_mbps, between.quality.delay_ms) == (10, 5)
    assert between.quality.loss_percent is None
    for words in ("max_queue_size of the link s3-s4", "dpid of 1 nodes", "ip of 3 nodes"):
        assert f"left out {words}" in said
    assert "bandwidth_mbps of the link s4-h1" in said


@pytest.mark.parametrize(
    ("topo", "says"),
    [
        ("nosuch", "there is no topology 'nosuch'; there is minimal"),
        ("more,hosts=x", "more,hosts=x: ValueError"),
        ("more,1,2,3", "more,1,2,3: TypeError"),
        ("Long", "switches.0 ('switch-of-the-core')"),
        ("Lonely", "links ([]): "),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_written(tmp_path, own, topo, says):
    code, said = new(tmp_path, "--custom", str(own), "--topo", topo)
    assert code == 2
    assert says in said
    assert not (tmp_path / "my.yaml").exists()


def test_a_file_that_does_not_run_is_told(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("import nosuchmodule\n")
    code, said = new(tmp_path, "--custom", str(file), "--topo", "x")
    assert code == 2
    assert f"{file}: ModuleNotFoundError: No module named 'nosuchmodule'" in said


def test_numbers_of_ports_that_differ_are_named(tmp_path, own):
    code, said = new(tmp_path, "--custom", str(own), "--topo", "Ports")
    assert code == 0
    assert f"left out {DIFFERENT_NUMBERS}" in said


def test_somebodys_own_network_runs_and_passes(flowlab, own):
    own.write_text(OWN.replace('bw=10, delay="5ms", ', ""))
    flowlab("new", "my.yaml", "--custom", str(own), "--topo", "mytopo")
    flowlab("run", "my.yaml")
    assert flowlab.verdict("my")["verdict"] == "PASS"
