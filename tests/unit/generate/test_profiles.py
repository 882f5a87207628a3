"""Generated datagrams say what their flow tables say, read by the decoders; faults are counted."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from collector import pcap
from collector.arrival import without_duplicates
from collector.corpus.case import MEASURES, OBSERVER
from collector.decode import BY_NAME, STANDARD, decode
from collector.flows import flow_json, flows
from collector.generate.flows import records, table
from collector.generate.profile import FlowsOf
from lab.described import WrongFile
from lab.disturbances import DISTURBANCES
from lab.profiles import Plan, all_profiles, read_profile, write

EVENTFUL = (
    *("template-redefinition", "template-redefinition-netflow9", "template-withdrawal"),
    *("exporter-restart", "exporter-restart-ipfix", "template-lost", "data-before-template"),
)
FAULTS = (
    *("drop=30:1", "drop=30:2", "drop=30:3", "reorder=30", "delay=30", "duplicate=30"),
    *("late_collector=1", "late_collector=3", "corrupt=20", "truncate=20"),
)
PROFILES = [path.stem for path in all_profiles()]


def told(case):
    """What the decoders make of a case's datagrams, and how many came twice."""
    datagrams = pcap.datagrams(pcap.read(case.exports))
    _, twice = without_duplicates(datagrams, np.arange(len(datagrams)))
    # What is cut to eight octets is alike, and nobody's duplicate.
    twice = [row for row in twice if datagrams.length[row] > 8]
    (habits,) = set(case.manifest.habits.values()) or {STANDARD.name}
    decoded = decode(datagrams, BY_NAME[habits])
    rows = {}
    for row in flows(decoded).iter_rows(named=True):
        place = (*(row[name] for name in OBSERVER), *flow_json(row).items())
        assert place not in rows
        rows[place] = {name: row[name] for name in MEASURES}
    return rows, decoded, len(twice), datagrams


def truth(case):
    rows = {}
    for row in case.truth().flows:
        place = (*(row[name] for name in OBSERVER), *row["flow"].items())
        assert place not in rows
        rows[place] = {name: row[name] for name in MEASURES}
    return rows


def fault(text):
    kind, _, rest = text.partition("=")
    number, _, seed = rest.partition(":")
    name = "missed" if kind == "late_collector" else "percent"
    return DISTURBANCES[kind].model_validate({name: number} | ({"seed": seed} if seed else {}))


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_true_is_what_the_decoders_say(name, tmp_path):
    case = write(Plan.of(read_profile(name)), name, tmp_path / name)
    same(case)
    assert case.manifest.features


def same(case):
    """See that a case's truth is what the decoders make of it."""
    seen, decoded, twice, datagrams = told(case)
    wanted = truth(case)
    assert wanted.keys() == seen.keys()
    assert wanted == seen
    counts = case.truth().counts
    assert counts["datagrams"] == len(datagrams)
    assert counts["duplicates"] == twice
    lost = sum(stream.lost for stream in decoded.summary.streams)
    assert counts["missing"] in (lost, None)
    assert counts["undecodable"] == len(decoded.summary.undecodable)


@pytest.mark.parametrize("befalls", FAULTS)
@pytest.mark.parametrize("name", EVENTFUL)
def test_where_templates_change_faults_leave_what_can_be_known_or_are_refused(
    name, befalls, tmp_path
):
    """No truth that this project's own collector could not find."""
    plan = Plan.of(read_profile(name), 400, fault=[fault(befalls)])
    try:
        case = write(plan, name, tmp_path / name)
    except WrongFile as wrong:
        told = str(wrong)
    else:
        same(case)
        return
    assert not (tmp_path / name).exists()
    assert name in MAY_BE_REFUSED
    assert "nobody can know what is true: datagram " in told


MAY_BE_REFUSED = EVENTFUL[:3]


@pytest.mark.parametrize("seed", range(4))
def test_a_scan_and_a_flood_are_single_syns_and_change_nothing_else(seed):
    quiet = FlowsOf(different=300, sources=20, destinations=40)
    attacked = quiet.model_copy(update={"different": 370, "scan": 30, "flood": 40})
    drawn = table(attacked, seed)
    (some,) = records(attacked, drawn, 370, seed)
    lone = drawn.lone[some["tuple"]]
    assert lone.sum() == 70
    assert set(some["packetDeltaCount"][lone]) == {1}
    assert set(some["octetDeltaCount"][lone]) == {60}
    assert set(some["tcpControlBits"][lone]) == {2}
    scan, flood = slice(300, 330), slice(330, 370)
    source, destination = (drawn.columns[f"{end}IPv4Address"] for end in ("source", "destination"))
    assert len(set(source[scan])) == len(set(destination[flood])) == 1
    assert len(set(destination[scan])) == 30
    assert len(set(source[flood])) == 40
    assert source[300] in source[:300]
    assert destination[330] in destination[:300]
    assert not table(quiet, seed).lone.any()


def test_attacks_are_some_of_the_flows():
    with pytest.raises(ValidationError, match="more than there are different flows"):
        FlowsOf(different=10, scan=6, flood=5)
    assert table(FlowsOf(different=10, scan=6, flood=4), 1).lone.all()
