"""Quantities as people write them: ``1MiB``, ``10k``, ``1.5s``.

Each type here is an annotated number: a model that declares a field as `Octets` gets a plain
``int``, whatever way the file wrote it. Written back, it is the plain number.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULT = "flowlab"
"""The pydantic error type of a fault that is already in plain words; its hint is in its context."""

OCTETS: Mapping[str, int] = {
    "": 1,
    "B": 1,
    "k": 10**3,
    "kB": 10**3,
    "KB": 10**3,
    "KiB": 2**10,
    "M": 10**6,
    "MB": 10**6,
    "MiB": 2**20,
    "G": 10**9,
    "GB": 10**9,
    "GiB": 2**30,
}
"""Octets in one of each unit. SI prefixes are powers of 1000, IEC 80000-13 prefixes of 1024."""

THINGS: Mapping[str, int] = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
"""Packets, bits or other things in one of each unit."""

SECONDS: Mapping[str, Decimal] = {
    "": Decimal(1),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
}
"""Seconds in one of each unit."""

_QUANTITY = re.compile(r"(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?) ?(?P<unit>[A-Za-z]*)", re.ASCII)
_LONGEST_QUANTITY = 40


def fault(message: str, hint: str = "", *, below: str = "") -> PydanticCustomError:
    """An error for a validator to raise, in plain words.

    Args:
        message: what was found and what was expected.
        hint: what to do next.
        below: the key below the value at which the fault is, if it is at a key.
    """
    # The message is a template to pydantic, so the text goes in as its only field.
    context = {"message": message, "hint": hint, "below": below}
    return PydanticCustomError(FAULT, "{message}", context)


def quantity(text: str, units: Mapping[str, int] | Mapping[str, Decimal], example: str) -> Decimal:
    """The number that ``text`` stands for, in the unit whose factor is 1.

    Args:
        text: a number and perhaps one of ``units``: ``1MiB``, ``1_000``, ``1.5 k``.
        units: how much one of each unit is.
        example: what a good value looks like, for the hint.

    Raises:
        PydanticCustomError: it is not a number with one of these units.
    """
    match = _QUANTITY.fullmatch(text.strip()) if len(text) <= _LONGEST_QUANTITY else None
    if match is None:
        message = f"expected a number such as {example}, found the text {text[:60]!r}"
        raise fault(message, f"write {example}")
    unit = match["unit"]
    if unit not in units:
        known = ", ".join(name for name in units if name)
        close = next((name for name in units if name and name.lower() == unit.lower()), None)
        hint = f"did you mean {match['number']}{close}?" if close else f"the units are {known}"
        raise fault(f"unknown unit {unit!r} in {text.strip()!r}", hint)
    return Decimal(match["number"].replace("_", "")) * units[unit]


def _whole_of(units: Mapping[str, int], what: str, example: str) -> Callable[[object], object]:
    """A reader of text with ``units`` that stands for a whole number, as `_number_of`."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        exact = quantity(value, units, example)
        if exact != int(exact):
            hint = f"write {int(exact)} or {int(exact) + 1}"
            raise fault(f"{value.strip()!r} is not a whole number of {what}", hint)
        return int(exact)

    return read


def _number_of(
    units: Mapping[str, int] | Mapping[str, Decimal], example: str
) -> Callable[[object], object]:
    """A reader of text with ``units``; anything else is left for the schema to judge."""

    def read(value: object) -> object:
        return float(quantity(value, units, example)) if isinstance(value, str) else value

    return read


Octets = Annotated[
    int,
    Field(ge=0),
    BeforeValidator(
        _whole_of(OCTETS, "octets", "1500, 64KiB or 10MB"), json_schema_input_type=int | str
    ),
]
"""A number of octets: ``1500``, ``1_000``, ``64KiB``, ``10MB``, ``1.5MiB``."""

Count = Annotated[
    int,
    Field(ge=0),
    BeforeValidator(_whole_of(THINGS, "things", "250 or 10k"), json_schema_input_type=int | str),
]
"""How many of something: ``250``, ``10k``, ``1.5M``."""

Rate = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_number_of(THINGS, "500, 10k or 1.5M"), json_schema_input_type=float | str),
]
"""Something per second, as the key's last letters say: ``500``, ``10k``, ``1.5M``, ``1G``."""

Seconds = Annotated[
    float,
    Field(ge=0, allow_inf_nan=False),
    BeforeValidator(_number_of(SECONDS, "2, 0.5 or 500ms"), json_schema_input_type=float | str),
]
"""A duration in seconds: ``2``, ``0.5``, ``500ms``, ``1min``."""
