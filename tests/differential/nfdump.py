"""What nfcapd and sfcapd store of a capture, and nfdump prints of it: a row per flow."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import pcap
from collector.backends import nfdump
from collector.backends.daemons import Burst, Failed, ended, fed
from collector.decode import NETFLOW, SFLOW
from collector.senders import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.decode import Datagrams
    from tests.differential.compare import Case, Row
    from tests.differential.records import Record

NAME: Final = "nfdump"
SAYS: Final = (
    "stores flows of NetFlow and IPFIX and flow samples with the fields of `nfdump -o "
    "json`: addresses, ports, protocol, flags, TOS, counts, times, interfaces, VLANs, MAC "
    "addresses, AS numbers, prefixes, next hops. No options data, no counters."
)
PROGRAMS: Final = nfdump.Nfdump.programs
SFLOW_PORT: Final = 6343
_MS_NS: Final = 1_000_000
NOTHING: Final = (0, "", "0.0.0.0", "::", "00:00:00:00:00:00")  # noqa: S104
"""How collectors of a fixed record write that nothing is known: compared like nothing."""
_BESIDE: Final = {
    "vlanId": "vlanId",
    "postVlanId": "postVlanId",
    "sourceIPv4PrefixLength": "sourcePrefixLength",
    "destinationIPv4PrefixLength": "destinationPrefixLength",
    "ipNextHopIPv4Address": "ipNextHopAddress",
    "bgpNextHopIPv4Address": "bgpNextHopAddress",
    "bgpSourceAsNumber": "bgpSourceAsNumber",
    "bgpDestinationAsNumber": "bgpDestinationAsNumber",
}
"""What it takes of extended data, with our names there."""


def rows(cases: Sequence[Case]) -> Mapping[str, list[Row]]:
    """What it prints of each case."""
    with tempfile.TemporaryDirectory(prefix="flowlab-") as scratch:
        found: dict[str, list[Row]] = {case.name: [] for case in cases}
        for family in FAMILIES:
            addressed = addresses(cases, sflow=family == SFLOW)
            names = {address: name for address, name, _ in addressed}
            for flow in _stored(Path(scratch), family, addressed):
                found[names[flow["ip4_router"]]].append(_row(flow, is_sflow=family == SFLOW))
    return found


def addresses(cases: Sequence[Case], *, sflow: bool) -> list[tuple[str, str, Datagrams]]:
    """An address of the loopback for each case, by which its flows are known again; its datagrams.

    The datagrams are those of sFlow, or the others.
    """
    found = []
    for number, case in enumerate(cases):
        datagrams = pcap.datagrams(pcap.read(case.capture))
        chosen = np.flatnonzero((datagrams.destination_port == SFLOW_PORT) == sflow)
        if len(chosen):
            address = f"127.0.{1 + number // 250}.{1 + number % 250}"
            found.append((address, case.name, datagrams.take(chosen)))
    return found


def _stored(
    folder: Path, family: str, addressed: Sequence[tuple[str, str, Datagrams]]
) -> list[dict[str, Any]]:
    """What is stored of datagrams."""
    daemon = nfdump.daemon(family, folder)
    if status := fed(daemon, [Burst(address, 0, family, some) for address, _, some in addressed]):
        raise Failed(ended(status))
    return nfdump.printed(folder / nfdump.RECEIVES[family])


def breaks(case: Case) -> bool:
    """Whether nfcapd is ended by a signal of its own."""
    with tempfile.TemporaryDirectory(prefix="flowlab-") as scratch:
        try:
            _stored(Path(scratch), NETFLOW, addresses([case], sflow=False))
        except Failed as failed:
            return "ended with signal" in str(failed)
        return False


def _row(flow: Mapping[str, Any], *, is_sflow: bool) -> Row:
    """A flow in our terms."""
    row = nfdump.named(flow)
    if is_sflow:
        # It has one place for the destination's MAC address of samples, under another name, and
        # shows the octet TOS, which flowlab does not.
        row["destinationMacAddress"] = row.pop("postDestinationMacAddress", "")
        for name in ("ipClassOfService", "flowStart", "flowEnd"):
            row.pop(name, None)
    return known(row)


def known(row: Row) -> Row:
    """Without what says nothing."""
    return {name: value for name, value in row.items() if value not in NOTHING}


# ── in our terms ──


def expected(record: Record) -> Row | None:
    """What it should print of a record: of flows and flow samples."""
    if record["kind"] not in ("data", "flow sample"):
        return None
    row = {
        name: record[name] for name in (*nfdump.NAMES.values(), "tcpControlBits") if record[name]
    }
    for end in ("flowStart", "flowEnd"):
        then_ns = when_ns(record, end)
        if then_ns is not None:
            row[end] = then_ns // _MS_NS
    icmp = record["icmpTypeCodeIPv4"] or record["icmpTypeCodeIPv6"]
    if icmp is not None:
        row["destinationTransportPort"] = icmp
    if record["kind"] == "flow sample":
        row |= sampled(record)
        told = {name: record.beside.get(theirs) for name, theirs in _BESIDE.items()}
        row |= {name: value for name, value in told.items() if value}
    return known(row)


def sampled(record: Record) -> Row:
    """What a sample stands for."""
    rate = record["samplingInterval"]
    frame = (record["frameLength"] or record["ipTotalLength"] or 0) - (record["stripped"] or 0)
    return {"packetDeltaCount": rate, "octetDeltaCount": frame * rate}


def when_ns(record: Record, end: str) -> int | None:
    """When a flow began or ended, however it is told; None: it is not."""
    for unit in ("Milliseconds", "Seconds", "Microseconds", "Nanoseconds"):
        if record[f"{end}{unit}"] is not None:
            return int(record[f"{end}{unit}"])
    delta_us = record[f"{end}DeltaMicroseconds"]
    if delta_us is None:
        return None
    return int(record["export_time"]) // 10**9 * 10**9 - 1_000 * int(delta_us)


def together(rows_: list[Row]) -> list[Row]:
    """It prints a row per record."""
    return rows_
