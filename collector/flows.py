"""One flow table for all protocols, and the same table for what crossed the wire.

A row is a flow as one observation point saw it through one exporter: the key, what was counted, and
where the numbers came from. A biflow (RFC 5103) is two rows, one for each direction that had
packets. What no record says stays null: an octet count of a layer that the exporter does not count,
TCP flags of a flow that is not TCP or whose exporter does not send them, times that are not
exported. Rows are in no order.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector.biflows import directions
from collector.decode.octets import Octets
from collector.decode.packet import ETHERNET, dissect
from collector.key import FlowKey
from collector.observations import observe, observe_wire
from collector.recording import ETHERNET as LINKTYPE_ETHERNET
from collector.tally import KEY_NUMBERS, LARGEST, OBSERVER_NUMBERS, Tally
from collector.texts import end_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from collector.decode import Batch, Decoded
    from collector.observations import Columns
    from collector.pcap import Capture

KEY: Final = {
    "ipVersion": pl.UInt8,
    "ethernetType": pl.UInt16,
    "source": pl.String,
    "destination": pl.String,
    "protocolIdentifier": pl.UInt8,
    "sourceTransportPort": pl.UInt16,
    "destinationTransportPort": pl.UInt16,
}
"""The flow key. ipVersion 0: not IP, and the addresses are MAC addresses. ICMP: source port 0,
destination port type << 8 | code. Protocols without ports, and later fragments: ports 0."""

OBSERVER: Final = {
    "protocol": pl.String,
    "exporter": pl.String,
    "observation_domain": pl.UInt32,
    "agent": pl.String,
    "sub_agent": pl.UInt32,
    "flowDirection": pl.UInt8,
}
"""Who saw it: netflow5, netflow9 and ipfix have an observation domain, sflow5 has an agent and
sub-agent. flowDirection: 0 ingress, 1 egress, null not said."""

MEASURES: Final = {
    "packets": pl.UInt64,
    "octets_l2": pl.UInt64,
    "octets_l3": pl.UInt64,
    "tcpControlBits": pl.UInt16,
    "first_ns": pl.Int64,
    "last_ns": pl.Int64,
}
"""Scaled by the sampling rate. octets_l2: frames without FCS; octets_l3: IP packets with their
headers.
A count or sum above 2^63 - 1, and a time that is not of 1970 to 2262, are not known.
tcpControlBits: all that the flow had. Times: of the first and the last packet, ns since 1970."""

ORIGIN: Final = {
    "records": pl.UInt32,
    "datagram": pl.UInt32,
    "offset": pl.UInt32,
    "sampling_rate": pl.Float64,
    "samples": pl.UInt64,
}
"""How many records were summed; datagram (1-based) and octet offset of the first one; the rate that
was applied, and the packets before that (both null if the records do not say it: then the exporter
has scaled, or not sampled)."""

FLOWS: Final = OBSERVER | KEY | MEASURES | ORIGIN
"""The columns of `flows`."""

LENGTHS: Final = ("octets_l2", "octets_l3")
SPREAD: Final = {"squares": pl.Float64, "longest": pl.UInt64}
"""How the lengths of a flow's packets are spread: the sum of their squares, and the longest."""

EACH: Final = (
    OBSERVER
    | KEY
    | {name: MEASURES[name] for name in ("first_ns", "last_ns")}
    | {"ingressInterface": pl.UInt32, "egressInterface": pl.UInt32}
)
"""The columns of `each`: of single records, when their packets came, and by which ports."""

WIRE_FLOWS: Final = (
    {"observation_point": pl.String}
    | KEY
    | MEASURES
    | {"payload_octets": pl.UInt64}
    | {f"{octets}_{what}": kind for octets in LENGTHS for what, kind in SPREAD.items()}
)
"""The columns of `wire_flows`."""

_ON_THE_WIRE: Final = KEY_NUMBERS | MEASURES | {"syn": pl.Int64, "fin": pl.Int64}


def flows(decoded: Decoded) -> pl.DataFrame:
    """All flows in decoded records, one row per exporter, observation point, direction and key.

    Returns:
        The columns of `FLOWS`. Options records, counters, and records without a flow key make no
        flow.
    """
    return summed(observed(decoded))


