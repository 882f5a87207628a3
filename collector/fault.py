"""What is wrong with bad input: counted and placed, never raised."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One piece of input that could not be decoded, and where it is."""

    datagram: int
    """1-based number of the datagram (of the frame, for a fault of a capture)."""
    offset: int
    """Octets from the start of the datagram (of the file, for a fault of a capture)."""
    needed: int
    """Octets that had to be there from `offset` on, to go on decoding."""
    available: int
    """Octets that were there."""
    reason: str
    """One sentence without place and numbers of this datagram, so equal faults can be counted."""

    def __str__(self) -> str:
        """The fault as one line of a report."""
        return (
            f"datagram {self.datagram}, offset {self.offset}: {self.reason}"
            f" (needed {self.needed} octets, available {self.available})"
        )
