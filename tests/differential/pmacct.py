"""What nfacctd and sfacctd sum up of a capture: records that are alike in all that is asked."""

from __future__ import annotations

import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.backends import pmacct
from collector.backends.daemons import Burst, Failed, ended, fed
from collector.decode import NETFLOW, SFLOW
from collector.senders import FAMILIES
from tests.differential.nfdump import addresses, known, sampled, when_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.decode import Datagrams
    from tests.differential.compare import Case, Row
    from tests.differential.records import Record

NAME: Final = "pmacct"
SAYS: Final = (
    "sums up NetFlow and IPFIX records and flow samples by what its `aggregate` asks: "
    "addresses, ports, protocol, TOS, interfaces, VLAN, MAC addresses, AS numbers, "
    "prefixes, times, sequence number; packets, octets, records and TCP flags are sums. So "
    "records that are alike in all of these are compared together. No options data, no "
    "counters."
)
PROGRAMS: Final = pmacct.Pmacct.programs
_NAMES: Final = {
    "ip_src": "source",
    "ip_dst": "destination",
    "port_src": "sourceTransportPort",
    "port_dst": "destinationTransportPort",
    "ip_proto": "protocolIdentifier",
    "tos": "ipClassOfService",
    "tcp_flags": "tcpControlBits",
    "mac_src": "sourceMacAddress",
    "mac_dst": "destinationMacAddress",
    "vlan": "vlanId",
    "iface_in": "ingressInterface",
    "iface_out": "egressInterface",
    "as_src": "bgpSourceAsNumber",
    "as_dst": "bgpDestinationAsNumber",
    "mask_src": "sourceIPv4PrefixLength",
    "mask_dst": "destinationIPv4PrefixLength",
    "timestamp_start": "flowStart",
    "timestamp_end": "flowEnd",
    "export_proto_seqno": "sequence",
    "packets": "packetDeltaCount",
    "bytes": "octetDeltaCount",
    "flows": "records",
}
"""pmacct's names in its output to ours."""
_ASKED: Final = (
    *("peer_src_ip", "src_host", "dst_host", "src_port", "dst_port", "proto", "tos", "tcpflags"),
    *("src_mac", "dst_mac", "vlan", "in_iface", "out_iface", "src_as", "dst_as"),
    *("src_mask", "dst_mask", "flows"),
)
_ASKED_OF_NETFLOW: Final = ("timestamp_start", "timestamp_end", "export_proto_seqno")
"""Of sFlow it knows no times, and with these in the key no packets either."""
_BESIDE: Final = {
    "vlanId": "vlanId",
    "sourceIPv4PrefixLength": "sourcePrefixLength",
    "destinationIPv4PrefixLength": "destinationPrefixLength",
    "bgpSourceAsNumber": "bgpSourceAsNumber",
    "bgpDestinationAsNumber": "bgpDestinationAsNumber",
}
"""What it takes of extended data, with our names there."""
_IPV4: Final = 1
"""Kind of an agent's address."""
_SUMS: Final = ("packetDeltaCount", "octetDeltaCount", "records")
_FLAGS: Final = "tcpControlBits"
_SUMMED: Final = frozenset((*_SUMS, _FLAGS))


def rows(cases: Sequence[Case]) -> Mapping[str, list[Row]]:
    """What it sums of each case."""
    found: dict[str, list[Row]] = {case.name: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="flowlab-") as scratch, ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(_summed, Path(scratch), family, addresses(cases, sflow=family == SFLOW))
            for family in FAMILIES
        ]
        for run in runs:
            for name, row in run.result():
                found[name].append(row)
    return {name: together(some) for name, some in found.items()}


def _summed(
    folder: Path, family: str, addressed: Sequence[tuple[str, str, Datagrams]]
) -> list[tuple[str, Row]]:
    """Sums of some cases, each with its name."""
    if not addressed:
        return []
    if status := _run(folder, family, addressed):
        raise Failed(ended(status))
    is_sflow = family == SFLOW
    names = {address: name for address, name, _ in addressed}
    names |= {agent: name for _, name, some in addressed if is_sflow for agent in _agents6(some)}
    summed = pmacct.printed(folder, pmacct.RECEIVES[family])
    return [(names[one["peer_ip_src"]], _row(one, is_sflow=is_sflow)) for one in summed]


