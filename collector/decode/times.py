"""Times as exporters write them, in one unit: milliseconds or nanoseconds since 1970 (UTC).

Sources: RFC 7011 section 6.1.7 to 6.1.10 (dateTimeMicroseconds and -Nanoseconds are NTP
timestamps: seconds since 1900 and their 2^32nd parts), RFC 3954 section 8 (sysUptime, 32 bits of
milliseconds, which wrap every 49.7 days).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NTP_TO_UNIX_S: Final = 2_208_988_800
"""1900 to 1970."""
_MICROSECONDS_MASK: Final = 0xFFFF_F800
"""RFC 7011 section 6.1.9: the lowest 11 bits of the fraction of dateTimeMicroseconds are void."""


def ntp_ns(stamps: NDArray[np.uint64], *, microseconds: bool = False) -> NDArray[np.int64]:
    """NTP timestamps in nanoseconds since 1970."""
    seconds = (stamps >> np.uint64(32)).astype(np.int64) - NTP_TO_UNIX_S
    fraction = stamps & np.uint64(_MICROSECONDS_MASK if microseconds else 0xFFFF_FFFF)
    rounded = (fraction * np.uint64(1_000_000_000) + np.uint64(1 << 31)) >> np.uint64(32)
    return seconds * 1_000_000_000 + rounded.astype(np.int64)


def unwrapped(then_ms: NDArray[Any], now_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """An uptime that may be of before the counter's last wrap: then negative."""
    return now_ms - ((now_ms - then_ms.astype(np.int64) + (1 << 31)) % (1 << 32) - (1 << 31))


def uptime_times(
    columns: Mapping[str, NDArray[Any]], boot_ms: NDArray[np.int64], uptime_ms: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """`flowStartMilliseconds` and `flowEndMilliseconds` of records that tell uptimes only.

    Args:
        columns: of the records.
        boot_ms: what the clock on the wall showed when the uptime was 0.
        uptime_ms: at export; below 0 if the message does not say it (IPFIX): then the records must,
        with systemInitTimeMilliseconds (160).
    """
    computed = {}
    for end in ("flowStart", "flowEnd"):
        then = columns.get(f"{end}SysUpTime")
        if then is None or f"{end}Milliseconds" in columns or then.dtype.kind != "u":
            continue
        booted = columns.get(_INIT)
        if booted is not None:
            computed[f"{end}Milliseconds"] = booted.astype(np.int64) + then.astype(np.int64)
        elif (uptime_ms >= 0).all():
            computed[f"{end}Milliseconds"] = boot_ms + unwrapped(then, uptime_ms)
    return computed


_INIT: Final = "systemInitTimeMilliseconds"
