"""The datagram that carried a flow, and what its octets say of the field that is in question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.conform import FLOW, with_family
from collector.decode import BY_NAME, STANDARD
from collector.explain import explain
from collector.source import Source
from lab.judge import decode_exports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.backends.base import Backend
    from collector.conform import Finding
    from collector.corpus.case import Case
    from collector.explain import Line

    _Rows = Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
    """Rows, each with its flow's key as the collector says it."""

_ABOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "packets": ("packetDeltaCount", "sampling", "samplePool"),
    "octets": ("octetDeltaCount", "layer2OctetDeltaCount", "frameLength", "stripped", "sampling"),
    "tcpControlBits": ("tcpControlBits", "flags"),
    "first_ns": ("flowStart",),
    "last_ns": ("flowEnd",),
    "flowDirection": ("flowDirection",),
}
"""Which lines of an explanation speak of a measure, by how their names begin."""
_V5_SAMPLING: Final = "sampling"
_KEY: Final = ("source", "destination", "protocolIdentifier", "icmp", "ethernetType")


@dataclass(frozen=True)
class Evidence:
    """Where a flow was told.

    Attributes:
        datagram: its number in the capture, from 1; None: no datagram told it.
        offset: where the record begins in it.
        title: who sent it to whom, when.
        lines: the record's fields that are in question: offset, octets in hexadecimal, name, value,
            meaning, section.
    """

    datagram: int | None
    offset: int | None
    title: str
    lines: Sequence[tuple[int, str, str, str, str, str]]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        names = ("offset", "octets", "name", "value", "meaning", "section")
        lines = [dict(zip(names, line, strict=True)) for line in self.lines]
        return {
            "datagram": self.datagram,
            "offset": self.offset,
            "title": self.title,
            "explain": lines,
        }


def evidence(case: Case, findings: Sequence[Finding], backend: Backend) -> tuple[Evidence, ...]:
    """Find the datagram of each finding.

    Args:
        case: what was replayed.
        findings: what is wrong.
        backend: says how it names flows.
    """
    rows = decode_exports(case.exports, case.manifest.habits).rows
    told = [(with_family(row), backend.told(row["flow"])) for row in rows]
    true = [(with_family(row), backend.told(row["flow"])) for row in case.truth().flows]
    return tuple(_one(case, finding, told, true) for finding in findings)


def _row_of(finding: Finding, rows: _Rows) -> Mapping[str, Any] | None:
    """The first row of the flow that a finding is about."""
    for row, key in rows if finding.flow else ():
        if key == dict(finding.flow) and _is_by(row, finding.observer):
            return row
    return None


def _one(case: Case, finding: Finding, told: _Rows, true: _Rows) -> Evidence:
    row = _row_of(finding, told)
    if row is None:
        why = "no datagram tells this flow" if finding.flow else "this is of all datagrams"
        return Evidence(None, None, why, ())
    names = case.manifest.habits.values()
    lent = next((BY_NAME[name] for name in names if name == "Open vSwitch"), STANDARD)
    number, offset = row["datagram"], row["offset"]
    explained = explain(Source(case.exports, lent), number)
    wanted = _lines_about(finding)
    rate = (_row_of(finding, true) or {}).get("sampling") or 1
    sampled = f"; sampling 1 in {rate}" if rate > 1 and "sampling" in wanted else ""
    # NetFlow v5 has the rate in its header, for all records.
    header = [line for line in explained.lines if sampled and line.name == _V5_SAMPLING]
    lines = [*header, *_record(explained.lines, offset)]
    return Evidence(
        number,
        offset,
        explained.title + sampled,
        [
            (line.offset, line.octets.hex(" "), line.name, line.value, line.meaning, line.section)
            for line in lines
            if line.name.startswith(wanted)
        ],
    )


def _is_by(row: Mapping[str, Any], observer: Mapping[str, Any]) -> bool:
    """Whether a row is of who a finding names, as far as it does."""
    for name, value in observer.items():
        if name in row and (row[name] or 0 if name == "flowDirection" else row[name]) != value:
            return False
    return True


def _lines_about(finding: Finding) -> tuple[str, ...]:
    name = "octets" if finding.field.startswith("octets") else finding.field
    if finding.field == FLOW or finding.field in finding.flow:
        return (*_KEY, *_ABOUT["packets"])
    return _ABOUT.get(name, _KEY)


def _record(lines: Sequence[Line], offset: int) -> Sequence[Line]:
    """The lines of the record or sample that begins at an offset."""
    first = next(
        (n for n, line in enumerate(lines) if line.offset == offset and not line.octets), None
    )
    if first is None:
        return [line for line in lines if line.offset >= offset]
    depth = lines[first].depth
    last = first + 1
    while last < len(lines) and (lines[last].octets or lines[last].depth > depth):
        last += 1
    return lines[first:last]
