"""Talking to an Open vSwitch daemon, as ovs-appctl does, without starting a program.

Source: Open vSwitch, ``lib/unixctl.c`` and ``lib/jsonrpc.c``: JSON-RPC 1.0 over a Unix socket.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LIMIT_S: Final = 10


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
    """Send several commands over one connection; see `call`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_LIMIT_S)
        connection.connect(str(path))
        return [_transact(connection, command) for command in commands]


def _transact(connection: socket.socket, command: tuple[str, ...]) -> str:
    method, *arguments = command
    request = {"id": 0, "method": method, "params": arguments}
    connection.sendall(json.dumps(request).encode())
    decoder, answer = json.JSONDecoder(), ""
    while True:
        chunk = connection.recv(65536)
        if not chunk:
            message = f"the daemon hung up on {method}"
            raise ConnectionError(message)
        answer += chunk.decode()
        try:
            reply, _ = decoder.raw_decode(answer)
        except json.JSONDecodeError:
            continue
        if reply.get("error"):
            raise Refused(str(reply["error"]).strip())
        return str(reply["result"])
