"""nfdump: nfcapd and sfcapd store what comes, nfdump prints it, a row per record."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from collector.backends.base import MILLISECOND_NS, Backend, Tells, first_line, flow
from collector.backends.daemons import LOOPBACK, Daemon, Failed, Hung, ended, free_port
from collector.decode import NETFLOW, SFLOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from collector.backends.base import Given, Row

RECEIVES: Final = {NETFLOW: "nfcapd", SFLOW: "sfcapd"}
"""Which program takes what."""
NAMES: Final = {
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
_EXPORTER: Final = re.compile(r"SysID: *(\d+), IP: *\S+, version: *(\d+), ID: *(\d+)")
_PACKETS: Final = re.compile(r"^Packets: (\d+)", re.MULTILINE)
_TAKEN: Final = re.compile(r"^Ident: .* Flows: (\d+)", re.MULTILINE)
_VERSIONS: Final = {5: "netflow5", 9: "netflow9", 10: "ipfix"}
_PRINT_S: Final = 60.0
_BUFFER_OCTETS: Final = 16 << 20
_BY_HAND_S: Final = 86_400
"""How long a file of a store lasts: longer than any run."""


class Nfdump(Backend):
    """The programs of nfdump."""

    name: ClassVar = "nfdump"
    says: ClassVar = (
        "nfcapd (NetFlow, IPFIX) and sfcapd (sFlow) store, `nfdump -o json` prints a row per record"
    )
    programs: ClassVar = ("nfcapd", "sfcapd", "nfdump")

    def version(self) -> str:
        """As nfdump says it."""
        return first_line("nfdump", "-V").removeprefix("nfdump: Version: ")

    def tells(self, family: str) -> Tells:
        """No agent; of sFlow no times, for it has none."""
        counts = {"packets", "octets", "tcpControlBits"}
        if family == SFLOW:
            return Tells(frozenset({"family", "exporter"}), frozenset(counts), MILLISECOND_NS)
        observer = {"family", "protocol", "exporter", "observation_domain", "flowDirection"}
        measures = frozenset({*counts, "first_ns", "last_ns"})
        return Tells(frozenset(observer), measures, MILLISECOND_NS)

    def cannot(self, row: Row) -> str:
        """Its records are of IP flows, in one direction."""
        if "ethernetType" in row["flow"]:
            return "nfdump's records are of IP packets; frames without IP have no place in them"
        if row.get("reverse"):
            # Its out_packets and out_bytes are what other exporters send behind NAT, too.
            return "nfdump has only counts of what came back, in the record of what went there"
        return ""

    def daemons(self, given: Given) -> Sequence[Daemon]:
        """One for each kind of datagrams, each with a store of its own."""
        return [daemon(family, given.folder) for family in sorted(given.families)]

    def rows(self, given: Given) -> list[Row]:
        """All that is in the stores."""
        stores = {family: given.folder / RECEIVES[family] for family in given.families}
        return [
            _row(one, family, senders)
            for family, store in stores.items()
            for senders in [exporters(store)]
            for one in printed(store)
        ]

    def packets(self, given: Given) -> int:
        """As nfdump sums them."""
        stores = [given.folder / RECEIVES[family] for family in given.families]
        told = [_said("nfdump", "-I", "-R", str(store)) for store in stores]
        return sum(int(number) for text in told for number in _PACKETS.findall(text))

    def taken(self, given: Given) -> int | None:
        """As the programs say in the end."""
        files = [given.folder / f"{RECEIVES[family]}.txt" for family in given.families]
        told = [file.read_text(encoding="utf-8", errors="replace") for file in files]
        return sum(int(number) for text in told for number in _TAKEN.findall(text))


def daemon(family: str, folder: Path) -> Daemon:
    """The program that stores one kind of datagrams in a folder of its name."""
    program, port = RECEIVES[family], free_port()
    store = folder / program
    store.mkdir()
    place = ["-b", LOOPBACK, "-p", str(port), "-w", str(store), "-t", str(_BY_HAND_S)]
    command = [program, *place, "-B", str(_BUFFER_OCTETS)]
    return Daemon(command, {family: port}, store.with_suffix(".txt"))


class Exporter(NamedTuple):
    """Who sent records, as nfdump knows it."""

    protocol: str
    observation_domain: int


def exporters(store: Path) -> dict[int, Exporter]:
    """The exporters in a store, by the number that flows have of them."""
    found: dict[int, Exporter] = {}
    for file in sorted(store.glob("nfcapd.*")):
        for number, version, domain in _EXPORTER.findall(_said("nfdump", "-E", str(file))):
            if int(version) in _VERSIONS:
                found[int(number)] = Exporter(_VERSIONS[int(version)], int(domain))
    return found


def printed(store: Path) -> list[dict[str, Any]]:
    """The flows that are stored, as nfdump prints them.

    Raises:
        Failed: it cannot read them.
    """
    text = _said("nfdump", "-R", str(store), "-o", "json", "-q").strip()
    if not text.startswith(("[", "{")):
        return []
    # Version 1.7.1 writes objects with commas between them, with -q without the brackets.
    found = json.loads(f"[{text.strip('[]').strip().rstrip(',')}]")
    # An exporter is an item too; IPv6 flows of sFlow are called events.
    return [one for one in found if "first" in one]


def _said(*command: str) -> str:
    """What a program prints.

    Raises:
        Failed: it does not end well.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PRINT_S,
            check=False,
            env={**os.environ, "TZ": "UTC"},
        )
    except subprocess.TimeoutExpired:
        raise Hung(f"{command[0]} has printed for {_PRINT_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip()[-500:]
        raise Failed(f"{command[0]} {ended(done.returncode)}: {said}")
    return done.stdout


def named(one: Mapping[str, Any]) -> dict[str, Any]:
    """A flow under IANA's names: TCP flags and ICMP's type and code as numbers, times in ms."""
    row = {name: one[theirs] for theirs, name in NAMES.items() if theirs in one}
    if "tcp_flags" in one:
        flags = one["tcp_flags"]
        row["tcpControlBits"] = sum(1 << 7 - n for n, flag in enumerate(flags) if flag != ".")
    if "icmp_type" in one:
        row["destinationTransportPort"] = one["icmp_type"] << 8 | one["icmp_code"]
    for theirs, name in (("first", "flowStart"), ("last", "flowEnd")):
        then = datetime.fromisoformat(one[theirs]).replace(tzinfo=UTC)
        row[name] = round(then.timestamp() * 1_000)
    return row


def _row(one: Mapping[str, Any], family: str, senders: Mapping[int, Exporter]) -> Row:
    """A flow as a row."""
    row = named(one)
    version = 6 if "src6_addr" in one else 4
    ends = [row.get(f"{end}IPv{version}Address", "0.0.0.0") for end in ("source", "destination")]  # noqa: S104
    ports = [row.get(f"{end}TransportPort", 0) for end in ("source", "destination")]
    sender = senders.get(one.get("export_sysid", 0))
    return {
        "family": family,
        "protocol": sender.protocol if sender else None,
        "observation_domain": sender.observation_domain if sender else None,
        "exporter": one.get("ip4_router") or one.get("ip6_router"),
        "flowDirection": row.get("flowDirection", 0),
        "flow": flow(ends[0], ends[1], row.get("protocolIdentifier", 0), *ports),
        "packets": row["packetDeltaCount"],
        "octets": row["octetDeltaCount"],
        "tcpControlBits": row.get("tcpControlBits"),
        "first_ns": row["flowStart"] * MILLISECOND_NS,
        "last_ns": row["flowEnd"] * MILLISECOND_NS,
    }
