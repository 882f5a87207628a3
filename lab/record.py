"""A case out of a run: what its exporters sent, and the truth about it.

The truth is what the exports say, and it is true because the run's verdict says so: every flow in
them was compared with the traffic programs and with what crossed the wire, exactly where the
exporter counts exactly, within the bounds of chance where it samples. A run that did not pass makes
no case.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector import pcap
from collector.arrival import without_duplicates
from collector.check import Outcome
from collector.corpus.case import MEASURES, OBSERVER, Manifest, Truth
from collector.key import ICMP, ICMPV6, FlowKey
from lab.corpus import write_case
from lab.judge import EXPORTS, decode_exports, habits_of, judged, read_run
from lab.scenario.model import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from collector.check import Point
    from collector.corpus.case import Case

_VERSION_S: Final = 10.0
_PROGRAMS: Final = {
    "Open vSwitch": ("ovs-vswitchd", "--version"),
    "softflowd": ("softflowd", "-V"),
    "pmacctd": ("pmacctd", "-V"),
}
"""How the programs of exporters say their version, by exporter."""
_NUMBER: Final = re.compile(r"\d+\.\d+(?:\.\d+)?")
_NAME: Final = re.compile(NAME)
_ABOUT: Final = (
    "Tell every flow once for each observation point and direction, with its packets, octets, "
    "flags and times, sampling rates applied."
)
_TEMPLATES: Final = ("netflow9", "ipfix")


class NoCase(Exception):
    """A run makes no case; the text says why."""


class SkippedRun(NoCase):
    """The machine lacks what the run would need."""


def record(run: Path, out: Path) -> Case:
    """Make a case of a run folder, in a folder of the scenario's name.

    Args:
        run: the run folder.
        out: the folder of cases.

    Raises:
        NotARun: it is no run folder.
        SkippedRun: there was nothing to be judged on this machine.
        NoCase: it did not pass, or nothing was exported.
    """
    recorded = read_run(run)
    verdict = judged(run, recorded)
    if verdict.outcome is Outcome.SKIPPED:
        raise SkippedRun(f"{run}: SKIPPED, so nothing was exported: {'; '.join(verdict.notes)}")
    if verdict.outcome is not Outcome.PASS:
        raise NoCase(f"{run}: its verdict is {verdict.outcome}: what it exported is no truth")
    habits = habits_of(recorded.expected.points)
    exports = run / EXPORTS
    datagrams = pcap.datagrams(pcap.read(exports))
    found = decode_exports(exports, habits)
    if not found.rows:
        raise NoCase(f"{run}: its exporters told no flow")
    _, twice = without_duplicates(datagrams, np.arange(len(datagrams)))
    counts = {
        "datagrams": len(datagrams),
        "records": sum(row["records"] for row in found.rows),
        "missing": found.lost,
        "duplicates": len(twice),
        "undecodable": found.undecodable,
    }
    rows = sorted(map(_truth, found.rows), key=_order)
    scenario = json.loads((run / "scenario.json").read_text(encoding="utf-8"))
    if not _NAME.fullmatch(scenario["name"]):
        raise NoCase(f"{run}: {scenario['name']!r} is no name of a scenario, so of no folder")
    manifest = Manifest(
        title=scenario["title"],
        about=f"{scenario['description']} {_ABOUT}",
        protocols=sorted({row["protocol"] for row in rows}),
        features=_features(rows, counts, scenario),
        exporter=_exporters(recorded.expected.points),
        remake=f"flowlab record {scenario['name']} --out DIR",
        habits={address: name for address, name in sorted(habits.items()) if _uses(rows, address)},
    )
    return write_case(out / scenario["name"], manifest, Truth(rows, counts), exports)


def _truth(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of what was exported as one of the truth."""
    samples = row["samples"]
    return {
        **{name: row[name] for name in OBSERVER},
        "flow": row["flow"],
        **{name: row[name] for name in MEASURES},
        "sampling": round(row["packets"] / samples) if samples else 1,
    }


def _order(row: Mapping[str, Any]) -> str:
    """By who told it and which flow it is: two recordings of a scenario are in one order."""
    return json.dumps([row[name] for name in OBSERVER] + [row["flow"]])


def _uses(rows: Sequence[Mapping[str, Any]], address: str) -> bool:
    return any(row["exporter"] == address for row in rows)


def _features(
    rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int], scenario: Mapping[str, Any]
) -> list[str]:
    """What a case touches, of the table in `collector.corpus.case`."""
    keys = [FlowKey.from_json(dict(row["flow"])) for row in rows]
    kinds = {kind for step in scenario["traffic"] for kind in step}
    domains = {(row["observation_domain"], row["agent"]) for row in rows}
    found = {
        "ipv4": any(key.ip_version == 4 for key in keys),
        "ipv6": any(key.ip_version == 6 for key in keys),
        "non-ip": any(key.ip_version == 0 for key in keys),
        "icmp": any(key.ip_version and key.protocol in (ICMP, ICMPV6) for key in keys),
        "vlan": "vlan" in kinds,
        "fragments": "fragments" in kinds,
        "tcp-flags": any(row["tcpControlBits"] for row in rows),
        "egress": any(row["flowDirection"] for row in rows),
        "sampling": any(row["sampling"] != 1 for row in rows),
        "several-exporters": len({row["exporter"] for row in rows}) > 1,
        "several-domains": len(domains) > 1,
        "templates": any(row["protocol"] in _TEMPLATES for row in rows),
        "loss": counts["missing"] > 0,
        "duplicates": counts["duplicates"] > 0,
    }
    return [name for name, there in found.items() if there]


def _exporters(points: Sequence[Point]) -> str:
    """Who exported, with the version that is installed here."""
    names = dict.fromkeys(
        point.exporter if point.exporter in _PROGRAMS else "Open vSwitch" for point in points
    )
    return ", ".join(f"{name} {_version(_PROGRAMS[name])}".strip() for name in names)


def _version(command: Sequence[str]) -> str:
    """What a program says of its version; "" if it is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_VERSION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    number = _NUMBER.search(done.stdout + done.stderr)
    return number[0] if number else ""
