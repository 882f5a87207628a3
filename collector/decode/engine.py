"""The one way in: datagrams to records, live and from files alike.

Which protocol a datagram is of is a matter of the port it was sent to; its version field only says
which version. Nothing here raises on what is in a datagram: it is decoded as far as it goes, and
the rest is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.decode import ipfix, netflow5, netflow9, sflow
from collector.decode.block import Block
from collector.decode.faults import FaultLog
from collector.decode.habits import STANDARD, Habits
from collector.decode.layout import Columns
from collector.decode.learned import Learned
from collector.decode.limits import DEFAULT, Limits
from collector.decode.lists import as_python, read_list
from collector.decode.octets import Octets
from collector.decode.sets import PROTOCOLS
from collector.decode.streams import Expected
from collector.decode.template_store import Key, Templates
from collector.decode.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from collector.decode.batch import Batch
    from collector.decode.datagrams import Datagrams
    from collector.decode.layout import Layout
    from collector.decode.lists import Nested, Plain
    from collector.decode.sequence import Stream
    from collector.fault import Fault

    ReadLists = Callable[[Batch, str, Plain], list[Nested]]
    """See `Decoder.nested`."""

NETFLOW: Final = "netflow"
"""NetFlow 5 and 9, and IPFIX, which is version 10: their version is in the first two octets."""
SFLOW: Final = "sflow"

PORTS: Final[Mapping[int, str]] = {2055: NETFLOW, 4739: NETFLOW, 9995: NETFLOW, 6343: SFLOW}
"""UDP port to family: IANA's for IPFIX and sFlow, the customary ones for NetFlow."""

