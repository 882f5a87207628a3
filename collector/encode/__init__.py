"""Records in columns to export datagrams: NetFlow v5 and v9, IPFIX, sFlow v5.

The other way of `collector.decode`, from the same tables: the columns that the decoders give are
those that are taken here, and what was written reads as it was.

    flow = template(300, ["sourceIPv4Address", "destinationIPv4Address", ("octetDeltaCount", 4)])
    parts = [*announced([flow]), data(flow, columns)]
    sent, session = ipfix.messages(parts, Session(domain=1), export_time_ns)
    writer.write_records(pcap_records(sent.datagrams(4739)))

`collector.encode.sflow` and `collector.encode.packet` make samples, `collector.encode.lists` lists
of RFC 6313, `collector.encode.times` the times of a flow in every form.
"""

from __future__ import annotations

from collector.encode import ipfix, netflow5, netflow9, sflow
from collector.encode.division import Division
from collector.encode.errors import NotEncodableError
from collector.encode.frames import pcap_records
from collector.encode.session import Sent, Session
from collector.encode.sets import all_withdrawn, announced, data, repeating, withdrawn
from collector.encode.templates import Template, template
from collector.encode.times import time_columns

__all__ = [
    "Division",
    "NotEncodableError",
    "Sent",
    "Session",
    "Template",
    "all_withdrawn",
    "announced",
    "data",
    "ipfix",
    "netflow5",
    "netflow9",
    "pcap_records",
    "repeating",
    "sflow",
    "template",
    "time_columns",
    "withdrawn",
]
