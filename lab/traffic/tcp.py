"""One TCP connection: so many octets there, so many back, and a clean close."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from collector.key import TCP, FlowKey
from lab.scenario.units import Octets, Rate
from lab.traffic.base import PATIENCE_S, Conversation, Ends, Line, PlannedFlow, address

if TYPE_CHECKING:
    from collections.abc import Callable

_SO_MAX_PACING_RATE: Final = 47  # not in Python's socket module; asm-generic/socket.h
_SEGMENT_OCTETS: Final = 1448
_MOST_OCTETS: Final = 1 << 30  # TCP's own limit for a window (RFC 7323 section 2.2)
_SETTLE_S: Final = 0.02
"""So long an acknowledgement has to leave before the FIN that must not overtake it."""
_LINGER: Final = struct.pack("ii", 1, int(PATIENCE_S))
_CHUNK: Final = bytes(65536)
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


class Tcp(Conversation):
    """A TCP connection: the source sends, gets its answer, and closes; then the destination does.

    How many packets that takes is TCP's affair, so packets and octets are expected as they
    crossed the wire; what is inside them is expected as declared.
    """

    kind: ClassVar[str] = "tcp"
    title: ClassVar[str] = "TCP connection"
    protocol: ClassVar[str] = "tcp"

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=80, description="The port that the destination listens on."
    )
    source_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="Source port; chosen, always the same, if not given."
    )
    send_octets: Annotated[Octets, Field(ge=0, le=2**32 - 2)] = Field(
        default=0, description="What the source sends."
    )
    receive_octets: Annotated[Octets, Field(ge=0, le=2**32 - 2)] = Field(
        default=0, description="What the source then gets back."
    )
    rate_bps: Annotated[Rate, Field(ge=10_000, le=10_000_000_000)] = Field(
        default=100_000_000, description="The most that either end sends, bits per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return 1

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: a TCP connection to port {self.port}, "
            f"{self.send_octets} octets there and {self.receive_octets} back"
        )

    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """See `Conversation.plan`."""
        source = address(ends.source, self.ip_version)
        destination = address(ends.destination, self.ip_version)
        there = FlowKey(self.ip_version, source, destination, TCP, ends.source_port, self.port)
        back = FlowKey(self.ip_version, destination, source, TCP, self.port, ends.source_port)
        return (
            PlannedFlow(there, self.source, self.destination, payload_octets=self.send_octets),
            PlannedFlow(back, self.destination, self.source, payload_octets=self.receive_octets),
        )

    def declared(self, role: str) -> dict[str, int]:
        """See `Conversation.declared`."""
        if role == "send":
            return {"octets_sent": self.send_octets, "octets_received": self.receive_octets}
        return {"octets_sent": self.receive_octets, "octets_received": self.send_octets}

    def send(self, ends: Ends, line: Line) -> dict[str, int]:  # noqa: ARG002 (TCP has its own)
        """See `Conversation.send`."""
        with self._socket(ends) as client:
            client.settimeout(self._patience_s(ends))
            client.bind((address(ends.source, self.ip_version), ends.source_port))
            client.connect((address(ends.destination, self.ip_version), self.port))
            sent = _send(client, self.send_octets)
            received = _receive(client, self.receive_octets)
            client.shutdown(socket.SHUT_WR)
            return {"octets_sent": sent, "octets_received": received + _receive(client)}

    def receive(self, ends: Ends, line: Line, ready: Callable[[], None]) -> dict[str, int]:
        """See `Conversation.receive`."""
        with self._socket(ends) as listener:
            listener.bind((address(ends.destination, self.ip_version), self.port))
            listener.listen()
            ready()
            server = _accept(listener, line)
        with server:
            server.settimeout(self._patience_s(ends))
            linger(server)
            received = _receive(server, self.send_octets)
            sent = _send(server, self.receive_octets)
            # Only now the source closes, and then the destination: nothing that acknowledges data
            # can be overtaken by the last acknowledgement and be answered with a reset. For that
            # reason the source's FIN is acknowledged by the destination's own: of two packets from
            # two processors the second may be first on the wire.
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            received += _receive(server)
            # Seen once in 2000 connections: the kernel had acknowledged the FIN nevertheless, and
            # that packet was on the wire 3 ms after the destination's own.
            time.sleep(_SETTLE_S)
            return {"octets_sent": sent, "octets_received": received}

    def _patience_s(self, ends: Ends) -> float:
        """For all of it: what one end has given to its kernel may be long on its way."""
        return ends.patience_s(self.send_octets + self.receive_octets, self.rate_bps)

    def _socket(self, ends: Ends) -> socket.socket:
        return stream_socket(self.ip_version, ends.window, self.rate_bps)


def stream_socket(ip_version: int, window_packets: int, rate_bps: float) -> socket.socket:
    """A socket whose far end may send no more than a window ahead.

    A small window keeps the packets under way fewer than the switch's receive queue
    holds, so a busy machine makes the connection slower and never lossy.
    """
    own = socket.socket(_FAMILY[ip_version], socket.SOCK_STREAM)
    own.settimeout(PATIENCE_S)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    window_octets = min(window_packets * _SEGMENT_OCTETS, _MOST_OCTETS)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, window_octets)
    own.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, min(int(rate_bps) // 8, 2**32 - 2))
    return own


def linger(connection: socket.socket) -> None:
    """Let closing wait for the last acknowledgement: once it returns, all has arrived."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


def _accept(listener: socket.socket, line: Line) -> socket.socket:
    while True:
        try:
            return listener.accept()[0]
        except TimeoutError:
            if line.sender_done:
                raise


def _send(connection: socket.socket, octets: int) -> int:
    left = octets
    while left:
        left -= connection.send(_CHUNK[: min(left, len(_CHUNK))])
    return octets


def _receive(connection: socket.socket, wanted: int | None = None) -> int:
    """Receive so many octets, or all up to the other end's close; how many there were."""
    octets = 0
    while wanted is None or octets < wanted:
        chunk = connection.recv(65536)
        if not chunk:
            break
        octets += len(chunk)
    return octets
