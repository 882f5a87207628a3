"""Records to observations: what a batch of records says of flows, whatever protocol it came by.

Knows what the records mean: which elements make the flow key, which layer an octet count is of, how
sampling scales. This is the only place where a sampling rate is applied, and it is applied once.
Only numpy; `collector.flows` groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode.address import IPV4_MAPPED
from collector.decode.layout import Columns as LayoutColumns
from collector.decode.packet import ICMP, ICMPV6, IPV4, IPV6, TCP, WITH_PORTS
from collector.decode.packet_columns import packet_columns
from collector.decode.sampling import sampling_rate
from collector.decode.times import ntp_ns, since_1970_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from collector.decode import Batch, Habits
    from collector.decode.packet import Packets
    from collector.pcap import Capture

Columns = dict[str, Any]
"""Name to array with a value per record, or to the one value of all. A masked array is not known
where it is masked; a column that is not there is not known at all."""

_ASKED: Final = (
    *("sourceIPv4Address", "destinationIPv4Address", "protocolIdentifier"),
    *("sourceTransportPort", "destinationTransportPort", "tcpControlBits", "flowDirection"),
    *("packetDeltaCount", "octetDeltaCount", "layer2OctetDeltaCount"),
    *(f"flow{end}{unit}" for end in ("Start", "End") for unit in ("Milliseconds", "Seconds")),
    *("flowStartSysUpTime", "flowEndSysUpTime"),
    *("flowStartDeltaMicroseconds", "flowEndDeltaMicroseconds", "samplingInterval"),
)
"""What is asked of nearly every record: it is read in one go."""
_IP_ENDS: Final[Mapping[int, tuple[str, str]]] = {
    version: (f"sourceIPv{version}Address", f"destinationIPv{version}Address") for version in (4, 6)
}
_MAC_ENDS: Final = ("sourceMacAddress", "destinationMacAddress", "ethernetType")
_SYN: Final = 0x02
_FIN: Final = 0x01
_ETHERNET_TYPES: Final = {4: IPV4, 6: IPV6}
_ICMP: Final = {4: ICMP, 6: ICMPV6}
_RESERVED: Final = 255
"""IANA's protocol numbers: for no protocol."""
_HAS_PORTS: Final = np.isin(np.arange(256), WITH_PORTS)
_MOST: Final = int(np.iinfo(np.uint64).max)
"""What a count becomes that is more than 64 bits hold: more than `collector.tally` takes."""
_LARGEST_FLOAT: Final = float(np.nextafter(2.0**64, 0))


def observe(batch: Batch, habits: Habits) -> Columns | None:
    """What the records of a batch say of flows, or None if they are about something else.

    Returns:
        The key (addresses as `source_upper`, `source_lower`, …; a MAC is a lower half), and of
        flowDirection, packets, octets_l2, octets_l3, tcpControlBits, first_ns, last_ns and samples
        (packets before scaling) what is known.
    """
    if isinstance(batch.columns, LayoutColumns):
        batch.columns.read_together(_ASKED)
    if batch.kind == "flow sample":
        return _sample(batch.columns)
    key = _record_key(batch.columns) if batch.kind == "data" else None
    if key is None:
        return None
    columns = batch.columns
    counts = {
        "packets": columns.get("packetDeltaCount"),
        "octets_l3": columns.get("octetDeltaCount"),
        "octets_l2": columns.get("layer2OctetDeltaCount"),
    }
    rate = None if habits.counts_are_scaled else sampling_rate(columns)
    if rate is None and not habits.counts_are_scaled:
        rate = batch.sampling_rate
    if batch.protocol != "netflow5" and rate is not None:
        counts = _scaled(counts, rate)
    if batch.protocol == "netflow5":
        # The header's interval: 0 is another way to say that every packet was counted.
        interval = np.maximum(columns["samplingInterval"], 1).astype(np.uint64)
        counts["samples"] = counts["packets"]
        octets = counts.pop("octets_l3")
        if (interval != 1).any():
            counts["packets"], octets = counts["packets"] * interval, octets * interval
        counts[f"octets_{habits.netflow5_octets}"] = octets
    flags = columns.get("tcpControlBits")
    if flags is not None:
        flags = _known(flags, key["protocolIdentifier"] == TCP)
    observed = key | counts | _times_ns(batch)
    observed |= {"flowDirection": columns.get("flowDirection"), "tcpControlBits": flags}
    return {name: column for name, column in observed.items() if column is not None}


