"""Words that programs of ours say on their standard output, and how one waits for them."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


class Unheard(Exception):
    """The word was not said; the text says why not."""


def hear(process: subprocess.Popen[bytes], word: str, limit_s: float) -> list[str]:
    """Wait for a word; all words up to it.

    Args:
        process: whose standard output is a pipe.
        word: what is waited for.
        limit_s: how long at most.

    Raises:
        Unheard: it ended, or took too long.
    """
    assert process.stdout is not None
    until_s, heard = time.monotonic() + limit_s, b""
    while word.encode() not in heard.split():
        left_s = until_s - time.monotonic()
        if left_s < 0 or not select.select([process.stdout], [], [], left_s)[0]:
            raise Unheard(f"is not {word} after {limit_s:g} s")
        said = os.read(process.stdout.fileno(), 4096)
        if not said:
            raise Unheard(f"ended before it was {word}")
        heard += said
    return heard.decode("utf-8", "replace").split()
