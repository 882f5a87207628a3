"""A collector that is broken on purpose: `python -m tests.conform.broken FAULT NETFLOW SFLOW OUT`.

It receives until SIGTERM, then decodes with flowlab's own decoders, and does one thing wrong. What
it writes is JSON lines; broken.yaml maps them.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

from collector.decode import OPEN_VSWITCH, Datagrams, Decoder
from collector.decode.address import halves
from collector.decode.template_store import Templates
from collector.flows import flow_json, observed, summed


def received(ports):
    """Datagrams until the signal: payload, sender, port."""
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    selector, found = selectors.DefaultSelector(), []
    for port in ports:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", port))
        one.settimeout(0)
        selector.register(one, selectors.EVENT_READ, port)
    while not ended:
        for key, _ in selector.select(0.05):
            payload, sender = key.fileobj.recvfrom(65536)
            found.append((payload, sender, key.data))
    return [one for one in found if len(one[0]) > 1]


def decoded(found, netflow, sflow):
    datagrams = Datagrams.of([payload for payload, _, _ in found], netflow)
    datagrams.source[:] = [halves(sender[0]) for _, sender, _ in found]
    datagrams.source_port[:] = [sender[1] for _, sender, _ in found]
    datagrams.destination_port[:] = [port for _, _, port in found]
    datagrams.timestamp_ns[:] = time.time_ns()
    decoder = Decoder(OPEN_VSWITCH, {netflow: "netflow", sflow: "sflow"})
    return list(observed(decoder.decode(datagrams, last=True)))


# ── the faults ──


def octets_doubled(batches):
    for columns in batches:
        for name in ("octets_l2", "octets_l3"):
            if name in columns:
                columns[name] = columns[name] * np.uint64(2)


def sampling_not_applied(batches):
    for columns in batches:
        if "samples" in columns:
            columns["packets"] = columns["samples"]


def direction_swapped(batches):
    for columns in batches:
        for part in ("_upper", "_lower"):
            ends = columns["destination" + part], columns["source" + part]
            columns["source" + part], columns["destination" + part] = ends
        ports = columns["destinationTransportPort"], columns["sourceTransportPort"]
        columns["sourceTransportPort"], columns["destinationTransportPort"] = ports


def last_record_dropped(batches):
    """Of every datagram that has more than one."""
    everywhere = np.concatenate([np.asarray(columns["origin"]) for columns in batches])
    numbers, count = np.unique(everywhere >> np.uint64(32), return_counts=True)
    of = everywhere >> np.uint64(32)
    last = [everywhere[of == number].max() for number in numbers[count > 1]]
    for columns in batches:
        origin = np.asarray(columns["origin"])
        kept = ~np.isin(origin, last)
        for name, column in columns.items():
            if isinstance(column, np.ndarray) and len(column) == len(origin):
                columns[name] = column[kept]


def ipv6_truncated(batches):
    for columns in batches:
        is_six = np.broadcast_to(columns["ipVersion"], len(columns["source_lower"])) == 6
        for end in ("source", "destination"):
            columns[f"{end}_lower"] = np.where(is_six, np.uint64(0), columns[f"{end}_lower"])


def template_cached_for_ever():
    define = Templates.define

    def only_once(self, key, *arguments, **named):
        if key not in self._known:
            define(self, key, *arguments, **named)

    Templates.define = only_once


FAULTS = {
    "octets-doubled": octets_doubled,
    "sampling-not-applied": sampling_not_applied,
    "direction-swapped": direction_swapped,
    "last-record-dropped": last_record_dropped,
    "ipv6-truncated": ipv6_truncated,
}


def main(fault, netflow, sflow, out):
    if fault == "template-cached":
        template_cached_for_ever()
    found = received((netflow, sflow))
    batches = decoded(found, netflow, sflow)
    if fault in FAULTS:
        FAULTS[fault](batches)
    rows = summed(one for one in batches if len(np.asarray(one["origin"])))
    lines = [json.dumps({**row, "key": flow_json(row)}) for row in rows.iter_rows(named=True)]
    Path(out).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
