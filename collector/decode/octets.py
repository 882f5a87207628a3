"""Big-endian numbers at arbitrary places of one buffer, for many places at once.

Every reader of this package gets its octets here. A place is an index into the buffer. Whoever asks
has checked that the octets are there: a place past the end is an IndexError, a mistake of ours and
not of the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from collector import kernel
from collector.decode.address import ipv4_column

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Octets:
    """A buffer of octets, read at many places in one step.

    The trick: an array over the buffer whose items overlap (n octets long, one octet apart), so
    that fancy indexing reads an unaligned item at any place, without a loop and without a copy of
    the buffer.
    """

    __slots__ = ("_views", "buffer")

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        """Read from `buffer`, shape (octets,), contiguous; it is not copied."""
        self.buffer = buffer
        self._views: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        """Octets in the buffer."""
        return len(self.buffer)

    def items(self, at: NDArray[np.int64], dtype: str) -> NDArray[Any]:
        """One item of `dtype` (its byte order included) at each place; shape and order of `at`."""
        found = kernel.gather(self.buffer, at, np.dtype(dtype)) if at.ndim == 1 else None
        if found is not None:
            return found
        view = self._views.get(dtype)
        if view is None:
            item = np.dtype(dtype)
            count = max(0, len(self.buffer) - item.itemsize + 1)
            view = np.ndarray((count,), item, self.buffer if count else None, strides=(1,))
            self._views[dtype] = view
        return view[at]

    def records(self, at: NDArray[np.int64], dtype: np.dtype[np.void]) -> NDArray[np.void]:
        """A record of `dtype` at each place.

        Reading it as one opaque item and looking inside afterwards is several times faster than
        reading field by field.
        """
        return self.items(at, f"V{dtype.itemsize}").view(dtype)

    def numbers(
        self, at: NDArray[np.int64], dtype: np.dtype[np.void]
    ) -> dict[str, NDArray[np.int64]]:
        """The whole numbers of a record of `dtype` at each place, a column for each field."""
        fields = [(0, place[1], place[0].itemsize) for place in (dtype.fields or {}).values()]
        columns = kernel.columns(self.buffer, at[:, None], fields)
        if columns is None:
            records = self.records(at, dtype)
            columns = [records[name] for name in dtype.names or ()]
        named = zip(dtype.names or (), columns, strict=True)
        return {name: column.astype(np.int64) for name, column in named}

    def words(self, at: NDArray[np.int64], count: int, byte_order: str) -> NDArray[np.uint32]:
        """So many numbers of four octets, one behind the other, at each place: shape (n, count)."""
        together = self.items(at, f"V{4 * count}")
        return together.view(byte_order + "u4").reshape(len(at), count)

    def u8(self, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The octet at each place."""
        return self.buffer[at]

    def u16(self, at: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Two octets at each place."""
        return self.items(at, ">u2").astype(np.uint16)

    def u32(self, at: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Four octets at each place."""
        return self.items(at, ">u4").astype(np.uint32)

    def u64(self, at: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Eight octets at each place."""
        return self.items(at, ">u8").astype(np.uint64)

    def mac(self, at: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Six octets at each place, as one number."""
        return self.u16(at).astype(np.uint64) << np.uint64(32) | self.u32(at + 2)

    def ipv4(self, at: NDArray[np.int64]) -> NDArray[np.uint64]:
        """An IPv4 address at each place, as an address column."""
        return ipv4_column(self.u32(at))

    def ipv6(self, at: NDArray[np.int64]) -> NDArray[np.uint64]:
        """An IPv6 address at each place, as an address column."""
        return np.stack([self.u64(at), self.u64(at + 8)], axis=1)