def _run(
    folder: Path,
    family: str,
    addressed: Sequence[tuple[str, str, Datagrams]],
    until: str = "",
) -> int:
    """Have datagrams summed up; the program's exit status. With `until` it is killed there."""
    asked = _ASKED + (() if family == SFLOW else _ASKED_OF_NETFLOW)
    daemon = pmacct.daemon(family, folder, asked, renormalize=family == SFLOW)
    if until:
        daemon = replace(daemon, end=signal.SIGKILL)
    sources = [(address, datagrams) for address, _, datagrams in addressed]
    if family == SFLOW:
        # Of sFlow it names the agent, not the sender: so the sender becomes the agent.
        sources = [(address, _from_agent(datagrams, address)) for address, datagrams in sources]
    return fed(daemon, [Burst(address, 0, family, some) for address, some in sources], until=until)


def _from_agent(datagrams: Datagrams, address: str) -> Datagrams:
    """Datagrams with this address in place of agents' addresses of IPv4."""
    buffer = datagrams.buffer.copy()
    for at in datagrams.offset.tolist():
        if buffer[at + 7] == _IPV4:
            buffer[at + 8 : at + 12] = np.frombuffer(ip_address(address).packed, np.uint8)
    return replace(datagrams, buffer=buffer)


def _agents6(datagrams: Datagrams) -> set[str]:
    """Agents that have an address of IPv6."""
    return {
        str(ip_address(datagrams.buffer[at + 8 : at + 24].tobytes()))
        for at in datagrams.offset.tolist()
        if datagrams.buffer[at + 7] != _IPV4
    }


def breaks(case: Case) -> bool:
    """Whether nfacctd makes so many records of a case that it loses some."""
    with tempfile.TemporaryDirectory(prefix="flowlab-") as scratch:
        addressed = addresses([case], sflow=False)
        _run(Path(scratch), NETFLOW, addressed, until=pmacct.LOST)
        try:
            pmacct.printed(Path(scratch), pmacct.RECEIVES[NETFLOW])
        except Failed:
            return True
    return False


def _row(one: Mapping[str, Any], *, is_sflow: bool) -> Row:
    """A sum in our terms."""
    row: Row = {name: one[theirs] for theirs, name in _NAMES.items() if theirs in one}
    row["tcpControlBits"] = int(one["tcp_flags"])
    row["protocolIdentifier"] = pmacct.protocol_number(one["ip_proto"])
    for end in ("flowStart", "flowEnd"):
        if end in row:
            row[end] = pmacct.microseconds(row[end])
    row.pop("sequence", None)
    if is_sflow:
        # It shows the octet TOS of the packet, which flowlab does not.
        row.pop("ipClassOfService")
    return known(row)


# ── in our terms ──


def expected(record: Record) -> Row | None:
    """What it should say of a record, as of a sum of one."""
    if record["kind"] not in ("data", "flow sample"):
        return None
    row = {name: record[name] for name in _NAMES.values() if record[name]}
    for end in ("source", "destination"):
        row[end] = record[f"{end}IPv4Address"] or record[f"{end}IPv6Address"]
    if record["kind"] == "flow sample":
        row |= sampled(record)
        told = {name: record.beside.get(theirs) for name, theirs in _BESIDE.items()}
        row |= {name: value for name, value in told.items() if value}
    else:
        times = {end: when_ns(record, end) for end in ("flowStart", "flowEnd")}
        row |= {end: then // 1_000 for end, then in times.items() if then is not None}
    row["vlanId"] = row.get("vlanId") or record["dot1qVlanId"]
    row["records"] = record["deltaFlowCount"] or 1
    return {name: value for name, value in known(row).items() if value is not None}


def together(some: list[Row]) -> list[Row]:
    """Rows that are alike in all but what is summed become one; so do their TCP flags."""
    sums: dict[tuple[Any, ...], Row] = {}
    for row in some:
        key = tuple(sorted((name, row[name]) for name in row.keys() - _SUMMED))
        found = sums.setdefault(key, dict.fromkeys(_SUMMED, 0))
        found.update({name: found[name] + row.get(name, 0) for name in _SUMS})
        found[_FLAGS] |= row.get(_FLAGS, 0)
    return [known({**dict(key), **summed}) for key, summed in sums.items()]
