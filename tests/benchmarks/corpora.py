"""The corpora of the benchmarks: five kinds of export as pcap files, with known totals.

    python -m tests.benchmarks.corpora FOLDER --records 1000000 --seed 1

Records are of 100 000 different 5-tuples (TCP and UDP over IPv4): one record of each, then records
of tuples drawn at random. They are written block by block, so memory does not grow with their
number. What a corpus holds depends on its name, the number of records and the seed alone.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from collector import pcap
from collector.decode import OPEN_VSWITCH, decode
from collector.decode.address import ipv4_column
from collector.decode.packet import IPV4, TCP, UDP
from collector.decode.templates import NETFLOW9, read_templates
from collector.encode import (
    Division,
    Session,
    Template,
    announced,
    data,
    ipfix,
    netflow5,
    netflow9,
    pcap_records,
    repeating,
    sflow,
    template,
    time_columns,
)
from collector.encode.packet import frame_octets, sampled
from collector.recording import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from collector.encode import Sent
    from collector.encode.sets import Items, Stream

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "openvswitch.pcap"
TUPLES: Final = 100_000
BLOCK_RECORDS: Final = 42_000
"""Written at once: whole datagrams of 30, 25, 20 and 7 records."""
RECORDS_PER_S: Final = 100_000
"""How fast they were exported, as their times tell."""
BEGIN_NS: Final = 1_700_000_000_000_000_000
BOOT_MS: Final = BEGIN_NS // 1_000_000 - 86_400_000
_LONGEST_FLOW_NS: Final = 60_000_000_000
_MOST_PACKETS: Final = 1_000
_HEADER_OCTETS: Final = 128
_ETHERNET_OCTETS: Final = 14
_FCS_OCTETS: Final = 4
_PORTS: Final = np.array([f"s1-eth{number}".encode() for number in range(1, 17)], object)
OPEN_VSWITCH_TEMPLATES: Final = {280: TCP, 284: UDP}
"""Those of what came in over IPv4 without a VLAN tag: 52 and 46 fields."""
_SECOND_NS: Final = 1_000_000_000

_KEY: Final = (
    *("sourceIPv4Address", "destinationIPv4Address", "sourceTransportPort"),
    *("destinationTransportPort", "protocolIdentifier"),
)
_OTHERS: Final[dict[str, Any]] = {
    "ipNextHopIPv4Address": 0x0A000001,
    "ingressInterface": 3,
    "egressInterface": 4,
    "ipClassOfService": 0,
    "bgpSourceAsNumber": 64_500,
    "bgpDestinationAsNumber": 64_501,
    "sourceIPv4PrefixLength": 24,
    "destinationIPv4PrefixLength": 16,
}
"""What is the same in all records."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a corpus holds: what every collector has to find in it."""

    records: int = 0
    """Data records, or samples."""
    datagrams: int = 0
    """Those with templates included."""
    tuples: int = 0
    """Different 5-tuples."""
    packets: int = 0
    octets_l3: int = 0
    """Of IP packets."""
    octets_l2: int | None = None
    """Of Ethernet frames without FCS, where records say it."""


class Exporter(NamedTuple):
    """Somebody who exports block after block."""

    session: Session
    agent: sflow.Agent


@dataclass(frozen=True)
class Corpus:
    """A kind of corpus."""

    title: str
    port: int
    """Where the datagrams are sent to."""
    encode: Callable[[dict[str, NDArray[Any]], Exporter], tuple[Sent, Exporter]]
    """A block of records to datagrams."""
    frames: bool = False
    """Its records say how long frames are."""
    single: bool = False
    """Its records are of one packet each."""


# ── records ──


