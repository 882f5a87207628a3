"""Sequence numbers of many datagrams, sorted into the streams they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.decode.address import ip_text
from collector.decode.groups import codes, split
from collector.decode.sequence import Stream, account

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from collector.decode.datagrams import Datagrams


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Sequence numbers of one protocol's datagrams; every column has one value per datagram.

    Datagrams of one exporter that agree in the columns that are given (not None) are one stream.
    """

    protocol: str
    unit: str
    rows: NDArray[np.int64]
    """Which datagrams (0-based, ascending)."""
    first: NDArray[np.int64]
    units: NDArray[np.int64]
    source_port: NDArray[np.int64] | None = None
    observation_domain: NDArray[np.int64] | None = None
    agent: NDArray[np.uint64] | None = None
    sub_agent: NDArray[np.int64] | None = None


def streams(sequenced: Sequenced, datagrams: Datagrams) -> list[Stream]:
    """Account for every stream, in the order of their first datagrams."""
    exporter = datagrams.source[sequenced.rows]
    columns: list[NDArray[Any]] = [exporter[:, 0], exporter[:, 1]]
    optional = (sequenced.source_port, sequenced.observation_domain, sequenced.sub_agent)
    columns += [column for column in optional if column is not None]
    if sequenced.agent is not None:
        columns += [sequenced.agent[:, 0], sequenced.agent[:, 1]]
    found = []
    for rows in sorted(split(codes(*columns)), key=lambda rows: int(rows[0])):
        one = int(rows[0])
        counted = account(sequenced.first[rows], sequenced.units[rows])
        stream = Stream(
            protocol=sequenced.protocol,
            unit=sequenced.unit,
            exporter=ip_text(int(exporter[one, 0]), int(exporter[one, 1])),
            source_port=_at(sequenced.source_port, one),
            observation_domain=_at(sequenced.observation_domain, one),
            agent=None
            if sequenced.agent is None
            else ip_text(int(sequenced.agent[one, 0]), int(sequenced.agent[one, 1])),
            sub_agent=_at(sequenced.sub_agent, one),
            datagrams=len(rows),
            units=counted.units,
            lost=counted.lost,
            gaps=counted.gaps,
            reordered=counted.reordered,
            restarts=counted.restarts,
        )
        found.append(stream)
    return found


def _at(column: NDArray[np.int64] | None, row: int) -> int | None:
    """A value of a column that may not be there."""
    return None if column is None else int(column[row])
