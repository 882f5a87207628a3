"""Export datagrams that faults befell on their way, and what a collector can know of that.

Two recordings are there: what was sent, and what arrived. From the first one follows, datagram by
datagram and set by set, what can be known from the second: the records of the datagrams that
arrived, if their template was there; how many are missing between two that arrived; which came
twice. What a collector makes of the second alone is `collect`. The two are to be equal.

Pure: no program, no clock, no network.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector.decode import PORTS, SFLOW, STANDARD, decode
from collector.decode.address import ip_text
from collector.flows import observed, summed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from collector.decode import Datagrams, Habits
    from collector.observations import Columns

NO_TEMPLATE: Final = "no template "
_VERSIONS: Final = {5: "netflow5", 9: "netflow9", 10: "ipfix"}
_HEADER_OCTETS: Final = {"netflow9": 20, "ipfix": 16}
_TEMPLATE_SETS: Final = {"netflow9": (0, 1), "ipfix": (2, 3)}
_FIRST_DATA_SET: Final = 256
TELL_RESTARTS: Final = ("netflow5",)
"""Both their clocks are in the header, to the millisecond. sFlow's uptime may be of whole seconds,
and IPFIX comes from a new socket, which is a new sequence."""
COUNT_RECORDS: Final = ("netflow5", "ipfix")
"""Their sequence numbers count records; those of the others count datagrams."""


class Sender(NamedTuple):
    """Whose datagrams: what an account is kept for."""

    protocol: str
    address: str


@dataclass
class Account:
    """What is known of the datagrams of one sender.

    Attributes:
        missing: units (records or datagrams) that never came although others of the same sequence
            did before and after; None: that cannot be told, for some had no template.
        duplicates: datagrams that came once more.
        waiting: data sets whose template never came.
        restarts: times that the exporter began to count anew.
    """

    missing: int | None = 0
    duplicates: int = 0
    waiting: int = 0
    restarts: int = 0


@dataclass(frozen=True)
class Known:
    """All that is known.

    Attributes:
        flows: in the columns of `collector.flows.FLOWS`.
        accounts: of the datagrams of each sender.
        records: how many tell of flows; a biflow is one, and two rows of `flows` count it.
    """

    flows: pl.DataFrame
    accounts: Mapping[Sender, Account]
    records: int


# ------------------------------------------------------------------ what a collector makes of it


def collect(
    arrived: Datagrams,
    lives: Sequence[int],
    habits: Mapping[str, Habits],
    spoilt: Collection[int] = (),
) -> Known:
    """What this project's collector makes of what arrived.

    Args:
        arrived: in order of arrival.
        lives: before which datagrams it was started anew, from 0.
        habits: by sender's address; others are decoded as the formats say.
        spoilt: which of them, from 0, nobody can read: they are no one's duplicates.
    """
    accounts: dict[Sender, Account] = defaultdict(Account)
    tables: list[Columns] = []
    count = 0
    for life in _lives(len(arrived), lives):
        rows, twice = without_duplicates(arrived, life)
        for row in set(twice) - set(spoilt):
            accounts[_sender(arrived, row)].duplicates += 1
        for which, own in _by_habits(arrived, rows, habits):
            decoded = decode(replace(arrived.take(which), faults=()), own)
            here = list(observed(decoded))
            tables += here
            count += _records(here)
            for stream in decoded.summary.streams:
                account = accounts[Sender(stream.protocol, stream.exporter)]
                account.missing = (account.missing or 0) + stream.lost
                account.restarts += stream.restarts
            for fault in decoded.summary.undecodable:
                if fault.reason.startswith(NO_TEMPLATE):
                    accounts[_sender(arrived, int(which[fault.datagram - 1]))].waiting += 1
    return Known(summed(tables), accounts, count)


def without_duplicates(
    datagrams: Datagrams, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[int]]:
    """Datagrams that came for the first time, and those that came once more.

    A duplicate is the same to the octet, its sequence number included, from the same socket.
    """
    seen: set[tuple[object, ...]] = set()
    first: list[int] = []
    twice: list[int] = []
    for row in rows.tolist():
        own = _identity(datagrams, row)
        (twice if own in seen else first).append(row)
        seen.add(own)
    return np.array(first, np.int64), twice


def _by_habits(
    datagrams: Datagrams, rows: NDArray[np.int64], habits: Mapping[str, Habits]
) -> Iterator[tuple[NDArray[np.int64], Habits]]:
    own = [habits.get(ip_text(*datagrams.source[row].tolist()), STANDARD) for row in rows]
    for one in dict.fromkeys(own):
        yield rows[[other == one for other in own]], one


def _lives(count: int, starts: Iterable[int]) -> Iterator[NDArray[np.int64]]:
    edges = [0, *starts, count]
    for begin, end in pairwise(edges):
        yield np.arange(begin, max(begin, end))


# ------------------------------------------------------------------ what can be known of it


def knowable(
    sent: Datagrams,
    arrived: Datagrams,
    lives: Sequence[int],
    habits: Mapping[str, Habits],
    restarted_ns: Sequence[int] = (),
    spoilt: Collection[int] = (),
    *,
    as_they_came: bool = False,
) -> Known:
    """What can be known of what arrived, derived from what was sent.

    Args:
        sent: in the order of sending.
        arrived: some of them, in order of arrival.
        lives: before which datagrams that arrived the collector was started anew, from 0.
        habits: by sender's address.
        restarted_ns: when the switch was, and its exporters began to count anew.
        spoilt: which of those that arrived, from 0, nobody can read.
        as_they_came: whether what came twice counts twice, as for collectors that do not look for
            duplicates; else once.
    """
    unread_ones = set(spoilt)
    readable = [row for row in range(len(arrived)) if row not in unread_ones]
    fate = dict(zip(readable, _fate(sent, arrived.take(np.array(readable, np.int64))), strict=True))
    seen = [_anatomy(sent, row, habits) for row in range(len(sent))]
    records: list[Columns] = []
    units = np.array([one.units for one in seen], np.int64)
    for which, own in _by_habits(sent, np.arange(len(sent)), habits):
        decoded = decode(replace(sent.take(which), faults=()), own)
        for batch in decoded.batches:
            counted = batch.protocol == "ipfix" and (
                batch.kind == "data" or own.ipfix_sequence_counts == "what came before"
            )
            if counted:
                np.add.at(units, which[batch.datagram - 1], 1)
        records += [_numbered(columns, which) for columns in observed(decoded)]
    accounts: dict[Sender, Account] = defaultdict(Account)
    known: list[Columns] = []
    count = 0
    for life in _lives(len(arrived), lives):
        order = [fate[row] for row in life.tolist() if row in fate]
        for number, copies in Counter(order).items():
            accounts[seen[number].sender].duplicates += copies - 1
        unread = _unread(seen, set(order))
        for number, sets in unread.items():
            accounts[seen[number].sender].waiting += len(sets)
        _missing(seen, units, set(order), set(unread), accounts)
        _restarts(sent, seen, set(order), restarted_ns, accounts)
        times = np.bincount(np.array(order, np.int64), minlength=len(sent))
        for copy in range(int(times.max(initial=0)) if as_they_came else 1):
            left = (_only(columns, times > copy, unread) for columns in records)
            here = [columns for columns in left if len(np.asarray(columns["origin"]))]
            known += here
            count += _records(here)
    return Known(summed(known), accounts, count)


def _records(tables: Sequence[Columns]) -> int:
    """How many records these tables of `observed` tell of: two of one place are a biflow's."""
    if not tables:
        return 0
    return len(np.unique(np.concatenate([columns["origin"] for columns in tables])))


