"""Look for octets that the decoders get wrong: coverage-guided, for as long as one likes.

    python -m pip install --requirement tests/fuzz/requirements.txt
    python -m tests.fuzz.fuzz CORPUS -max_total_time=600

CORPUS is a folder; if it is empty it is filled with `seeds`. The other options are libFuzzer's. A
case that breaks a rule of `check` is written to a file `crash-…`; how to keep what was learned says
`found`. Atheris itself keeps 100 kB of every case, the decoders keep nothing (`test_found`): so
let it run for ten minutes, then again; it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["collector"]):
    from collector.decode import ipfix, netflow5, netflow9
    from collector.decode.sets import SET_HEADER_OCTETS
    from tests.fuzz.check import case, check, datagrams
    from tests.fuzz.seeds import seeds


HEADERS = {ipfix.VERSION: ipfix.HEADER_OCTETS, netflow9.VERSION: netflow9.HEADER_OCTETS}
WILD = 0.2
"""How often something is done that mostly leads nowhere."""


def mutated(octets: bytes, most: int, seed: int) -> bytes:
    """Another case: mostly one datagram is changed, and the lengths in it are true again."""
    random = Random(seed)
    received = datagrams(octets)
    if not received or random.random() < WILD:
        return atheris.Mutate(octets, most)
    which = random.randrange(len(received))
    port, payload = received[which]
    changed = atheris.Mutate(payload, max(1, min(most - len(octets) + len(payload), 65_535)))
    if random.random() > WILD:
        changed = with_true_lengths(changed)
    # What was sent before stays now and then: templates, announced and redefined.
    kept = received[which : which + (random.random() < WILD)]
    return case([*received[:which], *kept, (port, changed), *received[which + 1 :]])[:most]


def with_true_lengths(payload: bytes) -> bytes:
    """A NetFlow or IPFIX datagram whose header and whose last set are as long as they say."""
    octets = bytearray(payload)
    version = int.from_bytes(octets[:2], "big")
    if version == netflow5.VERSION:
        records = (len(octets) - netflow5.HEADER_OCTETS) // netflow5.RECORD_OCTETS
        octets[2:4] = max(records, 0).to_bytes(2, "big")
    elif version in HEADERS:
        if version == ipfix.VERSION:
            octets[2:4] = len(octets).to_bytes(2, "big")
        at = HEADERS[version]
        while at + SET_HEADER_OCTETS <= len(octets):
            length = int.from_bytes(octets[at + 2 : at + 4], "big")
            left = len(octets) - at
            if not SET_HEADER_OCTETS <= length <= left:
                length = left
                octets[at + 2 : at + 4] = length.to_bytes(2, "big")
            at += length
    return bytes(octets[: len(payload)])


def main() -> None:
    """Fuzz until libFuzzer ends."""
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    if len(folders) == 1 and not any(folders[0].iterdir()):
        for number, octets in enumerate(seeds()):
            (folders[0] / f"seed-{number:03}").write_bytes(octets)
    # When it merges libFuzzer starts this program again, through a shell.
    program = f"{sys.executable} -m tests.fuzz.fuzz"
    atheris.Setup([program, *sys.argv[1:]], check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
