"""What the fuzzer has found, kept in one file: cases that went ways no other case goes.

python -m tests.fuzz.fuzz SMALL CORPUS -merge=1
python -m tests.fuzz.found SMALL
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

FOUND = Path(__file__).with_name("found.zip")
_WHEN = (1980, 1, 1, 0, 0, 0)
"""The same cases make the same file."""


def cases() -> dict[str, bytes]:
    """Name to octets of every case."""
    with zipfile.ZipFile(FOUND) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def keep(folder: Path) -> None:
    """Pack the cases of a folder, instead of those that were kept before."""
    with zipfile.ZipFile(FOUND, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.iterdir()):
            packed.writestr(
                zipfile.ZipInfo(path.name, _WHEN), path.read_bytes(), zipfile.ZIP_DEFLATED
            )


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
