"""Flows drawn by chance, and the records that tell of them: columns under IANA's names.

What is drawn depends on the profile, the number of records and the seed alone. Records come block
by block, so memory does not grow with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode.packet import ICMP, ICMPV6, IPV4, IPV6, TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from collector.generate.profile import FlowsOf

Columns = dict[str, Any]

BLOCK_RECORDS: Final = 42_000
"""Drawn at once: whole datagrams of 30, 25, 20, 10 and 7 records."""
BEGIN_NS: Final = 1_700_000_000_000_000_000
_MS_NS: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000
_MOST_TIMES: Final = 50
"""As many times the average has the largest record at most."""
_NUMBERS: Final = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
_PORTS: Final = (22, 53, 80, 123, 443, 853, 8_080, 8_443)
_FLAGS: Final = (0x1B, 0x13, 0x02)
_ANSWER_FLAGS: Final = (0x1B, 0x13, 0x12)
_SYN: Final = 0x02
_SYN_OCTETS: Final = 60
"""Of an IPv4 packet with a SYN and the options that Linux sends."""
_SCANNED: Final = (23, 445, 1_433, 3_389)
_FLOODED: Final = (80, 443)
_SWEPT: Final = 0xC6130000
"""198.19.0.0, of which other flows know nothing (RFC 2544)."""
_SPOOFED: Final = 0x64400000
"""100.64.0.0 (RFC 6598)."""
_ECHO: Final = {4: 0x0800, 6: 0x8000}
_PREFIX: Final = 0x2001_0DB8 << 32
ETHERNET_OCTETS: Final = 14
_TAG_OCTETS: Final = 4


@dataclass(frozen=True)
class Table:
    """Flow keys, and all that is the same in every record of a flow.

    Attributes:
        columns: one value per flow.
        overhead: octets by which a frame is longer than its IP packet.
        lone: of each flow, whether it is a single SYN.
    """

    columns: Columns
    overhead: int
    lone: NDArray[np.bool_]

    def __len__(self) -> int:
        """How many flows."""
        return len(self.columns["ipVersion"])


def table(of: FlowsOf, seed: int) -> Table:
    """Draw the flows: every key once."""
    rng = np.random.default_rng([seed, 0])
    wanted = of.different + of.different // 10 + 10
    keys = np.zeros((0, 6), np.int64)
    while len(keys) < of.different:
        more = _keys(of, rng, wanted)
        keys = np.concatenate([keys, more])
        _, first = np.unique(keys, axis=0, return_index=True)
        keys = keys[np.sort(first)]
    keys = keys[: of.different]
    attacks = _attacks(of, seed, keys)
    keys[len(keys) - len(attacks) :] = attacks
    lone = np.arange(of.different) >= of.different - len(attacks)
    version, source, destination, source_port, destination_port, protocol = keys.T
    number = np.arange(of.different)
    six = np.stack([np.full(of.different, _PREFIX, np.uint64)] * 2)
    label = np.array([of.mpls << 4 | 1], ">u4").view(np.uint8)[1:]
    columns: Columns = {
        "ipVersion": version,
        "ethernetType": np.where(version == 4, IPV4, IPV6),
        "sourceIPv4Address": source,
        "destinationIPv4Address": destination,
        "sourceIPv6Address": np.stack([six[0], source.astype(np.uint64)], axis=1),
        "destinationIPv6Address": np.stack([six[1], destination.astype(np.uint64)], axis=1),
        "sourceTransportPort": source_port,
        "destinationTransportPort": destination_port,
        "icmpTypeCodeIPv4": destination_port,
        "icmpTypeCodeIPv6": destination_port,
        "protocolIdentifier": protocol,
        "ingressInterface": number % of.interfaces + 1,
        "egressInterface": (number + 1) % of.interfaces + 1,
        "sourceMacAddress": 0x0200_0000_0000 + source % (1 << 24),
        "destinationMacAddress": 0x0200_0100_0000 + destination % (1 << 24),
        "vlanId": np.full(of.different, of.vlan),
        "dot1qVlanId": np.full(of.different, of.vlan),
        "mplsTopLabelStackSection": np.tile(label, (of.different, 1)),
    }
    overhead = ETHERNET_OCTETS + _TAG_OCTETS * (bool(of.vlan) + bool(of.mpls))
    return Table(columns, overhead, lone)


def _attacks(of: FlowsOf, seed: int, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """A scan by one of the sources and a flood of one of the destinations, as there are wanted."""
    rng = np.random.default_rng([seed, 2])
    quiet = max(1, len(keys) - of.scan - of.flood)
    scanner, victim = keys[rng.integers(0, quiet), 1], keys[rng.integers(0, quiet), 2]
    drawn = np.zeros((of.scan + of.flood, 6), np.int64)
    scan, flood = drawn[: of.scan], drawn[of.scan :]
    drawn[:, 0], drawn[:, 5] = 4, TCP
    drawn[:, 3] = rng.integers(1_024, 1 << 16, len(drawn))
    scan[:, 1], scan[:, 4] = scanner, rng.choice(_SCANNED)
    scan[:, 2] = _SWEPT + np.arange(len(scan))
    flood[:, 1] = _SPOOFED + rng.permutation(1 << 16)[: len(flood)]
    flood[:, 2], flood[:, 4] = victim, rng.choice(_FLOODED)
    return drawn


def _keys(of: FlowsOf, rng: np.random.Generator, wanted: int) -> NDArray[np.int64]:
    weights = np.array(list(of.protocols.values()), float)
    protocol = rng.choice(
        [_NUMBERS[name] for name in of.protocols], wanted, p=weights / weights.sum()
    )
    version = np.where(rng.integers(0, 100, wanted) < of.ipv6_percent, 6, 4)
    source_port = rng.integers(1_024, 1 << 16, wanted)
    destination_port = rng.choice(_PORTS, wanted)
    icmp = protocol == ICMP
    source_port[icmp] = 0
    echo = np.where(version == 4, _ECHO[4], _ECHO[6])
    return np.stack(
        [
            version,
            0x0A000000 + rng.integers(0, of.sources, wanted),
            0xC6120000 + rng.integers(0, of.destinations, wanted),
            source_port,
            np.where(icmp, echo, destination_port),
            np.where(icmp & (version == 6), ICMPV6, protocol),
        ],
        axis=1,
    )


def records(
    of: FlowsOf,
    drawn: Table,
    count: int,
    seed: int,
    *,
    wanted: Collection[str] = (),
    single: bool = False,
    biflows: bool = False,
) -> Iterator[Columns]:
    """Records of flows, in the order in which they leave.

    Args:
        of: what is known of the flows.
        drawn: the flows.
        count: how many records.
        seed: decides on the rest.
        wanted: columns of the table that are asked for; none: all.
        single: every record is of one packet.
        biflows: what came back is told, too.

    Yields:
        A block: the columns of the table, and tuple (which flow), packetDeltaCount,
        octetDeltaCount, layer2OctetDeltaCount, tcpControlBits, first_ns, last_ns, export_ns;
        of biflows also the counts and flags as reverse…, reverse_first_ns and reverse_last_ns.
        Times are whole milliseconds, as the formats have them.
    """
    rng, back = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 3])
    asked = {
        name: column for name, column in drawn.columns.items() if name in (wanted or drawn.columns)
    }
    first_ones = rng.permutation(len(drawn))
    now_ns = BEGIN_NS
    for begin in range(0, count, BLOCK_RECORDS):
        rows = min(BLOCK_RECORDS, count - begin)
        when = _cut(of, rng, rows, now_ns) if of.active_timeout_s else _whole(of, rng, rows, now_ns)
        of_flow, first_ns, last_ns, export_ns = when
        number = begin + of_flow
        which = rng.integers(0, len(drawn), rows)[of_flow]
        fresh = number < len(drawn)
        which[fresh] = first_ones[number[fresh]]
        columns = {name: column.take(which, 0) for name, column in asked.items()}
        packets, octets = _counts(of, rng, rows, single=single)
        lone = drawn.lone[which]
        packets, octets = np.where(lone, 1, packets), np.where(lone, _SYN_OCTETS, octets)
        is_tcp = columns["protocolIdentifier"] == TCP
        now_ns = int(export_ns[-1])
        told = columns | {
            "tuple": which,
            "packetDeltaCount": packets,
            "octetDeltaCount": octets,
            # Exporters count all that they send in these; some collectors take them for the flow's.
            "packetTotalCount": packets,
            "octetTotalCount": octets,
            "layer2OctetDeltaCount": octets + drawn.overhead * packets,
            "tcpControlBits": np.where(lone, _SYN, np.where(is_tcp, rng.choice(_FLAGS, rows), 0)),
            "first_ns": first_ns,
            "last_ns": last_ns,
            "export_ns": export_ns,
        }
        yield told | (_answers(of, back, drawn, told) if biflows else {})


def _counts(
    of: FlowsOf, rng: np.random.Generator, rows: int, *, single: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Packets of records, and the octets of their IP packets."""
    packets = np.minimum(rng.geometric(1 / of.packets, rows), _MOST_TIMES * of.packets)
    packets = np.ones(rows, np.int64) if single else packets
    return packets, packets * rng.integers(of.packet_octets[0], of.packet_octets[1] + 1, rows)


