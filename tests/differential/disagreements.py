"""All that is known to be read otherwise by a peer: the one table.

`docs/differential.md` is made from it (`python -m tests.differential`). Each line's condition and
prediction are exact: a peer that says anything else, or agrees, makes the tests fail.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.encode.times import ntp
from tests.differential import frames
from tests.differential.cases import BOOT_MS
from tests.differential.compare import ABSENT, WRONG, Disagreement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.differential.compare import Row
    from tests.differential.records import Record

_SECOND_NS: Final = 1_000_000_000
US: Final = "flowlab"
_NETFLOW_C: Final = "`epan/dissectors/packet-netflow.c`"
_SFLOW_C: Final = "`epan/dissectors/packet-sflow.c`"


def _absent(row: Row) -> Row:
    """Nothing of it is said."""
    return dict.fromkeys(row, ABSENT)


def _in(*cases: str) -> Callable[[Record], bool]:
    """Whether a record is of one of these cases."""
    return lambda record: record.case in cases


# ── tshark ──

_KNOWN_FLOW_RECORDS: Final = {1, 2, 3, 4, *range(1001, 1013)}
_KNOWN_COUNTERS: Final = {1, 2, 3, 4, 5, 7, 1001}


def _behind_unknown(record: Record, row: Row) -> Row:
    known = _KNOWN_COUNTERS if record["kind"] == "counters" else _KNOWN_FLOW_RECORDS
    lost = any(form < 1 << 12 and form not in known for form in record.before)
    if not lost:
        return {}
    head = [name for name in row if name in _SAMPLE_HEAD and record["kind"] == "flow sample"]
    return dict.fromkeys((name for name in row if name not in head), WRONG)


_SAMPLE_HEAD: Final = frozenset(
    (
        *("sequenceNumber", "sourceIdType", "sourceIdIndex", "samplingInterval", "samplePool"),
        *("drops", "ingressInterface", "egressInterface", "egressInterfaceFormat"),
    )
)


def _unknown_counters(record: Record, row: Row) -> Row:
    known = record["kind"] != "counters" or record["template"] in _KNOWN_COUNTERS
    return {} if known else dict.fromkeys(row, WRONG)


def _second_meaning(record: Record, row: Row) -> Row:
    redefined = record.case.endswith("-redefinition") and record["datagram"] > 2
    return _absent(row) if redefined else {}


def _early(record: Record, row: Row) -> Row:
    early = record.case.endswith("-data-before-its-template") and record["datagram"] < 3
    return _absent(row) if early else {}


_PAIRS: Final = tuple(
    (f"flowStart{unit}", f"flowEnd{unit}")
    for unit in ("Milliseconds", "Microseconds", "Nanoseconds")
)


def _lone_times(record: Record, row: Row) -> Row:
    changed: Row = {}
    for start, end in _PAIRS:
        if (start in row) != (end in row):
            changed[start if start in row else end] = ABSENT
        elif start in row and record.places[end] < record.places[start]:
            changed[end] = ABSENT
    return changed


def _no_fixed_length(record: Record, row: Row) -> Row:
    return _absent(row) if record.case == "ipfix-only-variable-lengths" else {}


def _behind_a_frame(record: Record, row: Row) -> Row:
    first = record.values["offset"] <= _FIRST_RECORD_ENDS
    return {} if first or "dataLinkFrameSection" not in row else _absent(row)


_FIRST_RECORD_ENDS: Final = 40
"""Behind a header, a set with one template, and the header of the next set."""


def _false_is_true(_record: Record, row: Row) -> Row:
    wrong = (
        "dataRecordsReliability",
        "dot1qCustomerDEI",
        "dot1qDEI",
        "hashDigestOutput",
    )
    return {name: True for name in wrong if row.get(name) is False}


def _cut_nanoseconds(record: Record, row: Row) -> Row:
    changed: Row = {}
    for name, value in row.items():
        if record.kinds.get(name) == "dateTimeNanoseconds" and value is not ABSENT:
            fraction = int(ntp(np.array([value], np.int64))[0]) & 0xFFFF_FFFF
            cut = value // _SECOND_NS * _SECOND_NS + (fraction * _SECOND_NS >> 32)
            changed |= {name: cut} if cut != value else {}
    return changed


def _upper_half(_record: Record, row: Row) -> Row:
    value = row.get("minFlowStartMilliseconds")
    return {} if value is None else {"minFlowStartMilliseconds": (value // 10**6 >> 32) * 10**6}


def _quoted_packet(record: Record, _row: Row) -> Row:
    quoted = frames.quoted(frames.network(record.frame))
    if not quoted:
        return {}
    packet = frames.described(quoted)
    return {f"inner{name[0].upper()}{name[1:]}": value for name, value in packet.items()}


def _inside_udp(record: Record, row: Row) -> Row:
    inside = record["protocolIdentifier"] == 17
    return _absent({name: 0 for name in row if name.startswith("inner")}) if inside else {}


def _stripped(record: Record, row: Row) -> Row:
    agent_read = record.case == "sflow-sampled-ethernet-ipv4-ipv6" and "stripped" in row
    return {"stripped": ABSENT} if agent_read else {}


def _first_octet_of_flags(record: Record, row: Row) -> Row:
    agent_read = record.case == "sflow-sampled-ethernet-ipv4-ipv6" and "tcpControlBits" in row
    return {"tcpControlBits": 0} if agent_read else {}


TSHARK: Final = (
    Disagreement(
        "tshark",
        "a template id that is announced again with other fields",
        "decodes by the first template for ever",
        US,
        "RFC 7011 section 8.1 and RFC 3954 section 9: the new template replaces the old one. "
        f"{_NETFLOW_C} does not overwrite the templates of a capture.",
        _second_meaning,
    ),
    Disagreement(
        "tshark",
        "data before its template",
        "shows no records, also when the template comes later",
        US,
        "RFC 7011 section 8: a collector may keep such data. tshark reads a capture once.",
        _early,
    ),
    Disagreement(
        "tshark",
        "data of a template that has been withdrawn",
        "goes on decoding it",
        US,
        "RFC 7011 section 8.1: an id that was withdrawn means nothing until it is announced "
        f"again. {_NETFLOW_C} shows withdrawals and does nothing.",
        phantom=lambda case, _row: case.startswith("ipfix-withdrawal"),
    ),
    Disagreement(
        "tshark",
        "flowStart… and flowEnd… in milliseconds, microseconds, nanoseconds",
        "shows them only as a pair; of a pair with the end in front not the end",
        US,
        f"{_NETFLOW_C} shows a duration when it has both, and counts on the start coming first.",
        _lone_times,
    ),
    Disagreement(
        "tshark",
        "records that have no field of fixed length",
        "shows none",
        US,
        f"RFC 7011 section 7 allows them. {_NETFLOW_C} takes them for records of no octets.",
        _no_fixed_length,
    ),
    Disagreement(
        "tshark",
        "what is behind a dataLinkFrameSection",
        "shows nothing more of the message if the section is no whole frame",
        US,
        "RFC 5477 section 8.5.2: a section may be cut anywhere. tshark takes it apart as a frame, "
        "and where this ends early, so does everything.",
        _behind_a_frame,
    ),
    Disagreement(
        "tshark",
        "booleans",
        "true for 2",
        US,
        "RFC 7011 section 6.1.5: 1 is true, 2 is false.",
        _false_is_true,
    ),
    Disagreement(
        "tshark",
        "dateTimeNanoseconds",
        "the nanosecond below",
        "both",
        "RFC 7011 section 6.1.10: the fraction is of 2^32, finer than a nanosecond. flowlab takes "
        "the nearest nanosecond, so that what was a whole one stays one; tshark cuts.",
        _cut_nanoseconds,
    ),
    Disagreement(
        "tshark",
        "minFlowStartMilliseconds",
        "the upper four of its eight octets",
        US,
        f"RFC 7011 section 6.1.8: 64 bits. {_NETFLOW_C} reads 32.",
        _upper_half,
    ),
    Disagreement(
        "tshark",
        "sFlow: what is behind a record of a format that it does not know, in the same sample",
        "takes the record's content for the next record: nothing of the rest is right",
        US,
        "sFlow v5 section 5: records say how long they are, so that unknown ones can be skipped. "
        f"{_SFLOW_C} does not skip those of enterprise 0. Open vSwitch's counters (1004, 1005) are "
        "among them.",
        _behind_unknown,
    ),
    Disagreement(
        "tshark",
        "sFlow counters 1004, 1005, 2203, 2207",
        "does not know them",
        "both",
        "sFlow OpenFlow Structures, sFlow Application Structures, Open vSwitch's lib/sflow.h: "
        "later than what tshark knows.",
        _unknown_counters,
    ),
    Disagreement(
        "tshark",
        "the packet in a VXLAN tunnel in a sampled header",
        "does not look into UDP there",
        US,
        "RFC 7348. tshark takes sampled headers for packets cut short, of which it calls no "
        "dissector for ports.",
        _inside_udp,
    ),
    Disagreement(
        "tshark",
        "sFlow: ICMP errors",
        "the packet that is quoted, as one inside",
        US,
        "RFC 792 and RFC 4443: the quotation is what the message is about, no packet on its way. "
        "In tshark's output both have the same names.",
        _quoted_packet,
    ),
    Disagreement(
        "tshark",
        "sFlow sampled Ethernet: octets stripped",
        "does not say it",
        "both",
        "sFlow v5: the length of a sampled Ethernet frame includes the FCS; flowlab says so with "
        "`stripped` 4, as sampled headers do.",
        _stripped,
    ),
    Disagreement(
        "tshark",
        "sFlow sampled IPv4 and IPv6: TCP flags",
        "none",
        US,
        f"RFC 4506 section 4.1: a number's last octet has its lowest bits. {_SFLOW_C} reads the "
        "first.",
        _first_octet_of_flags,
    ),
)

# ── nfdump ──

_UDP: Final = 17
_PORTS: Final = ("sourceTransportPort", "destinationTransportPort")
_COUNTS: Final = ("packetDeltaCount", "octetDeltaCount")
_MASKS: Final = ("sourceIPv4PrefixLength", "destinationIPv4PrefixLength")
_ADDRESSES: Final = tuple(
    f"{end}IPv{version}Address" for end in ("source", "destination") for version in (4, 6)
)
_AGENT_READ: Final = "sflow-sampled-ethernet-ipv4-ipv6"


def _is_sample(record: Record) -> bool:
    return record.values["kind"] == "flow sample"


def _only(row: Row, names: Iterable[str], value: object) -> Row:
    """This value in place of those that are there."""
    return {name: value for name in names if name in row}


def _no_masks(record: Record, row: Row) -> Row:
    return _only(row, _MASKS, ABSENT) if record["protocol"] == "netflow5" else {}


def _sampled_at_receipt(record: Record, row: Row) -> Row:
    rate = record["samplingInterval"] or 1
    if record["protocol"] != "netflow5" or rate == 1:
        return {}
    return {name: row[name] * rate for name in _COUNTS}


def _swapped_uptimes(record: Record, _row: Row) -> Row:
    if record["protocol"] != "ipfix" or record["flowStartSysUpTime"] is None:
        return {}
    return {
        "flowStart": BOOT_MS + record["flowEndSysUpTime"],
        "flowEnd": BOOT_MS + record["flowStartSysUpTime"],
    }


def _reverse_overwrites(record: Record, _row: Row) -> Row:
    if record["reverseFlowStartMilliseconds"] is None:
        return {}
    return {
        "flowStart": record["reverseFlowStartMilliseconds"] // 10**6,
        "flowEnd": record["reverseFlowEndMilliseconds"] // 10**6,
        "tcpControlBits": record["reverseTcpControlBits"] & 0xFF,
    }


def _from_a_list(record: Record, _row: Row) -> Row:
    found = record["subTemplateMultiList"] or record["subTemplateList"]
    if found is None:
        return {}
    (within,) = json.loads(found).values()
    port = within[0]["sourceTransportPort"]
    return {"protocolIdentifier": ABSENT, _PORTS[0]: port, _PORTS[1]: ABSENT}


def _of_the_exporter(record: Record, row: Row) -> Row:
    totals = {name: record[name.replace("Delta", "Total")] for name in _COUNTS}
    return {name: total for name, total in totals.items() if total is not None and name in row}


def _of_1970(record: Record, _row: Row) -> Row:
    deltas = {end: record[f"{end}DeltaMicroseconds"] for end in ("flowStart", "flowEnd")}
    return {end: delta for end, delta in deltas.items() if delta is not None}


def _with_fcs(record: Record, row: Row) -> Row:
    if not (_is_sample(record) and record["stripped"] and "octetDeltaCount" in row):
        return {}
    return {"octetDeltaCount": record["frameLength"] * record["samplingInterval"]}


def _only_tcp_and_udp(record: Record, row: Row) -> Row:
    other = _is_sample(record) and record["protocolIdentifier"] not in (6, _UDP)
    return _only(row, _PORTS, ABSENT) if other else {}


def _inner_tag(record: Record, _row: Row) -> Row:
    return {"vlanId": 7} if record.case == "sflow-qinq" else {}


def _no_addresses(record: Record, row: Row) -> Row:
    return _only(row, _ADDRESSES, ABSENT) if record.case == _AGENT_READ else {}


def _no_sampled_ethernet(record: Record, _row: Row) -> Row:
    ethernet = record.case == _AGENT_READ and record["ipVersion"] is None
    return {"octetDeltaCount": ABSENT} if ethernet else {}


def _thrown_away(record: Record, row: Row) -> Row:
    return _absent(row) if {1029, 1030} & {*record.before} and _is_sample(record) else {}


_ICMP: Final = (1, 58)


def _no_icmp_in_a_port(record: Record, row: Row) -> Row:
    lost = record["protocol"] == "netflow9" and record["icmpTypeCodeIPv4"] is None
    return _only(row, _PORTS[1:], ABSENT) if lost and record[_PROTOCOL] in _ICMP else {}


def _code_in_a_port(record: Record, _row: Row) -> Row:
    message = frames.icmp(frames.network(record.frame))
    told = message and record["ipVersion"] == 4 and message[1]
    return {_PORTS[1]: message[1]} if told else {}


_PROTOCOL: Final = "protocolIdentifier"
_TCP: Final = 6

NFDUMP: Final = (
    Disagreement(
        "nfdump",
        "NetFlow v9: type and code of ICMP in the destination port (pmacctd) or in "
        "icmpTypeCodeIPv6 (softflowd)",
        "0",
        US,
        "IANA's element 139; in the destination port they are in NetFlow v5, too. nfcapd takes "
        "both of IPFIX, and of NetFlow v9 only element 32.",
        _no_icmp_in_a_port,
    ),
    Disagreement(
        "nfdump",
        "a withdrawal of all templates",
        "nfcapd crashes (signal 11)",
        US,
        "RFC 7011 section 8.1: a template record with id 2 and no fields withdraws them all. "
        "Seen with version 1.7.1.",
        breaks="ipfix-withdrawal-of-all",
    ),
    Disagreement(
        "nfdump",
        "data before its template",
        "drops it, also when the template comes later",
        US,
        "RFC 7011 section 8: a collector may keep such data, and over UDP it has to in order not "
        "to lose it.",
        _early,
    ),
    Disagreement(
        "nfdump",
        "NetFlow v5: prefix lengths",
        "0",
        US,
        "Cisco's table B-4, octets 44 and 45. nfcapd does not store them of NetFlow v5.",
        _no_masks,
    ),
    Disagreement(
        "nfdump",
        "NetFlow v5 with a sampling interval: packets and octets",
        "the numbers times the interval",
        "both",
        "nfcapd scales when it receives. `flowlab decode` shows what the record says; "
        "`flowlab flows` scales, once, and says by what.",
        _sampled_at_receipt,
    ),
    Disagreement(
        "nfdump",
        "IPFIX: flowStartSysUpTime and flowEndSysUpTime",
        "start and end exchanged",
        US,
        "IANA's elements 22 and 21. flowlab shows the uptimes; nfdump turns them into times, each "
        "into the other's.",
        _swapped_uptimes,
    ),
    Disagreement(
        "nfdump",
        "biflows: times and TCP flags",
        "those of the reverse direction in place of the forward one",
        US,
        "RFC 5103 section 6.1: reverse elements are elements of their own. nfcapd stores counts of "
        "both directions, and of all other fields the last in the record.",
        _reverse_overwrites,
    ),
    Disagreement(
        "nfdump",
        "records with a subTemplateList or subTemplateMultiList",
        "fields of the list's first record in place of the record's own; other ports, protocol and "
        "counts are lost",
        US,
        "RFC 6313 section 4.5: the records in a list are the value of one field.",
        _from_a_list,
    ),
    Disagreement(
        "nfdump",
        "packetTotalCount and octetTotalCount beside the deltas (Open vSwitch)",
        "the totals as the flow's packets and octets",
        US,
        "RFC 7012 section 5.10, elements 85 and 86: counts since the exporter began, and Open "
        "vSwitch's are of all flows of the exporter together. nfcapd has one place for both, and "
        "the later field wins.",
        _of_the_exporter,
    ),
    Disagreement(
        "nfdump",
        "flowStartDeltaMicroseconds and flowEndDeltaMicroseconds (Open vSwitch)",
        "the microseconds as milliseconds since 1970",
        US,
        "IANA's elements 158 and 159: counted back from the export time in the message's header.",
        _of_1970,
    ),
    Disagreement(
        "nfdump",
        "sFlow: octets",
        "the frame with its FCS",
        US,
        "sFlow v5 section 5: the frame's length includes octets that were stripped, and `stripped` "
        "says how many. As octets of layer 2 flowlab counts frames without FCS, as RFC 7011's "
        "layer2OctetDeltaCount and the switch's own counters do.",
        _with_fcs,
    ),
    Disagreement(
        "nfdump",
        "sFlow: ports of SCTP; type and code of ICMP",
        "0",
        US,
        "RFC 9260 section 3.1, RFC 792. sfcapd takes only TCP and UDP apart.",
        _only_tcp_and_udp,
    ),
    Disagreement(
        "nfdump",
        "sFlow: ICMP of IPv4 whose code is not 0",
        "the code in the destination port",
        US,
        "IANA's element 32 is type and code, and so is what nfdump shows of NetFlow. sfcapd "
        "stores the code alone.",
        _code_in_a_port,
    ),
    Disagreement(
        "nfdump",
        "sFlow: a VLAN tag in a VLAN tag",
        "the inner tag's VLAN",
        US,
        "IANA's dot1qVlanId: of a QinQ frame it is the outer tag's. vlanId is likewise that of the "
        "link.",
        _inner_tag,
    ),
    Disagreement(
        "nfdump",
        "sFlow sampled IPv4 and IPv6: addresses",
        "none",
        US,
        "sFlow v5 section 5, sampled_ipv4 and sampled_ipv6. sfcapd stores protocol, ports, flags "
        "and length, and no addresses.",
        _no_addresses,
    ),
    Disagreement(
        "nfdump",
        "sFlow sampled Ethernet: octets",
        "0",
        US,
        "sFlow v5 section 5, sampled_ethernet: length. sfcapd does not count it.",
        _no_sampled_ethernet,
    ),
    Disagreement(
        "nfdump",
        "sFlow samples with VNI records (1029, 1030)",
        "drops the rest of the datagram",
        US,
        "sFlow VNI structures: one number of four octets. sfcapd reads it twice, finds the record "
        "shorter than what it has read, and gives up.",
        _thrown_away,
    ),
)

# ── pmacct ──

_SECOND_US: Final = 1_000_000
_WRAP_MS: Final = 1 << 32


def _whole_seconds(record: Record, row: Row) -> Row:
    if record["flowStartSysUpTime"] is None or record["protocol"] == "ipfix":
        return {}
    export_us = record.values["export_time"] // 1_000
    return {
        end: export_us // _SECOND_US * _SECOND_US
        - (export_us // 1_000 - row[end] // 1_000) % _WRAP_MS // 1_000 * _SECOND_US
        for end in ("flowStart", "flowEnd")
    }


def _export_time(record: Record, row: Row) -> Row:
    if _is_sample(record) or "flowStart" in row:
        return {}
    return {"flowStart": record.values["export_time"] // _SECOND_NS * _SECOND_US}


def _uptimes(record: Record, row: Row) -> Row:
    if record["protocol"] != "ipfix" or "flowStartSysUpTime" not in record.values:
        return {}
    start = record.values["export_time"] // _SECOND_NS * _SECOND_US
    return {"flowStart": start, "flowEnd": ABSENT} if "flowStart" in row else {}


def _event(record: Record, row: Row) -> Row:
    if _is_sample(record) or "octetDeltaCount" in record.places:
        return {}
    return _only(row, ("packetDeltaCount", "records"), ABSENT)


_WIDTHS: Final = {"octetDeltaCount": (4, 8), "ingressInterface": (2, 4)}
"""Those in which it reads them."""


def _odd_widths(record: Record, row: Row) -> Row:
    odd = [
        name
        for name, widths in _WIDTHS.items()
        if name in record.places and record.places[name].octets not in widths
    ]
    return {} if _is_sample(record) else _only(row, odd, ABSENT)


def _wide_vlan(record: Record, row: Row) -> Row:
    place = record.places.get("vlanId")
    narrow = place is not None and place.octets == 1
    return {"vlanId": row["vlanId"] << 8} if narrow else {}


def _two_octets_of_flags(record: Record, row: Row) -> Row:
    place = record.places.get("tcpControlBits")
    if place is None or place.octets == 1 or "tcpControlBits" not in row:
        return {}
    return {"tcpControlBits": record["tcpControlBits"] >> 8 or ABSENT}


def _not_counted(record: Record, row: Row) -> Row:
    no_ip = record["ethernetType"] is not None and record["ipVersion"] is None
    tagged_twice = record.case == "sflow-qinq"
    two_labels = record.case == "sflow-mpls" and record["sourceIPv4Address"] == "10.0.0.2"
    lost = tagged_twice or two_labels or (no_ip and record.case != _AGENT_READ)
    return _absent(row) if _is_sample(record) and lost else {}


def _behind_extension_headers(record: Record, row: Row) -> Row:
    packet = frames.network(record.frame)
    if not _is_sample(record) or not frames.has_extensions(packet):
        return {}
    protocol, *ports = frames.two_octets_early(packet)
    told = {_PROTOCOL: protocol, **dict(zip(_PORTS, ports, strict=True))}
    if protocol != _TCP:
        told["tcpControlBits"] = 0
    changed = {name: value or ABSENT for name, value in told.items()}
    return {name: value for name, value in changed.items() if row.get(name, ABSENT) != value}


def _out_vlan(record: Record, row: Row) -> Row:
    untagged = _is_sample(record) and not row.get("vlanId") and not record.beside.get("vlanId")
    vlan = record.beside.get("postVlanId")
    return {"vlanId": vlan} if untagged and vlan else {}


_SCTP: Final = 132


def _no_sctp(record: Record, row: Row) -> Row:
    which = _is_sample(record) or record["protocol"] == "netflow5"
    return _only(row, _PORTS, ABSENT) if which and record["protocolIdentifier"] == _SCTP else {}


def _with_format(record: Record, row: Row) -> Row:
    names = ("ingressInterface", "egressInterface")
    formats = {name: record[f"{name}Format"] or 0 for name in names if _is_sample(record)}
    return {name: form << 30 | row.get(name, 0) for name, form in formats.items() if form}


def _no_sampled_flags(record: Record, row: Row) -> Row:
    return _only(row, ("tcpControlBits",), ABSENT) if record.case == _AGENT_READ else {}


def _no_vlan_on_the_way_out(record: Record, row: Row) -> Row:
    return _only(row, ("vlanId",), ABSENT) if record["flowDirection"] == 1 else {}


def _no_ip_record(record: Record, row: Row) -> Row:
    kind = record["ethernetType"]
    no_ip = not _is_sample(record) and kind is not None and record["sourceMacAddress"] is not None
    return _absent(row) if no_ip and kind not in (0x0800, 0x86DD) else {}


PMACCT: Final = (
    Disagreement(
        "pmacct",
        "IPFIX records of frames without IP (Open vSwitch)",
        "nothing",
        US,
        "RFC 7011: flows are of packets of any kind. nfacctd leaves out what has no IP addresses.",
        _no_ip_record,
    ),
    Disagreement(
        "pmacct",
        "vlanId of records with flowDirection 1 (Open vSwitch)",
        "none",
        US,
        "IANA's element 58: the VLAN of the link that was observed. nfacctd takes it of ingress "
        "flows only.",
        _no_vlan_on_the_way_out,
    ),
    Disagreement(
        "pmacct",
        "data of a template that was withdrawn by itself",
        "makes records without end, until its plugin loses some",
        US,
        "RFC 7011 section 8.1: an id that was withdrawn means nothing until it is announced again. "
        "nfacctd 1.7.7 takes the withdrawal for a template of no fields, and its records have no "
        "octets.",
        breaks="ipfix-withdrawal",
    ),
    Disagreement(
        "pmacct",
        "data of templates that were withdrawn all together",
        "goes on decoding it",
        US,
        "RFC 7011 section 8.1, as above.",
        phantom=lambda case, _row: case == "ipfix-withdrawal-of-all",
    ),
    Disagreement(
        "pmacct",
        "data before its template",
        "drops it, also when the template comes later",
        US,
        "RFC 7011 section 8, as for nfdump.",
        _early,
    ),
    Disagreement(
        "pmacct",
        "times of NetFlow v5 and v9, which are uptimes",
        "the header's second less the whole seconds from then to the header's uptime; 49 days "
        "ago, where the time is after the header's",
        US,
        "Cisco's table B-3 and RFC 3954 section 5.1: uptimes are milliseconds. nfacctd subtracts "
        "whole seconds, without a sign; Open vSwitch may write a header a millisecond before it "
        "sees the packet.",
        _whole_seconds,
    ),
    Disagreement(
        "pmacct",
        "records without times, or with times that it does not know",
        "the export time as the start",
        "both",
        "A choice: flowlab leaves out what a record does not say.",
        _export_time,
    ),
    Disagreement(
        "pmacct",
        "IPFIX: flowStartSysUpTime and flowEndSysUpTime, with the boot time in options data",
        "the export time as the start, no end",
        US,
        "IANA's elements 22, 21 and 160: uptimes count from systemInitTimeMilliseconds.",
        _uptimes,
    ),
    Disagreement(
        "pmacct",
        "IPFIX records without octetDeltaCount",
        "no packets and no flows",
        US,
        "RFC 7011: which elements a record has is the exporter's choice. nfacctd takes a template "
        "without octets for one of events.",
        _event,
    ),
    Disagreement(
        "pmacct",
        "octetDeltaCount in 1, 2, 3, 5, 6 or 7 octets, ingressInterface in 1 or 3",
        "0",
        US,
        "RFC 7011 section 6.2: every width up to that of the type. nfacctd reads 4 and 8, or 2 and "
        "4.",
        _odd_widths,
    ),
    Disagreement(
        "pmacct",
        "vlanId in one octet",
        "256 times the number",
        US,
        "RFC 7011 section 6.2. nfacctd reads two octets.",
        _wide_vlan,
    ),
    Disagreement(
        "pmacct",
        "tcpControlBits in two octets",
        "the first of them, which has not the usual flags",
        US,
        "RFC 7125: two octets, the usual flags in the second. nfacctd reads one.",
        _two_octets_of_flags,
    ),
    Disagreement(
        "pmacct",
        "sFlow: octets",
        "the frame with its FCS",
        US,
        "sFlow v5 section 5, as for nfdump.",
        _with_fcs,
    ),
    Disagreement(
        "pmacct",
        "sFlow and NetFlow v5: ports of SCTP",
        "0",
        US,
        "RFC 9260 section 3.1; Cisco's table B-4. It takes them of TCP and UDP only.",
        _no_sctp,
    ),
    Disagreement(
        "pmacct",
        "sFlow: interfaces that are no ifIndex",
        "the number with its format in the upper two bits",
        "both",
        "sFlow v5 section 5, interface: format and value. flowlab has a column for each.",
        _with_format,
    ),
    Disagreement(
        "pmacct",
        "sFlow: frames without IP, with two VLAN tags, or with two MPLS labels",
        "does not count them",
        US,
        "sFlow v5: every sample stands for packets of its rate. sfacctd counts what it finds an "
        "IP header in; it looks behind one tag and one label.",
        _not_counted,
    ),
    Disagreement(
        "pmacct",
        "sFlow: IPv6 with extension headers",
        "ports two octets too early; behind two headers no protocol either",
        US,
        "RFC 8200 section 4: the length of a header is in units of 8 octets, without the first 8. "
        "What it takes for the next header's kind, and for ports, is two octets earlier for each.",
        _behind_extension_headers,
    ),
    Disagreement(
        "pmacct",
        "sFlow: vlanId where the extended data has an outgoing VLAN and no incoming one",
        "the outgoing one",
        "both",
        "sFlow v5 section 5, extended_switch: src_vlan and dst_vlan. flowlab has a column for "
        "each.",
        _out_vlan,
    ),
    Disagreement(
        "pmacct",
        "sFlow sampled IPv4 and IPv6: TCP flags",
        "none",
        US,
        "sFlow v5 section 5, sampled_ipv4: tcp_flags. sfacctd does not take them.",
        _no_sampled_flags,
    ),
)

DISAGREEMENTS: Final = (*TSHARK, *NFDUMP, *PMACCT)
