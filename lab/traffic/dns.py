"""Questions to a name server and its answers, made and read by dnspython (RFC 1035)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from collector.key import UDP, FlowKey
from lab.scenario.units import Rate
from lab.traffic.base import (
    IP_HEADER_OCTETS,
    PATIENCE_S,
    Conversation,
    Ends,
    Line,
    PlannedFlow,
    address,
    paced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from topologies.model import Host

_UDP_HEADER_OCTETS: Final = 8
_TTL_S: Final = 300
DNS_NAME: Final = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$"
_RECORDS: Final = {"A": "192.0.2.{}", "AAAA": "2001:db8:53::{}", "TXT": '"text number {}"'}
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


class Dns(Conversation):
    """Questions over UDP, each from a port of its own as resolvers ask, and an answer to each."""

    kind: ClassVar[str] = "dns"
    title: ClassVar[str] = "questions to a name server"
    protocol: ClassVar[str] = "udp"

    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=53, description="The port of the name server."
    )
    questions: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="How many questions."
    )
    name: Annotated[str, Field(pattern=DNS_NAME, max_length=200)] = Field(
        default="www.example.org", description="The name that is asked for."
    )
    record: Literal["A", "AAAA", "TXT"] = Field(
        default="A", description="The type of record that is asked for."
    )
    records: Annotated[int, Field(ge=0, le=20)] = Field(
        default=1, description="Records in each answer; with 0 there is no such name."
    )
    rate_pps: Annotated[Rate, Field(gt=0, le=5000)] = Field(
        default=200, description="Questions per second."
    )

    @property
    def source_ports(self) -> int:
        """See `Traffic.source_ports`."""
        return self.questions

    def in_words(self) -> str:
        """See `Traffic.in_words`."""
        return (
            f"{self.source} → {self.destination}: {self.questions} questions for {self.record} of "
            f"{self.name}, {self.records} records in each answer"
        )

    def plan(self, ends: Ends) -> tuple[PlannedFlow, ...]:
        """See `Conversation.plan`."""
        client = address(ends.source, self.ip_version)
        server = address(ends.destination, self.ip_version)
        headers = IP_HEADER_OCTETS[self.ip_version] + _UDP_HEADER_OCTETS
        question = self._question(0)
        asked, answered = (len(message.to_wire()) for message in (question, self._answer(question)))
        flows: list[PlannedFlow] = []
        for port in range(ends.source_port, ends.source_port + self.questions):
            there = FlowKey(self.ip_version, client, server, UDP, port, self.port)
            back = FlowKey(self.ip_version, server, client, UDP, self.port, port)
            flows.append(PlannedFlow(there, self.source, self.destination, 1, headers + asked))
            flows.append(PlannedFlow(back, self.destination, self.source, 1, headers + answered))
        return tuple(flows)

    def declared(self, role: str) -> dict[str, int]:
        """See `Conversation.declared`."""
        if role == "receive":
            return {"questions": self.questions}
        return {"answers": self.questions, "records": self.questions * self.records}

    def send(self, ends: Ends, line: Line) -> dict[str, int]:
        """See `Conversation.send`: the resolver."""
        import dns.query

        server = address(ends.destination, self.ip_version)
        answers = records = 0
        for number in paced(self.questions, self.rate_pps, ends.window, line):
            answer = dns.query.udp(
                self._question(number),
                server,
                timeout=PATIENCE_S,
                port=self.port,
                source=address(ends.source, self.ip_version),
                source_port=ends.source_port + number,
            )
            answers += 1
            records += sum(map(len, answer.answer))
        return {"answers": answers, "records": records}

    def receive(self, ends: Ends, line: Line, ready: Callable[[], None]) -> dict[str, int]:
        """See `Conversation.receive`: the name server."""
        import dns.message

        with self._socket(ends.destination) as server:
            ready()
            while line.arrived < self.questions and not line.sender_done:
                try:
                    message, client = server.recvfrom(65536)
                except TimeoutError:
                    continue
                line.arrived += 1
                server.sendto(self._answer(dns.message.from_wire(message)).to_wire(), client)
        return {"questions": line.arrived}

    def _question(self, number: int) -> Any:
        import dns.message

        return dns.message.make_query(self.name, self.record, id=number)

    def _answer(self, question: Any) -> Any:
        import dns.message
        import dns.rcode
        import dns.rrset

        answer = dns.message.make_response(question)
        if not self.records:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer
        values = (_RECORDS[self.record].format(1 + number) for number in range(self.records))
        name = question.question[0].name
        answer.answer.append(dns.rrset.from_text(name, _TTL_S, "IN", self.record, *values))
        return answer

    def _socket(self, host: Host) -> socket.socket:
        own = socket.socket(_FAMILY[self.ip_version], socket.SOCK_DGRAM)
        own.bind((address(host, self.ip_version), self.port))
        own.settimeout(PATIENCE_S / 10)
        return own
