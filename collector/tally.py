"""Sums by observer and flow key, block after block: what grouping decoded records comes down to.

Every record's key becomes a number (`collector.keytable`), and what the record counted is added in
the place of that number. So memory grows with the number of different keys, never with that of the
records, and nothing is sorted. IPv4 flows, which most are, have keys of two words; all others of
six.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector import kernel
from collector.decode.address import IPV4_MAPPED
from collector.decode.groups import codes
from collector.decode.packet import IPV4
from collector.keytable import KeyTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from collector.observations import Columns

OBSERVER_NUMBERS: Final[dict[str, Any]] = {
    "protocol": pl.String,
    "exporter_upper": pl.UInt64,
    "exporter_lower": pl.UInt64,
    "observation_domain": pl.UInt32,
    "agent_upper": pl.UInt64,
    "agent_lower": pl.UInt64,
    "sub_agent": pl.UInt32,
    "flowDirection": pl.UInt8,
}
"""Who saw a flow, with addresses as two numbers."""
KEY_NUMBERS: Final[dict[str, Any]] = {
    "ipVersion": pl.UInt8,
    "ethernetType": pl.UInt16,
    "source_upper": pl.UInt64,
    "source_lower": pl.UInt64,
    "destination_upper": pl.UInt64,
    "destination_lower": pl.UInt64,
    "protocolIdentifier": pl.UInt8,
    "sourceTransportPort": pl.UInt16,
    "destinationTransportPort": pl.UInt16,
}
"""A flow's key, with addresses as two numbers."""
SUMMED: Final = ("packets", "octets_l2", "octets_l3", "samples")
LARGEST: Final = int(np.iinfo(np.int64).max)
"""A count or a sum above this is not known: some exporters fill what they do not know with ones,
and 64 bits would wrap without a word. Both directions of a conversation still add up."""

_U64: Final = np.uint64
_HALF: Final = _U64(32)
_LOWER_HALF: Final = _U64(0xFFFF_FFFF)
_OBSERVER_SHIFT: Final = 40
_OBSERVERS_IN_A_WORD: Final = 1 << (64 - _OBSERVER_SHIFT)
_SMALL: Final[Mapping[str, tuple[int, int]]] = {
    "destinationTransportPort": (0, 16),
    "sourceTransportPort": (16, 16),
    "protocolIdentifier": (32, 8),
    "ethernetType": (40, 16),
    "ipVersion": (56, 8),
}
"""Where a word has the small parts of a key: shift and width in bits. For IPv4 the last two say
nothing, and the observer's number has their place."""
_ENDS: Final = ("source_upper", "source_lower", "destination_upper", "destination_lower")
_KNOWN: Final = np.uint32(1 << 31)
"""Beside TCP flags: that there were any."""
_KNOWN_BITS: Final = {name: bit for bit, name in enumerate(tuple(OBSERVER_NUMBERS)[3:], 48)}
"""Where the small word of an observer says that something is known."""
_DIRECTION: Final = "flowDirection"
_OCTET: Final = 0xFF
_LATEST: Final = LARGEST
_EARLIEST: Final = int(np.iinfo(np.int64).min)
_NOWHERE: Final = int(np.iinfo(np.uint64).max)
_COUNTERS: Final[Mapping[str, tuple[Any, Any]]] = {
    **dict.fromkeys(SUMMED, (np.uint64, 0)),
    **{f"no {name}": (np.bool_, False) for name in SUMMED},
    "tcpControlBits": (np.uint32, 0),
    "first_ns": (np.int64, _LATEST),
    "last_ns": (np.int64, _EARLIEST),
    "records": (np.uint64, 0),
    "origin": (np.uint64, _NOWHERE),
}
"""Type and first value of what is counted for each key."""
_EXTREMES: Final = (
    ("first_ns", "least", np.minimum, _LATEST),
    ("last_ns", "greatest", np.maximum, _EARLIEST),
)
"""Times: how the kernel keeps them, and numpy, and what changes nothing."""
_COUNTED: Final[dict[str, Any]] = {
    **dict.fromkeys(SUMMED, pl.UInt64),
    "tcpControlBits": pl.UInt16,
    "first_ns": pl.Int64,
    "last_ns": pl.Int64,
    "records": pl.UInt64,
    "origin": pl.UInt64,
}


