"""Octets of a file: mapped, unpacked, or from standard input.

Knows gzip (RFC 1952) and Zstandard (RFC 8878) by their first octets. What is behind the place where
a packed file breaks is lost; what is in front of it is not.
"""

from __future__ import annotations

import io
import os
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STANDARD_INPUT: Final = "-"
UNPACKED_OCTETS: Final = 4 << 30
"""A packed file, or standard input, is read to this length and no further."""
_GZIP: Final = b"\x1f\x8b"
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK_OCTETS: Final = 1 << 20


class Loaded(NamedTuple):
    """What a file holds."""

    octets: NDArray[np.uint8]
    broken: str = ""
    """Why that is not all ("": it is)."""


def load(file: str | os.PathLike[str] | bytes, most: int = UNPACKED_OCTETS) -> Loaded:
    """Read a file, given its path ("-": standard input) or its octets.

    A file that is not packed is mapped, not copied: it must not shrink while it is in use.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, bytes):
        octets = np.frombuffer(file, np.uint8)
    elif os.fspath(file) == STANDARD_INPUT:
        octets = np.frombuffer(sys.stdin.buffer.read(most), np.uint8)
    elif Path(file).is_file() and Path(file).stat().st_size:
        octets = np.asarray(np.memmap(file, np.uint8, "r"))
    else:
        octets = np.frombuffer(Path(file).read_bytes(), np.uint8)
    first = octets[:4].tobytes()
    if first.startswith(_GZIP):
        return _gunzip(octets, most)
    if first == _ZSTANDARD:
        return _unzstd(octets, most)
    return Loaded(octets)


def _gunzip(packed: NDArray[np.uint8], most: int) -> Loaded:
    """Unpack gzip members, one behind the other."""
    unpacked = bytearray()
    at, broken = 0, ""
    while packed[at : at + 2].tobytes() == _GZIP and not broken:
        member = zlib.decompressobj(wbits=31)
        while not member.eof and not broken:
            chunk = packed[at : at + _CHUNK_OCTETS].tobytes()
            at += len(chunk)
            try:
                unpacked += member.decompress(chunk, most + 1 - len(unpacked))
            except zlib.error as error:
                broken = f"the gzip file is broken: {error}"
            if len(unpacked) > most:
                broken = f"more than {most} octets when unpacked"
            elif not chunk:
                broken = broken or "the gzip file ends too early"
        at -= len(member.unused_data)
    return Loaded(np.frombuffer(bytes(unpacked[:most]), np.uint8), broken)


def _unzstd(packed: NDArray[np.uint8], most: int) -> Loaded:
    """Unpack Zstandard frames, one behind the other."""
    import zstandard

    unpacked = bytearray()
    source = io.BytesIO(packed.tobytes())
    reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    broken = ""
    try:
        while len(unpacked) <= most and (chunk := reader.read(_CHUNK_OCTETS)):
            unpacked += chunk
    except zstandard.ZstdError as error:
        broken = f"the Zstandard file is broken: {error}"
    if len(unpacked) > most:
        broken = f"more than {most} octets when unpacked"
    return Loaded(np.frombuffer(bytes(unpacked[:most]), np.uint8), broken)
