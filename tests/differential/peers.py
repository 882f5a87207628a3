"""The collectors that flowlab is compared with. To add one, write a module and list it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.differential import nfdump, pmacct, tshark
from tests.support import need

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

PEERS: Final[Mapping[str, ModuleType]] = {peer.NAME: peer for peer in (tshark, nfdump, pmacct)}


def needed(name: str) -> ModuleType:
    """A peer; skips the test, or fails where a lab is demanded, if it is not installed."""
    for program in PEERS[name].PROGRAMS:
        need(program)
    return PEERS[name]
