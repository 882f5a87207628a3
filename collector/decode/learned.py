"""What options data says of an exporter: how it samples, when it booted, its interfaces' names.

Kept per exporter, observation domain and version, as templates are. It serves all data records of
the block in which it came, and of later ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector.decode import limits
from collector.decode.groups import codes, split
from collector.decode.layout import Columns
from collector.decode.sampling import SAMPLERS, sampling_rate
from collector.decode.times import INIT, UPTIMES, tells_uptime_only, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from collector.decode.batch import Batch
    from collector.decode.limits import Limits

_INTERFACES: Final = ("ingressInterface", "egressInterface")
_NAMES: Final = ("interfaceName", "interfaceDescription")


class Place(NamedTuple):
    """Whom something was learned of."""

    protocol: str
    exporter: int
    """Address as a 128-bit number."""
    domain: int


class Learned:
    """What is known of all exporters."""

    def __init__(self, most: Limits = limits.DEFAULT) -> None:
        """Nothing."""
        self.most = most
        self.reached: Counter[str] = Counter()
        self.rates: dict[Place, dict[int | None, float]] = {}
        """Per sampler (None: of the whole domain): one packet in how many is counted."""
        self.interfaces: dict[Place, dict[int, str]] = {}
        """Names by number."""
        self.booted_ms: dict[Place, dict[None, int]] = {}
        """When uptime was 0, in ms since 1970."""

    def apply(self, batches: list[Batch]) -> list[Batch]:
        """Learn from options records; give data records the sampling rate they do not say.

        And the times, where they tell uptimes only (IPFIX, whose header has none).
        """
        for batch in batches:
            if batch.kind == "options":
                self._learn(batch)
        if self.booted_ms:
            batches = [self._with_times(one) if one.kind == "data" else one for one in batches]
        if not self.rates:
            return batches
        return [self._with_rate(batch) if batch.kind == "data" else batch for batch in batches]

    def _learn(self, batch: Batch) -> None:
        """Take over what options records of one layout say."""
        rates = sampling_rate(batch.columns)
        sampler = next((name for name in SAMPLERS if name in batch.columns), None)
        number = next((name for name in _INTERFACES if name in batch.columns), None)
        name = next((name for name in _NAMES if name in batch.columns), None)
        booted = batch.columns.get(INIT)
        for place, rows in _places(batch):
            if booted is not None and booted.ndim == 1 and booted.dtype != object:
                self._put(self.booted_ms, place, {None: int(booted[rows[-1]])})
            if rates is not None:
                keys = _keys(batch, sampler, rows)
                self._put(self.rates, place, dict(zip(keys, rates[rows].tolist(), strict=True)))
            if number is not None and name is not None:
                texts = [_text(value) for value in batch.columns[name][rows]]
                named = dict(zip(_keys(batch, number, rows), texts, strict=True))
                named.pop(None, None)
                self._put(self.interfaces, place, named)

    def _put(self, table: dict[Place, dict[Any, Any]], place: Place, known: dict[Any, Any]) -> None:
        """Remember, within limits."""
        if place not in table and len(table) >= self.most.exporters:
            self.reached[limits.EXPORTERS] += 1
            return
        kept = table.setdefault(place, {})
        for key, value in known.items():
            if key not in kept and len(kept) >= self.most.interfaces:
                self.reached[limits.INTERFACES] += 1
            else:
                kept[key] = value

    def _with_rate(self, batch: Batch) -> Batch:
        """The batch with what was learned of its exporters' sampling, if anything was."""
        if sampling_rate(batch.columns) is not None:
            return batch
        rate = np.full(len(batch), np.nan)
        sampler = next((name for name in SAMPLERS if name in batch.columns), None)
        for place, rows in _places(batch):
            known = self.rates.get(place)
            if not known:
                continue
            # Records that do not name a sampler can only be of the only one.
            only = known.get(None)
            if only is None and len(set(known.values())) == 1:
                only = next(iter(known.values()))
            if sampler is None:
                rate[rows] = np.nan if only is None else only
            else:
                keys = _keys(batch, sampler, rows)
                everywhere = known.get(None, np.nan)
                rate[rows] = [known.get(key, everywhere) for key in keys]
        return batch if np.isnan(rate).all() else replace(batch, sampling_rate=rate)

    def _with_times(self, batch: Batch) -> Batch:
        """The batch with times, where it has uptimes and all its exporters' boots are known."""
        columns = batch.columns
        ends = [end for end in UPTIMES if tells_uptime_only(columns, end)]
        if not ends or not isinstance(columns, Columns):
            return batch
        booted_ms = np.zeros(len(batch), np.int64)
        for place, rows in _places(batch):
            known = self.booted_ms.get(place)
            if known is None:
                return batch
            booted_ms[rows] = known[None]
        now_ms = batch.export_time_ns // 1_000_000 - booted_ms
        times = {
            f"{end}Milliseconds": booted_ms + unwrapped(columns[f"{end}SysUpTime"], now_ms)
            for end in ends
        }
        return replace(batch, columns=columns.beside(times))


def _places(batch: Batch) -> Iterator[tuple[Place, NDArray[np.int64]]]:
    """The records of each exporter and domain."""
    domain = batch.observation_domain
    assert domain is not None
    for rows in split(codes(batch.exporter[:, 0], batch.exporter[:, 1], domain)):
        upper, lower = batch.exporter[rows[0]].tolist()
        yield Place(batch.protocol, upper << 64 | lower, int(domain[rows[0]])), rows


def _keys(batch: Batch, name: str | None, rows: NDArray[np.int64]) -> list[int | None]:
    """Numbers of samplers or interfaces; None where there is no number."""
    column = None if name is None else batch.columns[name]
    if column is None or column.ndim != 1 or column.dtype == object:
        return [None] * len(rows)
    return [int(value) for value in column[rows].tolist()]


def _text(value: Any) -> str:
    """A string of fixed or of variable length; fixed ones are filled up with zeros."""
    octets = value if isinstance(value, bytes) else value.tobytes()
    return octets.partition(b"\0")[0].decode("utf-8", "replace")
