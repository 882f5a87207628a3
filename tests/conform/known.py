"""Why other collectors fail cases: the one table, with a condition for each line.

`docs/conformance.md` is made from it (`python -m tests.conform`). Every finding about another
collector has to be explained by a line; the tests hold that for the bundled corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.conform import Finding

_2001_NS: Final = 10**18
_SECONDS_NS: Final = 2 * 10**9
_NOBODY: Final = "0.0.0.0"  # noqa: S104 (an address that is told)
_PORTS: Final = ("sourceTransportPort", "destinationTransportPort")
_TIMES: Final = ("first_ns", "last_ns")


@dataclass(frozen=True)
class Known:
    """One reason.

    Attributes:
        collector: whose.
        protocols: of which protocols; a kind of datagrams for who tells no protocol.
        fields: which fields are wrong.
        says: what it tells.
        why: why that is wrong, and where it is written.
        when: whether a finding is of this kind.
        cases: in which cases only; none: in all.
    """

    collector: str
    protocols: tuple[str, ...]
    fields: tuple[str, ...]
    says: str
    why: str
    when: Callable[[Finding], bool] = lambda _: True
    cases: tuple[str, ...] = ()

    def explains(self, collector: str, case: str, finding: Finding) -> bool:
        """Whether this is the reason of a finding."""
        told = finding.observer.get("protocol") or finding.observer.get("family")
        of = collector == self.collector and told in self.protocols
        of = of and (not self.cases or case in self.cases)
        return of and finding.field in self.fields and bool(self.when(finding))


def _protocol(finding: Finding) -> int:
    return int(finding.flow.get("protocolIdentifier", 0))


def _is_icmp(finding: Finding) -> bool:
    return _protocol(finding) in (1, 58)


def _is_sctp(finding: Finding) -> bool:
    return _protocol(finding) == 132


def _more(finding: Finding) -> bool:
    return finding.observed is not None and finding.observed > finding.expected


def _by_fcs(finding: Finding) -> bool:
    """By four octets for each packet, of whatever number."""
    return _more(finding) and (finding.observed - finding.expected) % 4 == 0


def _in_1970(finding: Finding) -> bool:
    return finding.observed is not None and finding.observed < _2001_NS


def _seconds(finding: Finding) -> bool:
    return (
        finding.observed is not None
        and abs(finding.observed - finding.expected) <= _SECONDS_NS
        and finding.observed % 10**9 == 0
    )


def _is_ipv6(finding: Finding) -> bool:
    return "sourceIPv6Address" in finding.flow


def bundled(finding: Finding) -> Mapping[str, Any]:
    """A finding in short, for messages."""
    return {"observer": finding.observer, "flow": finding.flow, "field": finding.field}


def _is_part(finding: Finding) -> bool:
    """What remains of a flow when some of its records are not read."""
    expected, observed = finding.expected, finding.observed
    if observed is None or expected is None:
        return expected is not None
    if finding.field == "tcpControlBits":
        return not observed & ~expected
    return bool(observed > expected if finding.field == "first_ns" else observed < expected)


_EARLY: Final = (
    "RFC 7011 section 8: a collector may keep data that comes before its template; over UDP it has "
    "to in order not to lose it. Here the datagram with the template was late, or lost until it "
    "was sent again."
)
_ALL: Final = ("flow", "packets", "octets", "tcpControlBits", *_TIMES)

KNOWN: Final = (
    *(
        Known(
            collector,
            ("ipfix", "netflow9"),
            _ALL,
            "nothing of data that comes before its template",
            _EARLY,
            _is_part,
            (
                *("delayed-datagrams", "reordered-datagrams", "all-at-once", "template-lost"),
                *("data-before-template", "data-before-template-netflow9"),
            ),
        )
        for collector in ("nfdump", "pmacct", "tshark")
    ),
    Known(
        "nfdump",
        ("sflow", "ipfix"),
        ("flow",),
        "a flow from 0.0.0.0 to 0.0.0.0",
        "What is told of frames without IP is stored as a flow without addresses.",
        lambda finding: finding.flow.get("sourceIPv4Address") == _NOBODY,
    ),
    Known(
        "nfdump",
        ("ipfix",),
        _TIMES,
        "times of January 1970",
        "Open vSwitch tells flowStartDeltaMicroseconds and flowEndDeltaMicroseconds: "
        "microseconds before the header's export time (RFC 5102 section 5.9.7; IANA's elements "
        "158 and 159). nfcapd takes them for milliseconds since 1970.",
        _in_1970,
    ),
    Known(
        "nfdump",
        ("ipfix",),
        ("packets", "octets"),
        "more packets and octets than the flow had",
        "Open vSwitch tells packetTotalCount and octetTotalCount (IANA's elements 86 and 85) "
        "behind the deltas, and counts in them what all flows of the exporter had. nfcapd has "
        "one place for delta and total, and the later field wins.",
        _more,
    ),
    Known(
        "nfdump",
        ("ipfix", "netflow9", "sflow"),
        ("icmpTypeCodeIPv4", "icmpTypeCodeIPv6", "flow", "flowDirection", "observation_domain"),
        "type and code 0, so that flows of several types are one",
        "IPFIX of Open vSwitch has type and code in elements of their own (176 to 179), pmacctd "
        "and softflowd have them in the destination port or in element 139 of NetFlow v9, and "
        "samples of sFlow have the packet itself. nfcapd takes them of element 32 and, of IPFIX, "
        "of the destination port and 139; sfcapd does not take ICMP apart.",
        _is_icmp,
    ),
    Known(
        "nfdump",
        ("sflow",),
        ("octets",),
        "four octets a packet more",
        "sFlow v5 section 5: the frame's length includes octets that were stripped, here the "
        "FCS, and `stripped` says how many. RFC 7011's layer2OctetDeltaCount and the switch's "
        "own counters are without them.",
        _by_fcs,
    ),
    Known(
        "nfdump",
        ("sflow",),
        (*_PORTS, "flow"),
        "no ports of SCTP",
        "RFC 9260 section 3.1. sfcapd takes only TCP and UDP apart.",
        _is_sctp,
    ),
    Known(
        "nfdump",
        ("netflow9",),
        ("packets", "octets"),
        "counts that no sampling rate was applied to",
        "Options data of a sampler tells samplingInterval and samplingAlgorithm (elements 34 and "
        "35; RFC 3954 section 8). nfcapd applies the rate if samplingInterval is told alone.",
        _is_part,
        ("flexible-netflow",),
    ),
    Known(
        "nfdump",
        ("ipfix",),
        ("packets", "octets"),
        "counts that no sampling rate was applied to",
        "The rate is in every record (samplingInterval, element 34), not in options. nfcapd does "
        "not look for it there.",
        _is_part,
        ("sampling-in-records",),
    ),
    Known(
        "nfdump",
        ("ipfix",),
        (*_TIMES, "tcpControlBits"),
        "times and TCP flags of what came back as those of what went there",
        "RFC 5103 section 6.1: a reverse element is an element of its own. nfcapd keeps the counts "
        "of both directions, and of all other fields what comes last in the record.",
        cases=("biflows",),
    ),
    Known(
        "pmacct",
        ("ipfix",),
        ("packets", "octets"),
        "0 packets and octets",
        "RFC 7011 section 6.2: counters may be sent in fewer octets than their type has, in any "
        "number. nfacctd reads those of four and eight octets.",
        lambda finding: finding.observed == 0,
        ("reduced-size",),
    ),
    Known(
        "pmacct",
        ("netflow5",),
        ("observation_domain",),
        "the engine's id alone",
        "Cisco's table B-3: an engine has a type as well, and numbers its flows by itself; two "
        "of the same id and different types are one here.",
        lambda finding: finding.observed == finding.expected & 0xFF,
        ("router-netflow5",),
    ),
    Known(
        "tshark",
        ("ipfix", "netflow9"),
        _ALL,
        "data of a redefined template read by the first one",
        "RFC 7011 section 8 and RFC 3954 section 9: a template holds until another one of its id "
        "comes. tshark keeps the first one that it saw, and shows numbers that nobody sent.",
        cases=("template-redefinition", "template-redefinition-netflow9"),
    ),
    Known(
        "pmacct",
        ("netflow5", "netflow9"),
        _TIMES,
        "whole seconds, up to a second off",
        "Times are uptimes in milliseconds (Cisco's table B-3, RFC 3954 section 5.1). nfacctd "
        "takes the header's second, and from it whole seconds.",
        _seconds,
    ),
    Known(
        "pmacct",
        ("sflow",),
        ("octets",),
        "four octets a packet more",
        "The FCS, as for nfdump.",
        _by_fcs,
    ),
    Known(
        "pmacct",
        ("sflow", "netflow5"),
        (*_PORTS, "flow"),
        "no ports of SCTP",
        "RFC 9260 section 3.1. It takes ports of TCP and UDP only.",
        _is_sctp,
    ),
    Known(
        "pmacct",
        ("sflow",),
        (*_PORTS, "protocolIdentifier", "icmpTypeCodeIPv6", "flow", "packets", "octets"),
        "behind extension headers of IPv6 another protocol, and no or wrong ports",
        "RFC 8200 section 4: an extension header's length is in units of 8 octets, without the "
        "first 8. sfacctd begins two octets too early, and behind two headers it finds no "
        "protocol.",
        _is_ipv6,
    ),
)


ENDED: Final = {
    ("nfdump", "template-withdrawal"): (
        "RFC 7011 section 8.1: a message may withdraw all templates of an observation domain (id "
        "2, no fields). nfcapd says that it does so, and ends with a segmentation fault: so can "
        "whoever sends it such a datagram."
    )
}
"""Where a collector did not come to an end of its own, by collector and case: why."""


def reason(collector: str, case: str, finding: Finding) -> Known | None:
    """Why a finding is as it is; None: nobody has looked into it."""
    return next((one for one in KNOWN if one.explains(collector, case, finding)), None)
