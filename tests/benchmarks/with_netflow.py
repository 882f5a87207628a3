"""Sum a capture with the Python package netflow: `python -m tests.benchmarks.with_netflow FILE`."""

from __future__ import annotations

import json
import sys
from typing import Any

from collector import pcap


def main(capture: str) -> None:
    """Write how many 5-tuples there are, and the packets and octets of all of them."""
    import netflow

    found = pcap.datagrams(pcap.read(capture))
    templates: dict[str, Any] = {"netflow": {}, "ipfix": {}}
    sums: dict[tuple[Any, ...], tuple[int, int]] = {}
    octets = found.buffer.tobytes()
    places = zip(found.offset.tolist(), found.length.tolist(), strict=True)
    for at, size in places:
        export = netflow.parse_packet(octets[at : at + size], templates)
        for flow in export.flows:
            data = flow.data
            key = tuple(_either(data, *names) for names in _KEY)
            packets, count = sums.get(key, (0, 0))
            more = _either(data, "IN_PACKETS", "packetDeltaCount")
            sums[key] = packets + more, count + _either(data, "IN_OCTETS", "octetDeltaCount")
    packets, total = (sum(column) for column in zip(*sums.values(), strict=True))
    json.dump({"tuples": len(sums), "packets": packets, "octets": total}, sys.stdout)


_KEY = (
    ("IPV4_SRC_ADDR", "sourceIPv4Address", "SRC_ADDR"),
    ("IPV4_DST_ADDR", "destinationIPv4Address", "DST_ADDR"),
    ("SRC_PORT", "L4_SRC_PORT", "sourceTransportPort"),
    ("DST_PORT", "L4_DST_PORT", "destinationTransportPort"),
    ("PROTO", "PROTOCOL", "protocolIdentifier"),
)


def _either(data: dict[str, Any], *names: str) -> Any:
    return next((data[name] for name in names if name in data), 0)


if __name__ == "__main__":
    main(sys.argv[1])