class Tally:
    """Sums of observed records."""

    def __init__(self, by: Collection[str] = (*OBSERVER_NUMBERS, *KEY_NUMBERS)) -> None:
        """Nothing counted yet.

        Args:
            by: those of `OBSERVER_NUMBERS` and `KEY_NUMBERS` that tell rows apart.
        """
        self._by = frozenset(by)
        self._observers = _Observers(self._by)
        self._ipv4 = _Counts(2)
        self._other = _Counts(6)

    def add(self, columns: Columns) -> None:
        """Add records, as `collector.observations` gives them; a value alone is that of all."""
        observer = self._observers.numbers(columns)
        version = columns["ipVersion"]
        if not isinstance(version, np.ndarray):
            self._add(columns, observer, ipv4=version == 4)
            return
        is_ipv4 = version == 4
        for ipv4, wanted in ((True, is_ipv4), (False, ~is_ipv4)):
            if wanted.all():
                self._add(columns, observer, ipv4=ipv4)
            elif wanted.any():
                rows = np.flatnonzero(wanted)
                chosen = {name: at(column, rows) for name, column in columns.items()}
                self._add(chosen, at(observer, rows), ipv4=ipv4)

    @property
    def observers(self) -> pl.DataFrame:
        """Everybody who saw anything: the columns of `OBSERVER_NUMBERS`."""
        return self._observers.everybody()

    @property
    def too_large(self) -> int:
        """How many counts, or sums, were above `LARGEST`, and so are not known."""
        return self._ipv4.too_large + self._other.too_large

    def table(self) -> pl.DataFrame:
        """The sums, a row for each key, in no order.

        Returns:
            The columns of `by`; packets, octets_l2, octets_l3, samples (null where one summand was
            not known, or the sum is above `LARGEST`), tcpControlBits (all of them; null: never
            known), first_ns, last_ns (null: never known), records, and origin (the least).
        """
        frames = []
        for ipv4, counts in ((True, self._ipv4), (False, self._other)):
            if counts.keys:
                words = counts.keys.keys
                key = self._unpacked_ipv4(words) if ipv4 else self._unpacked(words)
                frames.append(pl.DataFrame([*key, *counts.series()]))
        return pl.concat(frames) if frames else pl.DataFrame(schema=self._schema())

    def _schema(self) -> dict[str, Any]:
        chosen = (OBSERVER_NUMBERS | KEY_NUMBERS).items()
        return {name: kind for name, kind in chosen if name in self._by} | _COUNTED

    def _add(self, columns: Columns, observer: Any, *, ipv4: bool) -> None:
        """Add records that are all of IPv4, or none."""
        height = next(len(c) for c in columns.values() if isinstance(c, np.ndarray))
        small = self._small(columns, ipv4=ipv4)
        if ipv4 and np.max(observer, initial=0) < _OBSERVERS_IN_A_WORD:
            ends = [self._of_key(columns, f"{end}_lower") for end in ("source", "destination")]
            words = [
                ends[0] << _HALF | ends[1] & _LOWER_HALF,
                small | np.asarray(observer, _U64) << _U64(_OBSERVER_SHIFT),
            ]
            counts = self._ipv4
        else:
            if ipv4:
                small = small | _shifted("ethernetType", IPV4) | _shifted("ipVersion", 4)
            ends = [self._of_key(columns, name) for name in _ENDS]
            words, counts = [*ends, small, np.asarray(observer, _U64)], self._other
        counts.add([np.broadcast_to(word, height) for word in words], columns)

    def _small(self, columns: Columns, *, ipv4: bool) -> Any:
        """The word of the key's small parts."""
        word: Any = _U64(0)
        for name in _SMALL:
            if name in self._by and not (ipv4 and name in ("ethernetType", "ipVersion")):
                word = word | _shifted(name, columns[name])
        return word

    def _of_key(self, columns: Columns, name: str) -> Any:
        return np.asarray(columns[name] if name in self._by else 0).astype(_U64, copy=False)

    def _unpacked_ipv4(self, words: NDArray[np.uint64]) -> list[pl.Series]:
        """Keys of two words as columns."""
        ends, small = words
        mapped = _U64(IPV4_MAPPED)
        values = {
            "source_lower": ends >> _HALF | mapped,
            "destination_lower": ends & _LOWER_HALF | mapped,
            "ipVersion": np.full(len(ends), 4),
            "ethernetType": np.full(len(ends), IPV4),
        }
        values |= {name: np.zeros(len(ends)) for name in _ENDS if name.endswith("upper")}
        values |= _small_values([name for name in _SMALL if name not in values], small)
        observer = (small >> _U64(_OBSERVER_SHIFT)).astype(np.int64)
        return self._key(values, observer)

    def _unpacked(self, words: NDArray[np.uint64]) -> list[pl.Series]:
        """Keys of six words as columns."""
        *ends, small, observer = words
        values = dict(zip(_ENDS, ends, strict=True)) | _small_values(list(_SMALL), small)
        return self._key(values, observer.astype(np.int64))

    def _key(
        self, values: Mapping[str, NDArray[Any]], observer: NDArray[np.int64]
    ) -> list[pl.Series]:
        """Those columns of the whole key that are wanted, in their types."""
        observers = self._observers.asked()[observer]
        whole = [observers[name] for name in OBSERVER_NUMBERS if name in self._by]
        return whole + [
            pl.Series(name, values[name]).cast(kind)
            for name, kind in KEY_NUMBERS.items()
            if name in self._by
        ]


