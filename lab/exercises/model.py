"""What an exercise is, as its ``exercise.yaml`` has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.described import read_as
from lab.exercises.demands import DEMANDS
from lab.exercises.questions import QUESTIONS

FOLDER: Final = Path(__file__).parent
STARTER, SOLUTION = "starter", "solution"
ANSWERS: Final = "answers.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProgramCheck(_Strict):
    """Exports that a learner's program has to read.

    Attributes:
        name: what it is about, for the learner.
        profile: which profile of the exercise makes the exports.
        points: what it is worth.
        once: whether each datagram counts once, however often it comes.
        late: behind how many others a datagram comes again; 0: at once.
        beside: another profile, or a case, whose datagrams come between.
        says: what is said of a wrong field; `missing` is a flow that the program does not tell,
            `invented` one that nobody exported.
    """

    name: str
    profile: str
    points: Annotated[int, Field(ge=1, le=100)] = 1
    once: bool = False
    late: Annotated[int, Field(ge=0, le=100)] = 0
    beside: str | None = None
    says: dict[str, str] = {}


class Question(_Strict):
    """Something to find out about exports.

    Attributes:
        key: its name in the learner's answers.
        asks: the question.
        answer: which function of `questions` knows.
        points: what it is worth.
        mistakes: other functions of `questions`, and what is said to whose answer is theirs.
        says: what is said of any other wrong answer.
        in_percent: whether the answer may end in a percent sign.
    """

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    asks: str
    answer: str
    points: Annotated[int, Field(ge=1, le=100)] = 1
    mistakes: dict[str, str] = {}
    says: str
    in_percent: bool = False

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in (self.answer, *self.mistakes):
            if name not in QUESTIONS:
                raise ValueError(f"nobody knows {name!r}; there is {', '.join(QUESTIONS)}")
        return self


class DemandPart(_Strict):
    """Something that what the learner wrote for the lab has to meet.

    Attributes:
        name: what it is about, for the learner.
        demand: which function of `demands` knows.
        points: what it is worth.
        says: what is added to what that function says.
    """

    name: str
    demand: str
    points: Annotated[int, Field(ge=1, le=100)] = 1
    says: str = ""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.demand not in DEMANDS:
            raise ValueError(f"nobody knows {self.demand!r}; there is {', '.join(DEMANDS)}")
        return self


class Parts(_Strict):
    """The content of ``exercise.yaml``.

    Attributes:
        title: of the exercise.
        goal: in one sentence.
        program: the file that the learner writes, if exports are sent to it.
        takes: what kind of datagrams it receives.
        checks: what the program has to read.
        exports: the profile that questions are about.
        scenario: the scenario, or a part of one, that is the learner's own to run.
        questions: what is asked: about exports, or else about the scenario.
        staged: the file that the learner writes, if the lab runs it: a scenario, or an application
            for Ryu that the scenario runs.
        demands: what that has to meet.
        hints: opened one by one.
    """

    title: str
    goal: str
    program: str | None = None
    takes: Literal["netflow", "sflow"] = "netflow"
    checks: tuple[ProgramCheck, ...] = ()
    exports: str | None = None
    scenario: str | None = None
    questions: tuple[Question, ...] = ()
    staged: str | None = None
    demands: tuple[DemandPart, ...] = ()
    hints: Annotated[tuple[str, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(map(bool, (self.program, self.questions, self.staged))) != 1:
            raise ValueError(
                "an exercise has a program with checks, questions, or what is staged with demands"
            )
        if bool(self.program) != bool(self.checks) or bool(self.staged) != bool(self.demands):
            raise ValueError("a program has checks; what is staged has demands")
        if bool(self.questions) != bool(self.exports or (self.scenario and not self.staged)):
            raise ValueError("questions are about exports, or about a scenario")
        return self

    @property
    def wanted(self) -> str:
        """The file that a learner hands in."""
        return self.program or self.staged or ANSWERS

    @property
    def is_application(self) -> bool:
        """Whether what a learner writes is a program that runs in the lab, beside the switches."""
        return bool(self.staged and self.scenario)

    @property
    def needs_lab(self) -> bool:
        """Whether it takes Mininet and Open vSwitch to do it."""
        return bool(self.staged or self.scenario)

    @property
    def worth(self) -> tuple[tuple[str, int], ...]:
        """Each part of it, and its points."""
        return (
            *((one.name, one.points) for one in self.checks),
            *((one.asks, one.points) for one in self.questions),
            *((one.name, one.points) for one in self.demands),
        )


@dataclass(frozen=True)
class Exercise:
    """An exercise in its folder."""

    folder: Path
    parts: Parts

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @property
    def points(self) -> int:
        """What all of it is worth."""
        return sum(points for _, points in self.parts.worth)

    def of(self, name: str) -> Path:
        """The file of one of its profiles, or of its scenario."""
        return self.folder / f"{name}.yaml"


class NoSuchExercise(ValueError):
    """There is none of this name; the text says what there is."""


def all_exercises() -> list[Exercise]:
    """All, in order."""
    return [
        Exercise(file.parent, read_as(Parts, file))
        for file in sorted(FOLDER.glob("*/exercise.yaml"))
    ]


def find(name: str) -> Exercise:
    """The exercise of a name, or of a number like ``02``.

    Raises:
        NoSuchExercise: there is none.
    """
    every = all_exercises()
    for one in every:
        if name in (one.name, one.name.partition("-")[0], one.name.partition("-")[0].lstrip("0")):
            return one
    known = ", ".join(one.name for one in every)
    raise NoSuchExercise(f"there is no exercise {name!r}; there is {known}")
