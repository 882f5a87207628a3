"""Every case against every collector: planned, run side by side, compared, with its evidence."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from collector.backends import BACKENDS, named
from collector.backends.custom import Settings
from collector.conform import Compared, Result, compare
from lab.capsule.outside import CannotEnter, Capsule, find_way
from lab.conform.evidence import Evidence, evidence
from lab.conform.session import Network, Pair, Told, examine
from lab.described import WrongFile, read_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from collector.backends.base import Backend
    from collector.conform import Finding
    from collector.corpus.case import Case
    from lab.capsule.outside import Way

_ENTRY: Final = "lab.conform.session:run"
_Where = TypeVar("_Where")
_EXPLAINED: Final = 10
"""Examples of a pair that get their datagram and its explanation."""


@dataclass(frozen=True)
class Collector:
    """A collector to examine: a back end's name, and the description of a custom one."""

    name: str
    custom: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """What it is called in reports."""
        return str(self.custom["name"]) if self.custom else self.name


class NoCollector(ValueError):
    """There is no such collector, or its description is wrong; the text says what."""


class NotHere(NoCollector):
    """A collector that is not installed; the text says what is missing."""


def chosen(texts: Iterable[str]) -> list[Collector]:
    """The collectors that texts like ``nfdump,mine.yaml`` mean.

    Raises:
        NoCollector: one means nothing, or cannot be had here.
    """
    found: list[Collector] = []
    for name in (part for text in texts for part in text.split(",") if part):
        if name in BACKENDS:
            one = Collector(name)
        elif name.endswith((".yaml", ".yml")):
            try:
                settings = read_as(Settings, Path(name))
            except WrongFile as wrong:
                raise NoCollector(str(wrong)) from None
            one = Collector("custom", settings.model_dump(mode="json", by_alias=True))
        else:
            known = ", ".join(BACKENDS)
            raise NoCollector(f"there is no collector {name!r}; there is {known}, or a .yaml")
        missing = named(one.name, one.custom).missing()
        if missing:
            raise NotHere(f"{name} cannot be examined here: {missing}")
        found.append(one)
    return found


@dataclass(frozen=True)
class Example:
    """The first finding of a field, in flows that came by one protocol.

    Attributes:
        finding: what is wrong.
        times: in how many such flows that field is wrong.
        evidence: the datagram that told the flow; None: not looked for.
    """

    finding: Finding
    times: int
    evidence: Evidence | None


@dataclass(frozen=True)
class Outcome:
    """What came of a case and a collector.

    Attributes:
        case: which case.
        collector: which collector.
        compared: the comparison; of one that crashed without findings.
        why: what went wrong otherwise.
        examples: what is wrong, a field each.
        took_s: how long it took.
    """

    case: Case
    collector: str
    compared: Compared
    why: str = ""
    examples: Sequence[Example] = ()
    took_s: float = 0.0

    @property
    def result(self) -> Result:
        """In a word."""
        return self.compared.result


def way_in() -> tuple[Way | None, str]:
    """How to get capsules here, without sudo; None and why, if there are none."""
    try:
        return find_way(sudo=False), ""
    except CannotEnter as refused:
        return None, str(refused)


def conform(
    cases: Sequence[Case],
    collectors: Sequence[Collector],
    way: Way | None,
    jobs: int,
    watch: Callable[[Outcome], None],
) -> list[Outcome]:
    """Examine all pairs.

    Args:
        cases: the cases.
        collectors: what is examined.
        way: into capsules; None: in the machine's own network.
        jobs: how many side by side.
        watch: sees each outcome as it comes.

    Returns:
        The outcomes, in the order of the cases, then of the collectors.
    """
    plan = [(case, one) for case in cases for one in collectors]
    pairs = [
        Pair(n, str(case.exports.resolve()), dict(case.manifest.habits), one.name, one.custom)
        for n, (case, one) in enumerate(plan)
    ]
    outcomes: dict[int, Outcome] = {}
    for told, took_s in _told(pairs, way, jobs):
        case, collector = plan[told.number]
        outcome = _outcome(case, collector, told, took_s)
        outcomes[told.number] = outcome
        watch(outcome)
    return [outcomes[number] for number in range(len(plan))]


