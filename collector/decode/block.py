"""A block of datagrams while it is decoded: what every decoder is given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.decode.datagrams import Datagrams
    from collector.decode.faults import FaultLog
    from collector.decode.habits import Habits
    from collector.decode.learned import Learned
    from collector.decode.octets import Octets
    from collector.decode.template_store import Templates
    from collector.decode.waiting import Waiting


@dataclass(slots=True)
class Block:
    """Datagrams, what is known of their exporters, and what is counted on the way."""

    octets: Octets
    datagrams: Datagrams
    habits: Habits
    templates: Templates
    """Known from earlier blocks; decoding adds to them."""
    waiting: Waiting
    """Data of earlier blocks without a template; likewise."""
    learned: Learned
    """What options data of earlier blocks said; likewise."""
    before: int
    """Datagrams in earlier blocks."""
    faults: FaultLog
    extended: bool = True
    """Whether sFlow's extended data is read, or only counted."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Well-formed, but of a kind that is not known."""
    reached: Counter[str] = field(default_factory=Counter)
    """Limits that were reached."""
    borrowed_templates: int = 0
    """Sets decoded by another observation domain's template."""
