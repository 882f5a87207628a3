"""Receive export datagrams and record them, exactly as they arrived: `python -m collector.receive`.

The only module that opens sockets for datagrams. It knows nothing of what is inside them, and
imports only the standard library, so that it is ready in a few hundredths of a second.

    python -m collector.receive --listen 127.0.0.1:2055 --listen [::1]:6343 --out exports.pcap

Conversation, one line each, answers are JSON objects on standard output:

    (started)   {"ready": true, "ports": {"127.0.0.1:2055": 2055, …}, "receive_buffer_octets": …}
                or {"ready": false, "error": "…"} and exit status 1
    drain       reads until every socket is empty, flushes the file, answers
                {"datagrams": {"127.0.0.1:2055": n, …}, "kernel_drops": {…},
                 "receive_buffer_octets": …, "truncated": n, "copied": n, "not_copied": n};
                counts are from the start
    stop        the same, closes the file, exit status 0; so do end of input and SIGTERM

Per-port objects are keyed by the `--listen` text as given (port 0 asks for any free port).
`receive_buffer_octets` is what the kernel granted (it counts its own bookkeeping into it), the
smallest of all ports. `kernel_drops` is the socket's own counter: datagrams that arrived but found
the buffer full.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.recording import Writer, encapsulate_udp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

RECEIVE_BUFFER_OCTETS = 16 << 20
"""Asked for; the kernel grants what net.core.rmem_max allows."""
DATAGRAM_OCTETS = 65_536
"""Longer than any UDP datagram, so nothing is ever cut."""
_SHOWN_S = 0.2
"""So long a datagram is recorded at most before a reader of the growing file sees it."""
BATCH = 512
"""Datagrams read from one socket before the others get their turn."""

# Numbers of the Linux kernel (include/uapi: asm-generic/socket.h, linux/in.h, linux/sock_diag.h)
# that the socket module of Python 3.11 does not name.
_SO_TIMESTAMPNS = 35
_SO_MEMINFO = 55
_SO_RCVBUFFORCE = 33
_SK_MEMINFO_DROPS = 8
_IP_PKTINFO = 8
_TIMESPEC = struct.Struct("@ll")
_IN_PKTINFO = struct.Struct("@i4s4s")
_IN6_PKTINFO = struct.Struct("@16si")
_ANCILLARY_OCTETS = 256
_PAYLOAD_AT = {b"\x08\x00": 42, b"\x86\xdd": 62}
"""By EtherType: behind Ethernet, IPv4 or IPv6, and UDP."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One `--listen`: where to receive."""

    text: str
    family: socket.AddressFamily
    host: str
    port: int


def parse_endpoint(text: str) -> Endpoint:
    """Read `127.0.0.1:2055` or `[::1]:2055`; only literal addresses.

    Raises:
        ValueError: it is not of this form.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    family = socket.AF_INET6 if bracketed else socket.AF_INET
    host = host[1:-1] if bracketed else host
    try:
        socket.inet_pton(family, host)
    except OSError:
        colon = ""
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        message = f"{text!r} is not ADDRESS:PORT (like 127.0.0.1:2055 or [::1]:2055)"
        raise ValueError(message)
    return Endpoint(text, family, host, int(port))


class Port:
    """One socket and what came through it."""

    def __init__(self, endpoint: Endpoint, buffer_octets: int = RECEIVE_BUFFER_OCTETS) -> None:
        """Ask for a receive buffer of this size; nothing arrives before `bind`."""
        self.text = endpoint.text
        self._endpoint = endpoint
        self.datagrams = 0
        self.truncated = 0
        self._buffer = bytearray(DATAGRAM_OCTETS)
        self._view = memoryview(self._buffer)
        self.socket = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        self.socket.settimeout(0)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if endpoint.family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._ask_buffer(buffer_octets)
        self.address = endpoint.host
        self.number = endpoint.port

    def bind(self) -> Self:
        """Open the port: from now on datagrams come.

        Raises:
            OSError: the address is taken, not of this machine, or not allowed.
        """
        try:
            self.socket.bind((self._endpoint.host, self._endpoint.port))
        except OSError:
            self.socket.close()
            raise
        self.address, self.number = self.socket.getsockname()[:2]
        return self

    def _ask_buffer(self, octets: int) -> None:
        """Ask for a receive buffer: past the limit where we may, else up to the limit."""
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, option, octets)
            except PermissionError:
                continue
            return

    @property
    def receive_buffer_octets(self) -> int:
        """The receive buffer that the kernel granted."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    @property
    def kernel_drops(self) -> int | None:
        """Datagrams lost because the receive buffer was full; None if this kernel does not say."""
        try:
            meminfo = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
        except OSError:
            return None
        counters = struct.unpack(f"@{len(meminfo) // 4}I", meminfo)
        return counters[_SK_MEMINFO_DROPS] if len(counters) > _SK_MEMINFO_DROPS else None

    def receive(self, writer: Writer, limit: int = BATCH) -> int:
        """Record up to `limit` waiting datagrams; return how many there were."""
        recvmsg_into, buffers, view = self.socket.recvmsg_into, [self._buffer], self._view
        count = 0
        while count < limit:
            try:
                size, ancillary, flags, sender = recvmsg_into(buffers, _ANCILLARY_OCTETS)
            except BlockingIOError:
                break
            except ConnectionError:
                # An ICMP error of an earlier datagram, reported here; there is no datagram behind
                # it.
                continue
            count += 1
            self.truncated += bool(flags & socket.MSG_TRUNC)
            timestamp_ns, destination = _read_ancillary(ancillary)
            frame = encapsulate_udp(
                sender[0], sender[1], destination or self.address, self.number, bytes(view[:size])
            )
            writer.write(timestamp_ns or time.time_ns(), frame)
        self.datagrams += count
        return count


