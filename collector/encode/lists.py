"""Lists in a field of a record (RFC 6313): the other way of `collector.decode.lists`.

Each function gives the octets of one value; they go into a column of Python bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from collector.decode.lists import SEMANTICS
from collector.encode.errors import NotEncodableError
from collector.encode.pieces import render
from collector.encode.records import pack
from collector.encode.templates import record, template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from collector.encode.templates import Template

_NUMBERS: Final = {text: number for number, text in SEMANTICS.items()} | {"undefined": 255}
_TEMPLATE_HEAD_OCTETS: Final = 4


def basic_list(
    values: NDArray[Any], field: str | tuple[str, int], semantic: str = "undefined"
) -> bytes:
    """Values of one element (RFC 6313 section 4.5.1).

    Raises:
        NotEncodableError: a value does not fit its field, or there is no such semantic.
    """
    of = template(256, [field])
    specifier = record(of)[_TEMPLATE_HEAD_OCTETS:]
    (name,) = of.layout.places
    return _head(semantic) + specifier + _records(of, {name: values}, len(values))


def sub_template_list(
    of: Template, columns: Mapping[str, Any], count: int, semantic: str = "undefined"
) -> bytes:
    """Records of one template (RFC 6313 section 4.5.2).

    Raises:
        NotEncodableError: a value does not fit its field, or there is no such semantic.
    """
    return _head(semantic) + struct.pack("!H", of.id) + _records(of, columns, count)


def sub_template_multi_list(
    parts: Sequence[tuple[Template, Mapping[str, Any], int]], semantic: str = "undefined"
) -> bytes:
    """Records of several templates, each with its columns and count (RFC 6313 section 4.5.3).

    Raises:
        NotEncodableError: a value does not fit its field, or there is no such semantic.
    """
    octets = _head(semantic)
    for of, columns, count in parts:
        records = _records(of, columns, count)
        octets += struct.pack("!HH", of.id, _TEMPLATE_HEAD_OCTETS + len(records)) + records
    return octets


def _head(semantic: str) -> bytes:
    """The octet in front of every list."""
    if semantic not in _NUMBERS:
        message = f"no list is {semantic!r}: it can be {', '.join(_NUMBERS)}"
        raise NotEncodableError(message)
    return bytes([_NUMBERS[semantic]])


def _records(of: Template, columns: Mapping[str, Any], count: int) -> bytes:
    """Records one behind the other."""
    return render(pack(of.layout, columns, count)).buffer.tobytes()