def _missing(
    seen: Sequence[_Anatomy],
    units: NDArray[np.int64],
    came: set[int],
    unread: set[int],
    accounts: dict[Sender, Account],
) -> None:
    """Add what is missing in each sequence between the first and the last that came."""
    sequences: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, one in enumerate(seen):
        sequences[one.sequence].append(number)
    for numbers in sequences.values():
        here = [number for number in numbers if number in came]
        if not here:
            continue
        sender = seen[here[0]].sender
        account = accounts[sender]
        if sender.protocol in COUNT_RECORDS and unread.intersection(here):
            account.missing = None
        if account.missing is not None:
            account.missing += sum(
                int(units[number])
                for number in numbers
                if here[0] < number < here[-1] and number not in came
            )


def _restarts(
    sent: Datagrams,
    seen: Sequence[_Anatomy],
    came: set[int],
    restarted_ns: Sequence[int],
    accounts: dict[Sender, Account],
) -> None:
    """Add how often each sequence that belongs to no socket began anew between two that came."""
    sequences: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number in sorted(came):
        if seen[number].sender.protocol in TELL_RESTARTS:
            sequences[seen[number].sequence].append(number)
    for numbers in sequences.values():
        times = [int(sent.timestamp_ns[number]) for number in numbers]
        account = accounts[seen[numbers[0]].sender]
        account.restarts += sum(times[0] < moment < times[-1] for moment in restarted_ns)


