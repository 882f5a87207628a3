"""The structures of recvmmsg(2) and sendmmsg(2) as numpy sees them: those of 64-bit Linux."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIBC: Final = ctypes.CDLL(None, use_errno=True)
MESSAGE: Final = np.dtype(
    [
        ("name", "u8"),
        ("name_octets", "u4"),
        ("", "u4"),
        ("parts", "u8"),
        ("part_count", "u8"),
        ("control", "u8"),
        ("control_octets", "u8"),
        ("flags", "i4"),
        ("", "u4"),
        ("octets", "u4"),
        ("", "u4"),
    ]
)
"""struct mmsghdr."""
PART: Final = np.dtype([("at", "u8"), ("octets", "u8")])
"""struct iovec."""


def addresses(room: NDArray[Any]) -> NDArray[np.uint64]:
    """Where in memory each row begins."""
    first = np.uint64(room.ctypes.data)
    return first + np.arange(len(room), dtype=np.uint64) * np.uint64(room.strides[0])
