"""The receiver with faults before it: `python -m lab.run.faulty FAULTS.json …`.

Every datagram is written to ``exports-sent.pcap`` as it came, and to the recording as the
faults let it arrive. So what happened to each is known exactly, and no packet filter has to be
trusted. What the faults did is written to ``faults.json``.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector import receive
from collector.recording import Writer, encapsulate_udp

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

SENT: Final = "exports-sent.pcap"
DONE: Final = "faults.json"

_MS_NS: Final = 1_000_000
# Where `collector.recording` puts what tells a datagram's stream: source address and ports (IPv4,
# IPv6), behind an Ethernet header.
_STREAM: Final = {
    b"\x08\x00": (slice(26, 30), slice(34, 38)),
    b"\x86\xdd": (slice(22, 38), slice(54, 58)),
}
_PAYLOAD_AT: Final = {b"\x08\x00": 42, b"\x86\xdd": 62}
_SPOILT: Final = ("corrupt", "truncate")
_CUT_OCTETS: Final = 8
"""What is left of a datagram that is cut: less than any header."""


class Stage(receive.Copying):
    """Stands where the recording is written, and lets faults happen to what comes."""

    def __init__(
        self,
        path: str,
        faults: Sequence[Mapping[str, Any]],
        copies: Sequence[socket.socket] = (),
    ) -> None:
        """Write what arrives to `path`, and what was sent beside it.

        Args:
            path: of the recording.
            faults: each with its ``kind``, its settings, and ``targets``: the addresses and UDP
                ports that the datagrams it strikes were sent from, and to; None: all.
            copies: sockets that get a copy of what arrives.
        """
        super().__init__(path, copies)
        self._sent = Writer(Path(path).parent / SENT)
        self._done = Path(path).parent / DONE
        self._faults = faults
        self._chance: dict[tuple[int, bytes], random.Random] = {}
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._overtaken: dict[bytes, list[bytes]] = {}
        self._came = 0
        self._arrived = 0
        self.restarts: list[int] = []
        self.spoilt: list[int] = []
        """Which of the datagrams that arrived nobody can read, from 0."""
        self._spoilt: set[bytes] = set()
        self.struck: Counter[str] = Counter()

    def write(self, timestamp_ns: int, frame: bytes, original_length: int | None = None) -> None:
        """Take one datagram."""
        self._sent.write(timestamp_ns, frame, original_length)
        self._came += 1
        self._release(timestamp_ns)
        if self._nobody_there():
            return
        copies, due_ns, overtaken = 1, timestamp_ns, False
        stream = _stream(frame)
        for number, fault in enumerate(self._faults):
            if not self._strikes(number, fault, stream):
                continue
            kind = fault["kind"]
            self.struck[kind] += 1
            copies = {"drop": 0, "duplicate": 2 * copies}.get(kind, copies)
            overtaken |= kind == "reorder"
            due_ns += fault.get("delay_ms", 0) * _MS_NS
            if kind in _SPOILT:
                frame = _spoilt(frame, kind)
                self._spoilt.add(frame)
        if overtaken:
            self._overtaken.setdefault(stream, []).extend([frame] * copies)
            return
        if due_ns > timestamp_ns:
            for _ in range(copies):
                heapq.heappush(self._waiting, (due_ns, self._came, len(self._waiting), frame))
            return
        for _ in range(copies):
            self._arrive(timestamp_ns, frame)
        for late in self._overtaken.pop(stream, ()):
            self._arrive(timestamp_ns, late)

    def flush(self) -> None:
        """Nothing more comes, as far as is known: what is held back arrives."""
        self._release(None)
        for late in [frame for frames in self._overtaken.values() for frame in frames]:
            self._arrive(self._now_ns, late)
        self._overtaken.clear()
        self._sent.flush()
        super().flush()
        told = {"restarts": self.restarts, "struck": dict(self.struck), "spoilt": self.spoilt}
        self._done.write_text(json.dumps(told), encoding="ascii")

    def close(self) -> None:
        """Close both recordings."""
        self._sent.close()
        super().close()

    _now_ns = 0

    def _arrive(self, timestamp_ns: int, frame: bytes) -> None:
        self._now_ns = max(self._now_ns, timestamp_ns)
        if frame in self._spoilt:
            self.spoilt.append(self._arrived)
        self._arrived += 1
        super().write(timestamp_ns, frame)

    def _release(self, now_ns: int | None) -> None:
        """Let delayed datagrams arrive whose time has come; None: all of them."""
        while self._waiting and (now_ns is None or self._waiting[0][0] <= now_ns):
            due_ns, _, _, frame = heapq.heappop(self._waiting)
            self._arrive(due_ns, frame)

    def _nobody_there(self) -> bool:
        """Whether the collector is away while this datagram comes."""
        away = False
        for fault in self._faults:
            if fault["kind"] not in ("late_collector", "collector_restart"):
                continue
            after, missed = fault.get("after", 0), fault["missed"]
            if self._came == after + 1 and after:
                self.restarts.append(self._arrived)
                self.struck["collector_restart"] += 1
            if after < self._came <= after + missed:
                away = True
                self.struck["late_collector"] += not after
        return away

    def _strikes(self, number: int, fault: Mapping[str, Any], stream: bytes) -> bool:
        if "percent" not in fault:
            return False
        address, port = stream[:-4], stream[-2:]
        targets = fault.get("targets")
        if targets is not None and [address.hex(), port.hex()] not in targets:
            return False
        own = number, address + port
        if own not in self._chance:
            self._chance[own] = random.Random(f"{fault['seed']} {own[0]} {own[1].hex()}")  # noqa: S311
        return bool(self._chance[own].random() * 100 < fault["percent"])


def _stream(frame: bytes) -> bytes:
    """Source address, source port and destination port of a datagram."""
    return b"".join(frame[part] for part in _STREAM[frame[12:14]])


def _spoilt(frame: bytes, kind: str) -> bytes:
    """A datagram that cannot be read: its version is none, or its header is cut."""
    octets = 4 if frame[12:14] == b"\x08\x00" else 16
    at = _PAYLOAD_AT[frame[12:14]]
    ports = at - 8
    ends = at - 8 - 2 * octets
    payload = frame[at:]
    if kind == "corrupt":
        payload = bytes(octet ^ 0xFF for octet in payload[:4]) + payload[4:]
    else:
        payload = payload[:_CUT_OCTETS]
    return encapsulate_udp(
        str(ip_address(frame[ends : ends + octets])),
        int.from_bytes(frame[ports : ports + 2], "big"),
        str(ip_address(frame[ends + octets : ports])),
        int.from_bytes(frame[ports + 2 : ports + 4], "big"),
        payload,
    )


def main() -> int:
    """Run the receiver; the first argument is the file with the faults."""
    faults = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return receive.main(sys.argv[2:], lambda path, copies: Stage(path, faults, copies))


if __name__ == "__main__":
    sys.exit(main())
