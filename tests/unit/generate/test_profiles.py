"""Generated datagrams say what their flow tables say, read by the decoders; faults are counted."""

from __future__ import annotations

import numpy as np
import pytest

from collector import pcap
from collector.arrival import without_duplicates
from collector.corpus.case import MEASURES, OBSERVER
from collector.decode import BY_NAME, STANDARD, decode
from collector.flows import flow_json, flows
from lab.profiles import Plan, all_profiles, read_profile, write

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


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_true_is_what_the_decoders_say(name, tmp_path):
    case = write(Plan.of(read_profile(name)), name, tmp_path / name)
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
    assert case.manifest.features
