"""Export datagrams to records in columns: NetFlow v5 and v9, IPFIX, sFlow v5.

decoded = decode(pcap.datagrams(pcap.read("exports.pcap")), habits=OPEN_VSWITCH)
for batch in decoded.batches: batch.columns["packetDeltaCount"]
"""

from __future__ import annotations

from collector.decode.batch import Batch
from collector.decode.datagrams import Datagrams
from collector.decode.engine import NETFLOW, PORTS, SFLOW, Decoded, Decoder, Summary, decode
from collector.decode.habits import BY_NAME, OPEN_VSWITCH, SOFTFLOWD, STANDARD, Habits
from collector.decode.limits import Limits
from collector.decode.sequence import Stream

__all__ = [
    "BY_NAME",
    "NETFLOW",
    "OPEN_VSWITCH",
    "PORTS",
    "SFLOW",
    "SOFTFLOWD",
    "STANDARD",
    "Batch",
    "Datagrams",
    "Decoded",
    "Decoder",
    "Habits",
    "Limits",
    "Stream",
    "Summary",
    "decode",
]
