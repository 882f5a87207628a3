"""IPFIX messages (RFC 7011): sets, templates, and the data records they describe.

    message  version 2, length 2, export time 4 (s), sequence number 4, observation domain 4, sets
    set      id 2 (2 templates, 3 options templates, from 256 on data), length 2 (of all the set),
             content

All messages of a block are walked in lock-step, set by set; template sets are read one by one, data
sets of one layout together.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode.batch import Batch
from collector.decode.groups import codes, split
from collector.decode.layout import Columns
from collector.decode.sequence import UNKNOWN
from collector.decode.streams import Sequenced
from collector.decode.templates import (
    FIRST_DATA_SET,
    OPTIONS_TEMPLATE_SET,
    TEMPLATE_SET,
    BadTemplate,
    Key,
    read_templates,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.decode.block import Block
    from collector.decode.layout import Layout, Located

VERSION: Final = 10
HEADER_OCTETS: Final = 16
SET_HEADER_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class _Messages:
    """The messages of a block; a value per message."""

    rows: NDArray[np.int64]
    """Index of the datagram."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    domain: NDArray[np.int64]
    complete: NDArray[np.bool_]
    """The length in the header is the datagram's."""


@dataclass(frozen=True, slots=True)
class _Sets:
    """The sets of a block, in order of arrival; a value per set."""

    message: NDArray[np.int64]
    """Index into `_Messages`."""
    id: NDArray[np.int64]
    content: NDArray[np.int64]
    """Index of the first octet behind the header."""
    end: NDArray[np.int64]
    cut: NDArray[np.bool_]
    """The set should be longer than what is there."""


def decode(block: Block, rows: NDArray[np.int64]) -> tuple[list[Batch], list[Sequenced]]:
    """Decode the datagrams `rows`, of which it is known that they are of version 10."""
    messages = _read_headers(block, rows)
    if not len(messages.rows):
        return [], []
    decoder = _Decoder(block, messages, _walk_sets(block, messages))
    decoder.learn_templates()
    batches = decoder.decode_data()
    block.templates.settle()
    sequenced = Sequenced(
        protocol="ipfix",
        unit="data records",
        rows=messages.rows,
        first=block.octets.u32(messages.start + 8).astype(np.int64),
        units=decoder.units,
        source_port=block.datagrams.source_port[messages.rows].astype(np.int64),
        observation_domain=None if block.habits.ipfix_sequence == "per socket" else messages.domain,
    )
    return batches, [sequenced]


def _read_headers(block: Block, rows: NDArray[np.int64]) -> _Messages:
    """Check the message headers."""
    octets, faults = block.octets, block.faults
    start, available = block.datagrams.offset[rows], block.datagrams.length[rows]
    short = available < HEADER_OCTETS
    faults.add(rows, start, HEADER_OCTETS, available, "no IPFIX message header", where=short)
    rows, start, available = rows[~short], start[~short], available[~short]
    length = octets.u16(start + 2).astype(np.int64)
    for bad, reason in (
        (length < HEADER_OCTETS, "message length below the header's"),
        (length > available, "message longer than its datagram"),
        ((length < available) & (length >= HEADER_OCTETS), "octets behind the message"),
    ):
        faults.add(rows, start, length, available, reason, where=bad)
    return _Messages(
        rows=rows,
        start=start,
        end=start + np.clip(length, HEADER_OCTETS, available),
        domain=octets.u32(start + 12).astype(np.int64),
        complete=length == available,
    )


