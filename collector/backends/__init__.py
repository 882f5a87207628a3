"""Collectors under test: each a module that says how it is started, read, and what it cannot say.

To add one, derive a class from `Backend` in a module of its own and list it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.backends.custom import Custom, Settings
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


def named(name: str, custom: Mapping[str, Any] | None = None) -> Backend:
    """The back end of a name, or the custom one that a description makes.

    Raises:
        KeyError: there is none of that name.
    """
    return BACKENDS[name] if custom is None else Custom(Settings.model_validate(custom))
