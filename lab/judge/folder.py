"""What a run folder holds under which name, and reading what is not a capture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict

from collector.check import Expected
from collector.check.witnesses import Witnesses

if TYPE_CHECKING:
    from pathlib import Path

EXPORTS: Final = "exports.pcap"
SENT: Final = "exports-sent.pcap"
"""Beside it where faults befell the datagrams: what exporters sent, and are judged by."""
FAULTS: Final = "faults.json"
POLLED: Final = {"OpenFlow": "counters.json", "SNMP": "snmp.json"}
"""What was polled of the switches' ports, answer by answer, by how."""
_Model = TypeVar("_Model", bound=BaseModel)


class NotARun(Exception):
    """The folder does not hold a run; the text says what is missing and what to do."""


class Faults(BaseModel):
    """The content of ``faults.json``: what befell the datagrams on their way.

    Attributes:
        restarts: before which datagrams that arrived the collector was started anew, from 0.
        struck: how many datagrams each fault struck.
        spoilt: which of those that arrived nobody can read, from 0; older runs had none.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    restarts: list[int]
    struck: dict[str, int]
    spoilt: list[int] = []


def read_expected(folder: Path) -> Expected:
    """What the run was expected to show.

    Raises:
        NotARun: it does not say so, or what it says cannot be read.
    """
    path = folder / "expected.json"
    try:
        return Expected.from_json(read_json(path))
    except (KeyError, TypeError, AttributeError, ValueError) as odd:
        raise NotARun(f"{path} is not what a run writes: {_first_line(odd)}") from odd


def read_witnesses(folder: Path) -> Witnesses:
    """What the run's witnesses said; nothing if it was killed before it could write that down.

    Raises:
        NotARun: what is there cannot be read.
    """
    path = folder / "witnesses.json"
    return _read_model(path, Witnesses) if path.exists() else Witnesses()


def read_faults(folder: Path) -> Faults:
    """What befell the datagrams of a run with faults.

    Raises:
        NotARun: nothing is there, or it cannot be read.
    """
    return _read_model(folder / FAULTS, Faults)


def _read_model(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as odd:
        raise NotARun(f"{path} is not what a run writes: {_first_line(odd)}") from odd


def _first_line(odd: Exception) -> str:
    return " ".join(str(odd).split())[:200] or type(odd).__name__


def read_json(path: Path) -> Any:
    """A file of a run folder.

    Raises:
        NotARun: it is missing, or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotARun(
            f"{path.parent} is not a run folder: {path.name} is missing; "
            "give one of runs/<scenario>/<time>, or runs/<scenario>/latest"
        ) from None
    except (OSError, ValueError, RecursionError) as odd:
        raise NotARun(f"{path} cannot be read: {odd}") from odd
