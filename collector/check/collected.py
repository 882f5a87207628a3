"""What a collector made of datagrams that faults befell, against what can be known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.check.model import Check, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.check.model import Collected, Evidence

_UNKNOWABLE: Final = "records without a template cannot be counted, so nor can those missing"


def checks(evidence: Evidence) -> Iterator[Check]:
    """A check for every number."""
    for one in evidence.collected:
        yield _check(one)


def _check(one: Collected) -> Check:
    outcome, why = Outcome.PASS, ""
    if one.knowable is None:
        outcome, why = Outcome.SKIPPED, _UNKNOWABLE
    elif one.told != one.knowable:
        outcome = Outcome.FAIL
        why = f"the collector told {one.told}; of what arrived {one.knowable} is to be known"
    place = one.exporter, one.observation_point, one.key
    return Check(*place, one.measure, one.knowable, one.told, outcome, why)