class _Observers:
    """Numbers for observers: two that differ only in what nobody asks for have one number."""

    def __init__(self, by: Collection[str]) -> None:
        self._by = by
        self._protocols: list[str] = []
        self._known = KeyTable(6)
        self._asked: dict[tuple[Any, ...], int] = {}
        self._asked_of = np.zeros(0, np.int64)

    def everybody(self) -> pl.DataFrame:
        """All observers, told apart by everything."""
        rows = [self._row(words) for words in self._known.keys.T.tolist()]
        return pl.DataFrame(rows, OBSERVER_NUMBERS, orient="row")

    def asked(self) -> pl.DataFrame:
        """The observers by number; what nobody asks for is null."""
        return pl.DataFrame(list(self._asked), OBSERVER_NUMBERS, orient="row")

    def numbers(self, columns: Columns) -> Any:
        """The number of each record's observer; one alone if they all have the same."""
        words = [
            _one_if_same(word)
            for word in (
                *(_number(columns, name) for name in ("exporter_upper", "exporter_lower")),
                _number(columns, "observation_domain"),
                *(_number(columns, name) for name in ("agent_upper", "agent_lower")),
                self._small(columns),
            )
        ]
        differing = [word for word in words if word.ndim]
        if not differing:
            return self._numbers([word.reshape(1) for word in words])[0]
        # Observers are few, so each is looked up once.
        code = codes(*differing)
        one_of_each = np.zeros(int(code.max()) + 1, np.int64)
        one_of_each[code] = np.arange(len(code))
        rows = [word[one_of_each] if word.ndim else word for word in words]
        return self._numbers([*np.broadcast_arrays(*rows)])[code]

    def _numbers(self, words: list[NDArray[np.uint64]]) -> NDArray[np.int64]:
        numbers = self._known.numbers(words)
        self._learn()
        return self._asked_of[numbers]

    def _small(self, columns: Columns) -> Any:
        """A word of sub-agent, direction, protocol, and of what is known at all."""
        name = columns["protocol"]
        if name not in self._protocols:
            self._protocols.append(name)
        word: Any = _U64(self._protocols.index(name) << 40)
        for column, bit in _KNOWN_BITS.items():
            if column != _DIRECTION and columns.get(column) is not None:
                word = word | _U64(1 << bit)
        direction, known = _direction(columns.get(_DIRECTION))
        return word | known | _number(columns, "sub_agent") | direction

    def _learn(self) -> None:
        """Number the observers that are new, by what is asked for."""
        new = self._known.keys[:, len(self._asked_of) :].T.tolist()
        numbers = []
        for words in new:
            row = zip(OBSERVER_NUMBERS, self._row(words), strict=True)
            masked = tuple(value if name in self._by else None for name, value in row)
            numbers.append(self._asked.setdefault(masked, len(self._asked)))
        self._asked_of = np.append(self._asked_of, np.array(numbers, np.int64))

    def _row(self, words: list[int]) -> tuple[Any, ...]:
        """An observer's words as values of `OBSERVER_NUMBERS`."""
        *exporter, domain, agent_upper, agent_lower, small = words
        values = {
            "observation_domain": domain,
            "agent_upper": agent_upper,
            "agent_lower": agent_lower,
            "sub_agent": small & 0xFFFF_FFFF,
            "flowDirection": small >> 32 & 0xFF,
        }
        known = [values[name] if small >> bit & 1 else None for name, bit in _KNOWN_BITS.items()]
        return (self._protocols[small >> 40 & 0xFF], *exporter, *known)


