"""What is told apart in columns is judged just as if it had been looked at one by one."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.check import (
    Asked,
    Counted,
    Evidence,
    Expected,
    ExpectedFlow,
    Explicit,
    Outcome,
    Pattern,
    Point,
    Region,
    Tolerance,
    judge,
)
from collector.check.compare import checks
from collector.check.counts import Counts
from collector.check.plain import settle
from collector.check.witnesses import Witnesses
from collector.key import FlowKey
from tests.unit.check import many

KEYS = (
    FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40000, 53),
    FlowKey(4, "10.0.0.1", "10.0.0.2", 17, 40001, 3784),
    FlowKey(4, "10.0.0.2", "10.0.0.1", 6, 80, 40000),
    FlowKey(6, "2001:db8::1", "2001:db8::2", 17, 40000, 53),
    FlowKey(0, "00:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", 0x0806, 0, 0),
)
POINTS = (
    Point(
        exporter="plain",
        title="Plain",
        protocol="netflow5",
        observation_point="s1",
        observation_domain=1,
        agent=None,
        flow_direction=None,
        measures=("packets", "octets_l2", "tcpControlBits", "times"),
        sampling=1,
        not_seen={"ipv6": "no room", "non_ip": "IP only"},
        on_switch_clock=True,
    ),
    Point(
        exporter="both ways",
        title="Both ways",
        protocol="ipfix",
        observation_point="s1",
        observation_domain=1,
        agent=None,
        flow_direction=0,
        measures=("packets", "octets_l2", "octets_l3", "times"),
        sampling=1,
        not_seen={"udp/3784": "BFD"},
        tells_egress=True,
        early_ms=1000,
        later_fragments_as=44,
    ),
)
POINTS = (
    *POINTS,
    *(replace(point, observation_point="s2") for point in POINTS),
    replace(POINTS[0], exporter="sampler", sampling=2, measures=("packets", "octets_l2")),
    replace(POINTS[0], exporter="probe", port="s1-eth1"),
    replace(POINTS[0], exporter="absent"),
)
SECOND = 1_000_000_000
WITNESSES = Witnesses(clock_moved_ms=3000, absent={"absent": "not installed"})

_numbers = st.sampled_from([1, 2, 2, 2, None])
_flows = st.builds(
    ExpectedFlow,
    key=st.sampled_from(KEYS),
    path=st.sampled_from([("s1",), ("s1", "s2"), ("s2", "s1")]),
    packets=st.sampled_from([2, 2, 2, 2, 2, 3, None]),
    octets_l2=st.sampled_from([200, 200, 200, None]),
    octets_l3=st.sampled_from([172, 172, 172, None]),
    payload_octets=st.sampled_from([None, None, 100]),
    ports=st.sampled_from([(), ("s1-eth1",)]),
    reactive=st.sampled_from([False, False, True]),
    perhaps=st.sampled_from([False, False, True]),
    later_fragments=st.sampled_from([False, False, True]),
    retag_octets=st.sampled_from([0, 0, 4]),
    egress_octets_l2=st.sampled_from([None, None, 208]),
)
_counted = st.builds(
    Counted,
    packets=st.sampled_from([2] * 8 + [1, 3]),
    octets_l2=st.sampled_from([200] * 8 + [201, None]),
    octets_l3=st.sampled_from([172] * 8 + [173, None]),
    tcp_control_bits=st.sampled_from([None, 2, 2]),
    first_ns=st.sampled_from([9 * SECOND] * 8 + [7 * SECOND, 8 * SECOND, 10 * SECOND, None]),
    last_ns=st.sampled_from([9 * SECOND] * 8 + [9 * SECOND + 5 * SECOND // 10 + 1, None]),
    records=st.sampled_from([1, 2]),
    payload_octets=st.sampled_from([None, 100]),
    datagram=st.sampled_from([None, 7]),
)
_on_wire = _counted.map(lambda one: replace(one, octets_l2=one.octets_l2 or 200))
_keys = st.sampled_from((*KEYS, KEYS[3]._replace(protocol=44), KEYS[0]._replace(source_port=9)))
_switches = st.sampled_from(["s1", "s2"])
_exporters = st.sampled_from([point.exporter for point in POINTS[:2]] + ["sampler", "probe"])


def _is_known(place):
    return any(place[:2] == (point.exporter, point.observation_point) for point in POINTS)


@st.composite
def runs(draw):
    """A run: mostly right, with something odd here and there."""
    flows = draw(st.lists(_flows, max_size=4, unique_by=lambda flow: flow.key))
    flows = [
        replace(flow, copies=draw(st.sampled_from([None, (1, 2)[: len(flow.path)]])))
        for flow in flows
    ]
    wire = draw(st.dictionaries(st.tuples(_switches, _keys), _on_wire, max_size=3))
    observed = draw(st.dictionaries(st.tuples(_exporters, _switches, _keys), _counted, max_size=3))
    egress = draw(st.dictionaries(st.tuples(_exporters, _switches, _keys), _counted, max_size=2))
    for flow in flows:
        for switch in flow.path:
            if draw(st.integers(0, 9)):
                wire.setdefault((switch, flow.key), draw(_on_wire))
            for exporter in ("plain", "both ways", "sampler"):
                if draw(st.integers(0, 9)):
                    observed.setdefault((exporter, switch, flow.key), draw(_counted))
            times = flow.copies_at(switch)
            out = draw(st.sampled_from([Counted(2 * times, 200 * times), Counted(2, 200)]))
            egress.setdefault(("both ways", switch, flow.key), out)
    explicit = (
        Explicit("expectation 1", KEYS[:2], (Asked("plain", "s1"),), {"packets": Region(4, 4)}),
        Explicit(
            *("expectation 2", (), (Asked("both ways", "s1"), Asked("both ways", "s2")), {}),
            absent=Pattern("udp to port 53", protocols=(17,), ports=(53, 53)),
        ),
    )
    expected = Expected(
        "case",
        POINTS,
        tuple(flows),
        draw(st.sampled_from([(), explicit])),
        draw(st.sampled_from([{}, {"packets": Tolerance(1)}, {"octets": Tolerance(0, 0.5)}])),
        background=draw(st.sampled_from([(), (Pattern("arp", ip_version=0),)])),
    )
    evidence = Evidence(
        wire=wire,
        observed={place: seen for place, seen in observed.items() if _is_known(place)},
        egress={place: seen for place, seen in egress.items() if _is_known(place)},
        at_ports=draw(st.dictionaries(st.tuples(st.just("s1-eth1"), _keys), _counted, max_size=2)),
        from_controller=draw(st.dictionaries(st.tuples(_switches, _keys), _counted, max_size=2)),
        strays=(),
        decoding=(),
        recorded_datagrams=0,
        witnesses=WITNESSES,
    )
    return expected, evidence


def in_columns(evidence: Evidence) -> Evidence:
    return replace(
        evidence,
        wire=Counts.of(evidence.wire, 1),
        observed=Counts.of(evidence.observed, 2),
        egress=Counts.of(evidence.egress, 2),
        at_ports=Counts.of(evidence.at_ports, 1),
    )


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_columns_decide_nothing_otherwise(run):
    expected, evidence = run
    one_by_one, by_columns = judge(expected, evidence), judge(expected, in_columns(evidence))
    told = (*by_columns.plain.checks(), *by_columns.checks)
    assert Counter(map(repr, told)) == Counter(map(repr, one_by_one.checks))
    assert by_columns.outcome is one_by_one.outcome
    assert by_columns.counted == one_by_one.counted
    assert Counter(by_columns.breaks) == Counter(one_by_one.breaks)
    assert by_columns.notes == one_by_one.notes


def test_what_is_plain_is_not_looked_at_again():
    expected, evidence = many.expected(50), many.evidence(50, 2)
    settled = settle(expected, evidence)
    assert settled.plain.count == 50 * 3 * 2 * 3
    assert not settled.rest
    assert not settled.unexplained
    assert not settled.came_in
    assert not checks(expected, evidence, settled)


def test_the_nearest_flow_is_named_as_ever():
    expected, evidence = many.expected(3), many.evidence(3, 3)
    verdict = judge(expected, replace(evidence, observed=dict(evidence.observed.items())))
    missing = [check.why for check in verdict.checks if check.why.startswith("no such flow")]
    assert missing[0] == (
        "no such flow; the nearest is protocol 18 10.0.0.1:0 → 10.0.0.2:53, "
        "which differs in protocol"
    )


def test_judging_many_flows_grows_the_process_by_little():
    command = (sys.executable, "-m", "tests.unit.check.many", "16000")
    judged = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert judged["outcome"] == Outcome.PASS
    assert judged["grown_kib"] < 9 * 16_000


def _octets(flows: int, packets: int) -> int:
    """The most that Python's own objects take while a run is judged; columns are none of them."""
    wanted, seen = many.expected(flows), many.evidence(flows, packets)
    tracemalloc.start()
    try:
        judge(wanted, seen)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_plain_never_becomes_objects():
    assert _octets(4_000, packets=2) < 500 * 4_000  # as checks it would be 4000 octets a flow


def test_what_differs_becomes_objects_in_proportion():
    assert _octets(1_000, packets=3) < 2.4 * _octets(500, packets=3)


def _calls(flows: int) -> int:
    """How many functions are called to judge a run in which much is missing."""
    wanted, seen = many.expected(flows), many.evidence(flows, 3)
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        judge(wanted, seen)
    finally:
        sys.setprofile(None)
    return calls


def test_judging_takes_steps_in_proportion_even_if_much_is_missing():
    assert _calls(1_000) < 2.4 * _calls(500)
