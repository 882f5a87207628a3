"""The loops that cost most when a capture is summed, or made, compiled: `kernel.c`.

Optional: where it is not compiled (or ``FLOWLAB_KERNEL=off``) every function here gives None, and
its caller goes the way in numpy, which gives the same two to three times slower. The same is done
block by block with whatever is odd, since only the way in numpy knows what to report of it.

Compiling is the business of `lab.compiled`; a library is named by what it was made from.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

SWITCH: Final = "FLOWLAB_KERNEL"
"""Environment variable: "off" makes numpy do everything; else it may name a library to be used."""
SOURCE: Final = Path(__file__).with_name("kernel.c")
OPTIONS: Final = ("-O2", "-shared", "-fPIC", "-ffreestanding", "-nostdlib")
"""Of the compiler. A C library need not be installed."""
_ODD: Final = -1
_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS: Final = {
    # Arguments: p a pointer, n a number.
    "follow": "pnnnnnnnppnp",
    "columns": "pnpnnnpppp",
    "gather": "pnpnnp",
    "plain_udp": "pnppnnnpppppppp",
    "dissect": "pnppnpp",
    "sets": "pnppnppppn",
    "records": "pnppnpnnpppn",
    "items": "pnpppnppppn",
    "keys": "pnpnpnpnnnp",
    "count": "ppn",
    "add": "ppnp",
    "or": "ppnp",
    "least": "ppnp",
    "greatest": "ppnp",
    "put": "pnpnpnpp",
    "pack": "pnpnpnpn",
    "sums": "pnppnp",
    "take": "pnnpnpppp",
}


def places() -> list[Path]:
    """Where the library may be: in the environment that runs this, or else in the user's cache."""
    made_from = [SOURCE.read_bytes(), platform.machine().encode(), *map(str.encode, OPTIONS)]
    name = f"kernel-{hashlib.sha256(b' '.join(made_from)).hexdigest()[:16]}.so"
    folders = (Path(sys.prefix, "lib", "flowlab"), Path("~/.cache/flowlab").expanduser())
    return [folder / name for folder in folders]


def library() -> Path | None:
    """The compiled kernel; None if it is switched off, or not there."""
    said = os.environ.get(SWITCH)
    if said is not None:
        return None if said == "off" else Path(said)
    return next((place for place in places() if place.is_file()), None)


_off = False


@contextmanager
def switched_off() -> Iterator[None]:
    """Let numpy do everything for a while, to compare."""
    global _off  # noqa: PLW0603 (the one switch of a process)
    before, _off = _off, True
    try:
        yield
    finally:
        _off = before


def _functions() -> ctypes.CDLL | None:
    """The functions of the kernel, or None."""
    return None if _off else _loaded()


@cache
def _loaded() -> ctypes.CDLL | None:
    path = library()
    if path is None:
        return None
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError:
        return None  # Of another machine, say.
    for name, arguments in _FUNCTIONS.items():
        function = getattr(loaded, f"flowlab_{name}")
        function.argtypes = [_POINTER if kind == "p" else _NUMBER for kind in arguments]
        function.restype = _NUMBER
    return loaded


def there() -> bool:
    """Whether it is compiled, and not switched off."""
    return _functions() is not None


def forget() -> None:
    """Look for the library anew."""
    _loaded.cache_clear()


def _place(array: NDArray[Any]) -> int:
    """Where an array is."""
    # Several times faster than array.ctypes.data.
    return int(array.__array_interface__["data"][0])


def _whole(array: NDArray[Any]) -> NDArray[np.int64]:
    """An array as the kernel reads it."""
    return np.ascontiguousarray(array, np.int64)


def follow(
    buffer: NDArray[np.uint8],
    *,
    order: str,
    head: int,
    length_at: int,
    beside: int,
    shortest: int,
    longest: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int] | None:
    """Follow a chain of records; see `collector.chain`.

    Returns:
        Where records start, their heads (shape (n, head)), and where the first is that is not among
        them.
    """
    compiled = _functions()
    if compiled is None:
        return None
    room = len(buffer) // max(1, beside + shortest) + 1
    found, end = np.empty(room, np.int64), np.zeros(1, np.int64)
    heads = np.empty((room, head), np.uint8)
    sizes = (head, length_at, beside, shortest, longest)
    count = compiled.flowlab_follow(
        *(_place(buffer), len(buffer), order == ">", *sizes),
        *(_place(found), _place(heads), room, _place(end)),
    )
    return found[:count].copy(), heads[:count].copy(), int(end[0])


