"""Exit codes of all commands, and how a command stops with one."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Final, NoReturn

import click

CODES: Final = """\b
Exit codes: 0 all passed, 1 some failed, 2 your input is wrong,
3 no verdict possible (INVALID), 4 this machine cannot run it.
"""
"""For the help of commands."""


class Exit(IntEnum):
    """Exit codes of all commands."""

    PASSED = 0
    FAILED = 1
    WRONG_INPUT = 2
    NO_VERDICT = 3
    CANNOT_RUN = 4
    INTERRUPTED = 130
    NOBODY_READS = 141


def stop(code: Exit, *messages: str) -> NoReturn:
    """Say why, and leave."""
    for message in messages:
        click.echo(f"flowlab: {message}" if code is not Exit.WRONG_INPUT else message, err=True)
    sys.exit(code)