def _told(pairs: Sequence[Pair], way: Way | None, jobs: int) -> Iterator[tuple[Told, float]]:
    """What collectors told, as it comes."""
    waiting: queue.SimpleQueue[Pair] = queue.SimpleQueue()
    for pair in pairs:
        waiting.put(pair)
    answers: queue.SimpleQueue[tuple[Told, float]] = queue.SimpleQueue()
    work = _in_network if way is None else _in_capsules
    for _ in range(min(jobs, len(pairs))):
        threading.Thread(target=work, args=(waiting, answers, way), daemon=True).start()
    for _ in pairs:
        yield answers.get()


def _in_network(
    waiting: queue.SimpleQueue[Pair], answers: queue.SimpleQueue[tuple[Told, float]], _way: None
) -> None:
    """Work on what is waiting, in the machine's own network."""
    network = Network(own=False)
    with suppress(queue.Empty):
        while True:
            pair = waiting.get_nowait()
            began_s = time.monotonic()
            answers.put((_surely(pair, examine, network), time.monotonic() - began_s))


def _surely(pair: Pair, examined: Callable[[Pair, _Where], Told], where: _Where) -> Told:
    """An answer in any case: nobody waits for one that never comes."""
    try:
        return examined(pair, where)
    except Exception as unforeseen:  # noqa: BLE001
        why = f"{type(unforeseen).__name__}: {unforeseen}"
        return Told(pair.number, Result.NO_RESULT, why=why)


def _in_capsules(
    waiting: queue.SimpleQueue[Pair], answers: queue.SimpleQueue[tuple[Told, float]], way: Way
) -> None:
    """Work on what is waiting, each in a capsule of its own: what it leaves ends with it."""
    with suppress(queue.Empty):
        while True:
            pair = waiting.get_nowait()
            began_s = time.monotonic()
            answers.put((_surely(pair, _in_capsule, way), time.monotonic() - began_s))


def _in_capsule(pair: Pair, way: Way) -> Told:
    """What a collector told in a capsule; or its capsule's last words."""
    with tempfile.TemporaryDirectory(prefix="flowlab-conform-") as scratch:
        log = Path(scratch) / "capsule.log"
        told = None
        with Capsule(way, _ENTRY, log) as capsule:
            for event in capsule.events({"pairs": [vars(pair)]}):
                told = Told(**event)
        if told is not None:
            return told
        said = log.read_text(encoding="utf-8", errors="replace").strip()
    why = f"its capsule ended: {said.rpartition(chr(10))[2]}"
    return Told(pair.number, Result.NO_RESULT, why=why)


def _outcome(case: Case, collector: Collector, told: Told, took_s: float) -> Outcome:
    """Compare what was told with what is true."""
    label = collector.label
    if told.result is not None:
        nothing = Compared(Result(told.result))
        return Outcome(case, label, nothing, told.why, took_s=took_s)
    backend = named(collector.name, collector.custom)
    truth = case.truth()
    counts = {
        name: (right, told.counts[name])
        for name, right in truth.counts.items()
        if right is not None and name in told.counts
    }
    compared = compare(truth.flows, told.rows, backend, counts)
    return Outcome(case, label, compared, "", _examples(case, compared, backend), took_s)


def _examples(case: Case, compared: Compared, backend: Backend) -> tuple[Example, ...]:
    """The first finding of each field and protocol; the first of them with evidence."""
    times = Counter(map(_kind, compared.findings))
    firsts = {kind: next(one for one in compared.findings if _kind(one) == kind) for kind in times}
    found = evidence(case, list(firsts.values())[:_EXPLAINED], backend) if firsts else ()
    shown = zip_longest(firsts.items(), found)
    return tuple(Example(one, times[kind], what) for (kind, one), what in shown)


def _kind(finding: Finding) -> tuple[str, str]:
    """What findings are alike: a field in flows that came by the same protocol."""
    observer = finding.observer
    return str(observer.get("protocol") or observer.get("family") or ""), finding.field
