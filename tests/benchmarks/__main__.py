"""``flowlab bench``: the bundled collector and its peers, in turn, on the same corpora.

    python -m tests.benchmarks [--records N] [--runs N] [--only CORPUS] [--out FILE.json]

Makes the corpora, runs every peer that is installed, checks that all found the same, and prints
what each cost: medians of several runs, and ratios. What cannot run here is told with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks import corpora
from tests.benchmarks.peers import PEERS, Case, Cost, Failed, Found, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

_BAR: Final = 40
"""Cells of the longest bar."""
_FCS_OCTETS: Final = 4
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class Result:
    """What a peer did with a corpus: its runs, or why there are none."""

    corpus: str
    peer: str
    records: int
    costs: tuple[Cost, ...]
    why: str = ""

    @property
    def cost(self) -> Cost:
        """The median of each figure."""
        return Cost(
            statistics.median(cost.cpu_s for cost in self.costs),
            statistics.median(cost.wall_s for cost in self.costs),
            int(statistics.median(cost.peak_octets for cost in self.costs)),
        )

    @property
    def records_per_cpu_s(self) -> float:
        """Of the median run."""
        return self.records / self.cost.cpu_s


def main() -> int:
    """Run the benchmarks; 1 if flowlab found something else than the corpus holds."""
    parser = argparse.ArgumentParser(prog="flowlab bench", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000, help="in each corpus")
    parser.add_argument("--runs", type=int, default=3, help="of each peer on each corpus")
    parser.add_argument("--only", choices=corpora.CORPORA, action="append", metavar="CORPUS")
    parser.add_argument("--peer", choices=[p.name for p in PEERS], action="append", metavar="PEER")
    parser.add_argument("--folder", type=Path, help="where the corpora are, or are to be made")
    parser.add_argument("--out", type=Path, help="JSON with every run")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    peers = [peer for peer in PEERS if peer.name in (options.peer or [p.name for p in PEERS])]
    results = []
    with tempfile.TemporaryDirectory(prefix="flowlab-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.only or corpora.CORPORA:
            capture, totals = _corpus(folder, name, options.records)
            found = _rounds(name, capture, totals, peers, options.runs)
            results += found
            _show(console, found, totals)
    if options.out is not None:
        written = {"machine": _machine(), "results": [asdict(result) for result in results]}
        options.out.write_text(json.dumps(written, indent=1), encoding="utf-8")
    for peer in peers:
        if peer.remark and not peer.missing():
            console.print(f"{peer.name}: {peer.remark}")
    return int(any(result.why for result in results if result.peer == "flowlab"))


def _corpus(folder: Path, name: str, records: int) -> tuple[Path, corpora.Totals]:
    """A corpus, made if it is not there."""
    capture = folder / f"{name}-{records}.pcap"
    told = capture.with_suffix(".json")
    if not told.exists():
        totals = corpora.write(name, capture, records)
        told.write_text(json.dumps(asdict(totals)), encoding="ascii")
    return capture, corpora.Totals(**json.loads(told.read_text(encoding="ascii")))


def _rounds(
    name: str, capture: Path, totals: corpora.Totals, peers: list[Peer], runs: int
) -> list[Result]:
    """Every peer in turn, several times."""
    costs: dict[str, list[Cost]] = {peer.name: [] for peer in peers}
    why = {peer.name: peer.missing() for peer in peers}
    for _ in range(runs):
        for peer in peers:
            if why[peer.name]:
                continue
            with tempfile.TemporaryDirectory(prefix="flowlab-bench-", dir=capture.parent) as own:
                port = corpora.CORPORA[name].port
                case = Case(name, capture, port, totals.records, totals.datagrams, Path(own))
                try:
                    cost, found = peer.run(case)
                except (Failed, OSError) as failed:
                    why[peer.name] = str(failed)
                    continue
            wrong = "; ".join(_differences(found, totals))
            if wrong:
                why[peer.name] = f"what it found differs: {wrong}"
            costs[peer.name].append(cost)
    return [
        Result(name, peer.name, totals.records, tuple(costs[peer.name]), why[peer.name])
        for peer in peers
    ]


def _differences(found: Found, totals: corpora.Totals) -> Iterator[str]:
    """What a peer found that is not in the corpus; octets may be of any layer that it holds."""
    for name in ("tuples", "packets"):
        here, there = getattr(found, name), getattr(totals, name)
        if here != there:
            yield f"{here} {name}, not {there}"
    layers = {totals.octets_l3}
    if totals.octets_l2 is not None:
        layers |= {totals.octets_l2, totals.octets_l2 + _FCS_OCTETS * totals.packets}
    if found.octets not in layers:
        yield f"{found.octets} octets, not {' or '.join(map(str, sorted(layers)))}"


def _show(console: Console, results: list[Result], totals: corpora.Totals) -> None:
    """One corpus: a line for each peer, with a bar."""
    title = corpora.CORPORA[results[0].corpus].title
    drawn = Table(box=None, title=f"{title}: {totals.records} records", title_justify="left")
    for heading in ("", "records / CPU s", "CPU s", "wall s", "peak MiB", "flowlab is"):
        drawn.add_column(heading, justify="right" if heading else "left")
    drawn.add_column("")
    ran = [result for result in results if result.costs]
    fastest = max((result.records_per_cpu_s for result in ran), default=1)
    own = next((result for result in ran if result.peer == "flowlab"), None)
    for result in results:
        if not result.costs:
            drawn.add_row(result.peer, "SKIPPED", "", "", "", "", result.why)
            continue
        cost, speed = result.cost, result.records_per_cpu_s
        times = f"{own.records_per_cpu_s / speed:.1f} times" if own and own is not result else ""
        drawn.add_row(
            result.peer,
            f"{speed:,.0f}",
            f"{cost.cpu_s:.2f}",
            f"{cost.wall_s:.2f}",
            f"{cost.peak_octets / _MEBIBYTE:.0f}",
            times,
            "█" * max(1, round(_BAR * speed / fastest)) + (f"  {result.why}" if result.why else ""),
        )
    console.print(drawn)
    console.print()


def _machine() -> dict[str, object]:
    """Where this was measured."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "peers": {peer.name: shutil.which(peer.name) for peer in PEERS},
    }


if __name__ == "__main__":
    sys.exit(main())
