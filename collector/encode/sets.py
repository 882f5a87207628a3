"""Sets of templates and of data records: what IPFIX and NetFlow v9 have in common.

The other way of `collector.decode.sets`. A stream of items (template records, withdrawals, data
records) is cut into messages, and each message into sets: a set ends where the next item is of
another kind. Sources: RFC 7011 section 3.3, RFC 3954 section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import headers
from collector.decode.templates import FIRST_DATA_SET, IPFIX, TEMPLATE_SETS
from collector.encode.division import divide
from collector.encode.pieces import Grouped, Joined, Merged, Padded, slices, tiled, up_to
from collector.encode.records import pack
from collector.encode.templates import record, withdrawal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from collector.encode.division import Division
    from collector.encode.pieces import Pieces
    from collector.encode.templates import Template

_SET_HEADER: Final = headers.IPFIX_SET
_TEMPLATE_OCTETS: Final = 4
"""Of the shortest template record."""


class Items(NamedTuple):
    """Items for sets of one id."""

    set_id: int
    pieces: Pieces
    shortest: int
    """Octets that no item is shorter than."""


def data(template: Template, columns: Mapping[str, Any], count: int | None = None) -> Items:
    """Data records.

    Args:
        template: of the records.
        columns: see `collector.encode.records`.
        count: how many records, if no column says it.

    Raises:
        NotEncodableError: the columns do not fit the template.
    """
    packed = pack(template.layout, columns, count)
    return Items(template.id, packed, template.layout.minimum_octets)


def announced(templates: Sequence[Template]) -> list[Items]:
    """Template records: those of data, and those of options data.

    Raises:
        NotEncodableError: the format cannot name one of their elements.
    """
    found = []
    for options in (False, True):
        some = [one for one in templates if one.options is options]
        if some:
            set_id = TEMPLATE_SETS[some[0].version][options]
            found.append(Items(set_id, slices([record(one) for one in some]), _TEMPLATE_OCTETS))
    return found


def withdrawn(templates: Iterable[int], *, options: bool = False) -> Items:
    """Template records that withdraw ids (IPFIX only; RFC 7011 section 8.1)."""
    records = [withdrawal(number) for number in templates]
    return Items(TEMPLATE_SETS[IPFIX][options], slices(records), _TEMPLATE_OCTETS)


def all_withdrawn(*, options: bool = False) -> Items:
    """The template record that withdraws all templates, or all options templates."""
    return withdrawn([TEMPLATE_SETS[IPFIX][options]], options=options)


class Stream(NamedTuple):
    """Items in the order in which they are sent."""

    parts: Sequence[Items]
    order: NDArray[np.integer]
    """Item n is the next one of part `order[n]`."""
    export_time_ns: NDArray[np.int64]
    """When each is sent, since 1970."""


def repeating(
    repeated: Sequence[Items],
    parts: Sequence[Items],
    export_time_ns: NDArray[np.int64] | int,
    where: NDArray[np.int64],
    order: NDArray[np.integer] | None = None,
) -> Stream:
    """Send some items again and again, as exporters over UDP do (RFC 7011 section 8.1).

    Args:
        repeated: templates, and options data.
        parts: what is sent besides.
        export_time_ns: of every item of `parts`, or of all, since 1970.
        where: in front of which of these items the repeated ones are sent, ascending.
        order: of these items, as for messages.
    """
    order = _one_by_one(parts) if order is None else order
    times = np.broadcast_to(np.asarray(export_time_ns, np.int64), order.shape)
    once = _one_by_one(repeated)
    at = np.repeat(where, len(once))
    again = [one._replace(pieces=tiled(one.pieces, len(where))) for one in repeated]
    return Stream(
        parts=[*again, *parts],
        order=np.insert(order + len(repeated), at, np.tile(once, len(where))),
        export_time_ns=np.insert(times, at, times[at]),
    )


class Body(NamedTuple):
    """Messages without their headers."""

    pieces: Pieces
    first: NDArray[np.int64]
    """The first item of each message."""
    items: NDArray[np.int64]
    """How many each message has."""
    records: NDArray[np.int64]
    """How many of them are data records, options data included."""


def in_messages(
    parts: Sequence[Items],
    order: NDArray[np.integer] | None,
    division: Division,
    *,
    header_octets: int,
    align: int,
    fresh: NDArray[np.bool_] | None = None,
) -> Body:
    """Cut items into messages and sets.

    Args:
        parts: items of several kinds.
        order: item n is the next one of part `order[n]`; None: one part behind the other.
        division: how much is in a message.
        header_octets: of a message.
        align: sets are padded to multiples of so many octets, unless padding could be a record.
        fresh: whether an item begins a message in any case.
    """
    order = _one_by_one(parts) if order is None else order
    pieces = Merged([part.pieces for part in parts], order)
    set_id = np.array([part.set_id for part in parts], np.int64)[order]
    counted = set_id >= FIRST_DATA_SET
    changes = np.ones(len(order), np.bool_)
    changes[1:] = set_id[1:] != set_id[:-1]
    # Where a set ends is not known yet: every set is thought to need all the padding it can.
    set_octets = _SET_HEADER.minimum_octets + align - 1
    octets = pieces.length + changes * set_octets
    first_octets = pieces.length + header_octets + set_octets
    first = divide(division, octets, first_octets, counted, fresh)
    changes[first] = True
    set_first = np.flatnonzero(changes)
    sets = Grouped(pieces, _counts(set_first, len(order)))
    shortest = np.array([part.shortest for part in parts], np.int64)[order][set_first]
    packed = _with_headers(sets, set_id[set_first], shortest, align)
    set_counts = _counts(np.searchsorted(set_first, first), len(set_first))
    total = np.append(0, np.cumsum(counted))
    last = np.append(first[1:], len(order))
    return Body(Grouped(packed, set_counts), first, last - first, total[last] - total[first])


def _one_by_one(parts: Sequence[Items]) -> NDArray[np.int64]:
    """The order of parts one behind the other."""
    return np.repeat(np.arange(len(parts)), [len(part.pieces.length) for part in parts])


def _counts(first: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many things are in each group, given the first one of each."""
    return np.diff(np.append(first, count))


def _with_headers(
    contents: Pieces, set_id: NDArray[np.int64], shortest: NDArray[np.int64], align: int
) -> Pieces:
    """Put headers in front of sets, and padding behind them."""
    unpadded = contents.length + _SET_HEADER.minimum_octets
    length = up_to(unpadded, align)
    # RFC 7011 section 3.3.1: padding must be shorter than any record.
    length = np.where(length - unpadded < shortest, length, unpadded)
    header = pack(_SET_HEADER, {"setId": set_id, "length": length})
    return Padded(Joined([header, contents]), length)
