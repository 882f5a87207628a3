"""A block of datagrams while it is decoded: what every decoder is given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.decode.datagrams import Datagrams
    from collector.decode.faults import FaultLog
    from collector.decode.habits import Habits
    from collector.decode.octets import Octets
    from collector.decode.templates import Templates


@dataclass(slots=True)
class Block:
    """Datagrams, what is known of their exporters, and what is counted on the way."""

    octets: Octets
    datagrams: Datagrams
    habits: Habits
    templates: Templates
    """Known from earlier blocks; decoding adds to them."""
    faults: FaultLog
    unknown: Counter[str] = field(default_factory=Counter)
    """Well-formed, but of a kind that is not known."""
    borrowed_templates: int = 0
    """Sets decoded by another observation domain's template."""
