"""Where exports come from: a capture, standard input, a run folder; block after block.

The one place outside the lab that knows which file of a run folder holds its exports, and by whose
habits they are read if nobody says it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from collector import pcap
from collector.decode import OPEN_VSWITCH, PORTS, STANDARD, Decoder
from collector.files import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collector.account import Account
    from collector.decode import Datagrams, Decoded, Habits
    from collector.pcap import Capture

EXPORTS: Final = "exports.pcap"
"""The file of a run folder that has what the switches exported."""
BLOCK: Final = 2_048
"""Datagrams decoded together: enough for columns to pay, few enough that memory stays flat."""
HABITS: Final[Mapping[str, Habits]] = {"openvswitch": OPEN_VSWITCH, "standard": STANDARD}
"""What an exporter's habits are called on the command line."""
_BESIDE: Final = "witnesses.json"
"""A file that lies beside the exports of a run."""


class NoExportsError(ValueError):
    """There is nothing to read there; the text says what was looked for."""


@dataclass(frozen=True)
class Source:
    """A capture of exports, and how it is to be read."""

    capture: Capture
    habits: Habits = STANDARD
    ports: Mapping[int, str] = field(default_factory=lambda: PORTS)
    """UDP port to `NETFLOW` or `SFLOW`."""

    def datagrams(self) -> Iterator[Datagrams]:
        """The datagrams, block by block; at least one block, so that faults of the file show."""
        found = pcap.datagrams(self.capture)
        for first in range(0, max(len(found), 1), BLOCK):
            block = found.take(np.arange(first, min(first + BLOCK, len(found))))
            yield replace(block, faults=()) if first else block

    def decoded(self, account: Account) -> Iterator[Decoded]:
        """The records, block by block; datagrams are numbered through, `account` counts along."""
        decoder = Decoder(self.habits, self.ports)
        for datagrams, last in _with_last(self.datagrams()):
            before = account.datagrams
            decoded = decoder.decode(datagrams, last=last)
            account.add(datagrams, decoded)
            if before:
                decoded = replace(
                    decoded,
                    batches=[
                        replace(batch, datagram=batch.datagram + before)
                        for batch in decoded.batches
                    ],
                )
            yield decoded


def _with_last(blocks: Iterator[Datagrams]) -> Iterator[tuple[Datagrams, bool]]:
    """Each block, and whether it is the last."""
    here = next(blocks, None)
    while here is not None:
        following = next(blocks, None)
        yield here, following is None
        here = following


def open_source(
    place: str, habits: Habits | None = None, ports: Mapping[int, str] = PORTS
) -> Source:
    """Open a capture file, `-` for standard input, or a run folder.

    Args:
        place: what to open.
        habits: None: those of Open vSwitch for what a run of the lab recorded, else the standard's.
        ports: UDP port to protocol family.

    Raises:
        OSError: it cannot be read.
        NotACaptureError: it is no capture.
        NoExportsError: it is a folder without exports.
    """
    if place == STANDARD_INPUT:
        return Source(pcap.read(place), habits or STANDARD, ports)
    path = exports_of(Path(place))
    if habits is None:
        habits = OPEN_VSWITCH if path.with_name(_BESIDE).exists() else STANDARD
    return Source(pcap.read(path), habits, ports)


def exports_of(place: Path) -> Path:
    """The file with the exports of a run folder; a file is itself.

    Raises:
        NoExportsError: it is a folder without exports.
    """
    if not place.is_dir():
        return place
    exports = place / EXPORTS
    if not exports.is_file():
        message = f"{place} is a folder without {EXPORTS}: neither a capture nor a run folder"
        raise NoExportsError(message)
    return exports
