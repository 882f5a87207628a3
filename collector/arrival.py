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
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from collector.decode import PORTS, SFLOW, STANDARD, decode
from collector.decode.address import ip_text
from collector.decode.layout import Field
from collector.decode.templates import (
    FIRST_DATA_SET,
    IPFIX,
    NETFLOW9,
    TEMPLATE_SETS,
    Definition,
    read_templates,
)
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
_TEMPLATE_VERSIONS: Final = {"netflow9": NETFLOW9, "ipfix": IPFIX}
TELL_RESTARTS: Final = ("netflow5",)
"""Both their clocks are in the header, to the millisecond. sFlow's uptime may be of whole seconds,
and IPFIX comes from a new socket, which is a new sequence."""
_REORDERED: Final = 1 << 16
"""A number further back than this was not overtaken."""
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
        doubtful: why nobody can know what some of the data says, in words; empty: all can be known.
    """

    flows: pl.DataFrame
    accounts: Mapping[Sender, Account]
    records: int
    doubtful: tuple[str, ...] = ()


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
    doubtful: list[str] = []
    count = 0
    meant = _meanings(seen, range(len(seen)))
    for life in _lives(len(arrived), lives):
        order = [fate[row] for row in life.tolist() if row in fate]
        for number, copies in Counter(order).items():
            accounts[seen[number].sender].duplicates += copies - 1
        told = order if as_they_came else list(dict.fromkeys(order))
        unread, doubts = _unread(seen, told, meant)
        doubtful += doubts
        for number, sets in unread.items():
            accounts[seen[number].sender].waiting += len(sets)
        _missing(seen, units, order, set(unread), accounts)
        _restarts(sent, seen, set(order), restarted_ns, accounts)
        times = np.bincount(np.array(order, np.int64), minlength=len(sent))
        for copy in range(int(times.max(initial=0)) if as_they_came else 1):
            left = (_only(columns, times > copy, unread) for columns in records)
            here = [columns for columns in left if len(np.asarray(columns["origin"]))]
            known += here
            count += _records(here)
    return Known(summed(known), accounts, count, tuple(doubtful))


def _records(tables: Sequence[Columns]) -> int:
    """How many records these tables of `observed` tell of: two of one place are a biflow's."""
    if not tables:
        return 0
    return len(np.unique(np.concatenate([columns["origin"] for columns in tables])))


def _missing(
    seen: Sequence[_Anatomy],
    units: NDArray[np.int64],
    order: Sequence[int],
    unread: set[int],
    accounts: dict[Sender, Account],
) -> None:
    """Add what is missing in each sequence between the first and the last that came.

    Between what an exporter sent before and after it began to count anew, nothing is missing that
    numbers show; and if the first that it sent then did not come, nobody can tell where it began.
    """
    came = set(order)
    sequences: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, one in enumerate(seen):
        sequences[one.sequence].append(number)
    for numbers in sequences.values():
        here = [number for number in numbers if number in came]
        if not here:
            continue
        sender = seen[here[0]].sender
        account = accounts[sender]
        runs = _runs(seen, numbers)
        if sender.protocol in COUNT_RECORDS and unread.intersection(here):
            account.missing = None
        missing = sum(_between(units, run, came) for run in runs)
        if not _told_apart(runs, order) or (
            # The numbers of the second run hide what is missing in the first.
            missing and _came(runs, came) > 1 and sender.protocol not in TELL_RESTARTS
        ):
            account.missing = None
        if account.missing is not None:
            account.missing += missing


def _runs(seen: Sequence[_Anatomy], numbers: Sequence[int]) -> list[list[int]]:
    """The datagrams of a sequence, apart where it began anew: back to its first number, or far."""
    runs = [[numbers[0]]]
    for before, number in pairwise(numbers):
        back = (seen[before].counted - seen[number].counted) % (1 << 32)
        if 0 < back <= 1 << 31 and (seen[number].counted <= 1 or back > _REORDERED):
            runs.append([])
        runs[-1].append(number)
    return runs


