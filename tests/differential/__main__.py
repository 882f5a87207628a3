"""Writes docs/differential.md from the table of disagreements: `python -m tests.differential`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.differential.cases import CASES, PEERS_OF
from tests.differential.disagreements import DISAGREEMENTS
from tests.differential.peers import PEERS

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "differential.md"
_BEGINNING: Final = """\
# Where other collectors read otherwise

<!-- Made from tests/differential/disagreements.py by `python -m tests.differential`. -->

flowlab's decoders are compared with others, record by record, as Debian 12 has them. What is
compared: the first datagrams of each exporter in every run of the library's scenarios (in
`./flowlab test`), the golden captures, and generated captures of every feature of the formats. Of
each record, every field that both can say must be equal. What is known to differ is in the tables
below; each line has its condition and a prediction in `tests/differential/disagreements.py`: a
difference that is not declared makes the tests fail, and so does a declared one that is gone. What
the tables say of a peer's inside is concluded from what it prints; only its source could prove it.

{peers}
"""
_GENERATED: Final = """\
## The generated captures

Made with `collector/encode` by `tests/differential/cases.py`.

| case | what it is | compared with |
|---|---|---|
{rows}
"""


def text() -> str:
    """The document."""
    peers = "\n".join(f"- **{peer.NAME}**: {peer.SAYS}" for peer in PEERS.values())
    parts = [_BEGINNING.format(peers=peers)]
    for name, peer in PEERS.items():
        rows = [
            f"| {one.where} | {one.says} | {one.right} | {one.why} |"
            for one in DISAGREEMENTS
            if one.peer == name
        ]
        head = "| where | what it says | who is right | why |\n|---|---|---|---|\n"
        parts.append(f"## {peer.NAME}\n\n{head}" + "\n".join(rows) + "\n")
    cases = "\n".join(
        f"| `{name}` | {(make.__doc__ or '').splitlines()[0]} | {', '.join(_peers(name))} |"
        for name, make in CASES.items()
    )
    parts.append(_GENERATED.format(rows=cases))
    return "\n".join(parts)


def _peers(name: str) -> list[str]:
    return [peer for peer in PEERS if peer in PEERS_OF.get(name, PEERS)]


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
