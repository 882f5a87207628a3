"""The few words of OpenFlow 1.0 that are needed here, spoken to a bridge's own socket.

Source: OpenFlow Switch Specification 1.0.0, section 5; ``ovs-ofctl`` speaks the same way. It is
not used here because it is a program for each message, and a large topology needs many.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_VERSION: Final = 1
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY, _PORT_MOD = 0, 1, 2, 3, 15
_BARRIER_REQUEST, _BARRIER_REPLY = 18, 19
_HEADER: Final = struct.Struct("!BBHI")
_NO_FLOOD: Final = 1 << 4
_LIMIT_S: Final = 10


class Refused(Exception):
    """The switch answered with an error; the text gives its type and code."""


def no_flood(port: int, mac: str) -> bytes:
    """The message that nothing shall be flooded out of a port (``OFPPC_NO_FLOOD``).

    Args:
        port: its OpenFlow number.
        mac: its own address, which the switch compares with what it knows.
    """
    hardware = bytes.fromhex(mac.replace(":", ""))
    return _message(_PORT_MOD, struct.pack("!H6sIII4x", port, hardware, _NO_FLOOD, _NO_FLOOD, 0))


def tell(path: Path, messages: Iterable[bytes]) -> None:
    """Send messages to a bridge and wait until it has done as they say.

    Args:
        path: the bridge's socket, ``<bridge>.mgmt``.
        messages: as the functions of this module make them.

    Raises:
        Refused: it would not.
        OSError: it does not answer.
    """
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rb") as answers:
        line.settimeout(_LIMIT_S)
        line.connect(str(path))
        line.sendall(b"".join((_message(_HELLO), *messages, _message(_BARRIER_REQUEST))))
        while True:
            _, kind, length, _ = _HEADER.unpack(_exactly(answers.read(_HEADER.size)))
            body = answers.read(length - _HEADER.size)
            if kind == _BARRIER_REPLY:
                return
            if kind == _ECHO_REQUEST:
                line.sendall(_message(_ECHO_REPLY, body))
            if kind == _ERROR:
                number, code = struct.unpack_from("!HH", body)
                raise Refused(f"{path.stem} refused with error type {number}, code {code}")


def _message(kind: int, body: bytes = b"") -> bytes:
    return _HEADER.pack(_VERSION, kind, _HEADER.size + len(body), 0) + body


def _exactly(header: bytes) -> bytes:
    if len(header) < _HEADER.size:
        raise ConnectionResetError("the switch closed the OpenFlow connection")
    return header
