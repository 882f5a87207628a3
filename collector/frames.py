"""Frames as they are found in the octets of a capture, whatever its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Stop(NamedTuple):
    """Where reading had to stop."""

    at: int
    """Index of the first octet that is not read."""
    needed: int = 0
    """Octets that have to be there from it on."""
    reason: str = ""
    """Why these are not all the frames there are ("": they are)."""
    hopeless: bool = False
    """More octets would not mend it."""


class Frames(NamedTuple):
    """Whole frames, in order; every column has one value per frame."""

    offsets: NDArray[np.int64]
    """Index of each frame's first octet."""
    lengths: NDArray[np.int64]
    """Octets captured."""
    original_lengths: NDArray[np.int64]
    """Octets the frame had on the wire (without FCS)."""
    timestamps_ns: NDArray[np.int64]
    """Since 1970 (UTC)."""
    linktype: int
    """Of the first frame."""
    linktypes: NDArray[np.int64] | None
    """Of each frame, if they differ."""
    stop: Stop


class Format(Protocol):
    """A capture that is read piece by piece; what its headers say is remembered."""

    def frames(self, buffer: NDArray[np.uint8], begin: int) -> Frames:
        """The frames in the octets from `begin` on."""
