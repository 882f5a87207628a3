"""pmacct: nfacctd and sfacctd sum what comes by what they are asked, and print that at the end."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from collector.backends.base import Backend, Tells, first_line, flow
from collector.backends.daemons import LOOPBACK, Daemon, Failed, free_port
from collector.backends.protocols import NUMBERS
from collector.decode import NETFLOW, SFLOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from collector.backends.base import Given, Row

RECEIVES: Final = {NETFLOW: "nfacctd", SFLOW: "sfacctd"}
"""Which program takes what."""
LOST: Final = "Missing data detected"
"""What it says when its core was faster than its plugin."""
READY: Final = "JSON: setting object handlers"
"""What the plugin says last before it takes data."""
_KEY: Final = ("peer_src_ip", "src_host", "dst_host", "src_port", "dst_port", "proto", "tcpflags")
_OF_NETFLOW: Final = (
    *("timestamp_start", "timestamp_end", "export_proto_version", "export_proto_sysid"),
    "sampling_direction",
)
"""Of sFlow it knows none of these, and with them in the key no packets either."""
_PROTOCOLS: Final = {5: "netflow5", 9: "netflow9", 10: "ipfix"}
_BY_HAND_S: Final = 86_400
"""When it prints by itself: later than any run ends."""
_NANOSECONDS_IN_MICROSECOND: Final = 1_000


class Pmacct(Backend):
    """The collectors of pmacct."""

    name: ClassVar = "pmacct"
    says: ClassVar = (
        "nfacctd (NetFlow, IPFIX) and sfacctd (sFlow) with the print plugin, summed by what makes "
        "a flow; sampling rates applied (renormalize)"
    )
    programs: ClassVar = ("nfacctd", "sfacctd")

    def version(self) -> str:
        """As nfacctd says it."""
        return first_line("nfacctd", "-V").removeprefix("NetFlow Accounting Daemon, nfacctd ")

    def tells(self, family: str) -> Tells:
        """Of sFlow it knows the agent, not the sender, and no times."""
        if family == SFLOW:
            counts = frozenset({"packets", "octets", "tcpControlBits"})
            return Tells(frozenset({"family", "agent"}), counts)
        observer = {"family", "protocol", "exporter", "observation_domain", "flowDirection"}
        measures = {"packets", "octets", "tcpControlBits", "first_ns", "last_ns"}
        return Tells(frozenset(observer), frozenset(measures), _NANOSECONDS_IN_MICROSECOND)

    def cannot(self, row: Row) -> str:
        """It sums by IP addresses, and what went one way."""
        if "ethernetType" in row["flow"]:
            return "asked for IP addresses, pmacct counts frames with IP only"
        if row.get("reverse"):
            return "pmacct knows no reverse elements (RFC 5103)"
        return ""

    def told(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """It has no column for type and code of ICMP."""
        return {name: 0 if name.startswith("icmp") else value for name, value in key.items()}

    def daemons(self, given: Given) -> Sequence[Daemon]:
        """One for each kind of datagrams."""
        return [
            daemon(family, given.folder, (*_KEY, *(_OF_NETFLOW if family == NETFLOW else ())))
            for family in sorted(given.families)
        ]

    def rows(self, given: Given) -> list[Row]:
        """All sums."""
        return [
            _row(one, family)
            for family in given.families
            for one in printed(given.folder, RECEIVES[family])
        ]


def settings(program: str, port: int, **lines: object) -> str:
    """A configuration with the print plugin, large enough in all its buffers for a run.

    Args:
        program: which of the two.
        port: where it listens.
        lines: what else is to be set, or otherwise.
    """
    usual: dict[str, object] = {
        "plugins": "print",
        "print_refresh_time": _BY_HAND_S,
        "print_cache_entries": 16_411,
        "plugin_pipe_size": 64 << 20,
        "plugin_buffer_size": 64 << 10,
        f"{program}_ip": LOOPBACK,
        f"{program}_port": port,
        f"{program}_pipe_size": 16 << 20,
    }
    return "".join(f"{name}: {value}\n" for name, value in (usual | lines).items())


def daemon(family: str, folder: Path, asked: Sequence[str], *, renormalize: bool = True) -> Daemon:
    """The program that sums up one kind of datagrams, in a folder where it may write.

    Args:
        family: what it takes.
        folder: where its configuration, output and messages go.
        asked: what it sums by.
        renormalize: whether it applies sampling rates.
    """
    program, port = RECEIVES[family], free_port()
    config = folder / f"{program}.conf"
    scaled = {f"{program}_renormalize": "true"} if renormalize else {}
    text = settings(
        program,
        port,
        aggregate=", ".join(asked),
        print_output="json",
        print_output_file=folder / f"{program}.json",
        timestamps_rfc3339="true",
        timestamps_utc="true",
        **scaled,
    )
    config.write_text(text, encoding="utf-8")
    said = folder / f"{program}.txt"
    command = [program, "-f", str(config)]
    return Daemon(command, {family: port}, said, ready=READY, end=signal.SIGINT)


def printed(folder: Path, program: str) -> list[dict[str, Any]]:
    """The sums that one of the programs has printed.

    Raises:
        Failed: it lost some on the way to its own plugin.
    """
    said = (folder / f"{program}.txt").read_text(encoding="utf-8", errors="replace")
    if LOST in said:
        raise Failed(f"{program} lost records on the way to its plugin ({LOST!r})")
    out = folder / f"{program}.json"
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def microseconds(told: str) -> int:
    """A time as it writes it, in µs since 1970; 0: none."""
    if told.startswith("0000"):
        return 0
    then = datetime.fromisoformat(told)
    return round(then.timestamp() * 1_000_000)


def protocol_number(told: str) -> int:
    """A protocol as it writes it: some by name, the others by number."""
    return NUMBERS[told] if told in NUMBERS else int(told)


def _row(one: Mapping[str, Any], family: str) -> Row:
    """A sum as a row."""
    number = protocol_number(one["ip_proto"])
    row = {
        "family": family,
        "flow": flow(one["ip_src"], one["ip_dst"], number, one["port_src"], one["port_dst"]),
        "packets": one["packets"],
        "octets": one["bytes"],
        "tcpControlBits": int(one["tcp_flags"]),
    }
    if family == SFLOW:
        return {**row, "agent": one["peer_ip_src"]}
    times = {
        name: microseconds(one[f"timestamp_{end}"]) * _NANOSECONDS_IN_MICROSECOND or None
        for name, end in (("first_ns", "start"), ("last_ns", "end"))
    }
    return {
        **row,
        **times,
        "protocol": _PROTOCOLS.get(one["export_proto_version"]),
        "exporter": one["peer_ip_src"],
        "observation_domain": one["export_proto_sysid"],
        "flowDirection": int(one["sampling_direction"] == "e"),
    }