def summed(records: Iterable[Columns]) -> pl.DataFrame:
    """Flows out of what records say, in the columns of `FLOWS`.

    Args:
        records: as `observed` gives them.
    """
    tally = Tally()
    for columns in records:
        tally.add(columns)
    table = tally.table().with_columns(
        datagram=pl.col("origin") // (1 << 32),
        offset=pl.col("origin") % (1 << 32),
        sampling_rate=pl.col("packets") / pl.col("samples"),
    )
    return _with_texts(table, ("exporter", "agent")).select(_typed(FLOWS))


def observed(decoded: Decoded, *, origin: bool = True) -> Iterator[Columns]:
    """What every record says of a flow, who sent it, and where it is: before anything is summed.

    Args:
        decoded: the records.
        origin: whether it is asked where they are.

    Yields:
        For each batch, and for the other direction of biflows in it, the columns of
        `collector.observations.observe`, those of `OBSERVER_NUMBERS` as far as they are known, and
        origin: datagram << 32 | offset.
    """
    for batch in _batches(decoded):
        columns = observe(batch, decoded.habits)
        if columns is not None:
            yield columns | _observer(batch) | (_origin(batch) if origin else {})


def rows(columns: Columns) -> pl.DataFrame:
    """One batch of `observed` as a table: a row for each record, what is not known null."""
    return _frame(columns, OBSERVER_NUMBERS | KEY_NUMBERS | MEASURES | {"samples": pl.UInt64})


def each(decoded: Decoded) -> pl.DataFrame:
    """Every record by itself, biflows as two: who sent it, its flow, its times and interfaces.

    Returns:
        The columns of `EACH`; what a record does not say is null.
    """
    numbers = {name: kind for name, kind in EACH.items() if name not in OBSERVER | KEY}
    schema = OBSERVER_NUMBERS | KEY_NUMBERS | numbers
    tables = []
    for batch in _batches(decoded):
        columns = observe(batch, decoded.habits)
        if columns is not None:
            ports = {
                name: batch.columns[name]
                for name in ("ingressInterface", "egressInterface")
                if name in batch.columns
            }
            tables.append(_frame(columns | _observer(batch) | ports, schema))
    table = pl.concat(tables) if tables else pl.DataFrame(schema=schema)
    return _with_texts(table, ("exporter", "agent")).select(_typed(EACH))


def wire_flows(capture: Capture, observation_point: str) -> pl.DataFrame:
    """The flows among captured frames: what really crossed one point of the wire.

    payload_octets is, for TCP, what one side sent: sequence number of its FIN less that of its SYN
    less 1; null if one of them was not seen, or if they belong to several connections.

    Returns:
        The columns of `WIRE_FLOWS`. Frames shorter than an Ethernet header make no flow.
    """
    if capture.linktype != LINKTYPE_ETHERNET:
        return pl.DataFrame(schema=WIRE_FLOWS)
    packets = dissect(Octets(capture.buffer), capture.offsets, capture.lengths)
    observed = _frame(observe_wire(capture, packets), _ON_THE_WIRE)
    table = (
        observed[np.flatnonzero(packets.depth >= ETHERNET)]
        .group_by(list(KEY_NUMBERS))
        .agg(
            *sums("packets", "octets_l2", "octets_l3"),
            *_flags_and_times(),
            *(_if_only_one(name) for name in ("syn", "fin")),
            *_spread(),
        )
        .with_columns(
            observation_point=pl.lit(observation_point),
            payload_octets=(pl.col("fin") - pl.col("syn") - 1) % (1 << 32),
        )
    )
    return _with_texts(table, ()).select(_typed(WIRE_FLOWS))


def flow_key(row: Mapping[str, Any]) -> FlowKey:
    """The flow key of a row of `flows` or `wire_flows`, as `iter_rows(named=True)` gives it."""
    version = row["ipVersion"]
    return FlowKey(
        ip_version=version,
        source=row["source"],
        destination=row["destination"],
        protocol=row["protocolIdentifier"] if version else row["ethernetType"],
        source_port=row["sourceTransportPort"],
        destination_port=row["destinationTransportPort"],
    )


