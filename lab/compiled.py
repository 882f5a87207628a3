"""Compile the collector's kernel (`collector.kernel`) with the machine's own C compiler.

It takes less than a second, once; where there is no compiler everything works all the same, two to
three times slower on large captures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from collector import kernel

_COMPILERS: Final = ("cc", "gcc", "clang")
_PATIENCE_S: Final = 60


def compile_kernel() -> str | None:
    """Have the kernel compiled; None, or why it is not there."""
    if kernel.SWITCH in os.environ:
        return None
    if kernel.library() is not None:
        # Perhaps somebody else has compiled it since this process looked for it.
        kernel.forget()
        return None
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return "there is no C compiler (cc)"
    why = []
    for place in kernel.places():
        try:
            _compile(compiler, place)
        except (OSError, subprocess.SubprocessError) as failed:
            why.append(str(getattr(failed, "stderr", None) or failed).strip())
        else:
            kernel.forget()
            return None
    return f"it cannot be compiled: {why[0]}"


def _compile(compiler: str, place: Path) -> None:
    """Compile it; others that do the same at the same time are not disturbed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as own:
        made = Path(own, place.name)
        command = [compiler, *kernel.OPTIONS, "-o", str(made), str(kernel.SOURCE)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_S)
        made.replace(place)
