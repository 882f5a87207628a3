"""The exporters' commands, as ovs-vsctl takes them, and what they observe."""

from __future__ import annotations

import pytest

from exporters import EXPORTERS, Bridge, Identity
from exporters.pmacctd import MARKER

S1 = Bridge("s1", 1)
S300 = Bridge("s300", 300)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("netflow", {}, ["engine_type=0", "engine_id=1", "active_timeout=60"]),
        ("netflow", {"active_timeout_s": 1}, ["active_timeout=1"]),
        ("netflow", {"add_id_to_interface": True}, ["add_id_to_interface=true"]),
        ("sflow", {}, ["sampling=1", "polling=0", "header=128", 'agent="10.255.0.1"']),
        ("sflow", {"sampling": 64, "polling_s": 5}, ["sampling=64", "polling=5"]),
        ("ipfix", {}, ["obs_domain_id=1", "obs_point_id=1", "cache_active_timeout=60"]),
        ("ipfix", {"obs_point_id": 7, "sampling": 9}, ["obs_point_id=7", "sampling=9"]),
        ("ipfix", {"enable_tunnel_sampling": False}, ["enable-tunnel-sampling=false"]),
        ("ipfix-flow", {}, ["create Flow_Sample_Collector_Set id=1", "cache_active_timeout=60"]),
        ("ipfix-flow", {"cache_max_flows": 0}, ["cache_max_flows=0"]),
    ],
)
def test_settings_reach_the_database(name, settings, words):
    command = " ".join(EXPORTERS[name](**settings).switch_on(S1, "127.0.0.1:9"))
    assert 'targets="127.0.0.1:9"' in command
    assert f"ipfix=@{name}-s1" in command or f"set Bridge s1 {name}=@{name}-s1" in command
    for word in words:
        assert word in command


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("netflow", Identity(observation_domain=300)),
        ("ipfix", Identity(observation_domain=300)),
        ("sflow", Identity(agent="10.255.1.44")),
        ("ipfix-flow", Identity(observation_domain=65536 + 300)),
        ("softflowd", Identity(observation_domain=0, address="127.1.1.44")),
        ("pmacctd", Identity(observation_domain=300, address="127.2.1.44")),
    ],
)
def test_every_switch_can_be_told_from_the_others(name, identity):
    assert EXPORTERS[name]().identity(S300) == identity


def test_netflows_engine_is_the_switchs_number_in_two_octets():
    command = EXPORTERS["netflow"]().switch_on(S300, "127.0.0.1:9")
    assert {"engine_type=1", "engine_id=44"} <= set(command)


def test_only_what_loses_nothing_is_switched_off_by_the_flush():
    assert EXPORTERS["ipfix"]().flush(S1) == ("clear", "Bridge", "s1", "ipfix")
    assert EXPORTERS["netflow"]().flush(S1) == EXPORTERS["sflow"]().flush(S1) == ()
    assert EXPORTERS["netflow"]().expire(S1) == ("set", "NetFlow", "s1", "active_timeout=1")


def test_what_they_observe_follows_their_settings():
    assert EXPORTERS["sflow"](sampling=10).observes().sampling == 10
    assert "ipv6" in EXPORTERS["netflow"]().observes().not_seen
    assert EXPORTERS["ipfix"]().observes().flow_direction == 0


SAMPLE = "sample(probability=65535,collector_set_id=1,obs_domain_id=65537,obs_point_id=1),NORMAL"


@pytest.mark.parametrize(
    ("settings", "matches"),
    [
        ({}, [""]),
        ({"only": "udp", "port": 53}, ["udp,tp_dst=53,", "udp6,tp_dst=53,"]),
        ({"only": "icmp"}, ["icmp,", "icmp6,"]),
        ({"install_rules": False}, []),
    ],
)
def test_the_sample_action_is_put_on_what_is_chosen(settings, matches):
    rules = EXPORTERS["ipfix-flow"](**settings).rules(S1)
    assert list(rules) == [f"priority=40000,{match}actions={SAMPLE}" for match in matches]


def test_one_packet_in_n_is_a_share_of_65535():
    (rule,) = EXPORTERS["ipfix-flow"](sampling=10).rules(S1)
    assert "probability=6553," in rule


def test_an_exporter_is_on_where_it_is_said_to_be():
    assert EXPORTERS["netflow"]().is_on("s2")
    assert EXPORTERS["netflow"](at="s1").is_on("s1")
    assert not EXPORTERS["netflow"](at=["s1", "s3"]).is_on("s2")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "-i s1-eth1 -n 127.1.0.1:2055 -v 9"),
        ({"export": "netflow5"}, "-n 127.1.0.1:2055 -v 5"),
        ({"export": "ipfix"}, "-n 127.1.0.1:4739 -v 10"),
        ({"export": "ipfix"}, "-A milli"),
        ({"port": 2}, "-i s1-eth2"),
        ({"active_timeout_s": 7}, "-t maxlife=7"),
        ({"max_flows": 5}, "-m 5"),
    ],
)
def test_softflowds_settings_are_its_arguments(settings, words):
    command = " ".join(EXPORTERS["softflowd"](**settings).command(S1, "/run/x"))
    assert command.startswith("softflowd -d ")
    assert words in command


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, {"nfprobe_version: 10", "nfprobe_engine: 1", "nfprobe_receiver: 127.2.0.1:4739"}),
        ({"export": "netflow9"}, {"nfprobe_version: 9", "nfprobe_receiver: 127.2.0.1:2055"}),
        (
            {"export": "sflow5", "port": 3},
            {
                "pcap_interface: s1-eth3",
                "sfprobe_receiver: 127.2.0.1:6343",
                "sfprobe_agentip: 10.254.0.1",
            },
        ),
    ],
)
def test_pmacctds_settings_are_in_its_file(settings, lines):
    written = EXPORTERS["pmacctd"](**settings).configuration(S1, "/run/x").splitlines()
    assert "daemonize: false" in written
    assert lines <= set(written)


def test_every_part_is_given_the_marker_and_leaves_it_to_the_judge():
    """Without a packet behind it, a part may not be woken for the last one."""
    for export in ("netflow9", "ipfix", "sflow5"):
        probe = EXPORTERS["pmacctd"](export=export)
        assert "aggregate_filter[flows]" not in probe.configuration(S1, "/run/x")
        assert probe.observes().marker == MARKER


@pytest.mark.parametrize(
    ("targets", "destinations"),
    [
        (["ipv4"], ("127.0.0.1:2055",)),
        ("ipv6", ("[::1]:2055",)),
        (["ipv6", "ipv4"], ("[::1]:2055", "127.0.0.1:2055")),
    ],
)
def test_exports_go_to_one_target_or_two(targets, destinations):
    assert EXPORTERS["netflow"](targets=targets).destinations(S1) == destinations
