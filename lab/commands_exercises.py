"""The commands for learners and their teachers: what each takes, and which room it calls.

Imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lab import outputs
from lab.exit import Exit, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lab.exercises.check import Marked
    from lab.exercises.grade import Grade
    from lab.exercises.work import Work

_HERE: Final = Path()
_PROCESSORS: Final = os.cpu_count() or 1
_MOST_NAMES: Final = 10
_folder_argument = click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default=_HERE, metavar="[DIR]"
)


@click.group()
def exercise() -> None:
    """Learn flow monitoring by doing: something to find out or to program, and a check.

    \b
    Examples:
      flowlab exercise list
      flowlab exercise start 02
      cd 02-netflow5-by-hand; flowlab exercise check
    """


@exercise.command("list")
def list_exercises() -> None:
    """Show what exercises there are."""
    from lab.exercises.model import all_exercises

    for one in all_exercises():
        lab = " (needs the lab)" if one.parts.needs_lab else ""
        click.echo(f"{one.name:<28}{one.points:>3} points  {one.parts.goal}{lab}")


@exercise.command()
@click.argument("name", metavar="NN|NAME")
@click.argument("folder", type=outputs.FOLDER, required=False, metavar="[DIR]")
@click.option("--as", "learner", metavar="WHO", help="Your name: your exports differ by it.")
def start(name: str, folder: Path | None, learner: str | None) -> None:
    """Make a folder for an exercise, with its text and something to begin with.

    \b
    Examples:
      flowlab exercise start 01
      flowlab exercise start 02-netflow5-by-hand my/netflow --as "Ada L."
    """
    from lab.exercises import work
    from lab.exercises.model import find

    with _told():
        chosen = find(name)
        where = folder or Path(chosen.name)
        try:
            work.start(chosen, where, learner or getpass.getuser())
        except FileExistsError:
            stop(Exit.WRONG_INPUT, f"{where} is there already; choose another folder")
    click.echo(
        f"{where} is yours; read {where / 'README.md'}, then: flowlab exercise check {where}"
    )


@exercise.command()
@_folder_argument
def hint(folder: Path) -> None:
    """Open one hint more, and show those that are open."""
    from lab.exercises import work

    with _told():
        opened = work.opened(folder)
        every = len(opened.exercise.parts.hints)
        for number, text in enumerate(work.hint(opened), 1):
            click.echo(f"{number} of {every}: {text}")


@exercise.command()
@_folder_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def check(folder: Path, *, as_json: bool) -> None:
    """Judge what is in a folder, and say of what is wrong that it is.

    Exit code 0: all of it is right; 1: something is not; 3: something could not be judged; 4: this
    machine cannot run it.
    """
    from lab.exercises import work
    from lab.exercises.check import check as judge
    from lab.exercises.stage import CannotRun

    with _told():
        opened = work.opened(folder)
        try:
            marked = judge(opened)
        except CannotRun as refused:
            stop(Exit.CANNOT_RUN, f"it is not marked, for it cannot be run here: {refused}")
    got = sum(one.points for one in marked if one.right)
    if as_json:
        parts = [
            {"name": one.name, "points": one.points, "right": one.right, "judged": one.judged}
            | {"says": list(one.says)}
            for one in marked
        ]
        told = {"exercise": opened.exercise.name, "learner": opened.learner, "points": got}
        click.echo(json.dumps({**told, "of": opened.exercise.points, "parts": parts}, indent=1))
    else:
        _show(opened, marked, got)
    if not all(one.judged for one in marked):
        sys.exit(Exit.NO_VERDICT)
    sys.exit(Exit.PASSED if all(one.right for one in marked) else Exit.FAILED)


@exercise.command()
@_folder_argument
def reset(folder: Path) -> None:
    """Begin again; what you had is kept beside it, as NAME.old, then NAME.old.2 and so on."""
    from lab.exercises import work

    with _told():
        kept = work.reset(work.opened(folder))
    more = f"; what you had is in {', '.join(kept)}" if kept else ""
    click.echo(f"as it was in the beginning{more}")


@click.command()
@click.argument("submissions", type=click.Path(file_okay=False, path_type=Path))
@click.option("--exercise", "name", required=True, metavar="NN|NAME", help="As what to grade.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=_PROCESSORS, help="How many side by side."
)
@click.option(
    "--report",
    "forms",
    multiple=True,
    type=click.Choice(("csv", "xlsx", "html", "junit")),
    help="A file besides; may be repeated.",
)
@click.option(
    "--out",
    type=outputs.FOLDER,
    default=_HERE,
    help="Where files go; here by default.",
)
@click.option(
    "--roster",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with the columns submission and learner, where folders do not have learners' names.",
)
def grade(
    submissions: Path,
    name: str,
    jobs: int,
    forms: tuple[str, ...],
    out: Path,
    roster: Path | None,
) -> None:
    """Grade a class: a folder of folders, one for each learner.

    Each submission runs shut in: no network, no home, no rights, little memory, little time. What
    is read of it is its files; links are not followed. The folder's name is the learner's name,
    whose exports it is judged by.

    \b
    Examples:
      flowlab grade handed-in --exercise 02
      flowlab grade handed-in --exercise 02 --report xlsx --report html --out marks
      flowlab grade moodle --exercise 01 --roster class.csv --jobs 4
    """
    from lab.capsule.outside import CannotEnter
    from lab.exercises.grade import grade as judge
    from lab.exercises.jail import missing
    from lab.exercises.model import find
    from lab.exercises.stage import lacking
    from lab.exercises.submissions import WrongRoster, handed_in, loose
    from lab.report.grades.write import FORMS, show

    with _told():
        exercise = find(name)
        try:
            every, besides = handed_in(submissions, roster), loose(submissions)
        except (OSError, WrongRoster) as wrong:
            stop(Exit.WRONG_INPUT, str(wrong))
    if not every:
        no_folders = f"{submissions} has no folders; one for each learner is expected"
        stop(Exit.WRONG_INPUT, no_folders, *_not_graded(besides))
    if exercise.parts.is_application:
        stop(
            Exit.CANNOT_RUN,
            f"{exercise.parts.staged} runs beside the switches with your rights, and is not shut "
            "in; read it, then: flowlab exercise check",
        )
    if exercise.parts.staged is not None and (why := lacking()):
        stop(Exit.CANNOT_RUN, f"the lab has to run what was handed in, and cannot here: {why}")
    why = "" if exercise.parts.program is None else missing()
    try:
        grades = [] if why else judge(every, exercise, jobs, _watch(exercise.points))
    except CannotEnter as refused:
        why = str(refused)
    if why:
        stop(Exit.CANNOT_RUN, f"programs of strangers cannot be shut in here: {why}")
    show(exercise, grades)
    for form in forms:
        ending, of = FORMS[form]
        file = out / f"grades-{exercise.name}.{ending}"
        out.mkdir(parents=True, exist_ok=True)
        file.write_bytes(of(exercise, grades))
        click.echo(f"wrote {file}")
    for line in _not_graded(besides):
        click.echo(line, err=True)
    _say_what_is_open(grades)


def _not_graded(loose: Sequence[str]) -> list[str]:
    """What is said of what lies beside the submissions."""
    if not loose:
        return []
    names = ", ".join(loose[:_MOST_NAMES])
    more = f" and {len(loose) - _MOST_NAMES} more" if len(loose) > _MOST_NAMES else ""
    what = "is no folder, and was" if len(loose) == 1 else "are no folders, and were"
    return [f"{names}{more} {what} not graded; unpack archives, a folder for each learner"]


def _say_what_is_open(grades: Sequence[Grade]) -> None:
    """Points that nobody has lost, and nobody has got: the marks of these are not whole."""
    unable = [one for one in grades if one.unable]
    open_ = [one for one in grades if not one.judged and not one.unable]
    said = [f"{one.submission.name} is not marked: {one.unable}" for one in unable]
    said += [f"{one.submission.name} could not be judged whole; grade it again" for one in open_]
    if said:
        stop(Exit.CANNOT_RUN if unable else Exit.NO_VERDICT, *said)


def _watch(points: int) -> Callable[[Grade], None]:
    def watch(one: Grade) -> None:
        click.echo(f"{one.submission.name}: {one.points} of {points}", err=True)

    return watch


def _show(work: Work, marked: Sequence[Marked], got: int) -> None:
    for one in marked:
        word = "right" if one.right else "wrong" if one.judged else "open"
        click.echo(f"{word:<7}{one.points:>2}  {one.name}")
        for line in one.says:
            click.echo(f"{'':11}{line}")
    click.echo(f"{got} of {work.exercise.points} points")
    if got < work.exercise.points and work.hints < len(work.exercise.parts.hints):
        click.echo("flowlab exercise hint opens a hint")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what is wrong with the input into lines and exit code 2."""
    from lab.described import WrongFile
    from lab.exercises.model import NoSuchExercise
    from lab.exercises.work import NotAnExercise

    try:
        yield
    except (WrongFile, NoSuchExercise, NotAnExercise) as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))


COMMANDS = (exercise, grade)
