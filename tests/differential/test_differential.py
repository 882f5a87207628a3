"""tshark, nfdump and pmacct say of generated and of golden captures what we say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.__main__ import DOCUMENT, text
from tests.differential.cases import CASES, PEERS_OF, write
from tests.differential.compare import Case, compare
from tests.differential.disagreements import DISAGREEMENTS
from tests.differential.peers import PEERS, needed
from tests.differential.records import read

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = (
    *("openvswitch.pcap", "openvswitch-flow-sampling.pcap", "openvswitch-warped.pcap"),
    *("openvswitch-icmp-errors.pcap", "openvswitch-vlans.pcap"),
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    captures = {name: folder / f"{name}.pcap" for name in CASES}
    for name, capture in captures.items():
        write(name, capture)
    captures |= {Path(name).stem: GOLDEN / name for name in RECORDED}
    return [Case(name, capture, read(name, capture)) for name, capture in captures.items()]


@pytest.mark.parametrize("name", PEERS)
def test_every_record_is_read_alike_but_for_what_is_declared(name, cases):
    peer = needed(name)
    some = [case for case in cases if name in PEERS_OF.get(case.name, PEERS)]
    result = compare(peer, some, DISAGREEMENTS)
    assert not result.differences, "\n".join(result.differences[:50])
    gone = {one for one in DISAGREEMENTS if one.peer == name} - result.met
    assert not gone, "declared, and not met: " + ", ".join(one.where for one in gone)
    assert result.fields > 3_000


def test_every_case_has_records(cases):
    assert not [case.name for case in cases if not case.records]


def test_the_document_is_that_of_the_table():
    assert DOCUMENT.read_text(encoding="utf-8") == text(), "run python -m tests.differential"
