"""Records as tables that people and programs read, whatever template they came by.

Every element has the one type that its abstract data type asks for (`collector.texts`), so that
tables of different templates fit together; what a record does not say is null.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from collector.decode.elements import LISTS, kinds
from collector.decode.layout import Columns
from collector.decode.lists import Nested
from collector.decode.packet import ICMP, ICMPV6, WITH_PORTS, Packets
from collector.decode.packet_columns import packet_columns
from collector.decode.sflow_layouts import COUNTERS, EXTENDED, SAMPLES
from collector.texts import ADDRESS, NUMBERS, TEXT, addresses, as_series, as_texts, type_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from collector.decode import Batch
    from collector.decode.engine import ReadLists

WHERE_FROM: Final[Mapping[str, Any]] = {
    "protocol": pl.String,
    "exporter": pl.String,
    "observation_domain": pl.UInt32,
    "agent": pl.String,
    "sub_agent": pl.UInt32,
    "template": pl.UInt32,
    "datagram": pl.UInt64,
    "export_time": pl.Datetime("ns", "UTC"),
    "kind": pl.String,
}
"""The columns in front of every record's own. kind: data, options (both from templates), flow
sample, counters, extended (sFlow)."""

OFFSET: Final = "offset"
"""A column behind `WHERE_FROM`: octets from the start of the datagram to the record."""

_PADDING: Final = "paddingOctets"
_PLUMBING: Final = frozenset(
    (
        *("sourceId", "input", "output", "records", "padding"),
        *("portNameLength", "headerLength", "hasTcpHeader", "innerHasTcpHeader"),
    )
)
"""Columns of sFlow that say the same as others, or only how the datagram is built."""
_INNER: Final = "inner"
"""In front of the names of what a sampled packet carries (`collector.decode.tunnels`)."""
_SEGMENT: Final = "layer2SegmentId"
"""Which tunnel that was."""
_PACKET: Final = tuple(packet_columns(Packets.undissected(0)))
_ENDS: Final = ("source", "destination")
_PORTS: Final = ("sourceTransportPort", "destinationTransportPort")
_RAW: Final = "octets"
"""The column of those records of sFlow that are not known; in a table it is enterprise/format."""
_WIDE: Final = "unsigned256"
_OWN_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "ipNextHopAddress",
            "bgpNextHopAddress",
            "mplsNextHopAddress",
            "postNATSourceAddress",
            "postNATDestinationAddress",
        ),
        ADDRESS,
    ),
    **dict.fromkeys(
        ("bgpDestinationAsPath", "bgpCommunities", "mplsInLabelStack", "mplsOutLabelStack"), NUMBERS
    ),
}
"""Columns of sFlow that have no element's name and are no plain numbers."""
_OWN_NUMBERS: Final = (
    *("frameLength", "stripped", "ipTotalLength", "sampleOffset"),
    *("sourceIdType", "sourceIdIndex", "ingressInterfaceFormat", "egressInterfaceFormat"),
    *("sourcePrefixLength", "destinationPrefixLength", "routerAsNumber"),
    *("bgpPrevAdjacentAsNumber", "bgpLocalPreference"),
)
"""And those that are, unless a layout has them."""


def schema(batch: Batch) -> dict[str, Any]:
    """The columns that `table` gives a batch; nothing is read for it."""
    own = {name: type_of(kind) for name, kind in _kinds(batch).items()}
    return {**WHERE_FROM, OFFSET: pl.UInt32, **own}


def table(batch: Batch, read_lists: ReadLists | None = None) -> pl.DataFrame:
    """A batch as a table: `WHERE_FROM`, `OFFSET`, then the record's elements by their names.

    Left out are padding, and what sFlow says twice. Lists of RFC 6313 are JSON texts if they can be
    read (`Decoder.nested`), else hex.
    """
    columns, series = batch.columns, list(_where_from(batch))
    of_table = _of_table(batch)
    for name, kind in _kinds(batch).items():
        if kind in LISTS and read_lists is not None:
            texts = [
                json.dumps(_plain(one), ensure_ascii=False)
                for one in read_lists(batch, name, as_texts)
            ]
            series.append(pl.Series(name, texts, pl.String))
        else:
            column = of_table[name] if name in of_table else columns[name]
            series.append(as_series(name, kind, column))
    assert all(len(one) == len(batch) for one in series)
    return pl.DataFrame(series)


def _where_from(batch: Batch) -> list[pl.Series]:
    """The columns in front."""
    values: dict[str, Any] = {
        "protocol": batch.protocol,
        "kind": batch.kind,
        "exporter": addresses(batch.exporter),
        "observation_domain": batch.observation_domain,
        "agent": None if batch.agent is None else addresses(batch.agent),
        "sub_agent": batch.sub_agent,
        "template": batch.template,
        "datagram": batch.datagram,
        OFFSET: batch.offset,
        "export_time": pl.Series(batch.export_time_ns).cast(pl.Datetime("ns")),
    }
    series = []
    for name, kind in {**WHERE_FROM, OFFSET: pl.UInt32}.items():
        value = values[name]
        if value is None or isinstance(value, str):
            constant = pl.Series(name, [value], kind)
            series.append(constant.new_from_index(0, len(batch)))
        elif name == "export_time":
            series.append(value.dt.replace_time_zone("UTC").alias(name))
        else:
            # A datagram of before those that are numbered has no number.
            series.append(pl.Series(name, value).cast(kind, strict=False))
    return series


