"""Times as exporters write them, in one unit: milliseconds or nanoseconds since 1970 (UTC).

Sources: RFC 7011 section 6.1.7 to 6.1.10 (dateTimeMicroseconds and -Nanoseconds are NTP
timestamps: seconds since 1900 and their 2^32nd parts), RFC 3954 section 8 (sysUptime, 32 bits of
milliseconds, which wrap every 49.7 days).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode.elements import RAW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from collector.decode.layout import Derivation, Layout

NTP_TO_UNIX_S: Final = 2_208_988_800
"""1900 to 1970."""
_MICROSECONDS_MASK: Final = 0xFFFF_F800
"""RFC 7011 section 6.1.9: the lowest 11 bits of the fraction of dateTimeMicroseconds are void."""
_LATEST_NS: Final = int(np.iinfo(np.int64).max)


def ntp_ns(stamps: NDArray[np.uint64], *, microseconds: bool = False) -> NDArray[np.int64]:
    """NTP timestamps in nanoseconds since 1970.

    They are of 1968 to 2104 (RFC 4330 section 3); only 0, which says that a time is not known, is
    of 1900.
    """
    seconds = (stamps >> np.uint64(32)).astype(np.int64) - NTP_TO_UNIX_S
    seconds += ((stamps >> np.uint64(63) == 0) & (stamps > 0)).astype(np.int64) << 32
    fraction = stamps & np.uint64(_MICROSECONDS_MASK if microseconds else 0xFFFF_FFFF)
    rounded = (fraction * np.uint64(1_000_000_000) + np.uint64(1 << 31)) >> np.uint64(32)
    return seconds * 1_000_000_000 + rounded.astype(np.int64)


def since_1970_ns(times: NDArray[Any], unit_ns: int = 1) -> NDArray[np.int64]:
    """Times in a unit as nanoseconds; masked (if there are any) what is before 1970, or after 2262.

    Later times do not fit into 64 bits, and would come out as others.
    """
    latest = _LATEST_NS // unit_ns
    usable = int(times.max(initial=0)) <= latest and int(times.min(initial=0)) >= 0
    if usable and not isinstance(times, np.ma.MaskedArray):
        return times.astype(np.int64) * unit_ns
    values = np.ma.getdata(times)
    wrong = np.ma.getmaskarray(times) | (values < 0) | (values > latest)
    return np.ma.masked_array(np.where(wrong, 0, values).astype(np.int64) * unit_ns, wrong)


INIT: Final = "systemInitTimeMilliseconds"
"""When uptime was 0: in the records, or in options data."""
UPTIMES: Final = ("flowStart", "flowEnd")


def tells_uptime_only(columns: Mapping[str, NDArray[Any]], end: str) -> bool:
    """Whether records tell an `end` of `UPTIMES` by uptime, and not as a time."""
    name = f"{end}SysUpTime"
    if name not in columns or f"{end}Milliseconds" in columns:
        return False
    return columns[name].ndim == 1 and columns[name].dtype == np.uint32


def unwrapped(then_ms: NDArray[Any], now_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """An uptime that may be of before the counter's last wrap: then negative."""
    return now_ms - ((now_ms - then_ms.astype(np.int64) + (1 << 31)) % (1 << 32) - (1 << 31))


def uptime_times(
    layout: Layout, export_time_ns: NDArray[np.int64], uptime_ms: NDArray[np.int64] | None
) -> dict[str, Derivation]:
    """`flowStartMilliseconds` and `flowEndMilliseconds` of records that tell uptimes only.

    Args:
        layout: of the records.
        export_time_ns: when they were sent, since 1970.
        uptime_ms: the exporter's uptime then; None if the message does not say it (IPFIX): then the
        records must say when it was 0, with systemInitTimeMilliseconds (160).
    """
    derived: dict[str, Derivation] = {}
    places = layout.places
    booted = INIT in places and places[INIT].field.kind not in RAW
    for end in UPTIMES:
        name = f"{end}SysUpTime"
        numeric = name in places and places[name].field.kind == "unsigned32"
        if not numeric or f"{end}Milliseconds" in places or not (booted or uptime_ms is not None):
            continue
        derived[f"{end}Milliseconds"] = partial(_absolute, name, export_time_ns, uptime_ms)
    return derived


def _absolute(
    name: str,
    export_time_ns: NDArray[np.int64],
    uptime_ms: NDArray[np.int64] | None,
    columns: Mapping[str, NDArray[Any]],
) -> NDArray[np.int64]:
    """One column of uptimes in milliseconds since 1970."""
    now_ms = export_time_ns // 1_000_000
    booted_ms = columns[INIT].astype(np.int64) if uptime_ms is None else now_ms - uptime_ms
    # The 32 bits may have wrapped since then, whoever says when they were 0.
    return booted_ms + unwrapped(columns[name], now_ms - booted_ms)
