"""As many datagrams as are wanted, of one size, whose content is known: for measuring limits.

IPFIX messages of one exporter, `RECORDS` data records each: flows over IPv4 with what routers tell
of them. Sequence numbers run on. The records of every message have `PACKETS` packets, so what got
lost can be told from sums.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from collector.decode.templates import IPFIX
from collector.encode import Division, Session, announced, data, ipfix, template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from collector.encode import Template

RECORDS: Final = 10
"""In each message."""
PACKETS: Final = 100
"""In the records of each message."""
_MESSAGES: Final = 1_000
"""Different ones; then they come again, with other sequence numbers."""
_NOW_NS: Final = 1_700_000_000_000_000_000
_NOW_MS: Final = _NOW_NS // 1_000_000
_DOMAIN: Final = 1
_SEQUENCE: Final = slice(8, 12)
"""Of an IPFIX message (RFC 7011 section 3.1)."""
FLOW: Final = {
    "protocol": "ipfix",
    "family": "netflow",
    "flow": {
        "sourceIPv4Address": "10.0.0.1",
        "destinationIPv4Address": "10.0.0.2",
        "protocolIdentifier": 6,
        "sourceTransportPort": 1024,
        "destinationTransportPort": 443,
    },
    "sampling": 1,
}
"""One like those that are sent, for who may be unable to express any of them."""
_FIELDS: Final = {
    "sourceIPv4Address": 4,
    "destinationIPv4Address": 4,
    "sourceTransportPort": 2,
    "destinationTransportPort": 2,
    "protocolIdentifier": 1,
    "tcpControlBits": 1,
    "ipClassOfService": 1,
    "ingressInterface": 4,
    "egressInterface": 4,
    "packetDeltaCount": 8,
    "octetDeltaCount": 8,
    "flowStartMilliseconds": 8,
    "flowEndMilliseconds": 8,
}
"""Elements and their octets."""


class Flood(NamedTuple):
    """Datagrams, as `collector.sending.send` takes them."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def part(self, first: int, last: int) -> Flood:
        """Some of them."""
        return Flood(self.buffer, self.offset[first:last], self.length[first:last])


def beginning() -> Flood:
    """The message with the template."""
    sent, _ = ipfix.messages(announced([_template()]), Session(domain=_DOMAIN), _NOW_NS)
    return Flood(sent.buffer, sent.offset, sent.length)


def messages(count: int) -> Flood:
    """So many messages, to be sent after `beginning`."""
    few = _few()
    octets = np.resize(few, (count, few.shape[1]))
    sequence = (np.arange(count, dtype=np.uint64) * RECORDS % (1 << 32)).astype(">u4")
    octets[:, _SEQUENCE] = sequence.view(np.uint8).reshape(count, 4)
    size = few.shape[1]
    offset = np.arange(count, dtype=np.int64) * size
    return Flood(octets.reshape(-1), offset, np.full(count, size, np.int64))


def _template() -> Template:
    return template(256, list(_FIELDS.items()), version=IPFIX)


@cache
def _few() -> NDArray[np.uint8]:
    """Different messages, a row each."""
    number = np.arange(_MESSAGES * RECORDS)
    columns = {
        "sourceIPv4Address": 0x0A000000 + number,
        "destinationIPv4Address": 0xC6120000 + number % 200,
        "sourceTransportPort": 1_024 + number % 50_000,
        "destinationTransportPort": np.full(len(number), 443),
        "protocolIdentifier": np.full(len(number), 6),
        "tcpControlBits": np.full(len(number), 0x1B),
        "ipClassOfService": np.zeros(len(number), np.int64),
        "ingressInterface": number % 48 + 1,
        "egressInterface": number % 47 + 1,
        "packetDeltaCount": np.full(len(number), PACKETS // RECORDS),
        "octetDeltaCount": np.full(len(number), 10_000),
        "flowStartMilliseconds": np.full(len(number), _NOW_MS - 5_000),
        "flowEndMilliseconds": np.full(len(number), _NOW_MS - 1_000),
    }
    items = data(_template(), columns)
    session = Session(domain=_DOMAIN)
    sent, _ = ipfix.messages([items], session, _NOW_NS, division=Division(most_records=RECORDS))
    size = int(sent.length[0])
    assert (sent.length == size).all()
    rows: NDArray[np.uint8] = sent.buffer[sent.offset[:, None] + np.arange(size)]
    return rows
