"""The format of a case: a folder with datagrams, the truth about them, and what they are for.

    exports.pcap   the datagrams in order of arrival, each in a UDP packet from its sender's address
    truth.json     {"flows": [row, …], "counts": {…}}
    case.yaml      what it is (`Manifest`); read and written by the lab, which knows YAML

A row of `flows` is a flow as one observation point told it, counted as a right collector counts it:
sampling rates applied, once. What the records do not say is null.

    protocol            netflow5, netflow9, ipfix or sflow5
    exporter            the address that its datagrams come from
    observation_domain  of NetFlow v9 and IPFIX; of v5 engine type << 8 | engine id; null for sFlow
    agent               of sFlow; null for the others
    flowDirection       0 ingress, 1 egress, null: not said
    flow                the key under IANA's names (`FlowKey.to_json`)
    packets, octets_l2, octets_l3, tcpControlBits, first_ns, last_ns
    sampling            one packet in so many was counted; 1: all
    reverse             optional: true: reverse elements of biflows tell it (RFC 5103)
    tolerance           optional: how far a measure may be off, by its name

`counts` are of the whole capture: datagrams, records (of flows: data records and flow samples),
missing (by sequence numbers), duplicates (datagrams that came twice), undecodable (what a collector
cannot read, however right it is). One that is null is not known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from collector.key import FlowKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EXPORTS: Final = "exports.pcap"
TRUTH: Final = "truth.json"
MANIFEST: Final = "case.yaml"
PROTOCOLS: Final = ("netflow5", "netflow9", "ipfix", "sflow5")
OBSERVER: Final = ("protocol", "exporter", "observation_domain", "agent", "flowDirection")
MEASURES: Final = ("packets", "octets_l2", "octets_l3", "tcpControlBits", "first_ns", "last_ns")
COUNTS: Final = ("datagrams", "records", "missing", "duplicates", "undecodable")
FEATURES: Final[Mapping[str, str]] = {
    "ipv4": "flows over IPv4",
    "ipv6": "flows over IPv6",
    "non-ip": "frames without IP, by their MAC addresses",
    "icmp": "ICMP, with type and code in place of ports",
    "vlan": "frames with a VLAN tag",
    "fragments": "fragments, which have no ports",
    "tcp-flags": "the flags of a connection",
    "egress": "packets told again where they go out",
    "sampling": "one packet in so many, told in the record or the header",
    "sampling-options": "the sampling rate in options data",
    "several-exporters": "datagrams of more than one exporter",
    "several-domains": "more than one observation domain, or agent, of one sender",
    "templates": "data decoded by templates",
    "template-refresh": "templates that come again, unchanged",
    "template-redefinition": "an id that means something else afterwards",
    "template-withdrawal": "a template that is taken back",
    "data-before-template": "data whose template comes later, or never",
    "options": "options data",
    "enterprise-elements": "elements of an enterprise",
    "variable-length": "fields of variable length",
    "reduced-size": "numbers in fewer octets than their type has",
    "padding": "padding in sets",
    "lists": "structured data (RFC 6313)",
    "biflows": "both directions in one record (RFC 5103)",
    "mpls": "MPLS labels",
    "tunnels": "packets in packets",
    "uptime-wrap": "an uptime that goes over 2^32 ms",
    "sequence-wrap": "a sequence number that goes over its end",
    "restart": "an exporter that begins to count anew",
    "loss": "datagrams that never came",
    "duplicates": "datagrams that came twice",
    "reordering": "datagrams out of order",
    "malformed": "datagrams that nobody can read whole",
    "sflow-counters": "counter samples between flow samples",
    "sflow-expanded": "expanded samples",
}
"""What a case touches, by name: the one table."""


class WrongCaseError(ValueError):
    """A folder is no case; the text says what is wrong, and where."""


@dataclass(frozen=True)
class Manifest:
    """What a case is for.

    Attributes:
        title: in a few words.
        about: what a right collector must do with it.
        protocols: of `PROTOCOLS`.
        features: of `FEATURES`.
        exporter: who exported, with version.
        remake: how the case is made again: a command, or words.
        seed: of what was drawn by chance; None: nothing was.
        habits: by exporter's address what it does differently from the formats' texts
            (`collector.decode.BY_NAME`); those of whom nothing is said do nothing differently.
    """

    title: str
    about: str
    protocols: Sequence[str]
    features: Sequence[str]
    exporter: str
    remake: str
    seed: int | None = None
    habits: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data, in the order in which it is read; what says nothing is left out."""
        plain = {
            "title": self.title,
            "about": self.about,
            "protocols": list(self.protocols),
            "features": list(self.features),
            "exporter": self.exporter,
            "remake": self.remake,
            "seed": self.seed,
            "habits": dict(self.habits),
        }
        return {name: value for name, value in plain.items() if value not in (None, {})}


@dataclass(frozen=True)
class Truth:
    """What is true of a case's datagrams.

    Attributes:
        flows: rows, as the module's text says.
        counts: of the whole capture, by `COUNTS`.
    """

    flows: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A case in its folder.

    Attributes:
        folder: where it is.
        manifest: what it is for.
        called: its name among cases whose folders have the same one; "": the folder's.
    """

    folder: Path
    manifest: Manifest
    called: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return self.called or self.folder.name

    @property
    def exports(self) -> Path:
        """The capture."""
        return self.folder / EXPORTS

    def truth(self) -> Truth:
        """What is true of it.

        Raises:
            WrongCaseError: the file is missing, or not of the format.
        """
        return read_truth(self.folder / TRUTH)


def read_truth(path: Path) -> Truth:
    """Read a truth.json.

    Raises:
        WrongCaseError: it is missing, or not of the format.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        flows, counts = told["flows"], told.get("counts", {})
        _list(path, flows)
        _whole(f"{path}, counts", counts)
        for number, row in enumerate(flows, 1):
            _check(path, number, row)
    except (OSError, RecursionError) as refused:
        raise WrongCaseError(f"{path} cannot be read: {refused}") from None
    except WrongCaseError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as odd:
        raise WrongCaseError(f"{path} is not of the format: {type(odd).__name__} {odd}") from None
    return Truth(flows, counts)


def _check(path: Path, number: int, row: Mapping[str, Any]) -> None:
    where = f"{path}, flow {number}"
    if row.get("protocol") not in PROTOCOLS:
        raise WrongCaseError(f"{where}: protocol is {row.get('protocol')!r}, not of {PROTOCOLS}")
    _whole(where, {name: row.get(name) for name in MEASURES})
    _whole(f"{where}, tolerance", row.get("tolerance") or {})
    FlowKey.from_json(dict(row["flow"]))


def truth_text(truth: Truth) -> str:
    """A truth.json: a flow a line, so that differences between two can be read."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in truth.flows)
    flows = f"[\n{lines}\n ]" if truth.flows else "[]"
    return f'{{\n "flows": {flows},\n "counts": {json.dumps(dict(truth.counts))}\n}}\n'


def _whole(where: str, numbers: Mapping[str, Any]) -> None:
    """See that all of some numbers are whole, or null."""
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise WrongCaseError(
                f"{where}: {name} is {value!r}, and must be a whole number or null"
            )


def _list(path: Path, flows: Any) -> None:
    """See that the flows are a list."""
    if not isinstance(flows, list):
        raise WrongCaseError(f"{path}: flows is {str(flows)[:30]!r}, and must be a list")
