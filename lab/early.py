"""Control-C while the command line is still being imported: there is no command to interrupt yet.

Imports nothing of what takes long to import.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_INTERRUPTED: Final = 130  # `lab.exit.Exit`, which imports more


def begin() -> None:
    """Leave with a line at Control-C; where it is ignored it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def end() -> None:
    """From now on a command can be interrupted in its own way."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"flowlab: interrupted\n")
    os._exit(_INTERRUPTED)
