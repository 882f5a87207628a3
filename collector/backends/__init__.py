"""Collectors under test: each a module that says how it is started, read, and what it cannot say.

To add one, derive a class from `Backend` in a module of its own and list it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.backends.nfdump import Nfdump
from collector.backends.ours import Flowlab
from collector.backends.pmacct import Pmacct
from collector.backends.tshark import Tshark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.backends.base import Backend

BACKENDS: Final[Mapping[str, Backend]] = {
    one.name: one for one in (Flowlab(), Nfdump(), Pmacct(), Tshark())
}
"""By name; a `custom` one is made of a description."""
