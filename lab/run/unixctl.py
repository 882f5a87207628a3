"""Talking to an Open vSwitch daemon, as ovs-appctl does, without starting a program.

Source: Open vSwitch, ``lib/unixctl.c`` and ``lib/jsonrpc.c``: JSON-RPC 1.0 over a Unix socket.
"""

from __future__ import annotations

import codecs
import json
import socket
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_LIMIT_S: Final = 10
_AT_ONCE: Final = 200
"""Commands: neither side's buffer is ever full of them."""


class Refused(Exception):
    """The daemon answered with an error; the text is its own."""


def call(path: Path, method: str, *arguments: str) -> str:
    """Send one command to the daemon listening on ``path`` and return its answer.

    Raises:
        Refused: the daemon does not know the command or could not carry it out.
        OSError: there is no daemon, or it did not answer in time.
    """
    return calls(path, [(method, *arguments)])[0]


def calls(path: Path, commands: Iterable[tuple[str, ...]]) -> list[str]:
    """Send several commands over one connection; see `call`.

    They are sent before the first is answered: in each turn of its loop the daemon carries out
    several of those that wait (``run_connection``), and one turn of many bridges takes its time.
    """
    answers: list[str] = []
    waiting = iter(commands)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_LIMIT_S)
        connection.connect(str(path))
        while some := list(islice(waiting, _AT_ONCE)):
            answers += _transact(connection, some)
    return answers


def _transact(connection: socket.socket, commands: Sequence[tuple[str, ...]]) -> Iterator[str]:
    requests = [
        {"id": number, "method": method, "params": arguments}
        for number, (method, *arguments) in enumerate(commands)
    ]
    connection.sendall("".join(map(json.dumps, requests)).encode())
    decoder, text = json.JSONDecoder(), ""
    read = codecs.getincrementaldecoder("utf-8")()
    for method, *_ in commands:
        while True:
            try:
                reply, end = decoder.raw_decode(text)
                break
            except json.JSONDecodeError:
                chunk = connection.recv(65536)
                if not chunk:
                    raise ConnectionError(f"the daemon hung up on {method}") from None
                text += read.decode(chunk)
        text = text[end:].lstrip()
        if reply.get("error"):
            raise Refused(str(reply["error"]).strip())
        yield str(reply["result"])