class _Counts:
    """What was counted, by the number of the key."""

    def __init__(self, words: int) -> None:
        self.keys = KeyTable(words)
        self.too_large = 0
        # No sum is above this: so long as it is small, none has to be looked at.
        self._bound = dict.fromkeys(SUMMED, 0)
        self._of = {name: np.zeros(0, kind) for name, (kind, _) in _COUNTERS.items()}

    def add(self, words: Sequence[NDArray[np.uint64]], columns: Columns) -> None:
        """Count records by their keys."""
        at = self.keys.numbers(words)
        self._make_room()
        _add(self._of["records"], at, None)
        for name in SUMMED:
            column = columns.get(name)
            if column is None:
                self._of[f"no {name}"][at] = True
                continue
            values, unknown = _parts(column)
            if unknown is not None:
                self._of[f"no {name}"][at[unknown]] = True
                values = np.where(unknown, 0, values)
            self._add_counts(name, at, values)
        if (flags := columns.get("tcpControlBits")) is not None:
            self._add_flags(at, flags)
        for name, how, extreme, nothing in _EXTREMES:
            if (times := columns.get(name)) is None:
                continue
            if isinstance(times, np.ma.MaskedArray):
                times = times.filled(nothing)
            if not kernel.keep(how, self._of[name], at, times):
                extreme.at(self._of[name], at, times)
        if (origin := columns.get("origin")) is not None:
            np.minimum.at(self._of["origin"], at, origin)

    def _add_counts(self, name: str, at: NDArray[np.int64], values: Any) -> None:
        """Add counts to their sums; what is then above `LARGEST` is not known any more."""
        sums, unknown = self._of[name], self._of[f"no {name}"]
        largest = int(np.max(values, initial=0))
        if largest > LARGEST:
            above = np.broadcast_to(values, at.shape) > _U64(LARGEST)
            self.too_large += int(np.count_nonzero(above))
            unknown[at[above]] = True
            values = np.where(above, _U64(0), values)
            largest = int(values.max())
        self._bound[name] += largest * len(at)
        if self._bound[name] > LARGEST:
            # Fractions do not wrap, and are exact enough this far below 2^64.
            sum_of = sums.astype(np.float64)
            np.add.at(sum_of, at, np.asarray(values, np.float64))
            above = (sum_of > LARGEST) & ~unknown
            self.too_large += int(np.count_nonzero(above))
            unknown |= above
        _add(sums, at, values)

    def _add_flags(self, at: NDArray[np.int64], flags: Any) -> None:
        """Add TCP flags to those that are known."""
        values, unknown = _parts(flags)
        values = np.asarray(values).astype(np.uint32) | _KNOWN
        if unknown is not None:
            values[unknown] = 0
        known = self._of["tcpControlBits"]
        if kernel.keep("or", known, at, values):
            return
        # Flags that are new are rare, and looking for them is cheaper than setting all.
        new = np.flatnonzero(values & ~known.take(at))
        np.bitwise_or.at(known, at[new], values[new])

    def series(self) -> list[pl.Series]:
        """The counters as columns, a row for each key."""
        of = {name: values[: len(self.keys)] for name, values in self._of.items()}
        flags = of["tcpControlBits"]
        unknown = {name: of[f"no {name}"] for name in SUMMED}
        unknown["tcpControlBits"] = flags < _KNOWN
        unknown["first_ns"] = of["first_ns"] == _LATEST
        unknown["last_ns"] = of["last_ns"] == _EARLIEST
        of["tcpControlBits"] = (flags & ~_KNOWN).astype(np.uint16)
        return [_nullable(name, of[name], unknown.get(name)) for name in _COUNTED]

    def _make_room(self) -> None:
        """Have a place for every key."""
        have, needed = len(self._of["records"]), len(self.keys)
        if needed > have:
            size = max(needed, 2 * have)
            for name, (kind, start) in _COUNTERS.items():
                grown = np.full(size, start, kind)
                grown[:have] = self._of[name]
                self._of[name] = grown