def _walk_sets(block: Block, messages: _Messages) -> _Sets:
    """Find the sets: the first of every message, then the second of every message, and so on."""
    octets, faults = block.octets, block.faults
    found: list[tuple[NDArray[Any], ...]] = []
    message = np.arange(len(messages.rows))
    at = messages.start + HEADER_OCTETS
    while len(message):
        going_on = at < messages.end[message]
        message, at = message[going_on], at[going_on]
        left = messages.end[message] - at
        # In a message that is cut off this is no further fault.
        rows, whole = messages.rows[message], messages.complete[message]
        short = left < SET_HEADER_OCTETS
        faults.add(rows, at, SET_HEADER_OCTETS, left, "no set header", where=short & whole)
        rows, message, at, left = rows[~short], message[~short], at[~short], left[~short]
        whole = whole[~short]
        length = octets.u16(at + 2).astype(np.int64)
        bad, cut = length < SET_HEADER_OCTETS, length > left
        faults.add(rows, at, SET_HEADER_OCTETS, left, "set length below the header's", where=bad)
        faults.add(rows, at, length, left, "set longer than its message", where=cut & whole)
        message, at, cut, length = message[~bad], at[~bad], cut[~bad], length[~bad]
        end = at + np.minimum(length, left[~bad])
        found.append((message, octets.u16(at).astype(np.int64), at + SET_HEADER_OCTETS, end, cut))
        at = end
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return _Sets(*(column[order] for column in columns))


