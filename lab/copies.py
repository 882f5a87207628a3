"""Sockets that lead out of a run: opened before it begins, in the network of who started it."""

from __future__ import annotations

import socket


class WrongTargetError(ValueError):
    """This is nowhere to send a copy to; the text says why."""


def connected(target: str) -> int:
    """Open a UDP socket to ``HOST:PORT``, ``[2001:db8::1]:2055`` for IPv6; its descriptor.

    It stays open as long as the program does.

    Raises:
        WrongTargetError: it is not of this form, or there is no such host.
    """
    host, colon, port = target.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise WrongTargetError(f"--to {target!r} is not HOST:PORT, like 192.0.2.1:2055")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = socket.getaddrinfo(bare, int(port), type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as out:
            out.connect(address)
            return out.detach()
    except OSError as refused:
        raise WrongTargetError(f"--to {target}: {refused}") from None