def _add(sums: NDArray[np.uint64], at: NDArray[np.int64], values: Any) -> None:
    """Add the values of rows (None: 1) in their places."""
    if not kernel.keep("add", sums, at, values):
        whole = _U64(1) if values is None else np.asarray(values).astype(np.uint64, copy=False)
        np.add.at(sums, at, whole)


def at(column: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows of a column; a value alone is that of all."""
    return column[rows] if isinstance(column, np.ndarray) and column.ndim else column


def _shifted(name: str, column: Any) -> Any:
    """A small part of a key at its place in the word."""
    shift, bits = _SMALL[name]
    return (np.asarray(column).astype(np.uint64) & _U64((1 << bits) - 1)) << _U64(shift)


def _small_values(names: Iterable[str], word: NDArray[np.uint64]) -> dict[str, NDArray[np.uint64]]:
    """The small parts out of the word."""
    places = ((name, *_SMALL[name]) for name in names)
    return {name: word >> _U64(shift) & _U64((1 << bits) - 1) for name, shift, bits in places}


def _number(columns: Columns, name: str) -> Any:
    """A column as words; 0 if it is not there."""
    column = columns.get(name)
    return np.asarray(0 if column is None else column).astype(np.uint64)


def _direction(column: Any) -> tuple[Any, Any]:
    """A flowDirection, and the bit that says that it is known, at their places in the small word.

    A template may give it more than its octet (RFC 7011 section 6.2 only knows of less): what does
    not fit into it is no direction, and would run into the parts beside it.
    """
    if column is None:
        return _U64(0), _U64(0)
    values, known = np.asarray(column), _U64(1 << _KNOWN_BITS[_DIRECTION])
    if values.itemsize == 1:
        return values.astype(np.uint64) << _HALF, known
    fits = values <= _OCTET
    return np.where(fits, values, 0).astype(np.uint64) << _HALF, np.where(fits, known, _U64(0))


def _one_if_same(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One word, if all are the same."""
    return word[:1].reshape(()) if word.ndim and (word == word[:1]).all() else word


def _nullable(name: str, values: NDArray[Any], unknown: NDArray[np.bool_] | None) -> pl.Series:
    """A column that is null where it is not known."""
    series = pl.Series(name, values)
    if unknown is None or not unknown.any():
        return series
    return series.scatter(np.flatnonzero(unknown), None)


def _parts(column: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """The values of a column, and where they are not known if that is anywhere."""
    if not isinstance(column, np.ma.MaskedArray):
        return column, None
    unknown = np.ma.getmaskarray(column)
    return column.data, unknown if unknown.any() else None
