"""What can be demanded of what a learner wrote for the lab: pure functions of a run's verdict.

Each returns what is said of what is not met, line by line; nothing: it is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.check import Region
    from lab.scenario.model import Scenario

    Checks = Sequence[Mapping[str, Any]]

_TOLD: Final = 3
"""Comparisons that are told at most."""
_BAD: Final = ("FAIL", "INVALID")
_CHOSEN: Final = "ipfix-flow"
OF_A_VERDICT: Final = ("holds",)
"""Demands on what comes out: of a run that is INVALID nobody knows whether they are met."""


@dataclass(frozen=True)
class Staged:
    """A learner's scenario, or application, that the lab has run.

    Attributes:
        scenario: what was run.
        verdict: what ``verdict.json`` says of it.
    """

    scenario: Scenario
    verdict: Mapping[str, Any]

    def bad(self, exporter: str | None = None) -> Checks:
        """The comparisons that do not hold, of one exporter or of all."""
        return [
            one
            for one in self.verdict["checks"]
            if one["verdict"] in _BAD and exporter in (None, one["exporter"])
        ]


def _asks(staged: Staged) -> tuple[str, ...]:
    said = []
    if not staged.scenario.title.rstrip().endswith("?"):
        said.append("the title is no question; it should end with a question mark")
    if not staged.scenario.look_for:
        said.append("there is no look_for: where in the result does a reader find the answer?")
    return tuple(said)


def _compares(staged: Staged) -> tuple[str, ...]:
    told = {(one["exporter"], one["observation_point"]) for one in staged.verdict["checks"]}
    if len(told) > 1:
        return ()
    return ("only one exporter at one switch is looked at: with what is that compared?",)


def _expects(staged: Staged) -> tuple[str, ...]:
    if not staged.scenario.expect:
        return ("there is no expect: say what you think comes out, so that the lab can contradict",)
    if _can_come_out_otherwise(staged.scenario):
        return ()
    return (
        "nothing can contradict what is expected: write a number alone, or at_least more than 0",
    )


def _can_come_out_otherwise(scenario: Scenario) -> bool:
    """Whether an expectation says more than that there are 0 or more, or fewer than very many."""
    return any(
        one.absent is not None or any(map(_can_be_missed, one.measures.values()))
        for one in scenario.expect
    )


def _can_be_missed(right: Region) -> bool:
    return bool(right.low) or right.high == 0


def _holds(staged: Staged) -> tuple[str, ...]:
    if not _can_come_out_otherwise(staged.scenario):
        return ("nothing was expected that could come out otherwise",)
    return () if staged.verdict["verdict"] == "PASS" else in_short(staged.verdict)


def in_short(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    """A verdict that is no PASS, and why, in a few lines."""
    bad = [one for one in verdict["checks"] if one["verdict"] in _BAD]
    broken = [f"{one['link']}: {one['what']}" for one in verdict["experiment"]]
    return (
        f"the run's verdict is {verdict['verdict']}",
        *(broken + [_in_words(one) for one in bad])[:_TOLD],
        *verdict["notes"][:1],
    )


def _forwards(staged: Staged) -> tuple[str, ...]:
    bad = [one for one in staged.bad() if one["exporter"] != _CHOSEN]
    broken = [f"{one['link']}: {one['what']}" for one in staged.verdict["experiment"]]
    return (*broken[:1], *map(_in_words, bad[: _TOLD - 1]))


def _samples_the_chosen(staged: Staged) -> tuple[str, ...]:
    if staged.verdict["verdict"] in ("INVALID", "SKIPPED"):
        return ("nothing is known of this while packets do not get through",)
    chosen = [one for one in staged.bad(_CHOSEN) if one["expected"] not in (0, None)]
    none = [one for one in chosen if one["measure"] == "packets" and not one["observed"]]
    some = [one for one in chosen if one["observed"]]
    said = [f"{_flow(one)} at {one['observation_point']}: it is not reported" for one in none]
    said += [
        f"{_flow(one)} at {one['observation_point']}: {one['observed']} packets are not right"
        for one in some
        if one["measure"] == "packets"
    ]
    return tuple(said[:_TOLD]) or tuple(_in_words(one) for one in chosen[:1])


def _samples_nothing_else(staged: Staged) -> tuple[str, ...]:
    if staged.verdict["verdict"] in ("INVALID", "SKIPPED"):
        return ("nothing is known of this while packets do not get through",)
    if not any(one["observed"] for one in staged.verdict["checks"] if one["exporter"] == _CHOSEN):
        return ("nothing at all is sampled",)
    told = [one for one in staged.bad(_CHOSEN) if one["expected"] in (0, None)]
    return tuple(
        f"{_flow(one)} at {one['observation_point']}: it is reported, and nobody asked for it"
        for one in told[:_TOLD]
    )


def _flow(check: Mapping[str, Any]) -> str:
    return " ".join(map(str, check["flow"].values())) if check["flow"] else "the export datagrams"


def _in_words(check: Mapping[str, Any]) -> str:
    return (
        f"{check['exporter']} at {check['observation_point']}, {_flow(check)}: "
        f"{check['measure']} expected {check['expected']}, observed {check['observed']}"
    )


DEMANDS: Final[Mapping[str, Callable[[Staged], tuple[str, ...]]]] = {
    "asks": _asks,
    "compares": _compares,
    "expects": _expects,
    "holds": _holds,
    "forwards": _forwards,
    "samples_the_chosen": _samples_the_chosen,
    "samples_nothing_else": _samples_nothing_else,
}
"""By name."""
