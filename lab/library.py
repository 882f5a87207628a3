"""The library of scenarios: which there are, and which file a name means.

Knows: where the scenarios are. Imports nothing heavy, so that names can be completed quickly.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SCENARIOS: Final = Path(__file__).resolve().parent.parent / "scenarios"
"""Beside the package `lab`, in a checkout and in a wheel alike."""

THEMES: Final = (
    "basics",
    "protocols",
    "sampling",
    "timeouts",
    "polling",
    "topology",
    "applications",
    "attacks",
    "faults",
)
"""The folders of the library, in the order in which a course would take them."""

_SUFFIXES: Final = (".yaml", ".yml")


class NoSuchScenario(Exception):
    """No scenario has this name, and no file either; the text says what is near."""


def all_scenarios() -> tuple[Path, ...]:
    """The files of the library, theme by theme, in the order of their names."""
    files = (file for file in SCENARIOS.rglob("*") if file.suffix in _SUFFIXES)
    return tuple(_near(file) for file in sorted(files, key=_place))


def _place(file: Path) -> tuple[int, str, str]:
    theme = theme_of(file)
    return THEMES.index(theme) if theme in THEMES else len(THEMES), theme, file.stem


def theme_of(file: Path) -> str:
    """The theme of a file of the library: the folder that it is in."""
    return file.parent.name


def find(name: str) -> Path:
    """The file that a name from the library, or a path, means.

    A name of the library comes first, with its theme before it or without; ``./name`` is always
    a file.

    Raises:
        NoSuchScenario: there is neither; the text says what could have been meant.
    """
    library = {file.stem: file for file in all_scenarios()}
    theme, _, bare = name.rpartition("/")
    if bare in library and theme in ("", theme_of(library[bare])):
        return library[bare]
    file = Path(name)
    if name and _exists(file):
        return file
    looks_like_a_file = file.suffix in _SUFFIXES or ("/" in name and theme not in THEMES)
    what = f"there is no file {name!r}" if looks_like_a_file else f"there is no scenario {name!r}"
    raise NoSuchScenario(f"{what}; {_hint(file.stem, library)}")


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # names that no file can have
        return False


def _hint(word: str, names: Iterable[str]) -> str:
    near = get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else "'flowlab list' shows all there are"


def _near(file: Path) -> Path:
    """A path as short as it can be said from here: messages begin with it."""
    try:
        return file.relative_to(Path.cwd())
    except (OSError, ValueError):
        return file
