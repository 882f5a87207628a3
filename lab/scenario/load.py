"""A scenario file goes in; a `Scenario`, or every fault of the file, comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lab.scenario import check
from lab.scenario.document import MOST_OCTETS, Document, read
from lab.scenario.faults import Fault, ScenarioFaults, printable
from lab.scenario.keys import keys_of, model_at
from lab.scenario.model import Scenario
from lab.scenario.parts import take_apart
from lab.scenario.units import FAULT
from lab.scenario.words import explain, meant, unknown_key

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails

    from lab.scenario.faults import Path

__all__ = ["Fault", "Inspection", "ScenarioFaults", "inspect", "inspect_octets", "load"]


@dataclass(frozen=True)
class Inspection:
    """All that can be said of a file without running it.

    Attributes:
        scenario: None if there are faults.
        faults: what is wrong, in the order of the file.
        warnings: what is odd.
    """

    scenario: Scenario | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


def load(file: str | os.PathLike[str]) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioFaults: it cannot be read or used; all of its faults are in there.
    """
    inspection = inspect(file)
    if inspection.scenario is None:
        raise ScenarioFaults(inspection.faults)
    return inspection.scenario


def inspect(file: str | os.PathLike[str]) -> Inspection:
    """Read a scenario file and say what is wrong or odd about it; never raises."""
    name = printable(file)
    try:
        with FilePath(file).open("rb") as stream:
            octets = stream.read(MOST_OCTETS + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"the file cannot be read: {reason}"
        return Inspection(None, (Fault(name, 0, 0, "", message, "look at its name"),))
    return inspect_octets(octets, name)


def inspect_octets(octets: bytes, file: str) -> Inspection:
    """As `inspect`, for a file's content; never raises, whatever it is."""
    document = read(octets, file)
    if document.faults and document.data is None:
        return Inspection(None, document.faults)
    data = document.data
    if isinstance(data, dict) and "name" not in data:
        data = {"name": name_of(file), **data}
    scenario, errors = _validate(data)
    parts = take_apart(data, scenario)
    faults = [
        *document.faults,
        *_schema_faults(document, errors),
        *_other_names(document, data),
        *check.faults(document, parts),
    ]
    faults += check.unmet(document, parts, tuple(faults))
    if faults or scenario is None:
        return Inspection(None, _in_order(faults))
    return Inspection(scenario, (), _in_order(check.warnings(document, parts)))


def name_of(file: str) -> str:
    """The name of the scenario in a file that gives none: the file's, made into one word."""
    words = re.findall(r"[A-Za-z0-9_.]+", FilePath(file).stem)
    return "-".join(words).lstrip("_.-")[:64] or "scenario"


def _validate(data: object) -> tuple[Scenario | None, list[ErrorDetails]]:
    try:
        return Scenario.model_validate(data), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


# ------------------------------------------------------------------ the schema's errors


def _schema_faults(document: Document, errors: Iterable[ErrorDetails]) -> Iterator[Fault]:
    located = [(error, *_locate(document.data, error)) for error in errors]
    unknown = [path for error, path, _ in located if error["type"] == "extra_forbidden"]
    intended = {(*path[:-1], meant(path)) for path in unknown}
    for error, path, value in located:
        kind = error["type"]
        if kind == "missing" and path in intended:
            continue  # the key is there, misspelt
        if kind == "too_short" and value:
            continue  # its items are there, and wrong
        mark = document.value_mark(path)
        message, hint = explain(error, path, value)
        if kind == "missing":
            yield replace(document.fault(path[:-1], message, hint), path=_text(document, path))
        elif kind == "extra_forbidden" or (kind == FAULT and error["ctx"]["below"]):
            yield document.fault(path, message, hint, at_key=True)
        elif mark not in document.settled:
            yield document.fault(path, message, hint)


def _text(document: Document, path: Path) -> str:
    return document.fault(path, "").path


def _locate(data: Any, error: ErrorDetails) -> tuple[Path, Any]:
    """An error's path in the file, and what the file has there.

    The schema's locations are the file's paths, but for the places where the file may be
    shorter than the schema: a word for a list of one word, a number for its bounds.
    """
    path: Path = ()
    parts = list(error["loc"])
    if error["type"] == FAULT and error["ctx"]["below"]:
        parts.append(error["ctx"]["below"])
    for part in parts:
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if listed or (isinstance(data, dict) and part in data):
            path, data = (*path, part), data[part]
    if error["type"] == "missing":
        return (*path, parts[-1]), None
    return path, data


def _other_names(document: Document, data: object, path: Path = ()) -> Iterator[Fault]:
    """Keys that only programs may use: a model's field has one name in files."""
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _other_names(document, item, (*path, index))
    if not isinstance(data, dict):
        return
    model = model_at(path)
    fields = set(model.model_fields) - set(keys_of(model)) if model else set()
    for key, value in data.items():
        if key in fields and model is not None and model.model_config.get("populate_by_name"):
            message, hint = unknown_key((*path, key), value)
            yield document.fault((*path, key), message, hint, at_key=True)
        yield from _other_names(document, value, (*path, key))


def _in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """In the order of the file, each once: aliases show the same place several times."""
    places = {(fault.line, fault.column, fault.message): fault for fault in faults}
    return tuple(sorted(places.values(), key=lambda fault: (fault.line, fault.column)))
