"""Decoded records: columns, and where each of them came from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


_OF_ALL: Final = ("protocol", "kind", "columns")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one layout, in the order of arrival; every column has one value per record."""

    protocol: str
    """netflow5, netflow9, ipfix or sflow5."""
    kind: str
    """data, options (both from templates), flow sample or counters (both sFlow)."""
    template: NDArray[np.int64]
    """Template id; NetFlow v5: 5; sFlow: format of the sample or of the counter record."""
    columns: Mapping[str, NDArray[Any]]
    """IANA name to values."""
    datagram: NDArray[np.int64]
    """1-based number of the datagram that each record came in; 0 and below: of an earlier block, as
    data has it that had to wait for its template."""
    offset: NDArray[np.int64]
    """Octets from the start of that datagram to the record."""
    exporter: NDArray[np.uint64]
    """Address column: who sent the datagram."""
    export_time_ns: NDArray[np.int64]
    """When the exporter sent it by its own clock, since 1970; sFlow has none: when it arrived."""
    observation_domain: NDArray[np.int64] | None = None
    """IPFIX: Observation Domain ID; NetFlow v9: source id; NetFlow v5:
    engine_type << 8 | engine_id; sFlow: None."""
    agent: NDArray[np.uint64] | None = None
    """Address column: sFlow's agent address."""
    sub_agent: NDArray[np.int64] | None = None
    """sFlow's sub-agent id."""
    sampling_rate: NDArray[np.float64] | None = None
    """NetFlow v9 and IPFIX: what options data says of sampling: one packet in how many
    is counted; NaN where it is not known. None: not known at all, or in the records."""

    def __len__(self) -> int:
        """How many records."""
        return len(self.datagram)

    def at(self, rows: NDArray[np.intp], columns: Mapping[str, NDArray[Any]]) -> Batch:
        """Some of the records, whose columns are given."""
        taken = {
            field.name: column[rows]
            for field in fields(Batch)
            if field.name not in _OF_ALL and (column := getattr(self, field.name)) is not None
        }
        return replace(self, columns=columns, **taken)
