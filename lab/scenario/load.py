"""A scenario file goes in; a `Scenario`, or every fault of the file, comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from errno import ENOENT
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lab.scenario import check, ways
from lab.scenario.document import MOST_OCTETS, Document, read
from lab.scenario.faults import Fault, ScenarioFaults, found, printable
from lab.scenario.keys import keys_of, model_at
from lab.scenario.model import IN_A_FILE, TOPOLOGY, Scenario
from lab.scenario.parts import take_apart
from lab.scenario.units import FAULT
from lab.scenario.words import explain, meant, unknown_key

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails

    from lab.scenario.faults import Path

_HERE = FilePath()
_NAMED = "name it as seen from the scenario's folder"

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
        octets = _octets(FilePath(file))
    except (OSError, ValueError) as error:
        return Inspection(None, (Fault(name, 0, 0, "", _unreadable(error), "look at its name"),))
    return inspect_octets(octets, name, FilePath(file).parent)


def inspect_octets(octets: bytes, file: str, folder: FilePath = _HERE) -> Inspection:
    """As `inspect`, for a file's content; never raises, whatever it is.

    Args:
        octets: the content.
        file: what the file is called in messages.
        folder: where it is: files that it names are looked for from there.
    """
    document = _with_network(read(octets, file), folder)
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
    faults += ways.unmet(document, parts, tuple(faults))
    faults += ways.on_their_ways(document, parts, tuple(faults))
    if faults or scenario is None:
        return Inspection(None, _in_order(faults))
    return Inspection(scenario, (), _in_order(ways.warnings(document, parts)))


def _octets(file: FilePath) -> bytes:
    """What a file begins with: so much that it can be said to be too large.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    with file.open("rb") as stream:
        return stream.read(MOST_OCTETS + 1)


def _unreadable(error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"the file cannot be read: {reason}"


def _with_network(document: Document, folder: FilePath) -> Document:
    """A scenario that names a file for its topology, with what that file holds in its place."""
    topology = document.data.get(TOPOLOGY) if isinstance(document.data, dict) else None
    if not isinstance(topology, dict) or list(topology) != [IN_A_FILE]:
        return document
    name, path = topology[IN_A_FILE], (TOPOLOGY, IN_A_FILE)
    if document.is_settled(path):
        return replace(document, data=None)
    if not isinstance(name, str):
        fault = document.fault(path, f"expected the name of a file, found {found(name)}", _NAMED)
        return replace(document, data=None, faults=(*document.faults, fault))
    file = folder / name
    try:
        if not file.is_file():  # nor is a device or a pipe read
            raise FileNotFoundError(ENOENT, "there is no such file")
        network = read(_octets(file), printable(file), "what would stand below 'topology'")
    except (OSError, ValueError) as error:
        fault = document.fault(path, _unreadable(error), _NAMED)
        return replace(document, data=None, faults=(*document.faults, fault))
    if network.faults and network.data is None:
        return replace(document, data=None, faults=(*document.faults, *network.faults))
    return document.with_value_of(TOPOLOGY, network)


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
        message, hint = explain(error, path, value)
        if kind == "missing":
            yield replace(document.fault(path[:-1], message, hint), path=_text(document, path))
        elif kind == "extra_forbidden" or (kind == FAULT and error["ctx"]["below"]):
            yield document.fault(path, message, hint, at_key=True)
        elif not document.is_settled(path):
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
    """File by file and in its order, each once: aliases show the same place several times."""
    places = {(fault.file, fault.line, fault.column, fault.message): fault for fault in faults}
    return tuple(sorted(places.values(), key=lambda fault: (fault.file, fault.line, fault.column)))