def _scaled(
    counts: dict[str, NDArray[Any] | None], rate: NDArray[np.float64]
) -> dict[str, NDArray[Any] | None]:
    """Counts of sampled packets, as of all packets; where the rate is not known (NaN), as they are.

    What was sampled is `samples`; it is not known where the rate is not.
    """
    known = ~np.isnan(rate)
    factor = np.minimum(np.where(known, rate, 1), _LARGEST_FLOAT)
    whole = bool((factor == np.rint(factor)).all())
    scaled: dict[str, NDArray[Any] | None] = {}
    for name, count in counts.items():
        if count is None:
            scaled[name] = None
        elif whole:
            scaled[name] = _product(count.astype(np.uint64), factor.astype(np.uint64))
        else:
            product = np.minimum(np.rint(count * factor), _LARGEST_FLOAT)
            scaled[name] = product.astype(np.uint64)
    packets = counts["packets"]
    scaled["samples"] = None if packets is None else _known(packets, known)
    return scaled


def _product(count: NDArray[np.uint64], factor: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Counts times their factors (from 1 on); `_MOST` where that is more than 64 bits hold."""
    if int(count.max(initial=0)) * int(factor.max(initial=0)) <= _MOST:
        return count * factor
    return np.where(count > np.uint64(_MOST) // factor, np.uint64(_MOST), count * factor)


def observe_wire(capture: Capture, packets: Packets) -> Columns:
    """What captured frames say of flows: as `observe`, and the places of SYN and FIN of TCP."""
    columns = packet_columns(packets)
    sequence = packets.tcp_sequence.astype(np.int64)
    has_syn = (packets.tcp_flags & _SYN) != 0
    has_fin = (packets.tcp_flags & _FIN) != 0
    return {
        **_packet_key(columns),
        "packets": np.ones(len(capture), np.uint64),
        "octets_l2": capture.original_lengths,
        "octets_l3": _known(packets.ip_octets, packets.ip_version != 0),
        "tcpControlBits": _known(packets.tcp_flags, packets.has_tcp),
        "first_ns": capture.timestamps_ns,
        "last_ns": capture.timestamps_ns,
        "syn": _known(sequence, has_syn),
        # The FIN follows the data of its own segment.
        "fin": _known((sequence + packets.payload_octets) % (1 << 32), has_fin),
    }


def _known(column: NDArray[Any], known: NDArray[np.bool_]) -> np.ma.MaskedArray[Any, Any]:
    """A column that is only known in some rows."""
    return np.ma.masked_array(column, ~known)


def _sample(columns: Mapping[str, NDArray[Any]]) -> Columns:
    """Flow samples of sFlow: each stands for `samplingInterval` packets.

    The agent counts the FCS into frameLength, and says in `stripped` how much of the end it did not
    see.
    """
    rate = columns["samplingInterval"].astype(np.uint64)
    packet_octets = columns["ipTotalLength"].astype(np.uint64)
    return {
        **_packet_key(columns),
        "packets": rate,
        **_frame_octets(columns, rate),
        "octets_l3": _known(packet_octets * rate, columns["ipVersion"] != 0),
        "tcpControlBits": _known(columns["tcpControlBits"], columns["hasTcpHeader"]),
        "samples": np.ones(len(rate), np.uint64),
    }


def _frame_octets(columns: Mapping[str, NDArray[Any]], rate: NDArray[np.uint64]) -> Columns:
    """octets_l2 of flow samples, unless the agent told the length of the IP packet only."""
    if "frameLength" not in columns:
        return {}
    octets = columns["frameLength"].astype(np.int64) - columns["stripped"]
    return {"octets_l2": np.maximum(octets, 0).astype(np.uint64) * rate}


def _packet_key(columns: Mapping[str, NDArray[Any]]) -> Columns:
    """The flow key of packets, from their headers."""
    is_ip = columns["ipVersion"] != 0
    key: Columns = {"ipVersion": columns["ipVersion"], "ethernetType": columns["ethernetType"]}
    for end in ("source", "destination"):
        address, mac = columns[f"{end}IPAddress"], columns[f"{end}MacAddress"]
        key[f"{end}_upper"] = address[:, 0]
        key[f"{end}_lower"] = np.where(is_ip, address[:, 1], mac)
    for name in ("protocolIdentifier", "sourceTransportPort", "destinationTransportPort"):
        key[name] = columns[name]
    return key


def has_flow_key(batch: Batch) -> bool:
    """Whether records of flows say between whom: else they make no flow."""
    keys = (*_IP_ENDS.values(), _MAC_ENDS)
    return any(all(name in batch.columns for name in names) for names in keys)


def _record_key(columns: Mapping[str, NDArray[Any]]) -> Columns | None:
    """The flow key of records that a template, or NetFlow v5, describes."""
    ends = {}
    for version, names in _IP_ENDS.items():
        if all(name in columns for name in names):
            ends[version] = [columns[name] for name in names]
    if ends:
        return _ip_keys(columns, ends)
    if all(name in columns for name in _MAC_ENDS):
        return {
            "ipVersion": 0,
            "ethernetType": columns["ethernetType"],
            "source_upper": 0,
            "source_lower": columns[_MAC_ENDS[0]],
            "destination_upper": 0,
            "destination_lower": columns[_MAC_ENDS[1]],
            "protocolIdentifier": 0,
            "sourceTransportPort": 0,
            "destinationTransportPort": 0,
        }
    return None


def _ip_keys(
    columns: Mapping[str, NDArray[Any]], ends: Mapping[int, list[NDArray[Any]]]
) -> Columns:
    """The flow key of records of IP packets, with the addresses of each version that there are."""
    is_six = _is_six(columns, ends) if len(ends) > 1 else np.array(6 in ends)
    if is_six.all():
        return _ip_key(columns, 6, ends[6])
    four = _ip_key(columns, 4, ends[4])
    if not is_six.any():
        return four
    six = _ip_key(columns, 6, ends[6])
    return {name: np.where(is_six, six[name], four[name]) for name in four}


def _is_six(
    columns: Mapping[str, NDArray[Any]], ends: Mapping[int, list[NDArray[Any]]]
) -> NDArray[np.bool_]:
    """Of records with the addresses of both families: which are of IPv6.

    One template may serve both, and fills the other family's with zeros. Those that do not say of
    which version they are are of that whose addresses are not zero.
    """
    four, six = ends[4], ends[6]
    by_addresses: NDArray[np.bool_] = (four[0] | four[1] == 0) & (six[0] | six[1]).any(axis=1)
    said = columns.get("ipVersion")
    if said is None or said.ndim != 1 or said.dtype == object:
        return by_addresses
    by_version: NDArray[np.bool_] = (said == 6) | (by_addresses & (said != 4))
    return by_version


def _ip_key(
    columns: Mapping[str, NDArray[Any]], version: int, addresses: list[NDArray[Any]]
) -> Columns:
    """The flow key of records of IP packets; exporters write ICMP's type and code in three ways."""
    protocol = columns.get("protocolIdentifier")
    if protocol is None:
        protocol = np.zeros(len(addresses[0]), np.uint8)
    # A template may give it more than its octet: what no protocol has is the reserved number.
    protocol = np.minimum(protocol, _RESERVED)
    source_port, destination_port = (
        columns.get(f"{end}TransportPort", 0) for end in ("source", "destination")
    )
    icmp = protocol == _ICMP[version]
    with_ports = _HAS_PORTS.take(protocol)
    if not with_ports.all():
        kind, code = (columns.get(f"icmp{part}IPv{version}") for part in ("Type", "Code"))
        type_and_code = columns.get(f"icmpTypeCodeIPv{version}")
        if type_and_code is None and kind is not None and code is not None:
            type_and_code = kind.astype(np.uint16) << 8 | code
        if type_and_code is not None:
            destination_port = np.where(icmp, type_and_code, destination_port)
        source_port = source_port * with_ports
        destination_port = destination_port * (with_ports | icmp)
    key: Columns = {
        "ipVersion": version,
        "ethernetType": _ETHERNET_TYPES[version],
        "protocolIdentifier": protocol,
        "sourceTransportPort": source_port,
        "destinationTransportPort": destination_port,
    }
    for end, address in zip(("source", "destination"), addresses, strict=True):
        if version == 4:
            key[f"{end}_upper"] = 0
            key[f"{end}_lower"] = address.astype(np.uint64) | np.uint64(IPV4_MAPPED)
        else:
            key[f"{end}_upper"], key[f"{end}_lower"] = address[:, 0], address[:, 1]
    return key


def _times_ns(batch: Batch) -> Columns:
    """When the flows began and ended, from whichever elements say it; masked what is no time."""
    times: Columns = {}
    for name, end in (("first_ns", "flowStart"), ("last_ns", "flowEnd")):
        for unit, unit_ns in (("Milliseconds", 1_000_000), ("Seconds", 1_000_000_000)):
            absolute = batch.columns.get(f"{end}{unit}")
            if absolute is not None:
                times[name] = since_1970_ns(absolute, unit_ns)
        for unit in ("Microseconds", "Nanoseconds"):
            stamps = batch.columns.get(f"{end}{unit}")
            if stamps is not None and stamps.ndim == 1:
                times[name] = since_1970_ns(ntp_ns(stamps, microseconds=unit == "Microseconds"))
        delta = batch.columns.get(f"{end}DeltaMicroseconds")
        if delta is not None:
            # Before the export time, though the element's name does not say so (RFC 5102 section
            # 5.9.7).
            before_ns = since_1970_ns(delta, 1_000)
            times[name] = since_1970_ns(batch.export_time_ns - before_ns)
    return times