def _answers(of: FlowsOf, rng: np.random.Generator, drawn: Table, told: Columns) -> Columns:
    """What came back, within the time of the flow: of some records nothing, of a lone SYN never."""
    which = told["tuple"]
    rows = len(which)
    answered = (rng.integers(0, 100, rows) < of.answered_percent) & ~drawn.lone[which]
    packets, octets = (np.where(answered, count, 0) for count in _counts(of, rng, rows))
    is_tcp = answered & (told["protocolIdentifier"] == TCP)
    lasted_ms = (told["last_ns"] - told["first_ns"]) // _MS_NS
    begin_ms = rng.integers(0, lasted_ms + 1)
    end_ms = rng.integers(begin_ms, lasted_ms + 1)
    return {
        "reversePacketDeltaCount": packets,
        "reverseOctetDeltaCount": octets,
        "reversePacketTotalCount": packets,
        "reverseOctetTotalCount": octets,
        "reverseLayer2OctetDeltaCount": octets + drawn.overhead * packets,
        "reverseTcpControlBits": np.where(is_tcp, rng.choice(_ANSWER_FLAGS, rows), 0),
        "reverse_first_ns": told["first_ns"] + begin_ms * _MS_NS,
        "reverse_last_ns": told["first_ns"] + end_ms * _MS_NS,
    }


When = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"]


def _whole(of: FlowsOf, rng: np.random.Generator, rows: int, now_ns: int) -> When:
    """Flows that are told in one record each."""
    number = np.arange(rows)
    export_ns = now_ns + (number + 1) * (_SECOND_NS // of.records_per_s)
    idle_ns = int(of.idle_timeout_s * _SECOND_NS)
    # A header's second may be over already when its records are sent.
    last_ms = (export_ns - _SECOND_NS - idle_ns) // _MS_NS - rng.integers(0, 1_000, rows)
    first_ms = last_ms - rng.integers(0, int(of.longest_s * 1_000) + 1, rows)
    return number, first_ms * _MS_NS, last_ms * _MS_NS, export_ns


def _cut(of: FlowsOf, rng: np.random.Generator, rows: int, now_ns: int) -> When:
    """Flows that are told again whenever the active timeout is over (RFC 5470 section 5.1.1)."""
    active_ms = max(1, int(of.active_timeout_s * 1_000))
    begin_ms = now_ns // _MS_NS + 1 + rng.integers(0, 1_000, rows)
    end_ms = begin_ms + rng.integers(0, int(of.longest_s * 1_000) + 1, rows)
    pieces = (end_ms - begin_ms) // active_ms + 1
    of_flow = np.repeat(np.arange(rows), pieces)[:rows]
    piece = (np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces))[:rows]
    first_ms = begin_ms[of_flow] + piece * active_ms
    last_ms = np.minimum(first_ms + active_ms - 1, end_ms[of_flow])
    idle_ms = int(of.idle_timeout_s * 1_000)
    over = last_ms == end_ms[of_flow]
    export_ns = (last_ms + np.where(over, idle_ms, 0) + 1_000) * _MS_NS
    order = np.argsort(export_ns, kind="stable")
    # A flow's records keep their order; all of one number are of one flow.
    return of_flow[order], first_ms[order] * _MS_NS, last_ms[order] * _MS_NS, export_ns[order]
