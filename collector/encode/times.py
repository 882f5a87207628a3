"""Times as exporters write them: the other way of `collector.decode.times`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode.elements import forward_names
from collector.decode.times import NTP_TO_UNIX_S
from collector.encode.session import WRAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.layout import Layout

_MICROSECONDS_STEP: Final = 1 << 11
"""Of the fraction of dateTimeMicroseconds (RFC 7011 section 6.1.9)."""


def uptime_ms(then_ms: NDArray[Any], boot_ms: int) -> NDArray[np.int64]:
    """Milliseconds since 1970 as an uptime, which wraps every 49.7 days."""
    return (np.asarray(then_ms).astype(np.int64) - boot_ms) % WRAP


def ntp(then_ns: NDArray[np.int64], *, microseconds: bool = False) -> NDArray[np.uint64]:
    """Nanoseconds since 1970 as NTP timestamps (RFC 7011 sections 6.1.9 and 6.1.10).

    The nearest stamp: dateTimeNanoseconds to the nanosecond, dateTimeMicroseconds to 239 ns. In
    2036 they wrap.
    """
    seconds, rest = np.divmod(then_ns.astype(np.int64), 1_000_000_000)
    step = _MICROSECONDS_STEP if microseconds else 1
    steps = ((rest << 32) // step * 2 + 1_000_000_000) // 2_000_000_000
    whole = ((seconds + NTP_TO_UNIX_S) % WRAP).astype(np.uint64) << np.uint64(32)
    return whole + (steps * step).astype(np.uint64)


def time_columns(
    layout: Layout,
    first_ns: NDArray[np.int64],
    last_ns: NDArray[np.int64],
    export_ns: NDArray[np.int64] | int,
    boot_ms: int = 0,
    *,
    reverse: bool = False,
) -> dict[str, NDArray[Any]]:
    """The columns of a layout that say when a flow began and ended.

    Args:
        layout: of the records.
        first_ns: when the first packet was seen, since 1970.
        last_ns: likewise the last one.
        export_ns: what the header says: flowStartDeltaMicroseconds is counted back from its second.
        boot_ms: when the uptime was 0, since 1970.
        reverse: the columns of the other direction of biflows (RFC 5103), whose times these are.
    """
    columns: dict[str, NDArray[Any]] = {}
    names = forward_names() if reverse else {name: name for name in layout.places}
    for own in layout.places:
        name = names.get(own, "")
        end, then_ns = ("flowStart", first_ns) if "Start" in name else ("flowEnd", last_ns)
        if name == "systemInitTimeMilliseconds":
            columns[own] = np.full(len(first_ns), boot_ms, np.int64)
        elif name.removeprefix(end) == "SysUpTime":
            columns[own] = uptime_ms(then_ns // 1_000_000, boot_ms)
        elif name.removeprefix(end) == "DeltaMicroseconds":
            second_ns = np.asarray(export_ns) // 1_000_000_000 * 1_000_000_000
            columns[own] = (second_ns - then_ns) // 1_000
        elif name.removeprefix(end) in ("Microseconds", "Nanoseconds"):
            columns[own] = ntp(then_ns, microseconds=name.endswith("Microseconds"))
        elif name.removeprefix(end) in _UNITS_NS:
            columns[own] = then_ns // _UNITS_NS[name.removeprefix(end)]
    return columns


_UNITS_NS: Final = {"Seconds": 1_000_000_000, "Milliseconds": 1_000_000}
