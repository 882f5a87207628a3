"""YAML files that describe something to a command: read safely, checked, every fault with its line.

Scenarios have a reader of their own (`lab.scenario.load`), which knows what their keys mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from lab.scenario.document import MOST_OCTETS, read
from lab.scenario.faults import Fault, printable

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from lab.scenario.document import Document

Model = TypeVar("Model", bound=BaseModel)


class WrongFile(ValueError):
    """A file cannot be used; the text has everything that is wrong with it, a line each."""


def read_as(model: type[Model], path: Path, needed: str = "what it has to say") -> Model:
    """Read a file as what a model describes.

    Args:
        model: of its content.
        path: of the file.
        needed: what has to be written in an empty one.

    Raises:
        WrongFile: it cannot be read, is no YAML, or is not of this form.
    """
    name = printable(path)
    try:
        with path.open("rb") as stream:
            octets = stream.read(MOST_OCTETS + 1)
    except (OSError, ValueError) as refused:
        reason = refused.strerror if isinstance(refused, OSError) else str(refused)
        raise WrongFile(f"{name}: {reason}") from None
    document = read(octets, name, needed)
    if document.faults:
        raise WrongFile("\n".join(map(str, document.faults)))
    try:
        return model.model_validate(document.data)
    except ValidationError as wrong:
        errors = wrong.errors(include_url=False)
        faults = (_fault(document, error, needed) for error in errors)
        raise WrongFile("\n".join(map(str, faults))) from None


def _fault(document: Document, error: ErrorDetails, needed: str) -> Fault:
    """An error of the schema, at its place in the file."""
    from lab.scenario.words import unlike  # knows all scenarios, which right files do not need

    path: list[str | int] = []
    data: Any = document.data
    for part in error["loc"]:
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
    if error["type"] == "extra_forbidden":
        return document.fault(tuple(path), "there is no such key", at_key=True)
    if error["type"] == "missing":
        return document.fault(tuple(path), f"the key {error['loc'][-1]!r} is missing")
    hint = "" if path or isinstance(data, dict) else f"write {needed}"
    return document.fault(tuple(path), unlike(error, data), hint)