def columns(
    buffer: NDArray[np.uint8],
    segments: NDArray[np.int64],
    fields: Sequence[tuple[int, int, int]],
) -> list[NDArray[Any]] | None:
    """Big-endian numbers of fixed fields, a column for each field.

    Args:
        buffer: contiguous.
        segments: where the segments of each record begin, shape (records, segments).
        fields: segment, octets behind where that begins, and width (1, 2, 4 or 8 octets).

    Raises:
        IndexError: a number is not all inside the buffer.
    """
    compiled = _functions()
    if compiled is None:
        return None
    segments = _whole(segments)
    found = [np.empty(len(segments), f"u{width}") for _, _, width in fields]
    places = (ctypes.c_void_p * len(found))(*map(_place, found))
    segment, offset, width = (np.array(column) for column in zip(*fields, strict=True))
    if compiled.flowlab_columns(
        *(_place(buffer), len(buffer), _place(segments), segments.shape[1], len(segments)),
        *(len(fields), _place(segment), _place(offset), _place(width), ctypes.addressof(places)),
    ):
        raise IndexError(fields)
    return found


def gather(
    buffer: NDArray[np.uint8], at: NDArray[np.int64], item: np.dtype[Any]
) -> NDArray[Any] | None:
    """One item at each place.

    Raises:
        IndexError: an item is not all inside the buffer.
    """
    compiled = _functions()
    if compiled is None:
        return None
    at = _whole(at)
    found = np.empty(len(at), item)
    if compiled.flowlab_gather(
        _place(buffer), len(buffer), _place(at), len(at), item.itemsize, _place(found)
    ):
        raise IndexError(item)
    return found


class PlainUdp(NamedTuple):
    """What plain frames carry; see `collector.plain_udp`. A value per frame, void if not plain."""

    plain: NDArray[np.bool_]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    missing: NDArray[np.int64]
    source: NDArray[np.uint64]
    source_port: NDArray[np.uint16]
    destination: NDArray[np.uint64]
    destination_port: NDArray[np.uint16]


def plain_udp(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    captured: NDArray[np.int64],
    link_octets: int,
    type_at: int | None,
) -> PlainUdp | None:
    """The UDP datagrams of plain frames; `type_at`: where in the link's header the EtherType is."""
    compiled = _functions()
    if compiled is None:
        return None
    start, captured, count = _whole(start), _whole(captured), len(start)
    columns: list[Any] = [np.empty(count, np.bool_)]
    columns += [np.empty(count, np.int64) for _ in range(3)]
    for _ in range(2):
        columns += [np.empty((count, 2), np.uint64), np.empty(count, np.uint16)]
    compiled.flowlab_plain_udp(
        _place(buffer),
        len(buffer),
        _place(start),
        _place(captured),
        count,
        link_octets,
        _ODD if type_at is None else type_at,
        *map(_place, columns),
    )
    return PlainUdp(*columns)


class _Packets(ctypes.Structure):
    """Columns of `collector.decode.packet.Packets`, as `kernel.c` declares them."""

    NAMES = (
        *("depth", "ip_version", "protocol", "has_tcp"),
        *("ethernet_type", "source_port", "destination_port", "tcp_flags", "tcp_sequence"),
        *("source_mac", "destination_mac", "source", "destination"),
        *("ip_octets", "network", "transport", "payload", "payload_octets"),
    )
    _fields_ = [(name, _POINTER) for name in NAMES]


def dissect(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    captured: NDArray[np.int64],
    packets: Any,
) -> NDArray[np.bool_] | None:
    """Fill the columns of `packets` for plain frames; which frames these are."""
    compiled = _functions()
    if compiled is None:
        return None
    start, captured = _whole(start), _whole(captured)
    plain = np.empty(len(start), np.bool_)
    columns = _Packets(*(_place(getattr(packets, name)) for name in _Packets.NAMES))
    compiled.flowlab_dissect(
        _place(buffer),
        len(buffer),
        _place(start),
        _place(captured),
        len(start),
        _place(plain),
        ctypes.addressof(columns),
    )
    return plain


