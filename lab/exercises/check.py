"""A learner's work, judged: what is right, and of what is wrong that it is, not what is right."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import RootModel

from collector.conform import FLOW, Result, flow_of
from collector.corpus.case import TRUTH
from lab.conform.run import Collector, conform, way_in
from lab.corpus import read_case
from lab.described import read_as
from lab.exercises.demands import DEMANDS, OF_A_VERDICT, in_short
from lab.exercises.mixed import with_late_copies, with_those_of
from lab.exercises.model import ANSWERS
from lab.exercises.questions import QUESTIONS
from lab.exercises.stage import staged
from lab.exercises.work import made, planned
from lab.scenario.faults import closest, found, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.conform import Finding
    from collector.corpus.case import Case
    from lab.capsule.outside import Way
    from lab.conform.run import Outcome
    from lab.exercises.demands import Staged
    from lab.exercises.model import DemandPart, ProgramCheck, Question
    from lab.exercises.work import Work

    Given = object
    """Whatever stands in the file: one value is an answer, right or wrong."""

_PRINTS: Final = {
    "name": "your-program",
    "says": "what an exercise's program prints",
    "output": {"format": "jsonl", "file": "stdout", "quiet_s": 0.3},
    "end": "SIGKILL",
    "columns": {
        "source": "source",
        "destination": "destination",
        "protocolIdentifier": "protocol",
        "sourceTransportPort": "source_port",
        "destinationTransportPort": "destination_port",
        "packets": "packets",
        "octets": "octets",
    },
    "icmp": False,
}
"""What every program prints, a JSON object a line: see `collector.backends.custom`."""
_LAST_LINES: Final = 3
_LONGEST: Final = 300
_WENT: Final = {
    Result.CRASHED: "your program ended before it was told to:",
    Result.HUNG: "your program did not listen, or did not read what came:",
    Result.NO_RESULT: "nothing can be made of what your program did:",
}
_PROTOCOL: Final = "protocolIdentifier"
_PORTS: Final = ("sourceTransportPort", "destinationTransportPort")
_FIELDS: Final = {
    "sourceIPv4Address": "source",
    "destinationIPv4Address": "destination",
    "sourceIPv6Address": "source",
    "destinationIPv6Address": "destination",
    "protocolIdentifier": "protocol",
    "sourceTransportPort": "source_port",
    "destinationTransportPort": "destination_port",
}
"""What programs call fields of a flow."""


def _plainly(program: Path) -> list[str]:
    return [sys.executable, str(program)]


@dataclass(frozen=True)
class Running:
    """How a learner's program is run.

    Attributes:
        command: what runs it; it gets the port as one argument more.
        patience_s: so long it may take to listen, and to read.
        jobs: how many of its checks side by side.
        way: into the capsules that it runs in; None: if there is one, else in the machine's own
            network, for a learner's program runs with the learner's rights.
    """

    command: Callable[[Path], list[str]] = _plainly
    patience_s: float = 30.0
    jobs: int = 2
    way: Way | None = None


@dataclass(frozen=True)
class Marked:
    """One part of an exercise.

    Attributes:
        name: what it is about.
        points: what it is worth.
        right: whether it is right.
        says: what is said of it, line by line.
        judged: whether it could be judged at all.
    """

    name: str
    points: int
    right: bool
    says: tuple[str, ...] = ()
    judged: bool = True


class _Answers(RootModel[dict[str, Any]]):
    """The content of ``answers.yaml``. What is no answer is wrong by itself, and costs no other."""


def check(work: Work, running: Running = Running()) -> list[Marked]:
    """Judge all of it.

    Raises:
        WrongFile: the answers cannot be read.
        CannotRun: the lab has to run it, and cannot here.
    """
    with tempfile.TemporaryDirectory(prefix="flowlab-exercise-") as scratch:
        if work.exercise.parts.program is not None:
            return _program(work, work.exercise.parts.program, Path(scratch), running)
        if work.exercise.parts.staged is not None:
            return _staged(work, Path(scratch))
        return _answers(work, Path(scratch))


# ── questions ──


def _answers(work: Work, scratch: Path) -> list[Marked]:
    parts = work.exercise.parts
    if not (work.folder / ANSWERS).is_file():
        says = (f"there is no {ANSWERS}; flowlab exercise reset brings the starter back",)
        return [Marked(one.asks, one.points, right=False, says=says) for one in parts.questions]
    needed = f"a line for each question, such as {parts.questions[0].key}: 12"
    given = read_as(_Answers, work.folder / ANSWERS, needed).root
    asked = ask(work, scratch)
    besides = _besides(given, parts.questions)
    return [
        _answered(one, given.get(one.key), asked, besides.get(one.key, ()))
        for one in parts.questions
    ]


def _besides(given: Mapping[str, Given], questions: Iterable[Question]) -> dict[str, list[str]]:
    """What is said of keys that nobody asked for, by the question that each may have meant.

    A misspelt key is one answer less; what else is in the file counts all the same.
    """
    keys = [one.key for one in questions]
    open_ = [key for key in keys if given.get(key) is None] or keys
    besides: dict[str, list[str]] = {}
    for unknown in sorted(set(given) - set(keys)):
        meant = closest(unknown, open_)
        more = f"; did you mean {meant!r}?" if meant else ""
        said = f"{ANSWERS}: nobody asked for {quote(unknown)}{more}"
        besides.setdefault(meant or open_[0], []).append(tame(said))
    return {key: said[:_LAST_LINES] for key, said in besides.items()}


def ask(work: Work, scratch: Path) -> Callable[[str], str | int]:
    """What answers the learner's questions, by the names of `questions`.

    Args:
        work: the learner's.
        scratch: a folder for what has to be made anew.
    """
    parts, exercise = work.exercise.parts, work.exercise
    if parts.exports is None:
        flows, counts = planned(exercise, work.learner)
        return lambda name: QUESTIONS[name](flows, counts)
    truth = made(exercise, parts.exports, work.learner, scratch / "case").truth()
    known = {name: count for name, count in truth.counts.items() if count is not None}
    return lambda name: QUESTIONS[name](truth.flows, known)


def _answered(
    question: Question,
    given: Given,
    asked: Callable[[str], str | int],
    besides: Iterable[str],
) -> Marked:
    """A question, judged; with what else is said at its place."""
    if isinstance(given, dict | list):
        says = (f"expected one value, found {found(given)}", *besides)
        return Marked(question.asks, question.points, right=False, says=says)
    told = _as_text(given)
    if question.in_percent:
        told = told.removesuffix("%").rstrip()
    right = told == str(asked(question.answer))
    says = () if right else (_wrong(question, told, asked),)
    return Marked(question.asks, question.points, right=right, says=(*says, *besides))


def _wrong(question: Question, told: str, asked: Callable[[str], str | int]) -> str:
    if not told:
        return "not answered yet"
    for other, says in question.mistakes.items():
        if told == str(asked(other)):
            return f"{told}: {says}"
    return f"{told}: {question.says}"


def _as_text(given: Given) -> str:
    """An answer as answers are compared: 12.0 is 12."""
    if isinstance(given, float) and given.is_integer():
        return str(int(given))
    return "" if given is None else str(given).strip()


# ── what the lab runs ──


def _staged(work: Work, scratch: Path) -> list[Marked]:
    parts = work.exercise.parts
    ran = staged(work, scratch)
    if isinstance(ran, tuple):
        first, *others = parts.demands
        return [
            Marked(first.name, first.points, right=False, says=tuple(map(tame, ran))),
            *(Marked(one.name, one.points, right=False, says=("not known yet",)) for one in others),
        ]
    return [_demanded(one, ran) for one in parts.demands]


def _demanded(part: DemandPart, ran: Staged) -> Marked:
    says = DEMANDS[part.demand](ran)
    verdict = ran.verdict["verdict"]
    of_a_verdict = part.demand in OF_A_VERDICT
    if of_a_verdict and verdict == "INVALID" and says == in_short(ran.verdict):
        said = tuple(map(tame, ("it could not be judged, in two runs:", *in_short(ran.verdict))))
        return Marked(part.name, part.points, right=False, says=said, judged=False)
    # What is added speaks of an experiment that came out otherwise, not of one that did not.
    more = (part.says,) if says and part.says and not (of_a_verdict and verdict != "FAIL") else ()
    said = tuple(map(tame, (*says, *more)))
    return Marked(part.name, part.points, right=not says, says=said)


# ── programs ──


def _program(work: Work, program: str, scratch: Path, running: Running) -> list[Marked]:
    checks, takes = work.exercise.parts.checks, work.exercise.parts.takes
    settings: dict[str, Any] = {
        **_PRINTS,
        "takes": [takes],
        "command": [*running.command((work.folder / program).resolve()), f"{{{takes}}}"],
        "patience_s": running.patience_s,
        "environment": {"PYTHONUNBUFFERED": "1"},
    }
    if not (work.folder / program).is_file():
        says = (f"there is no {program}; flowlab exercise reset brings the starter back",)
        return [Marked(one.name, one.points, right=False, says=says) for one in checks]
    cases = [_case(work, one, scratch / str(number)) for number, one in enumerate(checks)]
    way = running.way or way_in()[0]
    outcomes = conform(cases, [Collector("custom", settings)], way, running.jobs, lambda _: None)
    of_case = {outcome.case.name: outcome for outcome in outcomes}
    return [_marked(one, of_case[str(number)]) for number, one in enumerate(checks)]


def _case(work: Work, check: ProgramCheck, folder: Path) -> Case:
    """What a program gets; where datagrams count once, with the truth as if they came once."""
    case = made(work.exercise, check.profile, work.learner, folder)
    if check.late:
        case = with_late_copies(case, check.late)
    if check.beside is not None:
        case = with_those_of(case, _beside(work, check.beside, folder))
    if check.once:
        once = folder.with_name(f"{folder.name}-once")
        plain = made(work.exercise, check.profile, work.learner, once, without="duplicate")
        shutil.copyfile(plain.folder / TRUTH, case.folder / TRUTH)
    return case


def _beside(work: Work, name: str, folder: Path) -> Case:
    """What stands in the exercise's folder under a name: a case, the same for all, or a profile."""
    there = work.exercise.folder / name
    if there.is_dir():
        return read_case(there)
    return made(work.exercise, name, work.learner, folder.with_name(f"{folder.name}-beside"))