_UNASSIGNED: Final = "unassigned"
_VERSIONS: Final = {
    NETFLOW: {
        netflow5.VERSION: "netflow5",
        netflow9.VERSION: "netflow9",
        ipfix.VERSION: "ipfix",
    },
    SFLOW: {sflow.VERSION: "sflow5"},
}
_DECODERS: Final = {
    "netflow5": netflow5.decode,
    "netflow9": netflow9.decode,
    "ipfix": ipfix.decode,
    "sflow5": sflow.decode,
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What came and what could not be used."""

    datagrams: int
    records: int
    """All decoded, of every kind."""
    templates: int
    """Valid at the end."""
    streams: tuple[Stream, ...]
    """Sequence numbers, per protocol, exporter and domain, agent or socket."""
    undecodable: tuple[Fault, ...]
    """The first 1000 faults."""
    undecodable_by_reason: Mapping[str, int]
    """All faults."""
    unknown: Mapping[str, int]
    """Well-formed, but of a kind that is not known: counted and stepped over."""
    unassigned_ports: Mapping[int, int]
    """Datagrams to ports to which no protocol is assigned."""
    borrowed_templates: int
    """Sets decoded by a template that their socket sent to another domain (see `habits`)."""
    waiting: int = 0
    """Data sets that wait for their template at the end."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limits that were reached, and how often (`collector.decode.limits`)."""

    @property
    def faults(self) -> int:
        """How many faults, kept or not."""
        return sum(self.undecodable_by_reason.values())

    @property
    def lost(self) -> int:
        """Units (records or datagrams) that sequence numbers show as lost, over all streams."""
        return sum(stream.lost for stream in self.streams)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Records in columns, and the account of all datagrams."""

    batches: list[Batch]
    summary: Summary
    habits: Habits = field(default=STANDARD)
    read_lists: ReadLists | None = None
    """Reads lists of RFC 6313 with the templates that are valid until the next block."""


class Decoder:
    """Decodes block after block of datagrams; what was learned is kept from one to the next."""

    def __init__(
        self,
        habits: Habits = STANDARD,
        ports: Mapping[int, str] = PORTS,
        *,
        most: Limits = DEFAULT,
        template_lifetime_s: float | None = None,
        extended: bool = True,
    ) -> None:
        """Know no templates yet.

        Args:
            habits: what the exporter does differently from the formats' texts.
            ports: UDP destination port to `NETFLOW` or `SFLOW`.
            most: what may be kept.
            template_lifetime_s: a template that was not announced again for so long before a block
            is forgotten (RFC 7011 section 8.4); None: never.
            extended: whether what sFlow says of samples besides the packet is read (batches of kind
            "extended"); who only wants flows saves that.
        """
        self.habits = habits
        self.ports = ports
        self.template_lifetime_s = template_lifetime_s
        self.extended = extended
        self.templates = Templates(most)
        self.waiting = Waiting(most)
        self.learned = Learned(most)
        self._before = 0
        self._expected = Expected(most.exporters)

    def decode(self, datagrams: Datagrams, *, last: bool = False) -> Decoded:
        """Decode one block.

        Args:
            datagrams: in order of arrival.
            last: nothing follows: data that still waits for its template becomes faults.
        """
        faults = FaultLog(datagrams.offset)
        for fault in datagrams.faults:
            faults.note(fault)
        octets = Octets(datagrams.buffer)
        block = Block(
            octets=octets,
            datagrams=datagrams,
            habits=self.habits,
            templates=self.templates,
            waiting=self.waiting,
            learned=self.learned,
            faults=faults,
            before=self._before,
            extended=self.extended,
        )
        self._expire(datagrams)
        sorted_out = self._sort(block)
        batches: list[Batch] = []
        sequences: list[Stream] = []
        for protocol, decode_rows in _DECODERS.items():
            decoded, sequenced = decode_rows(block, sorted_out[protocol])
            batches += decoded
            sequences += [
                stream for one in sequenced for stream in self._expected.streams(one, datagrams)
            ]
        if last:
            for fault in self.waiting.give_up(self._before):
                faults.note(fault)
        self._before += len(datagrams)
        ports, counts = np.unique(
            datagrams.destination_port[sorted_out[_UNASSIGNED]], return_counts=True
        )
        summary = Summary(
            datagrams=len(datagrams),
            records=sum(len(batch) for batch in batches),
            templates=len(self.templates),
            streams=tuple(sequences),
            undecodable=tuple(sorted(faults.kept)),
            undecodable_by_reason=dict(faults.counts),
            unknown=dict(block.unknown),
            unassigned_ports=dict(zip(ports.tolist(), counts.tolist(), strict=True)),
            borrowed_templates=block.borrowed_templates,
            waiting=self.waiting.sets,
            limits=self._reached(block),
        )
        return Decoded(batches, summary, self.habits, self.nested)

    def nested(self, batch: Batch, name: str, plain: Plain = as_python) -> list[Nested]:
        """The values of a column of lists (RFC 6313), read with the templates valid now.

        Args:
            batch: records of a block that was decoded here.
            name: of a column of theirs.
            plain: writes the values of a column of some kind.

        Raises:
            KeyError: records of this batch come from no template, or have no such column.
        """
        if not isinstance(batch.columns, Columns) or batch.observation_domain is None:
            raise KeyError(name)
        kind = batch.columns.layout.places[name].field.kind
        version = {text: number for number, text in PROTOCOLS.items()}[batch.protocol]
        column = batch.columns[name]
        values = []
        for row, (upper, lower) in enumerate(batch.exporter.tolist()):
            domain = int(batch.observation_domain[row])
            value = column[row] if column.dtype == object else column[row].tobytes()
            place = partial(Key, upper << 64 | lower, domain)
            lookup = partial(self._layout_of, place, version)
            values.append(read_list(kind, value, lookup, plain))
        return values

    def _layout_of(
        self, place: Callable[[int, int], Key], version: int, template: int
    ) -> Layout | None:
        """What a template id means somewhere."""
        return self.templates.current(place(template, version))

    def _expire(self, datagrams: Datagrams) -> None:
        """Forget templates that have outlived themselves."""
        if self.template_lifetime_s is not None and len(datagrams):
            lifetime_ns = int(self.template_lifetime_s * 1_000_000_000)
            self.templates.expire(int(datagrams.timestamp_ns[0]) - lifetime_ns)

    def _reached(self, block: Block) -> dict[str, int]:
        """Limits that this block ran into."""
        total = block.reached + self.templates.reached + self.learned.reached
        self.templates.reached.clear()
        self.learned.reached.clear()
        return dict(total)

    def _sort(self, block: Block) -> dict[str, NDArray[np.int64]]:
        """Sort datagrams by protocol and version; the rows of each."""
        datagrams, octets = block.datagrams, block.octets
        port = datagrams.destination_port
        sorted_out = {_UNASSIGNED: _to(port, self.ports, others=True)}
        for family, versions in _VERSIONS.items():
            numbers = [number for number, of in self.ports.items() if of == family]
            rows = _to(port, numbers)
            needed = 2 if family == NETFLOW else 4
            at, length = datagrams.offset[rows], datagrams.length[rows]
            short = length < needed
            block.faults.add(rows, at, needed, length, "no version field", where=short)
            rows, at, length = rows[~short], at[~short], length[~short]
            version = octets.u16(at) if family == NETFLOW else octets.u32(at)
            same = len(version) > 0 and bool((version == version[0]).all())
            for number, protocol in versions.items():
                sorted_out[protocol] = rows[version == number] if not same else rows[:0]
            if same and int(version[0]) in versions:
                sorted_out[versions[int(version[0])]] = rows
                continue
            other = ~np.isin(version, list(versions))
            reason = f"version is none that is known of {family}"
            block.faults.add(rows, at, 0, length, reason, where=other)
        return sorted_out


def _to(
    port: NDArray[np.uint16], numbers: Collection[int], *, others: bool = False
) -> NDArray[np.int64]:
    """The datagrams that went to one of these ports, or to `others`."""
    if len(port) and (port == port[0]).all():
        # Mostly all went to one.
        return np.arange(len(port) if (int(port[0]) in numbers) is not others else 0)
    return np.flatnonzero(np.isin(port, list(numbers), invert=others))


def decode(
    datagrams: Datagrams, habits: Habits = STANDARD, ports: Mapping[int, str] = PORTS
) -> Decoded:
    """Decode datagrams that stand for themselves: all of a capture.

    Args:
        datagrams: in order of arrival, as `collector.pcap.datagrams` gives them.
        habits: what the exporter does differently from the formats' texts
        (`collector.decode.habits`).
        ports: UDP destination port to `NETFLOW` or `SFLOW`.
    """
    return Decoder(habits, ports).decode(datagrams, last=True)