def _read_ancillary(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, str]:
    """When it arrived (ns since 1970, 0 unknown) and to which address it was sent."""
    timestamp_ns, destination = 0, ""
    for level, kind, octets in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack_from(octets)
            timestamp_ns = seconds * 1_000_000_000 + nanoseconds
        elif level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            destination = socket.inet_ntop(socket.AF_INET, _IN_PKTINFO.unpack_from(octets)[2])
        elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            destination = socket.inet_ntop(socket.AF_INET6, _IN6_PKTINFO.unpack_from(octets)[0])
    return timestamp_ns, destination


class Copying(Writer):
    """A recording that also sends each datagram on.

    The copy never disturbs the recording: it waits for nothing, and what cannot be sent is counted.
    """

    def __init__(self, path: str, copies: Sequence[socket.socket] = ()) -> None:
        """Write to `path` and to connected sockets."""
        super().__init__(path)
        self._copies = copies
        self.copied = 0
        self.not_copied = 0

    def write(self, timestamp_ns: int, frame: bytes, original_length: int | None = None) -> None:
        """Record one frame of `encapsulate_udp`; send what is in it."""
        super().write(timestamp_ns, frame, original_length)
        for copy in self._copies:
            try:
                copy.send(memoryview(frame)[_PAYLOAD_AT[frame[12:14]] :])
                self.copied += 1
            except OSError:
                self.not_copied += 1

    def show(self) -> None:
        """Let those who read along see what is recorded so far; nothing is brought forward."""
        Writer.flush(self)


class Commands:
    """Lines from a file descriptor, without ever waiting for the rest of one."""

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`; end of input becomes `stop`."""
        self.descriptor = descriptor
        self._rest = b""

    def read(self) -> list[str]:
        """The commands that are there; call only when the descriptor is readable."""
        octets = os.read(self.descriptor, 4096)
        *lines, self._rest = (self._rest + (octets or b"\nstop\n")).split(b"\n")
        return [line.decode("utf-8", "replace").strip() for line in lines if line.strip()]


def serve(ports: Sequence[Port], writer: Copying, commands: Sequence[Commands]) -> None:
    """Record datagrams and obey commands until one of them is `stop`."""
    with selectors.DefaultSelector() as selector:
        for port in ports:
            selector.register(port.socket, selectors.EVENT_READ, port)
        for source in commands:
            selector.register(source.descriptor, selectors.EVENT_READ, source)
        shown_s, unseen = time.monotonic(), False
        while True:
            asked: list[str] = []
            for key, _ in selector.select(_SHOWN_S if unseen else None):
                if isinstance(key.data, Port):
                    unseen |= key.data.receive(writer) > 0
                else:
                    asked += key.data.read()
            if unseen and time.monotonic() - shown_s >= _SHOWN_S:
                writer.show()
                shown_s, unseen = time.monotonic(), False
            for command in asked:
                if command not in ("drain", "stop"):
                    _answer({"error": f"unknown command {command!r}; known: drain, stop"})
                    continue
                _answer(_drain(ports, writer))
                if command == "stop":
                    return


def _drain(ports: Sequence[Port], writer: Copying) -> dict[str, object]:
    """Read until every socket is empty, flush, and count."""
    while sum([port.receive(writer) for port in ports]):
        pass
    writer.flush()
    return {
        "datagrams": {port.text: port.datagrams for port in ports},
        "kernel_drops": {port.text: port.kernel_drops for port in ports},
        "receive_buffer_octets": min(port.receive_buffer_octets for port in ports),
        "truncated": sum(port.truncated for port in ports),
        "copied": writer.copied,
        "not_copied": writer.not_copied,
    }


def _answer(answer: dict[str, object]) -> None:
    """One JSON line on standard output; nobody listening any more is not our fault."""
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain again when it closes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _stop_on_sigterm() -> Commands:
    """Turn SIGTERM into a `stop` command: a handler may not interrupt a record half written."""
    reading, writing = os.pipe()
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.write(writing, b"stop\n"))
    # Control-C reaches the whole process group; who started us decides, and says `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return Commands(reading)


def main(
    arguments: Sequence[str] | None = None,
    record: Callable[[str, Sequence[socket.socket]], Copying] = Copying,
) -> int:
    """Run the receiver; return the exit status.

    Args:
        arguments: of the command line.
        record: opens the recording, given its path and where copies go.
    """
    parser = argparse.ArgumentParser(
        prog="python -m collector.receive",
        description="Record export datagrams into a pcap file. Commands on stdin: drain, stop.",
    )
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--out", required=True, metavar="FILE", help="the pcap file to write")
    parser.add_argument(
        "--copy", action="append", type=int, default=[], metavar="FD", help="a connected socket"
    )
    options = parser.parse_args(arguments)
    # Nothing here makes reference cycles, and a collection in a burst costs datagrams.
    gc.disable()
    terminated = _stop_on_sigterm()
    try:
        endpoints = [parse_endpoint(text) for text in dict.fromkeys(options.listen)]
        ports = [Port(endpoint).bind() for endpoint in endpoints]
        copies = [socket.socket(fileno=number) for number in options.copy]
        for copy in copies:
            copy.settimeout(0)
        writer = record(options.out, copies)
        writer.flush()
    except (OSError, ValueError) as error:
        _answer({"ready": False, "error": str(error)})
        return 1
    _answer(
        {
            "ready": True,
            "ports": {port.text: port.number for port in ports},
            "receive_buffer_octets": min(port.receive_buffer_octets for port in ports),
        }
    )
    try:
        with writer:
            serve(ports, writer, [Commands(sys.stdin.fileno()), terminated])
    except OSError as error:
        _answer({"error": f"recording stopped: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
