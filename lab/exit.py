"""Exit codes of all commands, and how a command stops with one."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import NoReturn

import click


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