def _kinds(batch: Batch) -> dict[str, str]:
    """Name of each column of the table to its kind (see `collector.texts`)."""
    columns = batch.columns
    places = columns.layout.places if isinstance(columns, Columns) else {}
    prefixes = _prefixes(columns)
    mixed = {_with(prefix, f"{end}IPAddress") for prefix in prefixes for end in _ENDS}
    own: dict[str, str] = {}
    for name in columns:
        plain = name.partition("#")[0]
        if plain == _PADDING or plain in _PLUMBING:
            continue
        if name == _RAW and name not in places:
            own[_unknown(batch)] = "octetArray"
        elif name in mixed:
            end = name.removesuffix("IPAddress")
            own |= {f"{end}IPv{version}Address": TEXT for version in (4, 6)}
        else:
            # Of a number that is wider than any column the decoder keeps the octets.
            kind = kind_of(plain)
            own[name] = places[name].field.kind if name in places and kind != _WIDE else kind
    for prefix in prefixes:
        own |= {_with(prefix, f"icmpTypeCodeIPv{version}"): "unsigned16" for version in (4, 6)}
    return own


def kind_of(name: str) -> str:
    """The kind (see `collector.texts`) of a column of this name; most are numbers."""
    if name.startswith(_INNER) and name not in kinds():
        name = name[len(_INNER)].lower() + name[len(_INNER) + 1 :]
    return kinds().get(name) or _OWN_KINDS.get(name, "unsigned64")


def _of_table(batch: Batch) -> dict[str, Any]:
    """Those columns that a table does not have as the batch has them."""
    columns = batch.columns
    found: dict[str, Any] = {}
    for prefix in _prefixes(columns):
        found |= _packet(columns, prefix)
        if prefix:
            segment = columns[_SEGMENT]
            found[_SEGMENT] = np.ma.masked_array(segment, segment == 0)
    if _RAW in columns:
        found[_unknown(batch)] = columns[_RAW]
    return found


def _prefixes(columns: Mapping[str, Any]) -> list[str]:
    """What stands before the names of the packets in a batch: the sampled, what they carry."""
    return [prefix for prefix in ("", _INNER) if _with(prefix, "sourceIPAddress") in columns]


def _with(prefix: str, name: str) -> str:
    """A name with this in front."""
    return f"{prefix}{name[:1].upper()}{name[1:]}" if prefix else name


def _unknown(batch: Batch) -> str:
    """The name under which the octets of records of an unknown format are kept."""
    number = int(batch.template[0])
    return f"{number >> 12}/{number & 0xFFF}"


def _packet(columns: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Any]:
    """The columns of packets, IPv4 and IPv6 in one batch; what a packet does not have is masked."""
    own = {name: columns[_with(prefix, name)] for name in _PACKET}
    version, protocol = own["ipVersion"], own["protocolIdentifier"]
    source_port, destination_port = (own[name] for name in _PORTS)
    no_ip = version == 0
    no_mac = (own["sourceMacAddress"] == 0) & (own["destinationMacAddress"] == 0)
    # A fragment that is not the first has no transport header.
    no_ports = ~np.isin(protocol, WITH_PORTS) | ((source_port == 0) & (destination_port == 0))
    lacking = {
        "sourceMacAddress": no_mac,
        "destinationMacAddress": no_mac,
        "ethernetType": own["ethernetType"] == 0,
        "vlanId": own["vlanId"] == 0,
        **dict.fromkeys(("ipVersion", "protocolIdentifier", "ipTotalLength"), no_ip),
        **dict.fromkeys(_PORTS, no_ports),
        "tcpControlBits": ~own["hasTcpHeader"],
    }
    values: dict[str, Any] = {
        name: np.ma.masked_array(own[name], absent) for name, absent in lacking.items()
    }
    for end in _ENDS:
        texts = addresses(own[f"{end}IPAddress"])
        for number in (4, 6):
            values[f"{end}IPv{number}Address"] = texts.set(pl.Series(version != number), None)
    for number, icmp in ((4, ICMP), (6, ICMPV6)):
        other = (version != number) | (protocol != icmp)
        values[f"icmpTypeCodeIPv{number}"] = np.ma.masked_array(destination_port, other)
    return {_with(prefix, name): value for name, value in values.items()}


def _plain(value: Any) -> Any:
    """What JSON knows: a list is what its items are to each other, and the items."""
    if isinstance(value, Nested):
        rest = {"rest": value.rest.hex()} if value.rest else {}
        return {value.semantic: [_plain(item) for item in value.items], **rest}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


_IS_UNKNOWN: Final = re.compile(r"\d+/\d+")


def is_unknown_element(name: str) -> bool:
    """Whether this is the name of what is in no table: PEN/ID, or sFlow's enterprise/format."""
    return _IS_UNKNOWN.fullmatch(name) is not None


def known_types() -> dict[str, Any]:
    """Every column that `table` can have, unknown elements aside, and its type."""
    samples = [sample.layout for sample in SAMPLES.values()]
    layouts = [*samples, *COUNTERS.values(), *EXTENDED.values()]
    places = {name: place for layout in layouts for name, place in layout.places.items()}
    of_layouts = {name: place.field.kind for name, place in places.items()}
    packet = [*_PACKET, *(f"icmpTypeCodeIPv{version}" for version in (4, 6))]
    inner = {name: kind_of(name) for name in (_with(_INNER, plain) for plain in packet)}
    inner |= {
        _with(_INNER, f"{end}IPv{version}Address"): TEXT for end in _ENDS for version in (4, 6)
    }
    of_sflow = {**dict.fromkeys(_OWN_NUMBERS, "unsigned64"), **_OWN_KINDS, **of_layouts, **inner}
    known = {name: kind for name, kind in of_sflow.items() if name not in _PLUMBING}
    return {
        **{name: type_of(kind) for name, kind in {**known, **kinds()}.items()},
        **WHERE_FROM,
    }
