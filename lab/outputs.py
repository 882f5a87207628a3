"""Where a command writes to, as its user says: whether it can is known before anything is done.

What turns out in the end only costs all that was found out until then.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_OTHER_FILES: Final = (".gz", ".bz2", ".xz", ".zst", ".pcapng", ".cap", ".json", ".csv")


def no_file(file: Path) -> str:
    """Why a file cannot be written, for its user; empty if it can."""
    if not os.path.lexists(file):
        return _no_room(file.parent)
    if os.path.isdir(file):  # noqa: PTH112 (unlike is_dir it never raises)
        return f"{str(file)!r} is a folder; name a file"
    if os.path.exists(file) and not os.access(file, os.W_OK):  # noqa: PTH110 (likewise)
        return f"you may not write to {str(file)!r}"
    return ""


def no_folder(folder: Path) -> str:
    """Why a folder cannot be made, with those above it, or written to; empty if it can."""
    return _no_room(next(one for one in (folder, *folder.parents) if os.path.lexists(one)))


def no_file_or_folder(path: Path) -> str:
    """The same for what is a file if it ends as a capture does, else the folder of a case.

    What looks like the name of another file, or stands for standard output, is neither.
    """
    if str(path) == "-" or (path.suffix in _OTHER_FILES and not os.path.isdir(path)):  # noqa: PTH112 (likewise)
        what = "standard output" if str(path) == "-" else f"{path} as a {path.suffix} file"
        return (
            f"{what} cannot be written; say a folder, for a case, or a file .pcap, "
            "for datagrams alone"
        )
    return no_file(path) if path.suffix == ".pcap" else no_folder(path)


def _no_room(folder: Path) -> str:
    name = repr(str(folder))
    if os.path.isdir(folder):  # noqa: PTH112 (likewise)
        return "" if os.access(folder, os.W_OK | os.X_OK) else f"you may not write in {name}"
    if os.path.lexists(folder):
        return f"{name} is no folder"
    return f"there is no folder {name}; make it, or choose another one"


class _Output(click.Path[Path]):
    """A path that is written to, or refused as a mistake of the user's."""

    def __init__(self, refusal: Callable[[Path], str], **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)
        self._refusal = refusal

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Take it, if it can be written to."""
        path = Path(value)
        # A default is nobody's mistake, and the command may have nothing to write there.
        if isinstance(value, str) and (why := self._refusal(path)):
            self.fail(why, param, ctx)
        return path


FILE = _Output(no_file, dir_okay=False)
FOLDER = _Output(no_folder, file_okay=False)
FILE_OR_FOLDER = _Output(no_file_or_folder)
