"""One column of values as people and programs read it: texts, times, one type per kind of value.

The decoders' columns are numbers of the width that the exporter chose. Here every abstract data
type has one type of column, whatever the width was; addresses are text, times are UTC, and what is
no value of its type is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector.decode.address import IPV4_MAPPED, ip_text, mac_text
from collector.decode.elements import LISTS
from collector.decode.groups import codes
from collector.decode.times import ntp_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

TEXT: Final = "text"
"""A kind beside the abstract data types: text already."""
ADDRESS: Final = "address"
"""Likewise: an address column of IPv4 and IPv6 alike; no address at all is null."""
NUMBERS: Final = "numbers"
"""Likewise: a list of numbers in every row."""

_WIDE: Final = "unsigned256"
_TYPES: Final[Mapping[str, Any]] = {
    "boolean": pl.Boolean,
    "float32": pl.Float64,
    "float64": pl.Float64,
    "dateTimeSeconds": pl.Datetime("ms", "UTC"),
    "dateTimeMilliseconds": pl.Datetime("ms", "UTC"),
    "dateTimeMicroseconds": pl.Datetime("us", "UTC"),
    "dateTimeNanoseconds": pl.Datetime("ns", "UTC"),
    NUMBERS: pl.List(pl.UInt64),
    **dict.fromkeys(("macAddress", "ipv4Address", "ipv6Address", ADDRESS), pl.String),
    **dict.fromkeys(("string", "octetArray", _WIDE, TEXT, *LISTS), pl.String),
}
"""Kind to type of the column; all others are numbers, signed or unsigned."""

_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: a time later than this is no time."""
_TIMES: Final = {
    "dateTimeSeconds": ("ms", 1_000),
    "dateTimeMilliseconds": ("ms", 1),
}
_NTP: Final = {"dateTimeMicroseconds": "us", "dateTimeNanoseconds": "ns"}
_FORMS: Final = {
    unit: f"%Y-%m-%dT%H:%M:%S%.{digits}f" for unit, digits in (("ms", 3), ("us", 6), ("ns", 9))
}
_DECIMAL: Final = pl.Series([str(octet) for octet in range(256)])


def type_of(kind: str) -> Any:
    """The type of a column of this kind."""
    return _TYPES.get(kind, pl.Int64 if kind.startswith("signed") else pl.UInt64)


def as_series(name: str, kind: str, column: Any) -> pl.Series:
    """One column in the type of its kind; what is masked is null."""
    if isinstance(column, pl.Series):
        return column.alias(name)
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values = np.asarray(column)
    if kind in _TEXTS:
        series = _TEXTS[kind](values)
    elif kind in _TIMES:
        series = _times(values, *_TIMES[kind])
    elif kind in _NTP:
        series = _ntp_times(values, _NTP[kind])
    elif kind == NUMBERS:
        series = pl.Series(values.tolist(), dtype=type_of(kind))
    elif kind == "boolean":
        # RFC 7011 section 6.1.5: 1 true, 2 false, nothing else.
        series = pl.Series(values == 1)
        mask = (values != 1) & (values != 2) if mask is None else mask
    else:
        series = pl.Series(np.ascontiguousarray(values)).cast(type_of(kind), strict=False)
    if mask is not None and mask.any():
        series = series.set(pl.Series(mask), None)
    return series.alias(name)


def with_texts(table: pl.DataFrame) -> pl.DataFrame:
    """Write times as ISO 8601; those in ns without the zeros that say nothing.

    Those of a time zone are in UTC, and say so; all others are of nobody knows where.
    """
    texts = []
    for name, kind in table.schema.items():
        if isinstance(kind, pl.Datetime):
            column = pl.col(name)
            if kind.time_zone is not None:
                column = column.dt.convert_time_zone("UTC")
            text = column.dt.to_string(_FORMS[kind.time_unit])
            if kind.time_unit == "ns":
                text = text.str.replace(r"\.?(000)+$", "")
            texts.append(text if kind.time_zone is None else text + "Z")
    return table.with_columns(texts)


def as_texts(kind: str, column: NDArray[Any]) -> list[Any]:
    """The values of a column as plain Python values that JSON knows."""
    return with_texts(as_series("value", kind, column).to_frame())["value"].to_list()


