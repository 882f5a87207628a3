"""Biflows: records that tell both directions of a conversation (RFC 5103), a direction at a time.

Knows which elements of a record are of its other direction. What that direction is once it stands
alone, a batch like any other, is no matter of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode.elements import forward_names
from collector.decode.layout import Columns
from collector.decode.sampling import SAYS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.batch import Batch
    from collector.decode.layout import Layout

_COUNTS: Final = (
    *("packetDeltaCount", "octetDeltaCount", "layer2OctetDeltaCount"),
    *("packetTotalCount", "octetTotalCount"),
)
_ENDS: Final = (("source", "destination"), ("ingress", "egress"))
_SAME: Final = (
    *("ipVersion", "protocolIdentifier", "ethernetType", *SAYS_RATE),
    *(f"icmp{part}IPv{version}" for part in ("TypeCode", "Type", "Code") for version in (4, 6)),
)
"""What holds for both directions (RFC 5103 section 4), unless the record has it reversed too."""


def directions(batch: Batch) -> Iterator[Batch]:
    """The records of a batch, and those among them that tell of another direction, as that one's.

    Of a reverse direction there is a record only where it has counts that are not zero. Its source
    is what the biflow has as destination, and its counts, flags and times are the reverse ones;
    without a reverse element they are not known. Type and code of ICMP stay as they are.
    """
    yield batch
    if batch.kind != "data" or not isinstance(batch.columns, Columns):
        return
    names = _reverse_names(batch.columns.layout)
    counts = [batch.columns[names[count]] > 0 for count in _COUNTS if count in names]
    rows = np.flatnonzero(np.any(counts, axis=0)) if counts else np.zeros(0, np.intp)
    if len(rows):
        yield batch.at(rows, _Renamed(batch.columns, names, rows))


@lru_cache(maxsize=1024)
def _reverse_names(layout: Layout) -> Mapping[str, str]:
    """Name of a column to the column that the other direction has under it; none: no biflows."""
    forward = forward_names()
    reverse = {forward[name]: name for name in layout.places if name in forward}
    if reverse.keys().isdisjoint(_COUNTS):
        return {}
    names = {name: name for name in _SAME if name in layout.places}
    for name in layout.places:
        for one, other in (*_ENDS, *(pair[::-1] for pair in _ENDS)):
            if name.startswith(one):
                names[other + name.removeprefix(one)] = name
    # Where type and code of ICMP are in the destination port, they are no port.
    for version in (4, 6):
        if not {f"icmpTypeCodeIPv{version}", f"icmpTypeIPv{version}"} & names.keys():
            names[f"icmpTypeCodeIPv{version}"] = "destinationTransportPort"
    return {name: own for name, own in names.items() if own in layout.places} | reverse


class _Renamed(Mapping[str, "NDArray[Any]"]):
    """Some rows of some columns, under other names."""

    def __init__(
        self,
        columns: Mapping[str, NDArray[Any]],
        names: Mapping[str, str],
        rows: NDArray[np.intp],
    ) -> None:
        self._columns, self._names, self._rows = columns, names, rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[self._names[name]][self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
