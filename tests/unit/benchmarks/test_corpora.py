"""The corpora of the benchmarks hold what they say, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from collector import pcap
from collector.decode import OPEN_VSWITCH, STANDARD, decode
from collector.flows import flows
from collector.generate.flows import BLOCK_RECORDS
from tests.benchmarks.corpora import CORPORA, write

PER_DATAGRAM = {"netflow5": 30, "netflow9": 25, "ipfix": 20, "openvswitch": 1, "sflow": 7}
RECORDS = BLOCK_RECORDS + 700
KEY = ["source", "destination", "sourceTransportPort", "destinationTransportPort"]


@pytest.mark.parametrize("name", CORPORA)
def test_totals(name, tmp_path):
    totals = write(name, tmp_path / "x", RECORDS)
    found = pcap.datagrams(pcap.read(tmp_path / "x"))
    assert not found.faults
    decoded = decode(found, OPEN_VSWITCH if name == "openvswitch" else STANDARD)
    summary = decoded.summary
    assert (summary.faults, summary.lost, summary.unknown) == (0, 0, {})
    assert (summary.datagrams, summary.records) == (totals.datagrams, RECORDS)
    rows = flows(decoded)
    tuples = rows.select(*KEY, "protocolIdentifier").unique().height
    assert tuples == totals.tuples == RECORDS
    assert rows["packets"].sum() == totals.packets
    assert rows["octets_l3"].sum() == totals.octets_l3
    if totals.octets_l2 is not None:
        assert rows["octets_l2"].sum() == totals.octets_l2
    datagrams = np.concatenate([batch.datagram for batch in decoded.batches])
    assert np.bincount(datagrams).max() == PER_DATAGRAM[name]


def test_the_seed_decides(tmp_path):
    made = []
    for seed in (1, 1, 2):
        write("ipfix", tmp_path / "x", 500, seed)
        made.append((tmp_path / "x").read_bytes())
    assert made[0] == made[1] != made[2]
