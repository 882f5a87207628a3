"""Where exports come from: a capture, standard input, a run folder; block after block.

The one place outside the lab that knows which file of a run folder holds its exports, and by whose
habits they are read if nobody says it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from collector import pcap
from collector.corpus.case import MANIFEST
from collector.decode import BY_NAME, OPEN_VSWITCH, PORTS, STANDARD, Datagrams, Decoder
from collector.files import STANDARD_INPUT, plain_stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collector.account import Account
    from collector.decode import Decoded, Habits
    from collector.files import File

EXPORTS: Final = "exports.pcap"
"""The file of a run folder that has what the switches exported."""
BLOCK_OCTETS: Final = 2 << 20
"""Of a capture, decoded together: enough for columns to pay, few enough that memory stays flat."""
HABITS: Final[Mapping[str, Habits]] = {"openvswitch": OPEN_VSWITCH, "standard": STANDARD}
"""What an exporter's habits are called on the command line."""
_BESIDE: Final = "witnesses.json"
"""A file that lies beside the exports of a run."""


class NoExportsError(ValueError):
    """There is nothing to read there; the text says what was looked for."""


@dataclass(frozen=True)
class Source:
    """A capture of exports, and how it is to be read."""

    file: File
    habits: Habits = STANDARD
    ports: Mapping[int, str] = field(default_factory=lambda: PORTS)
    """UDP port to `NETFLOW` or `SFLOW`."""

    def datagrams(self, block_octets: int | None = None) -> Iterator[Datagrams]:
        """The datagrams, block by block.

        Args:
            block_octets: of the capture, in one block; None: `BLOCK_OCTETS`.

        Raises:
            OSError: the file cannot be read.
            NotACaptureError: it is no capture.
        """
        return pcap.datagram_blocks(self.file, block_octets or BLOCK_OCTETS)

    def decoded(
        self, account: Account, *, extended: bool = True, block_octets: int | None = None
    ) -> Iterator[Decoded]:
        """The records, block by block; datagrams are numbered through, `account` counts along.

        Args:
            account: counts what comes.
            extended: see `Decoder`.
            block_octets: see `datagrams`.

        Raises:
            OSError: the file cannot be read.
            NotACaptureError: it is no capture.
        """
        decoder = Decoder(self.habits, self.ports, extended=extended)
        for datagrams in self.datagrams(block_octets):
            yield counted(datagrams, decoder.decode(datagrams), account)
        nothing = Datagrams.of([], 0)
        yield counted(nothing, decoder.decode(nothing, last=True), account)

    @contextmanager
    def kept(self) -> Iterator[Source]:
        """The same, to be read more than once: what comes through a pipe is put into a file."""
        if not isinstance(self.file, str | os.PathLike) or Path(self.file).is_file():
            yield self
            return
        with tempfile.TemporaryFile() as file, plain_stream_of(self.file) as stream:
            while piece := stream.read(BLOCK_OCTETS):
                file.write(piece)
            yield replace(self, file=file)


def counted(datagrams: Datagrams, decoded: Decoded, account: Account) -> Decoded:
    """A block with the numbers that its datagrams have in all of the file; `account` counts it."""
    before = account.datagrams
    account.add(datagrams, decoded)
    numbered = [replace(batch, datagram=batch.datagram + before) for batch in decoded.batches]
    return replace(decoded, batches=numbered)


def open_source(
    place: str, habits: Habits | None = None, ports: Mapping[int, str] = PORTS
) -> Source:
    """Open a capture file, `-` for standard input, or a run folder.

    Args:
        place: what to open.
        habits: None: those of Open vSwitch for what a run of the lab recorded, those that a case's
            folder says for a case, else the standard's.
        ports: UDP port to protocol family.

    Raises:
        NoExportsError: it is a folder without exports, or a case of exporters with several habits.
    """
    if place == STANDARD_INPUT:
        return Source(place, habits or STANDARD, ports)
    path = exports_of(Path(place))
    if habits is None:
        habits = _habits_beside(path, Path(place))
    return Source(path, habits, ports)


def _habits_beside(path: Path, place: Path) -> Habits:
    """The habits that what lies beside exports says; of a case only if its folder was named.

    Raises:
        NoExportsError: they are several.
    """
    if path.with_name(_BESIDE).exists():
        return OPEN_VSWITCH
    manifest = path.with_name(MANIFEST)
    if not (place.is_dir() and manifest.is_file()):
        return STANDARD
    try:
        told = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        by_exporter = {str(who): str(name) for who, name in (told.get("habits") or {}).items()}
        every = [BY_NAME[name] for name in dict.fromkeys(by_exporter.values())]
    except (yaml.YAMLError, ValueError, AttributeError, KeyError) as odd:
        raise NoExportsError(f"{manifest} does not say its exporters' habits: {odd}") from None
    if len(every) > 1:
        each = ", ".join(f"{who} {name}" for who, name in by_exporter.items())
        raise NoExportsError(
            f"{place}: its exporters fill in the formats each in its own way ({each}), and here "
            "all are read in one: say --exporter-habits openvswitch or standard"
        )
    return every[0] if every else STANDARD


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
