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
_PIECE_OCTETS: Final = 1 << 16
"""Unpacked at a time: an error takes no more than that of what is in front of it."""


class Loaded(NamedTuple):
    """What a file holds."""

    octets: NDArray[np.uint8]
    broken: str = ""
    """Why that is not all ("": it is)."""


class Stream(Protocol):
    """Octets one piece after the other, unpacked."""

    broken: str
    """Why there are no more ("": the file is over)."""

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with the next octets, as far as they come; how many these were."""

    def read(self, most: int, /) -> bytes:
        """The next octets, at least one, of a file that is not packed as soon as there are any.

        None at the end.
        """


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

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with the next octets, as far as they come; how many these were."""
        if not self._ahead:
            return int(self._file.readinto1(room))
        piece = self.read(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def read(self, most: int, /) -> bytes:
        """The next octets."""
        if self._ahead:
            piece, self._ahead = self._ahead[:most], self._ahead[most:]
            return piece
        return bytes(self._file.read1(most))


class _Unpacked:
    """A packed file, unpacked.

    By pieces that do not depend on how many octets are asked for: so neither does what an error
    takes of what is in front of it.
    """

    def __init__(self, packed: _Plain) -> None:
        """Nothing is unpacked yet."""
        self.broken = ""
        self._packed = packed
        self._ahead = b""

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with the next octets, or all that are left; how many these were."""
        piece = self.read(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def read(self, most: int, /) -> bytes:
        """The next octets: as many as asked for, or all that are left."""
        pieces, octets = [self._ahead], len(self._ahead)
        while octets < most and not self.broken and (piece := self._unpack()):
            pieces.append(piece)
            octets += len(piece)
        together = b"".join(pieces)
        self._ahead = together[most:]
        return together[:most]

    def _unpack(self) -> bytes:
        """The next piece; none at the end."""
        raise NotImplementedError


class _Gunzip(_Unpacked):
    """Gzip members, one behind the other."""

    def __init__(self, packed: _Plain) -> None:
        """Begin with the first member."""
        super().__init__(packed)
        self._member = zlib.decompressobj(wbits=31)
        self._rest = b""

    def _unpack(self) -> bytes:
        """The next piece."""
        while not self._member.eof or self._next_member():
            chunk = self._rest or self._packed.read(_PIECE_OCTETS)
            try:
                piece = self._member.decompress(chunk, _PIECE_OCTETS)
            except zlib.error as error:
                self.broken = f"the gzip file is broken: {error}"
                break
            self._rest = self._member.unused_data or self._member.unconsumed_tail
            if piece:
                return piece
            if not chunk and not self._member.eof:
                self.broken = "the gzip file ends too early"
                break
        return b""

    def _next_member(self) -> bool:
        """Begin the next member, if there is one; what is no member is left alone."""
        while len(self._rest) < 2 and (more := self._packed.read(_PIECE_OCTETS)):
            self._rest += more
        if not self._rest.startswith(_GZIP):
            return False
        self._member = zlib.decompressobj(wbits=31)
        return True


class _Unzstd(_Unpacked):
    """Zstandard frames, one behind the other."""

    def __init__(self, packed: _Plain) -> None:
        """Begin with the first frame."""
        import zstandard

        super().__init__(packed)
        self._error = zstandard.ZstdError
        source: Any = packed
        unpack = zstandard.ZstdDecompressor().stream_reader
        self._reader = unpack(source, read_size=_PIECE_OCTETS, read_across_frames=True)

    def _unpack(self) -> bytes:
        """The next piece."""
        try:
            return self._reader.read(_PIECE_OCTETS)
        except self._error as error:
            self.broken = f"the Zstandard file is broken: {error}"
            return b""
