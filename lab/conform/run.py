"""Every case against every collector: planned, run side by side, compared, with its evidence."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from collector import pcap
from collector.backends import BACKENDS, named
from collector.backends.custom import Settings
from collector.backends.daemons import end_all
from collector.conform import Compared, Result, compare
from collector.corpus.case import WrongCaseError
from lab.capsule.outside import CannotEnter, Capsule, find_way
from lab.conform.evidence import Evidence, evidence
from lab.conform.session import Network, Pair, Told, examine
from lab.described import WrongFile, read_as

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from collector.backends.base import Backend
    from collector.conform import Finding
    from collector.corpus.case import Case
    from lab.capsule.outside import Way

_ENTRY: Final = "lab.conform.session:run"
_PREFIX: Final = "flowlab-conform-"
_Where = TypeVar("_Where")
_TICK_S: Final = 0.2
"""How long Control-C waits at most."""
_ENDING_S: Final = 5.0
"""How long is waited for what runs when nobody wants its answer any more."""
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


def chosen(texts: Sequence[str]) -> list[Collector]:
    """The collectors that texts like ``nfdump,mine.yaml`` mean.

    Raises:
        NoCollector: one means nothing, cannot be had here, or is called as another one.
    """
    found: list[Collector] = []
    names = [part for text in texts for part in text.split(",") if part]
    if not names and texts:
        raise NoCollector(f"no collector is named; there is {', '.join(BACKENDS)}, or a .yaml")
    for name in names:
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
        if one.label in {other.label for other in found}:
            raise NoCollector(f"{name}: there is another collector that is called {one.label!r}")
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
        why: what went wrong otherwise, or is worth saying besides.
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
    plan = [(case, one) for case in told_apart(cases) for one in collectors]
    outcomes: dict[int, Outcome] = {}
    # The folder of folders is this thread's: the others may be ended before they clear theirs.
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as scratch:
        pairs = [
            Pair(
                *(number, str(case.exports.resolve()), dict(case.manifest.habits)),
                *(one.name, one.custom, scratch),
            )
            for number, (case, one) in enumerate(plan)
        ]
        with closing(_told(pairs, way, jobs)) as answers:
            for told, took_s in answers:
                outcome = _outcome(*plan[told.number], told, took_s)
                outcomes[told.number] = outcome
                watch(outcome)
    return [outcomes[number] for number in range(len(plan))]


def told_apart(cases: Sequence[Case]) -> list[Case]:
    """The cases, those whose folders have one name called by their paths."""
    times = Counter(case.name for case in cases)
    return [
        replace(case, called=str(case.folder)) if times[case.name] > 1 else case for case in cases
    ]


@dataclass(frozen=True)
class _Shared:
    """What threads share: pairs that wait, what came of others, and the capsules that there are."""

    waiting: queue.SimpleQueue[Pair] = field(default_factory=queue.SimpleQueue)
    answers: queue.SimpleQueue[tuple[Told, float]] = field(default_factory=queue.SimpleQueue)
    capsules: set[Capsule] = field(default_factory=set)

    def end(self, threads: Sequence[threading.Thread]) -> None:
        """End all of it; what was begun is cleared away by its thread."""
        with suppress(queue.Empty):
            while True:
                self.waiting.get_nowait()
        until_s = time.monotonic() + _ENDING_S
        while any(thread.is_alive() for thread in threads) and time.monotonic() < until_s:
            for capsule in list(self.capsules):
                capsule.end()
            end_all()
            time.sleep(_TICK_S / 10)


def _told(
    pairs: Sequence[Pair], way: Way | None, jobs: int
) -> Generator[tuple[Told, float], None, None]:
    """What collectors told, as it comes."""
    shared = _Shared()
    for pair in pairs:
        shared.waiting.put(pair)
    threads = [
        threading.Thread(target=_work, args=(shared, way), daemon=True)
        for _ in range(min(jobs, len(pairs)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in pairs:
            yield _next(shared.answers)
    finally:
        shared.end(threads)


def _next(answers: queue.SimpleQueue[tuple[Told, float]]) -> tuple[Told, float]:
    """The next answer; it is waited for in short turns, for a long one is deaf to Control-C."""
    while True:
        with suppress(queue.Empty):
            return answers.get(timeout=_TICK_S)


def _work(shared: _Shared, way: Way | None) -> None:
    """Work on what is waiting.

    Each in a capsule of its own, so that what it leaves ends with it; or in the machine's network.
    """
    network = Network(own=False)
    with suppress(queue.Empty):
        while True:
            pair = shared.waiting.get_nowait()
            began_s = time.monotonic()
            if way is None:
                told = _surely(pair, examine, network)
            else:
                told = _surely(pair, partial(_in_capsule, way=way), shared)
            shared.answers.put((told, time.monotonic() - began_s))


def _surely(pair: Pair, examined: Callable[[Pair, _Where], Told], where: _Where) -> Told:
    """An answer in any case: nobody waits for one that never comes."""
    try:
        return examined(pair, where)
    except Exception as unforeseen:  # noqa: BLE001
        why = f"{type(unforeseen).__name__}: {unforeseen}"
        return Told(pair.number, Result.NO_RESULT, why=why)


def _in_capsule(pair: Pair, shared: _Shared, way: Way) -> Told:
    """What a collector told in a capsule; or its capsule's last words."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=pair.scratch) as scratch:
        log = Path(scratch) / "capsule.log"
        told = None
        with Capsule(way, _ENTRY, log) as capsule:
            shared.capsules.add(capsule)
            try:
                for event in capsule.events({"cwd": str(Path.cwd()), "pairs": [vars(pair)]}):
                    told = Told(**event)
            finally:
                shared.capsules.discard(capsule)
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
    try:
        truth = case.truth()
    except WrongCaseError as wrong:
        return Outcome(case, label, Compared(Result.NO_RESULT), str(wrong), took_s=took_s)
    if not truth.flows and not len(pcap.datagrams(pcap.read(case.exports))):
        why = f"{case.exports} has no datagrams: there is nothing to compare"
        return Outcome(case, label, Compared(Result.NO_RESULT), why, took_s=took_s)
    counts = {
        name: (right, told.counts[name])
        for name, right in truth.counts.items()
        if right is not None and name in told.counts
    }
    compared = compare(truth.flows, told.rows, backend, counts)
    return Outcome(case, label, compared, told.why, _examples(case, compared, backend), took_s)


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
