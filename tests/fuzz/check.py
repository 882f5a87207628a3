"""What must hold of any octets that a collector receives, whatever they are.

A case is a few datagrams, each with an octet for its port and two for its length in front. The
fuzzer makes cases, and those that taught it something are run again by `test_found.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from collector.decode import OPEN_VSWITCH, Datagrams, Decoder, Limits
from collector.decode.elements import LISTS
from collector.decode.layout import Columns
from collector.decode.templates import IPFIX, NETFLOW9
from collector.encode import (
    NotEncodableError,
    Session,
    Template,
    announced,
    data,
    ipfix,
    netflow9,
)
from collector.flows import flows
from tests.unit.collector.both_ways import assert_both_ways_agree
from tests.unit.collector.tables import assert_same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.decode import Batch, Decoded

PORTS = (2055, 4739, 6343, 53)
"""Of the last one no protocol is known."""
MOST_DATAGRAMS = 8
LIMITS = Limits(
    templates_per_exporter=6,
    templates=6,
    fields_per_template=64,
    fields=200,
    waiting_sets=4,
    waiting_octets=2_000,
    exporters=2,
    interfaces=4,
)
"""So low that a case can reach them."""


def case(datagrams: Sequence[tuple[int, bytes]]) -> bytes:
    """The octets of a case."""
    return b"".join(
        bytes([PORTS.index(port)]) + len(payload).to_bytes(2, "big") + payload
        for port, payload in datagrams
    )


def datagrams(octets: bytes) -> list[tuple[int, bytes]]:
    """The datagrams of a case: port and payload; any octets are some."""
    found, at = [], 0
    while at + 3 <= len(octets) and len(found) < MOST_DATAGRAMS:
        size = int.from_bytes(octets[at + 1 : at + 3], "big")
        found.append((PORTS[octets[at] % len(PORTS)], octets[at + 3 : at + 3 + size]))
        at += 3 + size
    return found


def check(octets: bytes) -> None:
    """Decode a case in one block and datagram by datagram, and look at all that comes of it."""
    received = datagrams(octets)
    together = Decoder(OPEN_VSWITCH, most=LIMITS)
    decoded = together.decode(block(received), last=True)
    assert_both_ways_agree(
        lambda: Decoder(OPEN_VSWITCH, most=LIMITS).decode(block(received), last=True)
    )
    flows(decoded)
    check_decoded(together, received, decoded)
    for batch in decoded.batches:
        _check_round_trip(batch)
    one_by_one = Decoder(most=LIMITS)
    for one in received:
        check_decoded(one_by_one, [one], one_by_one.decode(block([one])))
        assert one_by_one.waiting.sets <= LIMITS.waiting_sets
        assert one_by_one.waiting.octets <= LIMITS.waiting_octets
        assert len(one_by_one.templates) <= LIMITS.templates


def block(received: Sequence[tuple[int, bytes]]) -> Datagrams:
    """Datagrams of one exporter, to several ports."""
    made = Datagrams.of([payload for _, payload in received], 0)
    made.destination_port[:] = [port for port, _ in received]
    return made


def check_decoded(
    decoder: Decoder, received: Sequence[tuple[int, bytes]], decoded: Decoded
) -> None:
    """Nothing that was received is out of place, and every value can be looked at."""
    summary = decoded.summary
    assert summary.datagrams == len(received)
    assert summary.records == sum(len(batch) for batch in decoded.batches)
    lengths = np.array([len(payload) for _, payload in received], np.int64)
    for fault in summary.undecodable:
        assert fault.available >= 0
        if fault.datagram > 0:
            assert 0 <= fault.offset <= lengths[fault.datagram - 1]
    octets = np.zeros(len(received), np.int64)
    for batch in decoded.batches:
        _check_batch(decoder, batch)
        here = batch.datagram > 0
        number, shortest = batch.datagram[here] - 1, _shortest(batch)
        assert (batch.offset[here] >= 0).all()
        assert (batch.offset[here] + shortest <= lengths[number]).all()
        if batch.kind in ("data", "options"):
            np.add.at(octets, number, shortest)
    # More records than there are octets for: some of them are phantoms.
    assert (octets <= lengths).all()


def _shortest(batch: Batch) -> int:
    """Octets that none of its records is shorter than."""
    assert isinstance(batch.columns, Columns)
    return batch.columns.layout.minimum_octets


def _check_batch(decoder: Decoder, batch: Batch) -> None:
    """Look at every value, and into every list."""
    assert isinstance(batch.columns, Columns)
    for name in batch.columns:
        assert len(batch.columns[name]) == len(batch)
    for name, place in batch.columns.layout.places.items():
        if place.field.kind in LISTS:
            decoder.nested(batch, name)


def _check_round_trip(batch: Batch) -> None:
    """What came from templates can be written, and is read again as it was."""
    if batch.kind not in ("data", "options") or batch.protocol == "netflow5":
        return
    assert isinstance(batch.columns, Columns)
    version = IPFIX if batch.protocol == "ipfix" else NETFLOW9
    template = Template(300, batch.columns.layout, version)
    try:
        parts = [*announced([template]), data(template, batch.columns, len(batch))]
        encode = ipfix.messages if version == IPFIX else netflow9.packets
        sent, _ = encode(parts, Session(), 0)
    except NotEncodableError:
        return  # Wider than a datagram, or of an element without a number in this format.
    again = Decoder().decode(sent.datagrams(2055))
    assert not again.summary.faults
    (same,) = again.batches
    wanted = {name: batch.columns[name] for name in batch.columns.layout.places}
    assert_same(same.columns, wanted)
