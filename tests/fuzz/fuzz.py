"""Look for octets that the decoders get wrong: coverage-guided, for as long as one likes.

    python -m pip install --requirement tests/fuzz/requirements.txt
    python -m tests.fuzz.fuzz CORPUS -max_total_time=600

CORPUS is a folder; if it is empty it is filled with `seeds`. The other options are libFuzzer's. A
case that breaks a rule of `check` is written to a file `crash-…`; how to keep what was learned says
`found`. Atheris itself keeps some 30 kB of every case, the decoders keep nothing (`test_found`): so
let it run for ten minutes, then again; it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["collector"]):
    from tests.fuzz.check import check
    from tests.fuzz.seeds import seeds


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
    atheris.Setup([program, *sys.argv[1:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