class _Decoder:
    """The messages of one block while they are decoded."""

    def __init__(self, block: Block, messages: _Messages, sets: _Sets) -> None:
        """Nothing is decoded yet."""
        self.block = block
        self.octets = block.octets
        self.datagrams = block.datagrams
        self.faults = block.faults
        self.templates = block.templates
        self.messages = messages
        self.sets = sets
        self.units = np.zeros(len(messages.rows), np.int64)
        """Data records of each message, or UNKNOWN."""
        self.units[~messages.complete] = UNKNOWN

    def _row(self, number: int) -> int:
        """The datagram of a set."""
        return int(self.messages.rows[self.sets.message[number]])

    def _exporter(self, number: int) -> tuple[int, int, int]:
        """Of a set: the exporter's address as a number, the domain, and the source port."""
        row = self._row(number)
        upper, lower = self.datagrams.source[row].tolist()
        domain = int(self.messages.domain[self.sets.message[number]])
        return upper << 64 | lower, domain, int(self.datagrams.source_port[row])

    def learn_templates(self) -> None:
        """Read all template sets, in order of arrival."""
        sets = self.sets
        for number in np.flatnonzero(sets.id < FIRST_DATA_SET).tolist():
            exporter, domain, socket = self._exporter(number)
            kind, at, end = int(sets.id[number]), int(sets.content[number]), int(sets.end[number])
            if kind not in (TEMPLATE_SET, OPTIONS_TEMPLATE_SET):
                self._fault(number, at - SET_HEADER_OCTETS, 0, end - at, "set id is reserved")
                continue
            options = kind == OPTIONS_TEMPLATE_SET
            content = self.octets.buffer[at:end].tobytes()
            for record in read_templates(content, options=options):
                if isinstance(record, BadTemplate):
                    if not sets.cut[number]:
                        self._fault(number, at + record.offset, *record[1:])
                elif record.template < FIRST_DATA_SET:
                    self.templates.withdraw_all(exporter, domain, socket, number, options=options)
                else:
                    key = Key(exporter, domain, record.template)
                    self.templates.define(key, socket, number, record.layout)

    def _fault(self, number: int, at: int, needed: int, available: int, reason: str) -> None:
        """Note one fault, in a set."""
        row, place, need, there = np.array([[self._row(number)], [at], [needed], [available]])
        self.faults.add(row, place, need, there, reason)

    def decode_data(self) -> list[Batch]:
        """Decode all data sets, those of one layout together."""
        sets, messages = self.sets, self.messages
        data = np.flatnonzero(sets.id >= FIRST_DATA_SET)
        message = sets.message[data]
        source = self.datagrams.source[messages.rows[message]]
        ports = self.datagrams.source_port[messages.rows[message]]
        group = codes(source[:, 0], source[:, 1], messages.domain[message], sets.id[data], ports)
        by_layout: dict[Layout, list[NDArray[np.int64]]] = defaultdict(list)
        for members in split(group):
            for layout, numbers in self._layouts(data[members]):
                by_layout[layout].append(numbers)
        return [
            batch
            for layout, numbers in by_layout.items()
            if (batch := self._decode_sets(layout, np.sort(np.concatenate(numbers)))) is not None
        ]

    def _layouts(self, numbers: NDArray[np.int64]) -> list[tuple[Layout, NDArray[np.int64]]]:
        """Sort data sets of one exporter, socket, domain and id by their layout when they came."""
        exporter, domain, socket = self._exporter(int(numbers[0]))
        template = int(self.sets.id[numbers[0]])
        history = self.templates.history(Key(exporter, domain, template))
        valid = np.searchsorted([instant for instant, _ in history], numbers, side="right") - 1
        sorted_sets = []
        for index, (_, layout) in enumerate(history):
            chosen = numbers[valid == index]
            if not len(chosen):
                continue
            if layout is None and self.block.habits.templates_serve_all_domains:
                layout = self.templates.of_other_domain(exporter, socket, template)  # noqa: PLW2901
                self.block.borrowed_templates += 0 if layout is None else len(chosen)
            if layout is None:
                self._no_template(chosen, f"no template {template} in observation domain {domain}")
            else:
                sorted_sets.append((layout, chosen))
        return sorted_sets

    def _no_template(self, numbers: NDArray[np.int64], reason: str) -> None:
        """These sets cannot be read."""
        message = self.sets.message[numbers]
        at = self.sets.content[numbers] - SET_HEADER_OCTETS
        self.faults.add(self.messages.rows[message], at, 0, self.sets.end[numbers] - at, reason)
        self.units[message] = UNKNOWN

    def _decode_sets(self, layout: Layout, numbers: NDArray[np.int64]) -> Batch | None:
        """Decode data sets of one layout."""
        sets, messages = self.sets, self.messages
        message, end = sets.message[numbers], sets.end[numbers]
        located = layout.locate(self.octets, sets.content[numbers], end)
        self._check_rest(numbers, end, located)
        counts = np.bincount(located.owner, minlength=len(numbers))
        known = self.units[message] != UNKNOWN
        np.add.at(self.units, message[known], counts[known])
        if not len(located.owner):
            return None
        message = message[located.owner]
        rows = messages.rows[message]
        export_time_s = self.octets.u32(messages.start[message] + 4).astype(np.int64)
        return Batch(
            protocol="ipfix",
            kind="options" if layout.scopes else "data",
            template=sets.id[numbers][located.owner],
            columns=Columns(layout, self.octets, located.segments),
            datagram=rows + 1,
            offset=located.segments[:, 0] - self.datagrams.offset[rows],
            exporter=self.datagrams.source[rows],
            export_time_ns=export_time_s * 1_000_000_000,
            observation_domain=messages.domain[message],
        )

    def _check_rest(
        self, numbers: NDArray[np.int64], end: NDArray[np.int64], located: Located
    ) -> None:
        """Behind the last record of a set only zeros may follow (RFC 7011 section 3.3.1)."""
        message, rest, broken = self.sets.message[numbers], located.rest, located.broken
        rows, left = self.messages.rows[message], end - rest
        uncut = ~self.sets.cut[numbers]
        self.units[message[~uncut]] = UNKNOWN
        bad = broken & uncut
        reason = "variable-length value ends past its set"
        self.faults.add(rows, rest, located.needed, left, reason, where=bad)
        self.units[message[bad]] = UNKNOWN
        filled = (left > 0) & uncut & ~broken
        buffer = self.octets.buffer
        for number in np.flatnonzero(filled).tolist():
            filled[number] = buffer[rest[number] : end[number]].any()
        reason = "octets behind the last record are not padding"
        self.faults.add(rows, rest, 0, left, reason, where=filled)
