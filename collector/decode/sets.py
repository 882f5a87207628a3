"""Sets of templates and of data records: what IPFIX and NetFlow v9 have in common.

    set      id 2 (templates, options templates, from 256 on data), length 2 (of all the set),
             content

All messages of a block are walked in lock-step, set by set; template sets are read one by one, data
sets of one layout together. Sources: RFC 7011 section 3.3, RFC 3954 section 5 (there a set is a
FlowSet).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import kernel
from collector.decode import limits
from collector.decode.batch import Batch
from collector.decode.groups import codes, split
from collector.decode.layout import Columns
from collector.decode.octets import Octets
from collector.decode.sequence import UNKNOWN
from collector.decode.template_store import Key
from collector.decode.templates import (
    FIRST_DATA_SET,
    IPFIX,
    NETFLOW9,
    TEMPLATE_SETS,
    BadTemplate,
    read_templates,
)
from collector.decode.times import uptime_times
from collector.decode.waiting import Held, no_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from collector.decode.block import Block
    from collector.decode.faults import FaultLog
    from collector.decode.layout import Layout, Located


SET_HEADER_OCTETS: Final = 4
_SET_HEADER: Final = np.dtype([("id", ">u2"), ("length", ">u2")])
_SHORT: Final = 16
"""Octets of padding up to which it is looked at for all sets together."""
PROTOCOLS: Final = {IPFIX: "ipfix", NETFLOW9: "netflow9"}


class Messages(NamedTuple):
    """The messages of a block; a value per message."""

    row: NDArray[np.int64]
    """Index of the datagram, as the fault log counts."""
    datagram: NDArray[np.int64]
    """1-based number of the datagram; 0 and below: of an earlier block."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    complete: NDArray[np.bool_]
    """The length in the header is the datagram's."""
    source: NDArray[np.uint64]
    """The exporter: address column."""
    socket: NDArray[np.int64]
    """Its port."""
    sequence: NDArray[np.int64]
    domain: NDArray[np.int64]
    export_time_ns: NDArray[np.int64]
    uptime_ms: NDArray[np.int64]
    """NetFlow v9: sysUptime at that time."""
    arrived_ns: NDArray[np.int64]


class Sets(NamedTuple):
    """The sets of a block, in order of arrival; a value per set."""

    message: NDArray[np.int64]
    """Index into `Messages`."""
    id: NDArray[np.int64]
    content: NDArray[np.int64]
    """Index of the first octet behind the header."""
    end: NDArray[np.int64]
    cut: NDArray[np.bool_]
    """The set should be longer than what is there."""


def walk_sets(block: Block, messages: Messages, header_octets: int) -> Sets:
    """Find the sets: the first of every message, then the second of every message, and so on."""
    octets, faults = block.octets, block.faults
    walked = kernel.sets(octets.buffer, messages.start + header_octets, messages.end)
    if walked is not None:
        message, number, content, end = walked
        return Sets(message, number, content, end, np.zeros(len(message), np.bool_))
    found: list[tuple[NDArray[Any], ...]] = []
    message = np.arange(len(messages.row))
    at = messages.start + header_octets
    while len(message):
        left = messages.end[message] - at
        message, at, left = _where(left > 0, message, at, left)
        # In a message that is cut off this is no further fault.
        rows, whole = messages.row[message], messages.complete[message]
        short = left < SET_HEADER_OCTETS
        faults.add(rows, at, SET_HEADER_OCTETS, left, "no set header", where=short & whole)
        rows, message, at, left, whole = _where(~short, rows, message, at, left, whole)
        header = octets.numbers(at, _SET_HEADER)
        number, length = header["id"], header["length"]
        bad, cut = length < SET_HEADER_OCTETS, length > left
        faults.add(rows, at, SET_HEADER_OCTETS, left, "set length below the header's", where=bad)
        faults.add(rows, at, length, left, "set longer than its message", where=cut & whole)
        message, number, at, cut, length, left = _where(
            ~bad, message, number, at, cut, length, left
        )
        end = at + np.minimum(length, left)
        found.append((message, number, at + SET_HEADER_OCTETS, end, cut))
        at = end
    found = [one for one in found if len(one[0])] or found[:1]
    if len(found) == 1:
        return Sets(*found[0])
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Sets(*(column[order] for column in columns))


