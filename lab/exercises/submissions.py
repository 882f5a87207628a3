"""What learners handed in: a folder of folders, each of which may hold anything.

Nothing of it is trusted: only plain files are taken, links are not followed, and there are limits.
Whose it is, the folder's name says, or the roster; never the submission, whose maker might have
written another's name.
"""

from __future__ import annotations

import csv
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.exercises.work import NotAnExercise, Work, opened, spelt, whose
from lab.scenario.faults import printable, readable

if TYPE_CHECKING:
    from lab.exercises.model import Exercise

_MOST_FILES: Final = 200
_MOST_OCTETS: Final = 8 << 20
_MOST_FOLDERS_DOWN: Final = 6
_MOST_NOTES: Final = 3
_ROSTER: Final = ("submission", "learner")


class NotTaken(ValueError):
    """A submission cannot be judged; the text says why, to its maker."""


class WrongRoster(ValueError):
    """A roster cannot be used; the text says what is wrong, and where."""


@dataclass(frozen=True)
class Submission:
    """What one learner handed in.

    Attributes:
        folder: where it is.
        learner: whose.
    """

    folder: Path
    learner: str

    @property
    def name(self) -> str:
        """The folder's, as it can be printed."""
        return printable(self.folder.name)


def handed_in(folder: Path, roster: Path | None = None) -> list[Submission]:
    """All submissions of a folder, by name; hidden ones are none.

    Args:
        folder: has a folder for each.
        roster: a CSV with the columns ``submission`` and ``learner``; without it the folder's name
            is the learner's.

    Raises:
        OSError: the folder cannot be read.
        WrongRoster: the roster cannot be used, or does not name a submission.
    """
    names = _roster(roster) if roster else {}
    found = []
    for one in filter(_is_submission, _seen(folder)):
        name = spelt(readable(one.name))
        if roster and name not in names:
            raise WrongRoster(f"{roster}: there is no line for the submission {name!r}")
        found.append(Submission(one, names.get(name, name)))
    return found


def loose(folder: Path) -> list[str]:
    """What lies beside the submissions and is none, such as an archive: names that can be printed.

    Raises:
        OSError: the folder cannot be read.
    """
    return [printable(one.name) for one in _seen(folder) if not _is_submission(one)]


def _seen(folder: Path) -> list[Path]:
    return [one for one in sorted(folder.iterdir()) if not one.name.startswith(".")]


def _is_submission(path: Path) -> bool:
    """Whether it is a folder; a link is one that is refused, by name."""
    return path.is_dir() or path.is_symlink()


def _roster(file: Path) -> dict[str, str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as wrong:
        raise WrongRoster(f"{file}: {wrong}") from None
    names = {}
    for number, row in enumerate(rows, 2):
        name, learner = (spelt(str(row.get(column) or "")) for column in _ROSTER)
        if not name or not learner:
            raise WrongRoster(f"{file}:{number}: expected the columns {' and '.join(_ROSTER)}")
        if name in names:
            raise WrongRoster(f"{file}:{number}: {name!r} has a line already")
        names[name] = learner
    return names


def taken(submission: Submission, exercise: Exercise, folder: Path) -> tuple[Work, tuple[str, ...]]:
    """Copy what counts of a submission to a new folder.

    Returns:
        The work, and what is to be said of it.

    Raises:
        NotTaken: it is too large, has not the file that is asked for, or is no folder.
    """
    if submission.folder.is_symlink():
        raise NotTaken("it is a link, not a folder")
    wanted = exercise.parts.wanted
    notes: list[str] = []
    place = _place_of(wanted, submission.folder)
    folder.mkdir(parents=True)
    files = octets = 0
    for path in _files(place):
        plain = _plain(path, _MOST_OCTETS - octets)
        if plain is None:
            notes.append(f"{printable(path.relative_to(place))} is no plain file, and was left out")
            continue
        files, octets = files + 1, octets + len(plain)
        if files > _MOST_FILES or octets > _MOST_OCTETS:
            raise NotTaken(f"it has more than {_MOST_FILES} files or {_MOST_OCTETS >> 20} MiB")
        copy = folder / path.relative_to(place)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(plain)
    if not (folder / wanted).is_file():
        raise NotTaken("; ".join([f"there is no {wanted} in it", *notes[:_MOST_NOTES]]))
    _open_to_all(folder)
    return Work(folder, exercise, submission.learner), (
        *notes,
        *_begun_otherwise(folder, submission, exercise),
    )


def _open_to_all(folder: Path) -> None:
    """Let everybody read a folder, whatever the umask: its jail's user is nobody here."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _place_of(wanted: str, folder: Path) -> Path:
    """Where the wanted file is: in a folder, or in the only one below that has it."""
    below = [path.parent for path in _files(folder) if path.name == wanted]
    if folder in below or not below:
        return folder
    if len(below) > 1:
        raise NotTaken(f"there are {len(below)} files called {wanted} in it")
    return below[0]


def _files(folder: Path) -> list[Path]:
    """All that is in a folder and is no folder; links are not followed."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        deep = len(Path(where).relative_to(folder).parts)
        if deep >= _MOST_FOLDERS_DOWN or len(found) > _MOST_FILES:
            folders.clear()
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links))
        found += [Path(where) / name for name in sorted([*names, *links])]
    return found


def _plain(path: Path, most: int) -> bytes | None:
    """What is in a plain file, a little more than the limit at most; None: it is none."""
    try:
        opened_ = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(opened_, "rb") as stream:
        if not stat.S_ISREG(os.fstat(opened_).st_mode):
            return None
        return stream.read(most + 1)


def _begun_otherwise(folder: Path, submission: Submission, exercise: Exercise) -> tuple[str, ...]:
    """What is odd about whose and which work it says it is."""
    try:
        work = opened(folder)
    except NotAnExercise:
        return ()
    told = []
    if work.exercise.name != exercise.name:
        told.append(f"it was begun as {work.exercise.name}")
    if whose(work.learner) != whose(submission.learner):
        told.append(
            f"it was begun as {work.learner[:60]!r}, and is judged as {submission.learner!r}"
        )
    return tuple(told)