def _marked(check: ProgramCheck, outcome: Outcome) -> Marked:
    if outcome.result is Result.PASS:
        return Marked(check.name, check.points, right=True)
    if outcome.result in _WENT:
        last = [tame(line) for line in outcome.why.splitlines() if line.strip()]
        says = (_WENT[outcome.result], *last[-_LAST_LINES:])
        return Marked(check.name, check.points, right=False, says=says)
    findings = _without_consequences(outcome.compared.findings)
    times = Counter(one.field for one in findings)
    firsts = {one.field: one for one in reversed(findings)}
    said = (tame(_said(check, firsts[field], times[field])) for field in times)
    return Marked(check.name, check.points, right=False, says=tuple(dict.fromkeys(said)))


def _without_consequences(findings: Sequence[Finding]) -> list[Finding]:
    """Without ports of flows whose protocol is wrong: of one that has no ports none are taken."""
    wrong = {str(one.flow) for one in findings if one.field == _PROTOCOL}
    return [one for one in findings if one.field not in _PORTS or str(one.flow) not in wrong]


def _said(check: ProgramCheck, finding: Finding, times: int) -> str:
    """What is said of a finding: the flow and the field, and which way it is off."""
    field = finding.field
    if field == FLOW:
        field = "missing" if finding.observed is None else "invented"
    name = _FIELDS.get(field, field)
    flow = flow_of(finding.flow)
    so = {"missing": f"{flow} is not told", "invented": f"{flow} was told, and never exported"}.get(
        name, f"{name} of {flow}: {finding.observed} is not right"
    )
    if times > 1:
        so += f" (and {times - 1} more like it)"
    because = check.says.get(name)
    return f"{so}. {because}" if because else so


def tame(line: str) -> str:
    """A line that may repeat what a program printed: nothing in it moves a terminal's cursor."""
    shown = "".join(each if each.isprintable() else "�" for each in line)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