def addresses(column: NDArray[np.uint64]) -> pl.Series:
    """An address column as text."""
    upper, lower = column[:, 0], column[:, 1]
    other = (upper != 0) | (lower >> np.uint64(32) != IPV4_MAPPED >> 32)
    if not other.any():
        return _ipv4(lower)
    if not other.all():
        rows = np.flatnonzero(other)
        return _ipv4(lower).scatter(rows, addresses(column[rows]))
    _, rows, which = np.unique(codes(upper, lower), return_index=True, return_inverse=True)
    pairs = zip(upper[rows].tolist(), lower[rows].tolist(), strict=True)
    texts = pl.Series([ip_text(*pair) for pair in pairs], dtype=pl.String)
    return texts.gather(pl.Series(which.ravel()))


def end_texts(ip_version: pl.Series, upper: pl.Series, lower: pl.Series) -> pl.Series:
    """Addresses in halves as text: IP addresses, or MAC addresses where ip_version is 0."""
    column = np.stack([upper.to_numpy(), lower.to_numpy()], axis=1)
    texts, no_ip = addresses(column), ip_version == 0
    if no_ip.any():
        macs = _once_each(column[no_ip.to_numpy(), 1], mac_text)
        texts = texts.scatter(no_ip.arg_true(), macs)
    return texts


def _times(values: NDArray[Any], unit: Any, factor: int) -> pl.Series:
    """Times since 1970; a number that is no time of this era is null."""
    series = pl.Series(values).cast(pl.Int64, strict=False)
    series = series.set((series > _LATEST_MS // factor) | (series < 0), None) * factor
    return series.cast(pl.Datetime(unit)).dt.replace_time_zone("UTC")


def _ntp_times(values: NDArray[np.uint64], unit: Any) -> pl.Series:
    """NTP timestamps; what is before 1970 is no time."""
    times = ntp_ns(values, microseconds=unit == "us")
    if unit == "us":
        times = (times + 500) // 1_000
    series = pl.Series(times).set(pl.Series(times < 0), None)
    return series.cast(pl.Datetime(unit)).dt.replace_time_zone("UTC")


def _once_each(values: NDArray[Any], text: Callable[[Any], str]) -> pl.Series:
    """The texts of numbers of which many are the same: each is written once."""
    different, which = np.unique(values, return_inverse=True)
    texts = pl.Series([text(value) for value in different.tolist()], dtype=pl.String)
    return texts.gather(pl.Series(which.ravel()))


def _ipv4(values: NDArray[Any]) -> pl.Series:
    """The lower 32 bits of numbers as dotted quads; column by column, fifty times faster."""
    quads = values.astype(">u4").view(np.uint8).reshape(-1, 4)
    parts = [_DECIMAL.gather(pl.Series(octet)).alias(str(n)) for n, octet in enumerate(quads.T)]
    return pl.select(pl.concat_str(parts, separator=".").alias("")).to_series()


def _some_addresses(values: NDArray[np.uint64]) -> pl.Series:
    return addresses(values).set(pl.Series(~values.any(axis=1)), None)


def _octets(values: NDArray[Any]) -> list[bytes]:
    """Raw octets, of fixed width or not."""
    if values.dtype == object:
        return list(values)
    return [row.tobytes() for row in values]


def _strings(values: NDArray[Any]) -> pl.Series:
    """Strings are UTF-8 (RFC 7011 section 6.1.6); fixed width is filled up with zeros."""
    texts = [octets.rstrip(b"\0").decode("utf-8", "replace") for octets in _octets(values)]
    return pl.Series(texts, dtype=pl.String)


def _hex(values: NDArray[Any]) -> pl.Series:
    return pl.Series([octets.hex() for octets in _octets(values)], dtype=pl.String)


def _wide(values: NDArray[Any]) -> pl.Series:
    """Numbers of up to 256 bits, in hex: as octets if they were sent as more than 64 bits."""
    if values.ndim == 1 and values.dtype != object:
        return _once_each(values, lambda value: f"{value:x}")
    texts = [octets.hex().lstrip("0") or "0" for octets in _octets(values)]
    return pl.Series(texts, dtype=pl.String)


_TEXTS: Final[Mapping[str, Callable[[NDArray[Any]], pl.Series]]] = {
    "ipv4Address": _ipv4,
    "ipv6Address": addresses,
    ADDRESS: _some_addresses,
    "macAddress": lambda values: _once_each(values, mac_text),
    "string": _strings,
    "octetArray": _hex,
    **dict.fromkeys(LISTS, _hex),
    _WIDE: _wide,
}
