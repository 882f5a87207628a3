"""Cases on disk: which there are, what `case.yaml` says, and how one is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from collector.corpus.case import (
    EXPORTS,
    FEATURES,
    MANIFEST,
    PROTOCOLS,
    TRUTH,
    Case,
    Manifest,
    WrongCaseError,
    truth_text,
)
from collector.decode import BY_NAME
from lab.described import WrongFile, read_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from collector.corpus.case import Truth

CORPUS: Final = Path(__file__).resolve().parents[1] / "corpus"
"""The bundled cases: beside the package `lab`, in a checkout and in a wheel alike."""
_WIDTH: Final = 100


class _CaseFile(BaseModel):
    """A case.yaml."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(min_length=1, max_length=200)
    about: str = Field(min_length=1, max_length=4_000)
    protocols: list[str] = Field(min_length=1)
    features: list[str]
    exporter: str
    remake: str
    seed: int | None = None
    habits: dict[str, str] = Field(default_factory=dict)

    @field_validator("protocols")
    @classmethod
    def _protocols(cls, given: list[str]) -> list[str]:
        return _known(given, PROTOCOLS)

    @field_validator("features")
    @classmethod
    def _features(cls, given: list[str]) -> list[str]:
        return _known(given, FEATURES)

    @field_validator("habits")
    @classmethod
    def _habits(cls, given: dict[str, str]) -> dict[str, str]:
        _known(given.values(), BY_NAME)
        return given


def _known(given: Iterable[str], table: Iterable[str]) -> list[str]:
    names = list(given)
    for name in names:
        if name not in (known := tuple(table)):
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return names


def read_case(folder: Path) -> Case:
    """Read a case's manifest; its truth is read when it is asked for.

    Raises:
        WrongCaseError: the folder is no case.
    """
    for name in (MANIFEST, TRUTH, EXPORTS):
        if not (folder / name).is_file():
            raise WrongCaseError(f"{folder} is no case: it has no {name}; see flowlab record")
    try:
        told = read_as(_CaseFile, folder / MANIFEST)
    except WrongFile as wrong:
        raise WrongCaseError(str(wrong)) from None
    return Case(folder, Manifest(**told.model_dump()))


def write_case(folder: Path, manifest: Manifest, truth: Truth, exports: Path) -> Case:
    """Write a case; what the folder held of an older one is replaced.

    Args:
        folder: its folder; made if it is not there.
        manifest: what it is.
        truth: what is true of it.
        exports: the capture; copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if exports != folder / EXPORTS:
        shutil.copyfile(exports, folder / EXPORTS)
    (folder / TRUTH).write_text(truth_text(truth), encoding="utf-8")
    text = yaml.safe_dump(
        _CaseFile(**manifest.to_json()).model_dump(exclude_defaults=True),
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
    )
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return Case(folder, manifest)


def find_cases(names: Iterable[str]) -> list[Case]:
    """The cases that names mean: a folder is a case or holds some, a bare name is a bundled case.

    Args:
        names: none: all bundled ones.

    Raises:
        WrongCaseError: one means nothing, or is no case.
    """
    asked = list(names)
    places = [place for name in asked for place in _places(name)] if asked else _below(CORPUS)
    cases = [read_case(place) for place in dict.fromkeys(places)]
    if not cases:
        raise WrongCaseError(f"there are no cases in {', '.join(asked) or CORPUS}")
    return cases


def _places(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.is_dir():
        found = _below(path)
        if not found:
            raise WrongCaseError(f"{name} holds no case: no folder in it has a {MANIFEST}")
        yield from found
        return
    bundled = [place for place in _below(CORPUS) if place.name == name]
    if not bundled:
        known = ", ".join(place.name for place in _below(CORPUS))
        raise WrongCaseError(f"there is no folder and no bundled case {name!r}; there is {known}")
    yield from bundled


def _below(folder: Path) -> list[Path]:
    """All cases in a folder, and it itself if it is one."""
    return sorted(path.parent for path in folder.rglob(MANIFEST))