def _where(wanted: NDArray[np.bool_], *columns: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Those rows of some columns; mostly they are all wanted, and nothing needs a copy."""
    return columns if wanted.all() else tuple(column[wanted] for column in columns)


@dataclass(slots=True)
class _Read:
    """Sets of one buffer, and where to report what is wrong with them."""

    octets: Octets
    faults: FaultLog
    messages: Messages
    sets: Sets
    units: NDArray[np.int64]
    """Data records of each message, or UNKNOWN."""
    options_count: bool
    """Whether options records are among them."""

    def decode(self, version: int, layout: Layout, numbers: NDArray[np.int64]) -> Batch | None:
        """Decode the data sets `numbers`, which have this layout."""
        sets, messages = self.sets, self.messages
        message, end = sets.message[numbers], sets.end[numbers]
        located = layout.locate(self.octets, sets.content[numbers], end)
        self._check_rest(numbers, end, located)
        counts = np.bincount(located.owner, minlength=len(numbers))
        known = self.units[message] != UNKNOWN
        if layout.scopes and not self.options_count:
            known[:] = False
        at, records = (message, counts) if known.all() else (message[known], counts[known])
        if not kernel.keep("add", self.units, at, records):
            np.add.at(self.units, at, records)
        if not len(located.owner):
            return None
        # Mostly a message has one set, or a set one record.
        each_one = len(located.owner) == len(numbers) and bool((counts == 1).all())
        identity = sets.id[numbers]
        if not each_one:
            message, identity = message[located.owner], identity[located.owner]
        export_time_ns = messages.export_time_ns[message]
        uptime_ms = messages.uptime_ms[message] if version == NETFLOW9 else None
        derived = uptime_times(layout, export_time_ns, uptime_ms)
        return Batch(
            protocol=PROTOCOLS[version],
            kind="options" if layout.scopes else "data",
            template=identity,
            columns=Columns(layout, self.octets, located.segments, derived=derived),
            datagram=messages.datagram[message],
            offset=located.segments[:, 0] - messages.start[message],
            exporter=messages.source[message],
            export_time_ns=export_time_ns,
            observation_domain=messages.domain[message],
        )

    def _check_rest(
        self, numbers: NDArray[np.int64], end: NDArray[np.int64], located: Located
    ) -> None:
        """Behind the last record of a set only zeros may follow (RFC 7011 section 3.3.1)."""
        message, rest, broken = self.sets.message[numbers], located.rest, located.broken
        rows, left = self.messages.row[message], end - rest
        uncut = ~self.sets.cut[numbers]
        if not left.any() and uncut.all():
            return  # Mostly there is nothing behind.
        self.units[message[~uncut]] = UNKNOWN
        bad = broken & uncut
        reason = "variable-length value ends past its set"
        self.faults.add(rows, rest, located.needed, left, reason, where=bad)
        self.units[message[bad]] = UNKNOWN
        filled = np.zeros(len(left), np.bool_)
        padded = np.flatnonzero((left > 0) & uncut & ~broken)
        filled[padded] = self._any_octet(rest[padded], left[padded])
        reason = "octets behind the last record are not padding"
        self.faults.add(rows, rest, 0, left, reason, where=filled)

    def _any_octet(self, at: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether any of the `count` octets from each place on is not zero."""
        buffer = self.octets.buffer
        found = np.zeros(len(at), np.bool_)
        # Padding is short, so its first octets, then its second ones, and so on; the rest singly.
        for index in range(min(int(count.max(initial=0)), _SHORT)):
            rows = np.flatnonzero(count > index)
            found[rows] |= buffer[at[rows] + index] != 0
        for row in np.flatnonzero((count > _SHORT) & ~found).tolist():
            found[row] = buffer[at[row] : at[row] + count[row]].any()
        return found


class SetDecoder:
    """The messages of one version in one block while they are decoded."""

    def __init__(self, block: Block, version: int, messages: Messages, header_octets: int) -> None:
        """Nothing is decoded yet."""
        self.block = block
        self.version = version
        self.templates = block.templates
        self.messages = messages
        self.sets = walk_sets(block, messages, header_octets)
        self.units = np.zeros(len(messages.row), np.int64)
        self.units[~messages.complete] = UNKNOWN
        self.read = _Read(
            block.octets,
            block.faults,
            messages,
            self.sets,
            self.units,
            options_count=block.habits.ipfix_sequence_counts == "what came before",
        )

    def decode(self) -> list[Batch]:
        """Learn the templates, then decode what waited for them, then the data sets."""
        self._learn_templates()
        batches = self._decode_waiting()
        by_layout = self._sort_data()
        # What options say of sampling serves all records of the block.
        for wanted in (True, False):
            for layout, numbers in by_layout.items():
                if bool(layout.scopes) is not wanted:
                    continue
                batch = self.read.decode(
                    self.version, layout, np.sort(np.concatenate(numbers), kind="stable")
                )
                if batch is not None:
                    batches.append(batch)
        self.templates.settle()
        return self.block.learned.apply(batches)

    def _exporter(self, number: int) -> tuple[int, int, int]:
        """Of a set: the exporter's address as a number, the domain, and the source port."""
        message = self.sets.message[number]
        upper, lower = self.messages.source[message].tolist()
        return (
            upper << 64 | lower,
            int(self.messages.domain[message]),
            int(self.messages.socket[message]),
        )

    def _learn_templates(self) -> None:
        """Read all template sets, in order of arrival."""
        sets, version = self.sets, self.version
        kinds = TEMPLATE_SETS[version]
        shared = self.block.habits.templates_serve_all_domains
        seen: dict[tuple[object, ...], int] = {}
        for number in np.flatnonzero(sets.id < FIRST_DATA_SET).tolist():
            exporter, domain, socket = self._exporter(number)
            kind, at, end = int(sets.id[number]), int(sets.content[number]), int(sets.end[number])
            if kind not in kinds:
                self._fault(number, at - SET_HEADER_OCTETS, 0, end - at, "set id is reserved")
                continue
            options = kind == kinds[1]
            content = self.block.octets.buffer[at:end].tobytes()
            announcement = (exporter, domain, socket, kind, content)
            if seen.get(announcement) == self.templates.generation:
                continue  # Word for word what is known already.
            most = self.templates.most.fields_per_template
            faulty = False
            when_ns = int(self.messages.arrived_ns[sets.message[number]])
            for record in read_templates(content, options=options, version=version, fields=most):
                if isinstance(record, BadTemplate):
                    faulty = True
                    if not sets.cut[number]:
                        self._fault(number, at + record.offset, *record[1:])
                elif record.template < FIRST_DATA_SET:
                    self.templates.withdraw_all(exporter, domain, number, options=options)
                else:
                    key = Key(exporter, domain, record.template, version)
                    self.templates.define(key, number, record.layout, when_ns)
                    if shared and record.layout is not None:
                        self.templates.share(key, socket, record.layout)
            if not faulty:
                seen[announcement] = self.templates.generation

    def _fault(self, number: int, at: int, needed: int, available: int, reason: str) -> None:
        """Note one fault, in a set."""
        row = self.messages.row[self.sets.message[number]]
        rows, place, need, there = np.array([[row], [at], [needed], [available]])
        self.block.faults.add(rows, place, need, there, reason)

    def _sort_data(self) -> dict[Layout, list[NDArray[np.int64]]]:
        """Sort all data sets by their layout."""
        sets, messages = self.sets, self.messages
        data = np.flatnonzero(sets.id >= FIRST_DATA_SET)
        message = sets.message[data]
        exporter = [messages.source[:, 0], messages.source[:, 1], messages.domain, messages.socket]
        # Few messages differ in all of this, so they are told apart before their sets.
        group = codes(codes(*exporter)[message], sets.id[data])
        by_layout: dict[Layout, list[NDArray[np.int64]]] = defaultdict(list)
        for members in split(group):
            for layout, numbers in self._layouts(data[members]):
                by_layout[layout].append(numbers)
        return by_layout

    def _layouts(self, numbers: NDArray[np.int64]) -> list[tuple[Layout, NDArray[np.int64]]]:
        """Sort data sets of one exporter, socket, domain and id by their layout when they came."""
        exporter, domain, socket = self._exporter(int(numbers[0]))
        key = Key(exporter, domain, int(self.sets.id[numbers[0]]), self.version)
        history = self.templates.history(key)
        valid = np.searchsorted([instant for instant, _ in history], numbers, side="right") - 1
        sorted_sets = []
        for index, (_, layout) in enumerate(history):
            chosen = numbers[valid == index]
            if not len(chosen):
                continue
            if layout is None and self.block.habits.templates_serve_all_domains:
                layout = self.templates.of_other_domain(key, socket)  # noqa: PLW2901
                self.block.borrowed_templates += 0 if layout is None else len(chosen)
            if layout is None:
                self._no_template(key, chosen)
            else:
                sorted_sets.append((layout, chosen))
        return sorted_sets

    def _no_template(self, key: Key, numbers: NDArray[np.int64]) -> None:
        """These sets cannot be read; the newest ones wait, and displace what waits longest."""
        sets, block = self.sets, self.block
        self.units[sets.message[numbers]] = UNKNOWN
        size = sets.end[numbers] - sets.content[numbers]
        refused = np.ones(len(numbers), np.bool_)
        if self.templates.may_come(key):
            waiting = block.waiting.newest(size)
            refused[waiting] = False
            for held in self._held(numbers[waiting]):
                block.waiting.hold(key, held)
            displaced = list(block.waiting.displaced(block.before))
            for fault in displaced:
                block.faults.note(fault)
            # One without octets would not have waited if there were no limit.
            too_many = int((refused & (size > 0)).sum()) + len(displaced)
            if too_many:
                block.reached[limits.WAITING] += too_many
        at, rows = sets.content[numbers] - SET_HEADER_OCTETS, self.messages.row
        reason = no_template(key.template, key.domain)
        left = size + SET_HEADER_OCTETS
        block.faults.add(rows[sets.message[numbers]], at, 0, left, reason, where=refused)

    def _held(self, numbers: NDArray[np.int64]) -> Iterator[Held]:
        """Data sets, to be decoded later."""
        sets, messages, before = self.sets, self.messages, self.block.before
        message, at = sets.message[numbers], sets.content[numbers]
        columns = (
            *(at, sets.end[numbers], before + messages.datagram[message]),
            *(at - messages.start[message], sets.cut[numbers], messages.source[message]),
            *(messages.socket[message], messages.export_time_ns[message]),
            messages.uptime_ms[message],
        )
        buffer = self.block.octets.buffer
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for begin, end, datagram, offset, cut, source, *others in rows:
            content = buffer[begin:end].tobytes()
            yield Held(content, datagram, offset, cut, (source[0], source[1]), *others)

    def _decode_waiting(self) -> list[Batch]:
        """Decode the sets of earlier blocks whose template has come now."""
        batches = []
        for key in self.block.waiting.keys(self.version):
            layout = self.templates.history(key)[0][1]
            if layout is None and self.block.habits.templates_serve_all_domains:
                socket = self.block.waiting.peek(key).socket
                layout = self.templates.of_other_domain(key, socket)
            if layout is None:
                continue
            held = self.block.waiting.take(key)
            late = _late(self.block, key, held)
            batch = late.decode(self.version, layout, np.arange(len(held)))
            if batch is not None:
                batches.append(batch)
        return batches


def _late(block: Block, key: Key, held: list[Held]) -> _Read:
    """Sets that waited, as messages of one set each."""
    lengths = np.array([len(one.content) for one in held], np.int64)
    content = np.cumsum(lengths) - lengths
    rows = np.arange(len(held))
    # Where the datagram would begin if all of it were in this buffer.
    start = content - np.array([one.offset for one in held], np.int64)
    number = np.array([one.datagram for one in held], np.int64) - block.before
    messages = Messages(
        row=rows,
        datagram=number,
        start=start,
        end=content + lengths,
        complete=np.ones(len(held), np.bool_),
        source=np.array([one.source for one in held], np.uint64).reshape(-1, 2),
        socket=np.array([one.socket for one in held], np.int64),
        sequence=np.zeros(len(held), np.int64),
        domain=np.full(len(held), key.domain, np.int64),
        export_time_ns=np.array([one.export_time_ns for one in held], np.int64),
        uptime_ms=np.array([one.uptime_ms for one in held], np.int64),
        arrived_ns=np.zeros(len(held), np.int64),
    )
    cut = np.array([one.cut for one in held], np.bool_)
    ids = np.full(len(held), key.template, np.int64)
    sets = Sets(rows, ids, content, content + lengths, cut)
    buffer = np.frombuffer(b"".join(one.content for one in held), np.uint8)
    faults = block.faults.beside(start, number)
    units = np.zeros(len(held), np.int64)
    return _Read(Octets(buffer), faults, messages, sets, units, options_count=True)
