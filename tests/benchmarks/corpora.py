"""The corpora of the benchmarks: five kinds of export as pcap files, with known totals.

    python -m tests.benchmarks.corpora FOLDER --records 1000000 --seed 1

They are generated from profiles: those in `profiles` beside this file, and the bundled one of Open
vSwitch. Records are of 100 000 different 5-tuples (TCP and UDP over IPv4): one record of each, then
records of tuples drawn at random. What a corpus holds depends on its name, the number of records
and the seed alone.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from collector.generate.exporting import PORTS
from collector.generate.profile import FlowsOf, Profile
from lab.profiles import Plan, read_profile, write_capture

TUPLES: Final = 100_000
_PROFILES: Final = Path(__file__).with_name("profiles")


@dataclass(frozen=True, slots=True)
class Totals:
    """What a corpus holds: what every collector has to find in it."""

    records: int = 0
    """Data records, or samples."""
    datagrams: int = 0
    """Those with templates included."""
    tuples: int = 0
    """Different 5-tuples."""
    packets: int = 0
    octets_l3: int = 0
    """Of IP packets."""
    octets_l2: int | None = None
    """Of Ethernet frames without FCS, where records say it."""


@dataclass(frozen=True)
class Corpus:
    """A kind of corpus."""

    profile: Profile
    frames: bool = False
    """Its records say how long frames are."""

    @property
    def title(self) -> str:
        """For people."""
        return self.profile.title

    @property
    def port(self) -> int:
        """Where the datagrams are sent to."""
        return PORTS[self.profile.protocol]


def _own(name: str, *, frames: bool = False) -> Corpus:
    return Corpus(read_profile(str(_PROFILES / f"{name}.yaml")), frames)


def _open_vswitch() -> Corpus:
    """Two templates with 52 and 46 fields, names of variable length in front of the addresses."""
    own = {
        "title": "IPFIX as Open vSwitch sends it, 1 record a message",
        "flows": FlowsOf(different=TUPLES),
    }
    return Corpus(read_profile("open-vswitch").model_copy(update=own), frames=True)


CORPORA: Final = {
    "netflow5": _own("netflow5"),
    "netflow9": _own("netflow9"),
    "ipfix": _own("ipfix"),
    "openvswitch": _open_vswitch(),
    "sflow": _own("sflow", frames=True),
}


def write(name: str, path: Path, records: int, seed: int = 1) -> Totals:
    """Write a corpus.

    Args:
        name: one of `CORPORA`.
        path: of the pcap file.
        records: data records, or samples.
        seed: decides on what they are.
    """
    corpus = CORPORA[name]
    totals = write_capture(Plan.of(corpus.profile, records, seed), path, rows=False).totals
    return Totals(
        records=totals["records"],
        datagrams=totals["datagrams"],
        tuples=totals["flows"],
        packets=totals["packets"],
        octets_l3=totals["octets_l3"],
        octets_l2=totals["octets_l2"] if corpus.frames else None,
    )


def main() -> None:
    """Write the corpora into a folder, and their totals to standard output as JSON."""
    parser = argparse.ArgumentParser(description="Write the corpora of the benchmarks.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=CORPORA, action="append")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in options.only or CORPORA:
        path = options.folder / f"{name}.pcap"
        found[name] = asdict(write(name, path, options.records, options.seed))
    print(json.dumps(found, indent=2))  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