@cache
def tuples(seed: int) -> dict[str, NDArray[np.int64]]:
    """The columns of 100 000 different 5-tuples."""
    rng = np.random.default_rng([seed, 0])
    wanted = TUPLES + TUPLES // 10
    columns = {
        "sourceIPv4Address": 0x0A000000 + rng.integers(0, 1 << 18, wanted),
        "destinationIPv4Address": 0xC6120000 + rng.integers(0, 1 << 12, wanted),
        "sourceTransportPort": rng.integers(1_024, 1 << 16, wanted),
        "destinationTransportPort": rng.choice([22, 53, 80, 123, 443, 853, 8_080, 8_443], wanted),
        "protocolIdentifier": rng.choice([TCP, UDP], wanted, p=[0.8, 0.2]),
    }
    _, first = np.unique(np.stack(list(columns.values())), axis=1, return_index=True)
    chosen = np.sort(first)[:TUPLES]
    return {name: column[chosen] for name, column in columns.items()}


def blocks(records: int, seed: int, *, single: bool = False) -> Iterator[dict[str, NDArray[Any]]]:
    """The records, block by block: columns of IANA names, and `tuple`, which of the 5-tuples.

    Args:
        records: how many in all.
        seed: decides on what they are.
        single: every record is of one packet.
    """
    rng = np.random.default_rng([seed, 1])
    first_ones = rng.permutation(TUPLES)
    for begin in range(0, records, BLOCK_RECORDS):
        number = np.arange(begin, min(begin + BLOCK_RECORDS, records))
        count = len(number)
        drawn = rng.integers(0, TUPLES, count)
        which = np.where(number < TUPLES, first_ones[np.minimum(number, TUPLES - 1)], drawn)
        columns = {name: column[which] for name, column in tuples(seed).items()}
        packets = 1 if single else np.minimum(rng.geometric(0.05, count), _MOST_PACKETS)
        packets = np.broadcast_to(packets, count)
        octets = packets * rng.integers(118, 1_501, count)
        export_ns = BEGIN_NS + number * (_SECOND_NS // RECORDS_PER_S)
        # A header's second may be over already when its records are sent.
        last_ns = export_ns - _SECOND_NS - rng.integers(0, _SECOND_NS, count)
        first_ns = last_ns - rng.integers(0, _LONGEST_FLOW_NS, count)
        is_tcp = columns["protocolIdentifier"] == TCP
        yield columns | {
            "tuple": which,
            "packetDeltaCount": packets,
            "octetDeltaCount": octets,
            "tcpControlBits": np.where(is_tcp, rng.choice([0x1B, 0x13, 0x02], count), 0),
            "export_ns": export_ns,
            "first_ns": first_ns,
            "last_ns": last_ns,
        }


def _times(of: Template, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns of a template's times."""
    stamps = (columns["first_ns"], columns["last_ns"], columns["export_ns"])
    return time_columns(of.layout, *stamps, BOOT_MS)


# ── the five kinds ──


def _netflow5(columns: dict[str, NDArray[Any]], exporter: Exporter) -> tuple[Sent, Exporter]:
    times = {
        "flowStartMilliseconds": columns["first_ns"] // 1_000_000,
        "flowEndMilliseconds": columns["last_ns"] // 1_000_000,
    }
    table = {**columns, **_OTHERS, **times}
    sent, session = netflow5.datagrams(table, exporter.session, columns["export_ns"])
    return sent, exporter._replace(session=session)


_NETFLOW9_FLOW: Final = template(
    260,
    [
        *_KEY,
        *(("packetDeltaCount", 4), ("octetDeltaCount", 4)),
        *("flowStartSysUpTime", "flowEndSysUpTime", ("tcpControlBits", 1), "ipClassOfService"),
        *(("ingressInterface", 2), ("egressInterface", 2), "ipNextHopIPv4Address"),
        *("bgpSourceAsNumber", "bgpDestinationAsNumber"),
        *("sourceIPv4PrefixLength", "destinationIPv4PrefixLength"),
    ],
    version=NETFLOW9,
)
_IPFIX_FLOW: Final = template(
    260,
    [
        *_KEY,
        *("packetDeltaCount", "octetDeltaCount", "flowStartMilliseconds", "flowEndMilliseconds"),
        *(("tcpControlBits", 1), "ipClassOfService", "ingressInterface", "egressInterface"),
        *("ipNextHopIPv4Address", "bgpSourceAsNumber", "bgpDestinationAsNumber"),
        *("sourceIPv4PrefixLength", "destinationIPv4PrefixLength"),
    ],
)


def _netflow9(columns: dict[str, NDArray[Any]], exporter: Exporter) -> tuple[Sent, Exporter]:
    table = {**columns, **_OTHERS, **_times(_NETFLOW9_FLOW, columns)}
    parts, order, times = _announcing([_NETFLOW9_FLOW], [data(_NETFLOW9_FLOW, table)], columns)
    sent, session = netflow9.packets(
        parts, exporter.session, times, order=order, division=Division(25)
    )
    return sent, exporter._replace(session=session)


def _ipfix(columns: dict[str, NDArray[Any]], exporter: Exporter) -> tuple[Sent, Exporter]:
    table = {**columns, **_OTHERS, **_times(_IPFIX_FLOW, columns)}
    parts, order, times = _announcing([_IPFIX_FLOW], [data(_IPFIX_FLOW, table)], columns)
    sent, session = ipfix.messages(
        parts, exporter.session, times, order=order, division=Division(20, 1_500)
    )
    return sent, exporter._replace(session=session)


def _announcing(
    templates: Sequence[Template],
    parts: Sequence[Items],
    columns: dict[str, NDArray[Any]],
    order: NDArray[np.int64] | None = None,
) -> Stream:
    """Templates in front of a block."""
    return repeating(announced(templates), parts, columns["export_ns"], np.zeros(1, int), order)


@cache
def _golden() -> tuple[tuple[Template, ...], dict[int, tuple[Template, dict[str, Any]]]]:
    """Open vSwitch's templates, and per protocol one with the fields of a record that it sent."""
    found = pcap.datagrams(pcap.read(GOLDEN))
    known: dict[int, Template] = {}
    for at, size in zip(found.offset.tolist(), found.length.tolist(), strict=True):
        payload = found.buffer[at : at + size].tobytes()
        if payload[:2] == b"\0\x0a" and payload[16:18] == b"\0\2":
            for one in read_templates(payload[20:], options=False):
                known.setdefault(one.template, Template(one.template, one.layout))
    samples = {}
    for batch in decode(found, OPEN_VSWITCH).batches:
        if batch.protocol == "ipfix" and int(batch.template[0]) in OPEN_VSWITCH_TEMPLATES:
            of = known[int(batch.template[0])]
            values = {name: batch.columns[name][0] for name in of.layout.places}
            samples[OPEN_VSWITCH_TEMPLATES[of.id]] = of, values
    return tuple(known.values()), samples


def _open_vswitch(columns: dict[str, NDArray[Any]], exporter: Exporter) -> tuple[Sent, Exporter]:
    templates, samples = _golden()
    frames = columns["octetDeltaCount"] + _ETHERNET_OCTETS * columns["packetDeltaCount"]
    varying = {
        **columns,
        "layer2OctetDeltaCount": frames,
        "interfaceName": _PORTS[columns["sourceIPv4Address"] % len(_PORTS)],
        # Open vSwitch counts all that it sends in these. nfdump takes them for the flow's.
        "packetTotalCount": columns["packetDeltaCount"],
        "octetTotalCount": columns["octetDeltaCount"],
    }
    parts = []
    for protocol, (of, values) in samples.items():
        rows = np.flatnonzero(columns["protocolIdentifier"] == protocol)
        some = {name: column[rows] for name, column in varying.items()}
        parts.append(data(of, {**values, **some, **_times(of, some)}, len(rows)))
    order = np.where(columns["protocolIdentifier"] == next(iter(samples)), 0, 1)
    # Open vSwitch announces every 600 s: in these corpora, once.
    templates = templates if columns["export_ns"][0] == BEGIN_NS else ()
    parts, order, times = _announcing(templates, parts, columns, order)
    sent, session = ipfix.messages(
        parts, exporter.session, times, order=order, division=Division(1)
    )
    return sent, exporter._replace(session=session)


def _sflow(columns: dict[str, NDArray[Any]], exporter: Exporter) -> tuple[Sent, Exporter]:
    count = len(columns["tuple"])
    head, agent = sflow.numbered(
        exporter.agent,
        {
            "sourceIdIndex": columns["tuple"] % len(_PORTS) + 1,
            "samplingInterval": np.ones(count, np.int64),
            "ingressInterface": columns["tuple"] % len(_PORTS) + 1,
            "egressInterface": 99,
        },
    )
    packets = {
        **columns,
        "sourceIPAddress": ipv4_column(columns["sourceIPv4Address"].astype(np.uint32)),
        "destinationIPAddress": ipv4_column(columns["destinationIPv4Address"].astype(np.uint32)),
        "sourceMacAddress": 0x020000000001,
        "destinationMacAddress": 0x020000000002,
        "ethernetType": IPV4,
        "ipVersion": 4,
        "ipTotalLength": columns["octetDeltaCount"],
    }
    header = sampled(packets, np.full(count, _HEADER_OCTETS))
    record = sflow.raw_header(header, frame_octets(packets) + _FCS_OCTETS)
    part = sflow.samples(sflow.FLOW, head, [record])
    sent, agent = sflow.datagrams([part], agent, columns["export_ns"], division=Division(7))
    return sent, exporter._replace(agent=agent)


CORPORA: Final = {
    "netflow5": Corpus("NetFlow v5, 30 records a datagram", 2055, _netflow5),
    "netflow9": Corpus("NetFlow v9, 25 records a datagram", 2055, _netflow9),
    "ipfix": Corpus("IPFIX, 20 records a message", 4739, _ipfix),
    "openvswitch": Corpus(
        "IPFIX as Open vSwitch sends it, 1 record a message", 4739, _open_vswitch, frames=True
    ),
    "sflow": Corpus(
        "sFlow, 7 samples of 128 octets a datagram", 6343, _sflow, frames=True, single=True
    ),
}


def write(name: str, path: Path, records: int, seed: int = 1) -> Totals:
    """Write a corpus.

    Args:
        name: one of `CORPORA`.
        path: of the pcap file.
        records: data records, or samples.
        seed: decides on what they are.
    """
    corpus = CORPORA[name]
    session = Session(sequence=1, domain=1, boot_ms=BOOT_MS)
    exporter = Exporter(session, sflow.Agent("192.0.2.1", boot_ms=BOOT_MS))
    totals = Totals(octets_l2=0 if corpus.frames else None)
    seen = np.zeros(TUPLES, np.bool_)
    with Writer(path) as writer:
        for columns in blocks(records, seed, single=corpus.single):
            sent, exporter = corpus.encode(columns, exporter)
            writer.write_records(pcap_records(sent.datagrams(corpus.port)).data)
            seen[columns["tuple"]] = True
            totals = _added(totals, columns, len(sent.offset))
    return replace(totals, tuples=int(seen.sum()))


def _added(totals: Totals, columns: dict[str, NDArray[Any]], datagrams: int) -> Totals:
    """The totals with a block more."""
    packets = int(columns["packetDeltaCount"].sum())
    octets = int(columns["octetDeltaCount"].sum())
    frames = totals.octets_l2
    return replace(
        totals,
        records=totals.records + len(columns["tuple"]),
        datagrams=totals.datagrams + datagrams,
        packets=totals.packets + packets,
        octets_l3=totals.octets_l3 + octets,
        octets_l2=None if frames is None else frames + octets + _ETHERNET_OCTETS * packets,
    )


def main() -> None:
    """Write the corpora into a folder, and their totals to standard output as JSON."""
    parser = argparse.ArgumentParser(description="Write the corpora of the benchmarks.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=CORPORA, action="append")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in options.only or CORPORA:
        path = options.folder / f"{name}.pcap"
        found[name] = asdict(write(name, path, options.records, options.seed))
    print(json.dumps(found, indent=2))  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
