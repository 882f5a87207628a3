"""Real exports of softflowd 1.1.0 and pmacctd 1.7.7 against the frames that they were shown."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from collector import pcap
from collector.decode import SOFTFLOWD, STANDARD, decode
from collector.flows import flow_key, flows, wire_flows
from exporters.pmacctd import MARKER

HERE = Path(__file__).parent
COUNTS = ("packets", "octets_l3", "tcpControlBits")
CASES = [
    ("softflowd-netflow5", SOFTFLOWD, "netflow5"),
    ("softflowd-netflow9", SOFTFLOWD, "netflow9"),
    ("softflowd-ipfix", SOFTFLOWD, "ipfix"),
    ("pmacctd-netflow9", STANDARD, "netflow9"),
    ("pmacctd-ipfix", STANDARD, "ipfix"),
    ("pmacctd-sflow5", STANDARD, "sflow5"),
]


def counted(table, *names):
    return {
        flow_key(row): tuple(row[name] for name in names)
        for row in table.filter(pl.col("destination") != MARKER).iter_rows(named=True)
    }


def exported(name, habits):
    return decode(pcap.datagrams(pcap.read(HERE / f"{name}.pcap")), habits)


@pytest.mark.parametrize(("name", "habits", "protocol"), CASES)
def test_exports_are_exactly_what_was_shown(name, habits, protocol):
    decoded = exported(name, habits)
    found = flows(decoded)
    assert found["protocol"].unique().to_list() == [protocol]
    wire = wire_flows(pcap.read(HERE / "probes-wire.pcap"), "port")
    shown = wire.filter(pl.col("ipVersion").is_in([4] if protocol == "netflow5" else [4, 6]))
    assert counted(found, *COUNTS) == counted(shown, *COUNTS)
    assert len(shown) in (55, 58)


@pytest.mark.parametrize(("name", "habits"), [case[:2] for case in CASES])
def test_nothing_is_missing_unknown_or_wrong(name, habits):
    summary = exported(name, habits).summary
    assert not summary.faults
    assert not summary.lost
    assert [(one.gaps, one.reordered) for one in summary.streams] == [(0, 0)]


def test_softflowds_ipfix_counts_flows_up_to_and_with_a_message():
    (strict,) = exported("softflowd-ipfix", STANDARD).summary.streams
    assert (strict.gaps, strict.reordered) == (1, 1)


@pytest.mark.parametrize(("name", "habits"), [case[:2] for case in CASES if "sflow" not in case[0]])
def test_a_flow_takes_as_long_as_on_the_wire(name, habits):
    """The 250 datagrams of the first flow were sent in about 0.15 s."""
    found = flows(exported(name, habits)).filter(pl.col("packets") == 250)
    (lasted_ns,) = (found["last_ns"] - found["first_ns"]).to_list()
    assert 0.1e9 < lasted_ns < 0.3e9
