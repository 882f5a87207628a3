"""What options data says of an exporter: how it samples, when it booted, its interfaces' names.

Kept per exporter, observation domain and version, as templates are. It serves all data records of
the block in which it came, and of later ones. An options record holds for its scope only (RFC 7011
section 3.4.2.1, RFC 3954 section 6.1): what it says of an interface's sampling is for the records
of that interface.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from collector.decode import limits
from collector.decode.groups import codes, split
from collector.decode.layout import Columns
from collector.decode.sampling import SAMPLERS, sampling_rate
from collector.decode.times import INIT, UPTIMES, tells_uptime_only, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from collector.decode.batch import Batch
    from collector.decode.limits import Limits

_INTERFACES: Final = ("ingressInterface", "egressInterface")
_NAMES: Final = ("interfaceName", "interfaceDescription")
_NARROW: Final = frozenset(
    (
        *("lineCardId", "portId", "templateId", "flowId"),
        *("ingressPhysicalInterface", "egressPhysicalInterface", "ingressVRFID", "egressVRFID"),
    )
)
"""Scopes, besides interfaces, of a part of a domain that its records are not looked up by. Those
that are not here are the domain, a process of it, or, as far as anybody can tell, all of it."""
_SAMPLER: Final = "sampler"
_RateKey: TypeAlias = tuple[str, int] | None
"""What a rate holds for: an element, or `_SAMPLER` for any of `SAMPLERS`, and its value; None: the
whole domain."""


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
        self.rates: dict[Place, dict[_RateKey, float]] = {}
        """One packet in how many is counted, by what that holds for."""
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
            batches = [part for one in batches for part in self._with_times(one)]
        if not self.rates:
            return batches
        return [self._with_rate(batch) if batch.kind == "data" else batch for batch in batches]

    def _learn(self, batch: Batch) -> None:
        """Take over what options records of one layout say."""
        rates = sampling_rate(batch.columns)
        number = next((name for name in _INTERFACES if name in batch.columns), None)
        name = next((name for name in _NAMES if name in batch.columns), None)
        booted = batch.columns.get(INIT)
        for place, rows in _places(batch):
            if booted is not None and booted.ndim == 1 and booted.dtype != object:
                self._put(self.booted_ms, place, {None: int(booted[rows[-1]])})
            if rates is not None and (keys := _rate_keys(batch, rows)) is not None:
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
        for place, rows in _places(batch):
            if known := self.rates.get(place):
                rate[rows] = _rates(batch, known, rows)
        return batch if np.isnan(rate).all() else replace(batch, sampling_rate=rate)

    def _with_times(self, batch: Batch) -> Iterator[Batch]:
        """The batch with times, if it has uptimes only.

        Records of exporters whose boot is not known have none, and become a batch of their own.
        """
        columns, ends = batch.columns, list[str]()
        if batch.kind == "data":
            ends = [end for end in UPTIMES if tells_uptime_only(columns, end)]
        if not ends or not isinstance(columns, Columns):
            yield batch
            return
        booted_ms = np.zeros(len(batch), np.int64)
        known = np.zeros(len(batch), np.bool_)
        for place, rows in _places(batch):
            if (when := self.booted_ms.get(place)) is not None:
                booted_ms[rows], known[rows] = when[None], True
        for rows in (np.flatnonzero(known), np.flatnonzero(~known)):
            if len(rows):
                all_of_it = len(rows) == len(batch)
                part = batch if all_of_it else batch.at(rows, columns.at(rows))
                yield _with_ends(part, ends, booted_ms[rows]) if known[rows[0]] else part


def _with_ends(batch: Batch, ends: Iterable[str], booted_ms: NDArray[np.int64]) -> Batch:
    """Records with their `ends` as times, by when uptime was 0, in ms since 1970."""
    columns = batch.columns
    assert isinstance(columns, Columns)
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


def _sampler(batch: Batch) -> str | None:
    """The column that names samplers."""
    return next((name for name in SAMPLERS if name in batch.columns), None)


def _rate_keys(batch: Batch, rows: NDArray[np.int64]) -> list[_RateKey] | None:
    """What the rates of some options records hold for; None: for what nobody can look up."""
    kind, name = _SAMPLER, _sampler(batch)
    if name is None:
        columns = batch.columns
        assert isinstance(columns, Columns)
        scopes = tuple(islice(columns.layout.places, columns.layout.scopes))
        interfaces = [name for name in scopes if name in _INTERFACES]
        if len(interfaces) != 1:
            narrow = interfaces or not _NARROW.isdisjoint(scopes)
            return None if narrow else [None] * len(rows)
        kind = name = interfaces[0]
    return [None if key is None else (kind, key) for key in _keys(batch, name, rows)]


def _rates(
    batch: Batch, known: Mapping[_RateKey, float], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The rates of some records of one place, of which not all may be known (NaN)."""
    everywhere = known.get(None, np.nan)
    kinds = {key[0] for key in known if key is not None}
    # Who names its sampler is most exact: an interface may have several.
    named = {name: name for name in _INTERFACES if name in batch.columns}
    named |= {_SAMPLER: sampler} if (sampler := _sampler(batch)) is not None else {}
    told_apart = [kind for kind in named if kind in kinds]
    if not told_apart and None not in known and len(set(known.values())) == 1:
        # Records that name none of what was told apart can only be of the only one.
        everywhere = next(iter(known.values()))
    rate = np.full(len(rows), everywhere)
    for kind in told_apart:
        found = _looked_up(batch.columns[named[kind]][rows], kind, known)
        rate = np.where(np.isnan(found), rate, found)
    return rate


def _looked_up(
    column: NDArray[Any], kind: str, known: Mapping[_RateKey, float]
) -> NDArray[np.float64]:
    """The rates of records by a column of theirs; NaN where none is known."""
    if column.ndim != 1 or column.dtype == object:
        return np.full(len(column), np.nan)
    values, at = np.unique(column, return_inverse=True)
    return np.array([known.get((kind, value), np.nan) for value in values.tolist()])[at]


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
