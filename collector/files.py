"""Octets of files: as they are, unpacked, or from standard input; all at once or piece by piece.

Knows gzip (RFC 1952) and Zstandard (RFC 8878) by their first octets. What is behind the place where
a packed file breaks is lost; what is in front of it is not.
"""

from __future__ import annotations

import io
import os
import sys
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from numpy.typing import NDArray

    File = str | os.PathLike[str] | bytes | BinaryIO
    """A path ("-": standard input), octets, or a file that is open, read from its beginning."""

STANDARD_INPUT: Final = "-"
UNPACKED_OCTETS: Final = 4 << 30
"""A packed file, or standard input, is loaded to this length and no further."""
_GZIP: Final = b"\x1f\x8b"
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK_OCTETS: Final = 1 << 20


class Loaded(NamedTuple):
    """What a file holds."""

    octets: NDArray[np.uint8]
    broken: str = ""
    """Why that is not all ("": it is)."""


class Stream(Protocol):
    """Octets one piece after the other, unpacked."""

    broken: str
    """Why there are no more ("": the file is over)."""

    def read(self, most: int, /) -> bytes:
        """The next octets, at least one and as soon as there are any; none at the end."""


def load(file: File, most: int = UNPACKED_OCTETS) -> Loaded:
    """Read a whole file.

    A file that is not packed is mapped, not copied: it must not shrink while it is in use.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, str | os.PathLike) and Path(file).is_file() and Path(file).stat().st_size:
        mapped: NDArray[np.uint8] = np.asarray(np.memmap(file, np.uint8, "r"))
        if not _is_packed(mapped[:4].tobytes()):
            return Loaded(mapped)
    unpacked = bytearray()
    with stream_of(file) as stream:
        while len(unpacked) <= most and (piece := stream.read(_CHUNK_OCTETS)):
            unpacked += piece
    broken = f"more than {most} octets when unpacked" if len(unpacked) > most else stream.broken
    return Loaded(np.frombuffer(bytes(unpacked[:most]), np.uint8), broken)


@contextmanager
def stream_of(file: File) -> Iterator[Stream]:
    """Open a file to be read piece by piece, unpacked.

    Raises:
        OSError: it cannot be read.
    """
    with plain_stream_of(file) as plain:
        if plain.first.startswith(_GZIP):
            yield _Gunzip(plain)
        elif plain.first == _ZSTANDARD:
            yield _Unzstd(plain)
        else:
            yield plain


@contextmanager
def plain_stream_of(file: File) -> Iterator[_Plain]:
    """Open a file to be read piece by piece as it is.

    Raises:
        OSError: it cannot be read.
    """
    with ExitStack() as stack:
        if isinstance(file, bytes):
            opened: BinaryIO = io.BytesIO(file)
        elif not isinstance(file, str | os.PathLike):
            opened = file
            opened.seek(0)
        elif os.fspath(file) == STANDARD_INPUT:
            opened = sys.stdin.buffer
        else:
            opened = stack.enter_context(Path(file).open("rb"))
        yield _Plain(opened)


def _is_packed(first: bytes) -> bool:
    return first.startswith(_GZIP) or first == _ZSTANDARD


class _Plain:
    """A file as it is."""

    broken = ""

    def __init__(self, file: Any) -> None:
        """Look at the first octets; `file` is buffered: it has read1."""
        self._file = file
        self.first = b""
        while len(self.first) < 4 and (octets := self._file.read1(4 - len(self.first))):
            self.first += octets
        self._ahead = self.first

    def read(self, most: int, /) -> bytes:
        """The next octets."""
        if self._ahead:
            piece, self._ahead = self._ahead[:most], self._ahead[most:]
            return piece
        return bytes(self._file.read1(most))


class _Gunzip:
    """Gzip members, one behind the other."""

    def __init__(self, packed: _Plain) -> None:
        """Nothing is unpacked yet."""
        self.broken = ""
        self._packed = packed
        self._member = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._over = False

    def read(self, most: int, /) -> bytes:
        """The next octets."""
        while not self._over and not self.broken:
            if self._member.eof and not self._next_member():
                break
            chunk = self._rest or self._packed.read(_CHUNK_OCTETS)
            if not chunk:
                self.broken = "the gzip file ends too early"
                break
            try:
                piece = self._member.decompress(chunk, most)
            except zlib.error as error:
                self.broken = f"the gzip file is broken: {error}"
                break
            self._rest = self._member.unconsumed_tail
            if piece:
                return piece
        return b""

    def _next_member(self) -> bool:
        """Begin the next member, if there is one; what is no member is left alone."""
        rest = self._member.unused_data
        while len(rest) < 2 and (more := self._packed.read(_CHUNK_OCTETS)):
            rest += more
        self._over = not rest.startswith(_GZIP)
        self._member, self._rest = zlib.decompressobj(wbits=31), rest
        return not self._over


class _Unzstd:
    """Zstandard frames, one behind the other."""

    def __init__(self, packed: _Plain) -> None:
        """Nothing is unpacked yet."""
        import zstandard

        self.broken = ""
        self._error = zstandard.ZstdError
        source: Any = packed
        self._reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)

    def read(self, most: int, /) -> bytes:
        """The next octets."""
        try:
            return self._reader.read1(most)
        except self._error as error:
            self.broken = f"the Zstandard file is broken: {error}"
            return b""
