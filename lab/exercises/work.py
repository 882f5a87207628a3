"""A learner's folder: the starter's files, whose it is, and how many hints are open."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
import tempfile
import unicodedata
import zlib
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from lab.exercises.model import STARTER, Exercise, find
from lab.expect import expected
from lab.profiles import Plan, read_profile, write
from lab.scenario.load import inspect_octets

if TYPE_CHECKING:
    from collector.corpus.case import Case
    from lab.disturbances import OfDatagrams

_STATE: Final = "exercise.json"
EXPORTS: Final = "exports.pcap"
_DRAWN: Final = re.compile(r"<<(\w+) (\d+)-(\d+)>>")
"""In a scenario of an exercise: a number of this range, another one for each learner; what has the
same name is the same."""
_MORE_FLOWS: Final = 40
_MORE_RECORDS: Final = 160


class NotAnExercise(ValueError):
    """A folder was not made by `start`; the text says what to do."""


@dataclass(frozen=True)
class Work:
    """A learner's folder.

    Attributes:
        folder: where it is.
        exercise: which exercise.
        learner: whose.
        hints: how many are open.
    """

    folder: Path
    exercise: Exercise
    learner: str
    hints: int = 0


class Planned(NamedTuple):
    """What a scenario makes, as questions are asked of it.

    Attributes:
        flows: a row for each flow and each switch that it crosses.
        counts: of frames at all switches, also those that no exporter tells of.
    """

    flows: list[dict[str, Any]]
    counts: dict[str, int]


def spelt(name: str) -> str:
    """A name as names are compared: other systems write its accents and spaces in other ways.

    A macOS archive takes ``ü`` apart into ``u`` and its dots (Unicode's NFD).
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def whose(name: str) -> str:
    """Whom a name stands for, however it is written: the same text for the same person."""
    return spelt(name).casefold()


def seed(learner: str, what: str) -> int:
    """What a learner's numbers are drawn from: the same for the same name."""
    return zlib.crc32(f"{whose(learner)}/{what}".encode())


def made(
    exercise: Exercise, profile: str, learner: str, folder: Path, *, without: str = ""
) -> Case:
    """The exports of a profile as this learner gets them, with the truth about them.

    Args:
        exercise: whose profile.
        profile: its name.
        learner: whose name they are drawn from.
        folder: of the case.
        without: a fault of the profile's that does not befall them.
    """
    of = read_profile(str(exercise.of(profile)))
    drawn = seed(learner, f"{exercise.name}/{profile}")
    if profile == exercise.parts.exports:
        # Even how many there are is nobody else's answer.
        flows = of.flows.model_copy(update={"different": of.flows.different + drawn % _MORE_FLOWS})
        more = {"records": of.records + drawn // _MORE_FLOWS % _MORE_RECORDS, "flows": flows}
        of = of.model_copy(update=more)
    disturbances = cast("tuple[OfDatagrams, ...]", of.fault)
    faults = tuple(
        one.model_copy(update={"seed": drawn}) for one in disturbances if one.kind != without
    )
    own = Plan.of(of.model_copy(update={"fault": faults}), seed=drawn)
    return write(own, profile, folder)


def own_scenario(exercise: Exercise, learner: str) -> str:
    """The text of the exercise's scenario as this learner gets it."""
    assert exercise.parts.scenario is not None

    def drawn(range_: re.Match[str]) -> str:
        name, low, high = range_[1], int(range_[2]), int(range_[3])
        return str(low + seed(learner, f"{exercise.name}/{name}") % (high - low + 1))

    text = exercise.of(exercise.parts.scenario).read_text(encoding="utf-8")
    return _DRAWN.sub(drawn, text)


def planned(exercise: Exercise, learner: str) -> Planned:
    """What the learner's scenario makes, without running it."""
    name = f"{exercise.parts.scenario}.yaml"
    inspection = inspect_octets(own_scenario(exercise, learner).encode(), name)
    assert inspection.scenario is not None, inspection.faults
    crossed: list[dict[str, Any]] = [
        {"observation_point": switch, "flow": flow.key.to_json(), "is_ip": flow.key.ip_version > 0}
        | {"packets": flow.packets, "octets_l2": flow.octets_l2, "octets_l3": flow.octets_l3}
        for flow in expected(inspection.scenario).flows
        for switch in flow.path
    ]
    told = [row for row in crossed if row["is_ip"]]
    counts = {
        "frames": sum(row["packets"] for row in crossed),
        "frame_octets": sum(row["octets_l2"] for row in crossed),
        "frames_not_told": sum(row["packets"] for row in crossed if not row["is_ip"]),
    }
    return Planned(told, counts)


def start(exercise: Exercise, folder: Path, learner: str) -> Work:
    """Make a learner's folder.

    Raises:
        FileExistsError: it is there already.
    """
    folder.mkdir(parents=True)
    work = Work(folder, exercise, learner)
    _begin(work)
    _write(work)
    return work


def reset(work: Work) -> list[str]:
    """Begin again; what was changed is kept beside it, as ``NAME.old``, or ``NAME.old.2`` and on.

    Returns:
        The names of what was kept.
    """
    kept = []
    with tempfile.TemporaryDirectory() as scratch:
        begun = Path(scratch) / "begun"
        begun.mkdir()
        _begin(replace(work, folder=begun))
        for path in sorted(begun.iterdir()):
            mine = work.folder / path.name
            if mine.exists() and not (mine.is_file() and filecmp.cmp(mine, path, shallow=False)):
                aside = _free(mine)
                mine.replace(aside)
                kept.append(aside.name)
        shutil.copytree(begun, work.folder, dirs_exist_ok=True)
    _write(replace(work, hints=0))
    return kept


def _free(path: Path) -> Path:
    """Where something can be put aside without harm to what was put there before."""
    names = (f"{path.name}.old{more}" for more in chain([""], map(".{}".format, count(2))))
    return next(aside for name in names if not (aside := path.with_name(name)).exists())


def opened(folder: Path) -> Work:
    """The learner's work in a folder.

    Raises:
        NotAnExercise: there is none, or it is damaged.
    """
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return Work(folder, find(state["exercise"]), str(state["learner"]), int(state["hints"]))
    except (OSError, ValueError, KeyError, TypeError):
        message = f"{folder} is no folder of an exercise; make one: flowlab exercise start NN"
        raise NotAnExercise(message) from None


def hint(work: Work) -> list[str]:
    """The hints that are open, with one more."""
    every = work.exercise.parts.hints
    work = replace(work, hints=min(work.hints + 1, len(every)))
    _write(work)
    return list(every[: work.hints])


def _begin(work: Work) -> None:
    shutil.copytree(work.exercise.folder / STARTER, work.folder, dirs_exist_ok=True)
    shutil.copy(work.exercise.folder / "README.md", work.folder)
    if work.exercise.parts.scenario is not None:
        mine = work.folder / f"{work.exercise.parts.scenario}.yaml"
        mine.write_text(own_scenario(work.exercise, work.learner), encoding="utf-8")
    if work.exercise.parts.exports is not None:
        with tempfile.TemporaryDirectory() as scratch:
            case = made(work.exercise, work.exercise.parts.exports, work.learner, Path(scratch))
            shutil.copy(case.exports, work.folder / EXPORTS)


def _write(work: Work) -> None:
    state = asdict(replace(work, exercise=work.exercise)) | {"exercise": work.exercise.name}
    del state["folder"]
    (work.folder / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
