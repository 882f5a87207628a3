"""What Open vSwitch really does where an expectation is derived from more than a shortest way."""

from __future__ import annotations

import pytest

CASES = {
    "an access list, with fragments, ARP, answers and a broadcast": """
topology: {linear: {switches: 2, hosts_per_switch: 2}}
controller: {access-list: {deny: [{from: h1}, {protocol: udp, port: 5001}]}}
exporters: [sflow, ipfix, netflow]
traffic:
  - broadcast: {from: h1}
  - arp: {from: h1, to: h3, count: 2}
  - scan: {from: h1, to: h3, ports: 80-82}
  - fragments: {from: h2, to: h3, datagrams: 3}
  - fragments: {from: h2, to: h3, datagrams: 3, ip_version: 6}
  - packets: {from: h2, to: h3, layers: [{Ether: {dst: "02:00:00:00:00:63"}}, {IP: {}}, {UDP: {}}]}
""",
    "fragments that are spread over ways": """
topology: {ring: {switches: 4}}
controller: ecmp
exporters: [sflow, netflow]
traffic:
  - fragments: {from: h1, to: h3, datagrams: 3}
  - fragments: {from: h1, to: h3, datagrams: 3, ip_version: 6}
""",
    "a sampler with other settings at each switch": """
topology: {linear: {switches: 2}}
controller: flow-sampler
exporters:
  - ipfix-flow: {at: s1, only: udp, install_rules: false}
  - ipfix-flow: {at: s2, install_rules: false}
traffic:
  - udp: {from: h1, to: h2}
  - tcp: {from: h1, to: h2}
  - broadcast: {from: h1}
  - packets: {from: h2, to: h1, layers: [{Ether: {dst: "02:00:00:00:00:63"}}, {IP: {}}, {UDP: {}}]}
""",
    "probes beside a switch that learns": """
topology: {single: {hosts: 4}}
controller: learning-switch
exporters: [netflow, {softflowd: {port: 3}}, {pmacctd: {port: 1}}]
traffic:
  - udp: {from: h1, to: h2, datagrams: 3}
  - udp: {from: h2, to: h1, datagrams: 3}
""",
    "tagged frames after a restart": """
topology: {single: {hosts: 3}}
exporters: [sflow, ipfix]
fault: [{switch_restart: {after_step: 1}}]
traffic:
  - vlan: {from: h1, to: h2}
  - vlan: {from: h1, to: h2}
""",
    "answers behind links that lose packets": """
topology: {linear: {switches: 2, loss_percent: 20}}
exporters: [sflow, netflow]
traffic:
  - scan: {from: h1, to: h2, ports: 1-100}
""",
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_derived_is_what_happens(flowlab, case):
    flowlab("run", flowlab.scenario(f"title: A case\n{case}"))
    assert flowlab.verdict()["verdict"] == "PASS"