def _came(runs: Sequence[Sequence[int]], came: Collection[int]) -> int:
    """Of how many runs anything came."""
    return sum(any(number in came for number in run) for run in runs)


def _told_apart(runs: Sequence[Sequence[int]], order: Sequence[int]) -> bool:
    """Whether what came of each run came behind the run before, and from its beginning on."""
    if len(runs) == 1:
        return True
    run_of = {number: index for index, run in enumerate(runs) for number in run}
    indices = [run_of[number] for number in order if number in run_of]
    came = set(order)
    began = all(runs[index][0] in came for index in set(indices) if index != indices[0])
    return began and indices == sorted(indices)


def _between(units: NDArray[np.int64], run: Sequence[int], came: Collection[int]) -> int:
    """Units of a run that did not come although others before and behind them did."""
    here = [number for number in run if number in came]
    return sum(
        int(units[number])
        for number in run
        if here and here[0] < number < here[-1] and number not in came
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


_Place: TypeAlias = tuple[int, int]
"""The index of a datagram in an order, and of a data set in it."""


def _unread(
    seen: Sequence[_Anatomy], order: Sequence[int], meant: Mapping[_Place, _Meaning | None]
) -> tuple[dict[int, list[tuple[int, int]]], list[str]]:
    """The data sets that cannot be read, by datagram; and which ones nobody can know how to read.

    Args:
        seen: all datagrams that were sent.
        order: which of them came, in order of arrival.
        meant: what each data set was, in the order of sending.
    """
    unread: dict[int, dict[tuple[int, int], None]] = defaultdict(dict)
    doubts: list[str] = []
    came = {part.key for number in order for part in seen[number].defines}
    for (index, which), meaning in _meanings(seen, order).items():
        number = order[index]
        part = seen[number].sets[which]
        right = meant[number, which]
        if meaning is None:
            unread[number][part.begin, part.end] = None
        if meaning == right or (meaning is None and part.key not in came):
            continue
        how = "was redefined" if meaning else "was withdrawn"
        doubts.append(
            f"datagram {index + 1} of the readable ones has data of template {part.key[-1]}, which "
            f"{how} meanwhile"
        )
    return {number: list(sets) for number, sets in unread.items()}, doubts


def _meanings(seen: Sequence[_Anatomy], order: Sequence[int]) -> dict[_Place, _Meaning | None]:
    """What each data set is, if datagrams come in this order; None: no template says it.

    It is what the template says that is valid when it comes. What comes before any is read by the
    first that follows: datagrams overtake each other.
    """
    valid: dict[_Key, _Meaning | None] = {}
    by_socket: dict[_Key, dict[_Key, _Meaning]] = defaultdict(dict)
    early: dict[_Key, list[_Place]] = defaultdict(list)
    found: dict[_Place, _Meaning | None] = {}
    for index, number in enumerate(order):
        which = 0
        for part in seen[number].parts:
            if isinstance(part, _Set):
                found[index, which] = valid.get(part.key)
                if part.key not in valid:
                    early[part.key].append((index, which))
                which += 1
            elif part.meaning is None:
                valid.update(dict.fromkeys(_withdrawn(part, valid)))
            else:
                valid[part.key] = part.meaning
                found.update(dict.fromkeys(early.pop(part.key, ()), part.meaning))
                if part.socket is not None:
                    by_socket[part.socket][part.key] = part.meaning
    for index, which in [place for place, meaning in found.items() if meaning is None]:
        socket = seen[order[index]].sets[which].socket
        others = set(by_socket[socket].values()) if socket is not None else set()
        if len(others) == 1:
            (found[index, which],) = others
    return found


def _withdrawn(part: _Define, valid: Mapping[_Key, _Meaning | None]) -> list[_Key]:
    """The templates that are valid and that a withdrawal takes back: one, or all of its kind."""
    *where, template = part.key
    if template >= FIRST_DATA_SET:
        return [part.key] if valid.get(part.key) else []
    options = template == TEMPLATE_SETS[IPFIX][1]
    return [
        key
        for key, meaning in valid.items()
        if meaning and list(key[:-1]) == where and bool(meaning[1]) == options
    ]


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


_Key: TypeAlias = tuple[Sender, Any, int]
"""Where the number of a template means something: the sender, its domain or socket, the number."""
_Meaning: TypeAlias = tuple[tuple[Field, ...], int]
"""The fields of a template, and how many of them are its scope."""


@dataclass(frozen=True)
class _Set:
    """A data set."""

    begin: int
    end: int
    key: _Key
    """Of its template."""
    socket: _Key | None
    """Likewise, if templates serve all domains of their socket."""


@dataclass(frozen=True)
class _Define:
    """A template, or its withdrawal."""

    key: _Key
    socket: _Key | None
    meaning: _Meaning | None
    """None: withdrawn, and with a number that is no template's all of them."""


@dataclass(frozen=True)
class _Anatomy:
    """As much of a datagram as its fate depends on.

    Attributes:
        sender: whose it is.
        sequence: what its sequence number counts for.
        counted: that number.
        units: by how much it moves that on; IPFIX's data records are not counted yet.
        parts: templates and data sets in it, in their order.
    """

    sender: Sender
    sequence: tuple[object, ...]
    counted: int
    units: int
    parts: tuple[_Set | _Define, ...] = ()

    @cached_property
    def sets(self) -> tuple[_Set, ...]:
        """The data sets."""
        return tuple(part for part in self.parts if isinstance(part, _Set))

    @cached_property
    def defines(self) -> tuple[_Define, ...]:
        """The templates, and their withdrawals."""
        return tuple(part for part in self.parts if isinstance(part, _Define))


def _anatomy(datagrams: Datagrams, row: int, habits: Mapping[str, Habits]) -> _Anatomy:
    """Sources: RFC 3954 section 5, RFC 7011 section 3, NetFlow v5's and sFlow v5's headers."""
    data = _payload(datagrams, row)
    sender = _sender(datagrams, row)
    protocol = sender.protocol
    if protocol == "sflow5":
        at = 12 + (4 if data[4:8] == b"\0\0\0\1" else 16)
        return _Anatomy(sender, (sender, data[8:at]), _number(data, at), 1)
    if protocol == "netflow5":
        units = int.from_bytes(data[2:4], "big")
        return _Anatomy(sender, (sender, data[20:22]), _number(data, 16), units)
    at = _HEADER_OCTETS[protocol]
    domain, socket = data[at - 4 : at], int(datagrams.source_port[row])
    own = habits.get(sender.address)
    shared = own is not None and own.templates_serve_all_domains
    version = _TEMPLATE_VERSIONS[protocol]
    counted = _number(data, at - 8)
    parts: list[_Set | _Define] = []
    while at + 4 <= len(data):
        number, length = struct.unpack_from("!HH", data, at)
        end = at + max(length, 4)
        if number in TEMPLATE_SETS[version]:
            options = number == TEMPLATE_SETS[version][1]
            for one in read_templates(data[at + 4 : end], options=options, version=version):
                if isinstance(one, Definition):
                    meaning = (one.layout.fields, one.layout.scopes) if one.layout else None
                    everywhere = (sender, socket, one.template) if shared else None
                    parts.append(_Define((sender, domain, one.template), everywhere, meaning))
        elif number >= FIRST_DATA_SET:
            everywhere = (sender, socket, number) if shared else None
            parts.append(_Set(at, end, (sender, domain, number), everywhere))
        at = end
    per_socket = own is not None and own.ipfix_sequence == "per socket"
    sequence = (
        (sender, domain)
        if protocol == "netflow9"
        else (sender, socket)
        if per_socket
        else (sender, domain, socket)
    )
    return _Anatomy(sender, sequence, counted, 1 if protocol == "netflow9" else 0, tuple(parts))


def _number(data: bytes, at: int) -> int:
    """The four octets of a number."""
    return int.from_bytes(data[at : at + 4], "big")


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