def flow_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """The flow key of a row under its IANA names."""
    return flow_key(row).to_json()


def _batches(decoded: Decoded) -> Iterator[Batch]:
    """All batches, with those of the other directions of biflows."""
    return chain.from_iterable(map(directions, decoded.batches))


def _observer(batch: Batch) -> Columns:
    """Who sent the records of a batch."""
    columns: Columns = {
        "protocol": batch.protocol,
        "exporter_upper": batch.exporter[:, 0],
        "exporter_lower": batch.exporter[:, 1],
    }
    if batch.observation_domain is not None:
        columns["observation_domain"] = batch.observation_domain
    if batch.agent is not None and batch.sub_agent is not None:
        columns["agent_upper"], columns["agent_lower"] = batch.agent[:, 0], batch.agent[:, 1]
        columns["sub_agent"] = batch.sub_agent
    return columns


def _origin(batch: Batch) -> Columns:
    """Where the records of a batch are."""
    datagram = np.maximum(batch.datagram, 0).astype(np.uint64)
    return {"origin": datagram << 32 | batch.offset.astype(np.uint64)}


def _frame(columns: Columns, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Columns in the types of `schema`; what is not there, masked, or out of range is null."""
    series = []
    height = max(len(column) for column in columns.values() if isinstance(column, np.ndarray))
    for name, kind in schema.items():
        column = columns.get(name)
        if column is None or isinstance(column, str | int):
            series.append(pl.Series(name, [column], kind).new_from_index(0, height))
        elif isinstance(column, np.ma.MaskedArray):
            values = pl.Series(name, column.data).cast(kind, strict=False)
            unknown = pl.Series(np.ma.getmaskarray(column))
            series.append(values.scatter(unknown.arg_true(), None))
        else:
            series.append(pl.Series(name, np.ascontiguousarray(column)).cast(kind, strict=False))
    return pl.DataFrame(series)


def sums(*names: str) -> Iterable[pl.Expr]:
    """Sums that are null as soon as one summand is, or if they are above `LARGEST`."""
    for name in names:
        column = pl.col(name)
        # Whole numbers would wrap, which fractions do not.
        known = (column.null_count() == 0) & (column.cast(pl.Float64).sum() <= LARGEST)
        yield pl.when(known).then(column.sum()).alias(name)


def _flags_and_times() -> Iterable[pl.Expr]:
    """All flags, the first time, the last time."""
    yield pl.col("tcpControlBits").bitwise_or()
    yield pl.col("first_ns").min()
    yield pl.col("last_ns").max()


def _spread() -> Iterable[pl.Expr]:
    """Of each length its squares' sum and the longest; null where a packet has no such length."""
    for name in LENGTHS:
        column = pl.col(name)
        known = pl.when(column.null_count() == 0)
        yield known.then((column.cast(pl.Float64) ** 2).sum()).alias(f"{name}_squares")
        yield known.then(column.max()).alias(f"{name}_longest")


def _if_only_one(name: str) -> pl.Expr:
    """The value that all rows agree on that have one; null if there is none or they differ."""
    column = pl.col(name)
    return pl.when(column.min() == column.max()).then(column.min()).alias(name)


def _with_texts(table: pl.DataFrame, observers: Iterable[str]) -> pl.DataFrame:
    """Write addresses as text."""
    texts = []
    for name in ("source", "destination", *observers):
        halves = [table[f"{name}_{half}"] for half in ("upper", "lower")]
        # Who observes has an IP address, or is not known by address.
        kinds = (
            table["ipVersion"] if name not in observers else pl.repeat(4, len(table), eager=True)
        )
        text = end_texts(kinds, *(half.fill_null(0) for half in halves))
        texts.append(text.set(halves[0].is_null(), None).alias(name))
    return table.with_columns(texts)


def _typed(schema: Mapping[str, Any]) -> list[pl.Expr]:
    """The columns of a schema, in its types."""
    return [pl.col(name).cast(kind) for name, kind in schema.items()]
