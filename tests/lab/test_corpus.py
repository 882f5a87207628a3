"""The bundled corpus, remade from the catalogue, means the same."""

from __future__ import annotations

import json
from collections import Counter

from collector.key import TCP, FlowKey
from lab.corpus import CORPUS, find_cases, read_case

RECORDED = CORPUS / "recorded"
EXACT = ("packets", "octets_l2", "octets_l3", "tcpControlBits")


def meaning(case):
    """What a recording means, whenever it was made: who told which flow, with what counts.

    Neighbour discovery and the like come from the kernel when it likes, and what a sampler picked
    is chance: of these nothing is held. How many segments a connection takes is the kernel's
    affair: of those the flags are held.
    """
    found = Counter()
    for row in case.truth().flows:
        key = FlowKey.from_json(dict(row["flow"]))
        chance = row["sampling"] != 1 or case.name in SAMPLED
        background = "fe80::" in key.source or key.destination.startswith("ff02::")
        if not background and not chance:
            who = [row[name] for name in ("protocol", "exporter", "observation_domain", "agent")]
            held = ("tcpControlBits",) if key.ip_version and key.protocol == TCP else EXACT
            counts = [row[name] for name in held]
            found[json.dumps([*who, row["flowDirection"], row["flow"], counts])] += 1
    return found


SAMPLED = ("mouse-beside-elephant",)


def test_a_corpus_that_is_made_again_means_the_same(flowlab):
    names = sorted(path.name for path in RECORDED.iterdir())
    first, *others = names
    runs = [str(flowlab.ran(name)) for name in others]
    flowlab("record", first, *runs, "--out", "again")
    for case in find_cases([str(RECORDED)]):
        again = read_case(flowlab.folder / "again" / case.name)
        old, new = meaning(case), meaning(again)
        differs = [*(old - new), *(new - old)]
        assert not differs, (case.name, differs[:4])
        for name in ("title", "about", "protocols", "features", "habits"):
            assert getattr(again.manifest, name) == getattr(case.manifest, name), (case.name, name)


WRONG = """\
title: Wrong
topology: {single: {hosts: 2}}
exporters: [netflow]
traffic: [{ping: {from: h1, to: h2, count: 1}}]
expect: [{flow: {from: h1, to: h2, protocol: icmp}, packets: 2}]
"""


def test_a_run_that_fails_does_not_keep_others_from_being_cases(flowlab):
    (flowlab.folder / "wrong.yaml").write_text(WRONG)
    one = flowlab.ran("one-ping")
    good = [str(one), str(one.resolve())]
    told = flowlab("record", "wrong.yaml", *good, "--out", "cases", code=1)
    assert [case.name for case in find_cases([str(flowlab.folder / "cases")])] == ["one-ping"]
    assert "its verdict is FAIL: what it exported is no truth" in told
    assert f"one-ping: of {good[1]}, no longer of {good[0]}" in told
