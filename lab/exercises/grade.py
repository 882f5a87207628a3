"""A class graded: every submission judged in a jail of its own, the same way every time."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.capsule.outside import find_way
from lab.described import WrongFile
from lab.exercises.check import Marked, Running, check
from lab.exercises.jail import Jail
from lab.exercises.stage import CannotRun
from lab.exercises.submissions import NotTaken, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.capsule.outside import Way
    from lab.exercises.model import Exercise
    from lab.exercises.submissions import Submission

_PATIENCE_S: Final = 10.0
_LONGEST: Final = 300


@dataclass(frozen=True)
class Grade:
    """What a submission is worth.

    Attributes:
        submission: which one.
        parts: each part of the exercise.
        says: what is said of the whole.
        unable: why this machine could not run it; empty if it could.
    """

    submission: Submission
    parts: tuple[Marked, ...]
    says: tuple[str, ...] = ()
    unable: str = ""

    @property
    def judged(self) -> bool:
        """Whether all of it could be judged."""
        return all(one.judged for one in self.parts)

    @property
    def points(self) -> int:
        """Of all parts that are right."""
        return sum(one.points for one in self.parts if one.right)


def grade(
    submissions: Sequence[Submission],
    exercise: Exercise,
    jobs: int,
    watch: Callable[[Grade], None] = lambda _: None,
) -> list[Grade]:
    """Judge all submissions.

    Args:
        submissions: what was handed in.
        exercise: as what.
        jobs: how many side by side.
        watch: sees each grade as it comes.

    Returns:
        The grades, in the order of the submissions.

    Raises:
        CannotEnter: programs of strangers cannot be shut in here.
    """
    # Once for all: who is refused later must not run in the machine's own network instead.
    way = None if exercise.parts.program is None else find_way(sudo=False)

    def one(number: int) -> Grade:
        graded = _graded(submissions[number], exercise, number, way)
        watch(graded)
        return graded

    with ThreadPoolExecutor(jobs) as crew:
        return list(crew.map(one, range(len(submissions))))


def _graded(submission: Submission, exercise: Exercise, number: int, way: Way | None) -> Grade:
    with tempfile.TemporaryDirectory(prefix="flowlab-grade-") as scratch:
        # The jail's user has to come through; nobody else knows the folder's name.
        Path(scratch).chmod(0o711)
        try:
            work, notes = taken(submission, exercise, Path(scratch) / "submission")
            marked = check(work, Running(Jail(number).command, _PATIENCE_S, jobs=1, way=way))
        except (NotTaken, WrongFile) as wrong:
            said = str(wrong).replace(f"{scratch}/submission/", "")
            return Grade(submission, _nothing(exercise), tuple(said.splitlines()))
        except CannotRun as refused:
            why = f"it is not marked, for it cannot be run here: {refused}"[:_LONGEST]
            return Grade(submission, _nothing(exercise, judged=False), (why,), str(refused))
        except Exception as unforeseen:  # noqa: BLE001 (one of them must not end the class)
            why = f"it could not be judged: {type(unforeseen).__name__}: {unforeseen}"[:_LONGEST]
            return Grade(submission, _nothing(exercise, judged=False), (why,))
    return Grade(submission, tuple(marked), notes)


def _nothing(exercise: Exercise, *, judged: bool = True) -> tuple[Marked, ...]:
    worth = exercise.parts.worth
    return tuple(Marked(name, points, right=False, judged=judged) for name, points in worth)
