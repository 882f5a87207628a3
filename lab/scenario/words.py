"""The schema library's errors, said in plain words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from lab.scenario.faults import closest, found, quote
from lab.scenario.keys import keys_of, model_at
from lab.scenario.model import NAME
from lab.scenario.units import FAULT
from lab.traffic.dns import DNS_NAME
from topologies.custom import NODE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

    from lab.scenario.faults import Path

Context = dict[str, Any]

_WHOLE: Final = "a whole number"
_MAPPING: Final = "a mapping of keys to values"

# error type → what was expected, given the error's context
_EXPECTED: Final[Mapping[str, Callable[[Context], str]]] = {
    "int_type": lambda _: _WHOLE,
    "int_parsing": lambda _: _WHOLE,
    "int_parsing_size": lambda _: _WHOLE,
    "int_from_float": lambda _: _WHOLE,
    "float_type": lambda _: "a number",
    "float_parsing": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "bool_type": lambda _: "true or false",
    "bool_parsing": lambda _: "true or false",
    "string_type": lambda _: "text",
    "tuple_type": lambda _: "a list",
    "list_type": lambda _: "a list",
    "dict_type": lambda _: _MAPPING,
    "model_type": lambda _: _MAPPING,
    "model_attributes_type": lambda _: _MAPPING,
    "greater_than": lambda context: f"more than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"at least {_number(context['ge'])}",
    "less_than": lambda context: f"less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"at most {_number(context['le'])}",
    "multiple_of": lambda context: f"a multiple of {_number(context['multiple_of'])}",
    "too_short": lambda context: _items("at least", context["min_length"]),
    "too_long": lambda context: _items("at most", context["max_length"]),
    "string_too_short": lambda context: _characters("at least", context["min_length"]),
    "string_too_long": lambda context: _characters("at most", context["max_length"]),
    "string_pattern_mismatch": lambda context: _of_pattern(context["pattern"]),
    "literal_error": lambda context: context["expected"].replace("'", ""),
}

# what a text has to match → what that is in words
_PATTERNS: Final[Mapping[str, str]] = {
    NODE_NAME: "a letter, and after it at most 7 letters, digits or '_'",
    f"^{NAME}$": "a letter or digit, and after it at most 63 letters, digits, '_', '.' or '-'",
    DNS_NAME: "a name with a '.', of small letters, digits and '-'",
}

# a key → what people also call it
_OTHER_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "from": ("source", "src", "sender"),
    "to": ("destination", "dst", "receiver"),
    "port": ("destination_port", "dst_port", "dport"),
    "source_port": ("src_port", "sport"),
    "datagrams": ("packets", "count"),
    "count": ("packets", "requests"),
    "payload_octets": ("size", "payload", "bytes", "length"),
    "send_octets": ("octets", "bytes", "size"),
    "octets_l3": ("octets", "bytes"),
    "tcp_flags": ("flags",),
    "at": ("switch", "switches", "where"),
    "exporter": ("exporters", "by"),
    "look_for": ("lookfor",),
    "expect": ("expected", "expectations"),
    "active_timeout_s": ("timeout",),
    "cache_active_timeout_s": ("active_timeout_s", "timeout"),
    "sampling": ("rate", "sampling_rate"),
    "polling_s": ("interval",),
    "hosts_per_switch": ("hosts",),
}

_HINTS: Final[Mapping[str, str]] = {
    "tuple_type": "begin each of its lines with '- '",
    "list_type": "begin each of its lines with '- '",
    "model_type": "write 'key: value' lines, or {key: value, …}",
    "dict_type": "write 'key: value' lines, or {key: value, …}",
    "too_short": "add one, beginning with '- '",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
}


def explain(error: ErrorDetails, path: Path, value: object) -> tuple[str, str]:
    """The message and the hint for an error.

    Args:
        error: one of ``ValidationError.errors()``.
        path: where in the file it is.
        value: what the file has there.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == FAULT:
        return context["message"], context["hint"]
    if kind == "missing":
        return _missing(path)
    if kind == "extra_forbidden":
        return unknown_key(path, value)
    hint = _hint(kind, context, path, value) if kind in _EXPECTED else _meaning(path)
    return unlike(error, value), hint


def unlike(error: ErrorDetails, value: object) -> str:
    """What was expected and what was found, for an error of a value in whatever file."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind](context)}, found {found(value)}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, found {found(value)}"


def unknown_key(path: Path, value: object) -> tuple[str, str]:
    """The message and the hint for a key that may not be where it is."""
    key, around = str(path[-1]), path[:-1]
    model = model_at(around)
    known = keys_of(model) if model else {}
    message = f"unknown key {quote(key)}{place(around)}"
    name, colon, rest = key.partition(":")
    if value is None and colon and name in known:
        return message, f"did you mean '{name}: {rest.strip()}', with a space after ':'?"
    name, space, rest = key.partition(" ")
    if value is None and space and name in known:
        return message, f"did you mean '{name}: {rest.strip()}', with a ':'?"
    near = meant(path)
    if near:
        return message, f"did you mean {near!r}?"
    return message, f"the keys are {', '.join(known)}" if known else "remove it"


def meant(path: Path) -> str | None:
    """The key that an unknown key was most likely meant to be."""
    model = model_at(path[:-1])
    if model is None:
        return None
    key, known = str(path[-1]), keys_of(model)
    others = {
        other: name for name, words in _OTHER_WORDS.items() if name in known for other in words
    }
    longer = [name for name in known if name.startswith(f"{key}_")]
    if key not in others and len(longer) == 1:
        return longer[0]
    near = closest(key, [*known, *others])
    return others.get(near, near) if near else None


def place(path: Path) -> str:
    """Where something is, to follow a noun: `` in udp``; nothing at the top of the file."""
    words = [part for part in path if isinstance(part, str)]
    return f" in {words[-1]}" if words else ""


def _missing(path: Path) -> tuple[str, str]:
    model = model_at(path[:-1])
    field = keys_of(model).get(str(path[-1])) if model else None
    meaning = f": {field.description}" if field and field.description else ""
    return f"the key {path[-1]!r} is missing{place(path[:-1])}", f"add {path[-1]!r}{meaning}"


def _hint(kind: str, context: Context, path: Path, value: object) -> str:
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'", context["expected"])
        near = closest(value, choices) if isinstance(value, str) else None
        return f"did you mean {near!r}?" if near else ""
    if kind == "string_type" and isinstance(value, int | float):
        return f"put it in quotes: '{value}'"
    if kind == "less_than_equal" and path[-1:] == ("payload_octets",):
        return "more than that would not fit into one packet"
    return _HINTS.get(kind) or _meaning(path)


def _meaning(path: Path) -> str:
    """What the key at the end of a path is for."""
    names = [index for index, part in enumerate(path) if isinstance(part, str)]
    if not names:
        return ""
    last = names[-1]
    model = model_at(path[:last])
    field = keys_of(model).get(str(path[last])) if model else None
    meaning = field.description.rstrip(".") if field and field.description else ""
    return f"{path[last]} is: {meaning}" if meaning.lower() not in ("", path[last]) else ""


def _of_pattern(pattern: str) -> str:
    return _PATTERNS.get(pattern, f"text of the form {pattern}")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _items(bound: str, count: int) -> str:
    return f"{bound} {count} {'item' if count == 1 else 'items'}"


def _characters(bound: str, count: int) -> str:
    return "some text" if bound == "at least" and count == 1 else f"{bound} {count} characters"
