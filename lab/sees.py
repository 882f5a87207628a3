"""docs/what-each-exporter-sees.md: made from what the exporters declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from exporters import EXPORTERS, Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporters import Exporter, Observes

SEES_FILE: Final = "docs/what-each-exporter-sees.md"

_INTRODUCTION: Final = """\
# What each exporter sees

Made from the code by `python -m lab.generated`: the table from what each exporter declares that
it observes, which is what runs are judged by, and the lines below it from what each declares as
its own way. All of it was tried in real runs: Open vSwitch 3.1, softflowd 1.1, pmacct 1.7.7
(Debian 12).

With sampling 1 and no rewriting these are equal to the packet and the octet, per switch and
flow: packets on the wire and of all exporters; frames' octets (`octets_l2`) on the wire, of
NetFlow v5, of IPFIX with flowDirection 0 and of sFlow; IP packets' octets (`octets_l3`), 14
fewer for each packet without a VLAN tag, of IPFIX, of sFlow and of the probes. The scenario
`five-exporters-agree` runs them together. Where a switch rewrites packets they tell them under
different keys, each as it left or as it came: the scenario `address-translation`.
"""
_FOOTER: Final = """\
With a controller packets may be told twice, or elsewhere: [controllers.md](controllers.md).

How the formats are filled in is in `collector/decode/habits.py`.
"""
_MEASURES: Final = ("packets", "octets_l2", "octets_l3", "tcpControlBits", "times")


def text() -> str:
    """The whole page."""
    variants = [variant for kind in EXPORTERS.values() for variant in _variants(kind)]
    rows = [_row(variant, variant.observes()) for variant in variants]
    header = ("exporter", "at", "does not see", *_MEASURES, "a packet is told")
    table = [_line(header), _line(["---"] * len(header)), *map(_line, rows)]
    parts = [
        _INTRODUCTION,
        "\n".join(table) + "\n",
        *map(_differences, EXPORTERS.values()),
        _FOOTER,
    ]
    return "\n".join(parts)


def _variants(kind: type[Exporter]) -> Iterator[Exporter]:
    """An exporter in each protocol that it speaks."""
    export = kind.model_fields.get("export")
    for protocol in get_args(export.annotation) if export else ():
        yield kind.model_validate({"export": protocol})
    if export is None:
        yield kind()


def _row(exporter: Exporter, observes: Observes) -> list[str]:
    unseen = "; ".join(
        f"{kind.replace('_', '-')}: {reason}" for kind, reason in observes.not_seen.items()
    )
    told = "once, as it leaves" if observes.after_actions else "once"
    told = "once coming in, once for every port going out" if observes.tells_egress else told
    return [
        f"`{exporter.name}` ({exporter.title})",
        "a port, both directions" if isinstance(exporter, Probe) else "all that enters the switch",
        unseen or "nothing",
        *("yes" if measure in observes.measures else "no" for measure in _MEASURES),
        told,
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _differences(kind: type[Exporter]) -> str:
    return f"## {kind.name}\n\n{kind.differences}"
