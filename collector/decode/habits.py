"""What exporters do differently from the text of the format, named, so that nobody has to guess.

A decoder follows the text unless it is told which exporter it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Habits:
    """How an exporter fills in the formats; the defaults are what the formats' texts say."""

    name: str = "as the formats say"
    netflow5_sequence: Literal["first record", "last record"] = "first record"
    """Which record of the datagram has the number in its header."""
    netflow5_octets: Literal["l2", "l3"] = "l3"
    """Layer of dOctets: the IP packet, or the frame without FCS."""
    ipfix_sequence: Literal["per domain", "per socket"] = "per domain"
    """What one count of data records runs over: a transport session and domain (RFC 7011 section
    3.1), or all domains that one socket exports."""
    ipfix_sequence_counts: Literal["what came before", "flows, this message's too"] = (
        "what came before"
    )
    """Data records sent before this message (RFC 7011 section 3.1), or flows' records up to and
    with it, options records left out."""
    netflow9_sequence: Literal["datagrams", "data records"] = "datagrams"
    """What the header's number counts (RFC 3954 section 5.1: export packets; some count flows)."""
    netflow9_sequence_runs: Literal["per domain", "per exporter"] = "per domain"
    """Over what it runs: each source id, or all of an exporter."""
    counts_are_scaled: bool = False
    """NetFlow v9 and IPFIX: counts have been multiplied by the sampling rate already."""
    templates_serve_all_domains: bool = False
    """Data without a template in its domain is decoded by one that its socket sent to another."""


STANDARD = Habits()

OPEN_VSWITCH = Habits(
    name="Open vSwitch",
    # ofproto/netflow.c: the counter is read before the record is added to the datagram, and the
    # header keeps what the last record wrote.
    netflow5_sequence="last record",
    # ofproto/netflow.c gives the datapath's byte counters, which are of whole frames.
    netflow5_octets="l2",
    # ofproto/ofproto-dpif-ipfix.c: one seq_number per exporter, from 1 on; its options data, in
    # domain 0, count too.
    ipfix_sequence="per socket",
    # ofproto/ofproto-dpif-ipfix.c: templates go to the domain of the record that happens to be sent
    # next, once per exporter and interval; flow-based sampling can have several domains in one
    # exporter.
    templates_serve_all_domains=True,
    # ofproto/ofproto-dpif-ipfix.c: packetDeltaCount grows by 1 / probability per sample.
    counts_are_scaled=True,
)
"""Open vSwitch 3.1.0, as seen in real exports (tests/golden). What else is worth knowing of them:

NetFlow v5 has octets_l2, IPv4 only, cumulative tcp_flags, no sampling in its header (0). Times are
those of the wire to the millisecond; but if time is warped before a record's export, sysUptime
has run ahead of the wall clock, and the record's times come out early by what was warped until
then. In one engine the difference of the header's two clocks (unix time less sysUptime) shows
it: it is constant otherwise.

IPFIX has times as flowStartDeltaMicroseconds and flowEndDeltaMicroseconds: microseconds before the
header's export time, which is rounded up to the next second; in whole milliseconds; exact, for
both come from a wall clock that is not warped. Every data record has flowDirection: 0 once per
packet that came in, 1 once per port it went out of (the LOCAL port of a flood too). IPv6
records have the full key; what is not IP (ARP) has MAC addresses, ethernetType and
layer2OctetDeltaCount only. No TCP flags per flow: tcpSynTotalCount and its like count for the
whole exporter. packetDeltaCount and octets are scaled by the sampling rate, which is not said.
droppedPacketDeltaCount counts packets that were not dropped. One options record in domain 0
(exportingProcessId, notSentPacketTotalCount) follows each batch of templates and counts in the
sequence.

sFlow has frameLength with FCS and stripped 4, no time, and with polling counter records 1, 2,
1004 and 1005 per port and 2203 and 2207 per bridge.
"""

SOFTFLOWD = Habits(
    name="softflowd",
    # ipfix.c: the header is written when the message is full, with the flows sent so far.
    ipfix_sequence_counts="flows, this message's too",
)
"""softflowd 1.1.0, as seen in real exports (tests/golden)."""

BY_NAME = {habits.name: habits for habits in (STANDARD, OPEN_VSWITCH, SOFTFLOWD)}
"""All of them."""
