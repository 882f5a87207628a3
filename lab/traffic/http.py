"""Web requests: Python's own HTTP client fetches from Python's own HTTP server."""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from collector.key import TCP, FlowKey
from lab.scenario.units import Octets, Rate
from lab.traffic.base import PATIENCE_S, Conversation, Ends, Line, PlannedFlow, address
from lab.traffic.tcp import linger, stream_socket

if TYPE_CHECKING:
    from collections.abc import Callable

_SOFTWARE: Final = "flowlab"
_DATE_OCTETS: Final = len("Sun, 06 Nov 1994 08:49:37 GMT")
"""RFC 9110 section 5.6.7: every date is as long as any other."""


class Http(Conversation):
    """Pages fetched over HTTP/1.1, several in each connection, one connection after the other."""

    kind: ClassVar[str] = "http"
    title: ClassVar[str] = "web requests"
    protocol: ClassVar[str] = "tcp"

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=80, description="The port of the server."
    )
    connections: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Connections, each from a port of its own."
    )
    requests: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="Requests in each connection."
    )
    page_octets: Annotated[Octets, Field(ge=0, le=2**30)] = Field(
        default=10_000, description="How long each page is, without headers."
    )
    rate_bps: Annotated[Rate, Field(ge=10_000, le=10_000_000_000)] = Field(
        default=100_000_000, description="The most that either end sends, bits per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return self.connections

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        pages = f"{self.requests} pages of {self.page_octets} octets"
        ends = f"{self.source} → {self.destination}"
        return f"{ends}: {self.connections} HTTP connections to port {self.port}, {pages} in each"

    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """See `Conversation.plan`."""
        client = address(ends.source, self.ip_version)
        server = address(ends.destination, self.ip_version)
        asked = self.requests * len(self._request(ends))
        answered = self.requests * (len(self._headers()) + self.page_octets)
        flows: list[PlannedFlow] = []
        for port in range(ends.source_port, ends.source_port + self.connections):
            there = FlowKey(self.ip_version, client, server, TCP, port, self.port)
            back = FlowKey(self.ip_version, server, client, TCP, self.port, port)
            flows.append(PlannedFlow(there, self.source, self.destination, payload_octets=asked))
            flows.append(PlannedFlow(back, self.destination, self.source, payload_octets=answered))
        return tuple(flows)

    def declared(self, role: str) -> dict[str, int]:  # noqa: ARG002 (both count the same)
        """See `Conversation.declared`."""
        pages = self.connections * self.requests
        return {"pages": pages, "page_octets": pages * self.page_octets}

    def send(self, ends: Ends, line: Line) -> dict[str, int]:  # noqa: ARG002 (TCP has its own)
        """See `Conversation.send`: the browser."""
        pages = octets = 0
        server = address(ends.destination, self.ip_version)
        for port in range(ends.source_port, ends.source_port + self.connections):
            connection = HTTPConnection(server, self.port)
            own = connection.sock = stream_socket(self.ip_version, ends.window, self.rate_bps)
            own.settimeout(ends.patience_s(self.page_octets, self.rate_bps))
            own.bind((address(ends.source, self.ip_version), port))
            own.connect((server, self.port))
            for _ in range(self.requests):
                connection.request("GET", "/")
                octets += len(connection.getresponse().read())
                pages += 1
            own.shutdown(socket.SHUT_WR)
            own.recv(1)  # the server closes then
            connection.close()
        return {"pages": pages, "page_octets": octets}

    def receive(self, ends: Ends, line: Line, ready: Callable[[], None]) -> dict[str, int]:
        """See `Conversation.receive`: the web server."""
        served = {"pages": 0, "page_octets": 0}
        page = bytes(self.page_octets)
        patience_s = ends.patience_s(self.page_octets, self.rate_bps)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = patience_s  # for a whole page, since that is sent at one go

            def setup(self) -> None:
                linger(self.request)
                super().setup()

            def version_string(self) -> str:
                return _SOFTWARE

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)
                served["pages"] += 1
                served["page_octets"] += len(page)

        with HTTPServer(
            (address(ends.destination, self.ip_version), self.port),
            Handler,
            bind_and_activate=False,
        ) as server:
            server.socket.close()
            server.socket = stream_socket(self.ip_version, ends.window, self.rate_bps)
            server.address_family = server.socket.family
            server.socket.bind((address(ends.destination, self.ip_version), self.port))
            server.server_activate()
            server.timeout = PATIENCE_S
            ready()
            while served["pages"] < self.connections * self.requests and not line.sender_done:
                server.handle_request()
        return served

    def _request(self, ends: Ends) -> bytes:
        """What http.client sends."""
        host = address(ends.destination, self.ip_version)
        named = f"[{host}]" if self.ip_version == 6 else host
        port = "" if self.port == 80 else f":{self.port}"
        return (
            f"GET / HTTP/1.1\r\nHost: {named}{port}\r\nAccept-Encoding: identity\r\n\r\n"
        ).encode("ascii")

    def _headers(self) -> bytes:
        """What http.server sends before a page."""
        date = "D" * _DATE_OCTETS
        return (
            f"HTTP/1.1 200 OK\r\nServer: {_SOFTWARE}\r\nDate: {date}\r\n"
            f"Content-Length: {self.page_octets}\r\n\r\n"
        ).encode("ascii")