def sets(
    buffer: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> list[NDArray[np.int64]] | None:
    """Message, id, content and end of all sets; None: something is odd. See `collector.decode`."""
    return _walk("sets", buffer, (begin, end), int((end - begin).sum()) // 4, 4)


def items(
    buffer: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    count: NDArray[np.int64],
) -> list[NDArray[np.int64]] | None:
    """Owner, format, content and end of sFlow's samples or records; None: something is odd."""
    room = int(np.minimum(count, np.maximum(end - begin, 0) // 8).sum())
    return _walk("items", buffer, (begin, end, count), room, 4)


def _walk(
    name: str,
    buffer: NDArray[np.uint8],
    columns: Sequence[NDArray[np.int64]],
    room: int,
    width: int,
) -> list[NDArray[np.int64]] | None:
    compiled = _functions()
    if compiled is None:
        return None
    given = [_whole(one) for one in columns]
    found = [np.empty(max(room, 1), np.int64) for _ in range(width)]
    count = getattr(compiled, f"flowlab_{name}")(
        _place(buffer), len(buffer), *map(_place, given), len(given[0]), *map(_place, found), room
    )
    return None if count == _ODD else [one[:count].copy() for one in found]


def records(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    widths: Sequence[int],
    minimum_octets: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None:
    """Owner and segments of records, and where each set's last one ends; None: something is odd."""
    compiled = _functions()
    if compiled is None or not minimum_octets:
        return None
    start, end = _whole(start), _whole(end)
    room = int(np.maximum(end - start, 0).sum()) // minimum_octets
    of_segments = np.array(widths, np.int64)
    owner, rest = np.empty(room, np.int64), np.empty(len(start), np.int64)
    places = np.empty((room, len(widths)), np.int64)
    count = compiled.flowlab_records(
        *(_place(buffer), len(buffer), _place(start), _place(end), len(start)),
        *(_place(of_segments), len(widths), minimum_octets),
        *(_place(owner), _place(places), _place(rest), room),
    )
    return None if count == _ODD else (owner[:count].copy(), places[:count].copy(), rest)


class Keys:
    """What `collector.keytable` looks up in, as the kernel sees it."""

    def __init__(self, places: NDArray[np.int32], keys: NDArray[np.uint64], seed: int) -> None:
        """A table: `places` for numbers + 1, `keys` of shape (words, numbers + 1)."""
        self.places, self.keys, self.seed = places, keys, seed


def number_keys(
    table: Keys,
    known: int,
    words: Sequence[NDArray[np.uint64]],
    numbers: NDArray[np.int64],
    begin: int,
) -> tuple[int, int] | None:
    """Fill `numbers` from row `begin` on; the row it came to, and how many keys are known then."""
    compiled = _functions()
    if compiled is None:
        return None
    given = [np.ascontiguousarray(word, np.uint64) for word in words]
    places = (ctypes.c_void_p * len(given))(*map(_place, given))
    count = ctypes.c_int64(known)
    row = compiled.flowlab_keys(
        *(_place(table.places), len(table.places).bit_length() - 1),
        *(_place(table.keys), table.keys.shape[1], ctypes.addressof(count), table.seed),
        *(ctypes.addressof(places), len(given), begin, len(numbers), _place(numbers)),
    )
    return row, count.value


def keep(how: str, kept: NDArray[Any], at: NDArray[np.int64], values: Any = None) -> bool:
    """Count rows, or "add" (or "or", "least", "greatest") their values to what is kept at `at`.

    Returns:
        Whether it was done.
    """
    compiled = _functions()
    if compiled is None:
        return False
    if values is None:
        compiled.flowlab_count(_place(kept), _place(at), len(at))
        return True
    given = np.ascontiguousarray(np.broadcast_to(values, at.shape), kept.dtype)
    getattr(compiled, f"flowlab_{how}")(_place(kept), _place(at), len(at), _place(given))
    return True


def put(
    out: NDArray[np.uint8],
    at: NDArray[np.int64],
    buffer: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
) -> bool:
    """Put pieces of a buffer to places in another one, both contiguous.

    Returns:
        Whether it was done.

    Raises:
        IndexError: a piece, or its place, is not all inside.
    """
    compiled = _functions()
    if compiled is None:
        return False
    at, offset, length = map(_whole, (at, offset, length))
    if compiled.flowlab_put(
        *(_place(out), len(out), _place(at), len(at)),
        *(_place(buffer), len(buffer), _place(offset), _place(length)),
    ):
        raise IndexError(len(buffer))
    return True


def pack(
    out: NDArray[np.uint8],
    at: NDArray[np.int64],
    same: NDArray[np.void],
    columns: Mapping[str, NDArray[Any]],
) -> bool:
    """Write records to their places in a contiguous buffer.

    Args:
        out: the buffer.
        at: where each record goes.
        same: one record, shape (1,), with what all have in common.
        columns: what they differ in, by the names of its fields: a value for each record, which the
            field can hold.

    Returns:
        Whether it was done.

    Raises:
        IndexError: a record is not all inside, or a column does not have all values.
    """
    compiled = _functions()
    if compiled is None:
        return False
    at = _whole(at)
    if any(len(column) != len(at) for column in columns.values()):
        raise IndexError(len(at))
    forms: Any = same.dtype.fields
    told: list[tuple[int, ...]] = []
    kept: list[NDArray[Any]] = []
    for name, column in columns.items():
        form, place = forms[name][:2]
        kept.append(_native(column, form))  # As long as its place is used.
        told += _described(form, place, kept[-1])
    fields = np.array(told, np.int64).reshape(-1)
    if compiled.flowlab_pack(
        *(_place(out), len(out), _place(at), len(at)),
        *(_place(same), same.itemsize, _place(fields), len(told)),
    ):
        raise IndexError(len(out))
    return True


def _native(column: NDArray[Any], form: np.dtype[Any]) -> NDArray[Any]:
    """Numbers in this machine's order; fractions, and octets, as their field has them."""
    if form.kind == "f":
        return column.astype(form)
    if form.base.itemsize > 1 and form.shape:
        return column.astype(form.base.newbyteorder("="), copy=False)
    if column.dtype == np.uint8 and column.ndim > 1 and column.strides[1] != 1:
        return np.ascontiguousarray(column)
    native = column.dtype.newbyteorder("=")
    return column if column.dtype == native else column.astype(native)


def _described(form: np.dtype[Any], place: int, values: NDArray[Any]) -> Iterator[tuple[int, ...]]:
    """A field, as `flowlab_pack` is told of it; an address of IPv6 is two of them."""
    begin, step = _place(values), values.strides[0]
    if form.shape and form.base.itemsize > 1:
        size = form.base.itemsize
        for half in range(*form.shape):
            yield place + half * size, size, begin + half * values.strides[1], step, size, 0
    elif values.ndim > 1 or form.kind == "f":
        yield place, form.itemsize, begin, step, 0, 0
    else:
        signed = values.dtype.kind == "i"
        yield place, form.itemsize, begin, step, values.itemsize, signed


def sums(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.uint64] | None:
    """The sums of the little-endian 32-bit words of pieces of a buffer, zeros behind each.

    Raises:
        IndexError: a piece is not all inside the buffer.
    """
    compiled = _functions()
    if compiled is None:
        return None
    offset, length = _whole(offset), _whole(length)
    found = np.empty(len(offset), np.uint64)
    if compiled.flowlab_sums(
        *(_place(buffer), len(buffer), _place(offset), _place(length)),
        *(len(offset), _place(found)),
    ):
        raise IndexError(len(buffer))
    return found


_LIBC_CALLS: Final = ("poll", "recvmmsg", "nanosleep", "write", "__errno_location")


def take(
    socket: int,
    event: int,
    ring: NDArray[np.void],
    turn: NDArray[np.uint64],
    taken: NDArray[np.uint64],
    given: NDArray[np.uint64],
    stop: NDArray[np.int64],
) -> int | None:
    """Take datagrams out of a socket until `stop` is set; see `collector.slab`.

    Python's other threads run meanwhile, and none of them makes it wait.

    Args:
        socket: a socket's file descriptor.
        event: an eventfd, told of what has come.
        ring: struct mmsghdr, ready to be received into.
        turn: not 0: one of those who fill this ring is at it; one value.
        taken: how many have been received, one value.
        given: how many of them are ready again, one value.
        stop: not 0: come back; one value.

    Returns:
        0, or the number of an error.
    """
    compiled = _functions()
    if compiled is None:
        return None
    libc = ctypes.CDLL(None)
    calls = [ctypes.cast(getattr(libc, name), _POINTER).value for name in _LIBC_CALLS]
    table = np.array(calls, np.uint64)
    counters = map(_place, (turn, taken, given, stop))
    result: int = compiled.flowlab_take(
        _place(table), socket, event, _place(ring), len(ring), *counters
    )
    return result
