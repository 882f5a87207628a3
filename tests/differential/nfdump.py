"""What nfcapd and sfcapd store of a capture, and nfdump prints of it: a row per flow."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import pcap
from tests.daemons import Failed, fed, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.differential.compare import Case, Row
    from tests.differential.records import Record

NAME: Final = "nfdump"
SAYS: Final = (
    "stores flows of NetFlow and IPFIX and flow samples with the fields of `nfdump -o "
    "json`: addresses, ports, protocol, flags, TOS, counts, times, interfaces, VLANs, MAC "
    "addresses, AS numbers, prefixes, next hops. No options data, no counters."
)
PROGRAMS: Final = ("nfcapd", "sfcapd", "nfdump")
SFLOW_PORT: Final = 6343
_LIMIT_S: Final = 60.0
_MS_NS: Final = 1_000_000
_FLAGS: Final = "CEUAPRSF"
_NAMES: Final = {
    "in_packets": "packetDeltaCount",
    "in_bytes": "octetDeltaCount",
    "proto": "protocolIdentifier",
    "src_port": "sourceTransportPort",
    "dst_port": "destinationTransportPort",
    "src_tos": "ipClassOfService",
    "dst_tos": "postIpClassOfService",
    "direction": "flowDirection",
    "input_snmp": "ingressInterface",
    "output_snmp": "egressInterface",
    "src_mask": "sourceIPv4PrefixLength",
    "dst_mask": "destinationIPv4PrefixLength",
    "src_as": "bgpSourceAsNumber",
    "dst_as": "bgpDestinationAsNumber",
    "src_vlan": "vlanId",
    "dst_vlan": "postVlanId",
    "src4_addr": "sourceIPv4Address",
    "dst4_addr": "destinationIPv4Address",
    "src6_addr": "sourceIPv6Address",
    "dst6_addr": "destinationIPv6Address",
    "ip4_next_hop": "ipNextHopIPv4Address",
    "ip6_next_hop": "ipNextHopIPv6Address",
    "bgp4_next_hop": "bgpNextHopIPv4Address",
    "bgp6_next_hop": "bgpNextHopIPv6Address",
    "in_src_mac": "sourceMacAddress",
    "out_dst_mac": "postDestinationMacAddress",
    "in_dst_mac": "destinationMacAddress",
    "out_src_mac": "postSourceMacAddress",
}
"""nfdump's names to IANA's."""
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
        for program, is_sflow in (("nfcapd", False), ("sfcapd", True)):
            store = Path(scratch) / program
            store.mkdir()
            addressed = addresses(cases, sflow=is_sflow)
            _store(program, store, [(address, found_) for address, _, found_ in addressed])
            names = {address: name for address, name, _ in addressed}
            for flow in _printed(store):
                # An exporter is an item too; IPv6 flows of sFlow are called events.
                if "first" in flow:
                    found[names[flow["ip4_router"]]].append(_row(flow, is_sflow=is_sflow))
    return found


def addresses(cases: Sequence[Case], *, sflow: bool) -> list[tuple[str, str, Any]]:
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


def _store(program: str, store: Path, sources: Sequence[tuple[str, Any]]) -> None:
    """Have datagrams stored."""
    port = free_port()
    place = ["-b", "127.0.0.1", "-p", str(port), "-w", str(store), "-t", "86400"]
    status = fed([program, *place], port, sources, store.with_suffix(".txt"))
    if status:
        message = f"{program} ended with {status}"
        raise Failed(message)


def breaks(case: Case) -> bool:
    """Whether nfcapd is ended by a signal of its own."""
    with tempfile.TemporaryDirectory(prefix="flowlab-") as scratch:
        (store := Path(scratch) / "nfcapd").mkdir()
        sources = [(address, found) for address, _, found in addresses([case], sflow=False)]
        try:
            _store("nfcapd", store, sources)
        except Failed as failed:
            return "ended with -" in str(failed)
        return False


def _printed(store: Path) -> list[dict[str, Any]]:
    """All that is stored."""
    done = subprocess.run(
        ["nfdump", "-R", str(store), "-o", "json", "-q"],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    text = done.stdout.strip()
    if not text.startswith(("[", "{")):
        return []
    # Version 1.7.1 writes objects with commas between them, with -q without the brackets.
    found: list[dict[str, Any]] = json.loads(f"[{text.strip('[]').strip().rstrip(',')}]")
    return found


def _row(flow: Mapping[str, Any], *, is_sflow: bool) -> Row:
    """A flow in our terms."""
    row = {name: flow[theirs] for theirs, name in _NAMES.items() if theirs in flow}
    if is_sflow:
        # It has one place for the destination's MAC address of samples, under another name, and
        # shows the octet TOS, which flowlab does not.
        row["destinationMacAddress"] = row.pop("postDestinationMacAddress", "")
        row.pop("ipClassOfService", None)
    if "tcp_flags" in flow:
        flags = flow["tcp_flags"]
        row["tcpControlBits"] = sum(1 << 7 - n for n, flag in enumerate(flags) if flag != ".")
    if "icmp_type" in flow:
        row["destinationTransportPort"] = flow["icmp_type"] << 8 | flow["icmp_code"]
    if not is_sflow:
        for theirs, name in (("first", "flowStart"), ("last", "flowEnd")):
            then = datetime.fromisoformat(flow[theirs]).replace(tzinfo=UTC)
            row[name] = round(then.timestamp() * 1_000)
    return known(row)


def known(row: Row) -> Row:
    """Without what says nothing."""
    return {name: value for name, value in row.items() if value not in NOTHING}


# ── in our terms ──


def expected(record: Record) -> Row | None:
    """What it should print of a record: of flows and flow samples."""
    if record["kind"] not in ("data", "flow sample"):
        return None
    row = {name: record[name] for name in (*_NAMES.values(), "tcpControlBits") if record[name]}
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