def _unread(seen: Sequence[_Anatomy], here: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
    """The data sets, by datagram, whose template never came, before or after them."""
    known: set[tuple[object, ...]] = set().union(*(seen[number].defines for number in here))
    unread: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number in here:
        for part in seen[number].sets:
            if not part.needs & known:
                unread[number].append((part.begin, part.end))
    return dict(unread)


def _only(
    columns: Columns, here: NDArray[np.bool_], unread: Mapping[int, Iterable[tuple[int, int]]]
) -> Columns:
    """The records in datagrams that are here, less those in sets that could not be read."""
    origin = np.asarray(columns["origin"])
    datagram = (origin >> np.uint64(32)).astype(np.int64) - 1
    offset = (origin & np.uint64(0xFFFF_FFFF)).astype(np.int64)
    kept = here[datagram]
    for number, sets in unread.items():
        for begin, end in sets:
            kept &= ~((datagram == number) & (offset >= begin) & (offset < end))
    return {
        name: column[kept] if isinstance(column, np.ndarray) else column
        for name, column in columns.items()
    }


def _numbered(columns: Columns, which: NDArray[np.int64]) -> Columns:
    """Records of some of the datagrams, with the datagrams' numbers among all."""
    origin = np.asarray(columns["origin"])
    datagram = which[(origin >> np.uint64(32)).astype(np.int64) - 1] + 1
    offset = origin & np.uint64(0xFFFF_FFFF)
    return {**columns, "origin": datagram.astype(np.uint64) << np.uint64(32) | offset}


def _fate(sent: Datagrams, arrived: Datagrams) -> list[int]:
    """For each datagram that arrived, which of those sent it was; a copy is the same as before.

    Raises:
        ValueError: one was never sent.
    """
    open_: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row in range(len(sent) - 1, -1, -1):
        open_[_identity(sent, row)].append(row)
    fate = []
    for row in range(len(arrived)):
        own = open_.get(_identity(arrived, row))
        if not own:
            raise ValueError(f"datagram {row + 1} arrived and was never sent")
        fate.append(own.pop() if len(own) > 1 else own[0])
    return fate


# ------------------------------------------------------------------ one datagram


@dataclass(frozen=True)
class _Set:
    """A data set."""

    begin: int
    end: int
    needs: frozenset[tuple[object, ...]]
    """One of these templates."""


@dataclass(frozen=True)
class _Anatomy:
    """As much of a datagram as its fate depends on.

    Attributes:
        sender: whose it is.
        sequence: what its sequence number counts for.
        units: by how much it moves that on; IPFIX's data records are not counted yet.
        defines: templates in it.
        sets: data sets in it.
    """

    sender: Sender
    sequence: tuple[object, ...]
    units: int
    defines: frozenset[tuple[object, ...]] = frozenset()
    sets: tuple[_Set, ...] = field(default=())


def _anatomy(datagrams: Datagrams, row: int, habits: Mapping[str, Habits]) -> _Anatomy:
    """Sources: RFC 3954 section 5, RFC 7011 section 3, NetFlow v5's and sFlow v5's headers."""
    data = _payload(datagrams, row)
    sender = _sender(datagrams, row)
    protocol = sender.protocol
    if protocol == "sflow5":
        length = 4 if data[4:8] == b"\0\0\0\1" else 16
        return _Anatomy(sender, (sender, data[8 : 12 + length]), 1)
    if protocol == "netflow5":
        return _Anatomy(sender, (sender, data[20:22]), int.from_bytes(data[2:4], "big"))
    at = _HEADER_OCTETS[protocol]
    domain, socket = data[at - 4 : at], int(datagrams.source_port[row])
    own = habits.get(sender.address)
    shared = own is not None and own.templates_serve_all_domains
    defines: set[tuple[object, ...]] = set()
    sets: list[_Set] = []
    while at + 4 <= len(data):
        number, length = struct.unpack_from("!HH", data, at)
        end = at + max(length, 4)
        if number in _TEMPLATE_SETS[protocol]:
            options = number == _TEMPLATE_SETS[protocol][1]
            for template in _templates(data[at + 4 : end], protocol, options=options):
                defines.add((sender, domain, template))
                if shared:
                    defines.add((sender, socket, template))
        elif number >= _FIRST_DATA_SET:
            exact = (sender, domain, number)
            needs = {exact, (sender, socket, number)} if shared else {exact}
            sets.append(_Set(at, end, frozenset(needs)))
        at = end
    per_socket = own is not None and own.ipfix_sequence == "per socket"
    sequence = (
        (sender, domain)
        if protocol == "netflow9"
        else (sender, socket)
        if per_socket
        else (sender, domain, socket)
    )
    units = 1 if protocol == "netflow9" else 0
    return _Anatomy(sender, sequence, units, frozenset(defines), tuple(sets))


def _templates(content: bytes, protocol: str, *, options: bool) -> Iterator[int]:
    """The numbers of the templates in a set."""
    at = 0
    while at + 4 <= len(content):
        number, fields = struct.unpack_from("!HH", content, at)
        if number < _FIRST_DATA_SET:
            return  # padding
        yield number
        if options and protocol == "netflow9":
            scopes, others = struct.unpack_from("!HH", content, at + 2)
            at += 6 + scopes + others
            continue
        at += 6 if options else 4
        for _ in range(fields):
            enterprise = protocol == "ipfix" and content[at] & 0x80
            at += 8 if enterprise else 4


def _sender(datagrams: Datagrams, row: int) -> Sender:
    data = _payload(datagrams, row)
    family = PORTS.get(int(datagrams.destination_port[row]))
    version = int.from_bytes(data[:2], "big")
    protocol = "sflow5" if family == SFLOW else _VERSIONS.get(version, "unknown")
    return Sender(protocol, ip_text(*datagrams.source[row].tolist()))


def _payload(datagrams: Datagrams, row: int) -> bytes:
    at = int(datagrams.offset[row])
    return datagrams.buffer[at : at + int(datagrams.length[row])].tobytes()


def _identity(datagrams: Datagrams, row: int) -> tuple[object, ...]:
    return (
        *datagrams.source[row].tolist(),
        int(datagrams.source_port[row]),
        int(datagrams.destination_port[row]),
        _payload(datagrams, row),
    )
