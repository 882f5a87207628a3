"""The reference of all keys, from the models themselves: tables, each key with an example.

A new exporter, traffic kind or topology is in it by itself. Examples are a field's own
(``Field(examples=[…])``) or else its default, or what its type suggests. A model whose keys do not
work alone has one itself (``json_schema_extra={"examples": [{…}]}``); a key that needs others
beside it than those says so (``json_schema_extra={BESIDE: {…}}``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lab.scenario.model import PARALLEL
from lab.scenario.schema import ALONE, BESIDE, KINDS, models, resolve
from topologies import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REFERENCE_FILE: Final = "docs/reference.md"

_INTRODUCTION: Final = """\
# Reference

Every key of a scenario file, made from the code. What it all means, and how to go about it, is in
[scenarios.md](scenarios.md). An example shows a key by itself; the tests put each into a whole
file and look for faults.
"""
_ROOT: Final = {
    "title": "An example",
    "topology": {"single": {"hosts": 4}},
    "exporters": ["netflow", "sflow", "ipfix"],
    "traffic": [
        {"tcp": {"from": "h1", "to": "h2", "source_port": 50000, "send_octets": 1000}},
        {"udp": {"from": "h1", "to": "h2"}},
    ],
}
"""The file that every example is put into."""

_UNSAFE: Final = re.compile(r": |[\[\]{},#'\"]|^$|^[\W\d]")
"""What needs quotes inside ``[…]`` and ``{…}``."""

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Section:
    """The keys of one mapping.

    Attributes:
        heading: what it is called.
        path: where it stands in a file; 0 for any item of a list.
        about: what it is, in a sentence or two.
        keys: the schema of each key.
        needed: keys that have to be there.
        base: the mapping that an example of a key is put into.
    """

    heading: str
    path: Path
    about: str
    keys: Mapping[str, Any]
    needed: frozenset[str]
    base: Mapping[str, Any]


def sections() -> list[Section]:
    """All mappings of a scenario file, each once, in the order of the file."""
    whole = models()
    found: dict[str, Section] = {}
    _walk(whole, (), whole["$defs"], found, "root")
    return list(found.values())


def examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """For every key: its section, its name, and a whole scenario with it."""
    defs = models()["$defs"]
    known = {section.path: section for section in sections()}
    for section in known.values():
        for key in section.keys:
            beside = section.keys[key].get(BESIDE, section.base)
            below = {**beside, key: example(section, key, defs)}
            yield section.heading, key, _put(section.path, below, known)


def text() -> str:
    """The content of `REFERENCE_FILE`."""
    defs = models()["$defs"]
    parts = [_INTRODUCTION]
    for section in sections():
        rows = [_row(section, key, defs) for key in section.keys]
        table = [
            "| key | takes | if left out | meaning | example |",
            "|---|---|---|---|---|",
            *rows,
        ]
        parts.append(f"## {section.heading}\n\n{section.about}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def example(section: Section, key: str, defs: Mapping[str, Any]) -> Any:
    """A value that a key may have."""
    if not section.path and key in _ROOT:
        return _ROOT[key]
    if key in section.base:
        return section.base[key]
    return _value(section.keys[key], defs)


# ------------------------------------------------------------------ walking through the models


def _walk(
    node: Any, path: Path, defs: Mapping[str, Any], found: dict[str, Section], name: str
) -> None:
    """Take down the mappings at and below a schema; those met again are left out."""
    node = resolve(node, defs)
    if "properties" in node:
        if name in found:
            return
        found[name] = _section(node, path, defs)
        for key, below in node["properties"].items():
            _walk(below, (*path, key), defs, found, below.get("$ref", name + key))
        return
    for kind, below in node.get(KINDS, {}).items():
        if kind == PARALLEL:  # its steps are those that also stand alone
            continue
        _walk(below, (*path, kind), defs, found, below.get("$ref", name + kind))
    for below in node.get("anyOf", []):
        _walk(below, path, defs, found, below.get("$ref", name))
    for items in (node.get("items"), node.get(ALONE, {}).get("items")):
        if items is not None:
            _walk(items, (*path, 0), defs, found, items.get("$ref", name))


def _section(node: Mapping[str, Any], path: Path, defs: Mapping[str, Any]) -> Section:
    words = [str(part) for part in path if part != 0]
    about = node.get("description", "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
    if words[:1] == ["topology"]:
        about = SHAPES[words[1]].summary
    needed = frozenset(node.get("required", ()))
    base = node.get("examples", [{}])[0] or {
        key: _value(one, defs) for key, one in node["properties"].items() if key in needed
    }
    return Section(
        ": ".join(words) if words else "The file",
        path,
        about,
        node["properties"],
        needed,
        base if words else {},
    )


def _put(path: Path, below: Mapping[str, Any], known: Mapping[Path, Section]) -> dict[str, Any]:
    """A file with a mapping in its place, alone where it stands in a list."""
    value: Any = below
    for end in range(len(path), 0, -1):
        part, around = path[end - 1], known.get(path[: end - 1])
        base = around.base if around else {}
        value = [value] if part == 0 else {**base, part: value}
    return {**_ROOT, **value}


# ------------------------------------------------------------------ one key


def _row(section: Section, key: str, defs: Mapping[str, Any]) -> str:
    schema = section.keys[key]
    meaning = escaped(schema.get("description", ""))
    shown = f"`{key}: {_yaml(example(section, key, defs))}`"
    return (
        f"| `{key}` | {_takes(schema, defs)} | {_left_out(section, key)} | {meaning} "
        f"| {escaped(shown)} |"
    )


def escaped(text: str) -> str:
    """Text as a cell of a table."""
    return text.replace("|", "\\|")


def _left_out(section: Section, key: str) -> str:
    if key in section.needed:
        return "is needed"
    default = section.keys[key].get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    return _yaml(default)


def _takes(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """The values that a schema allows, in words."""
    match schema:
        case {"x-kinds": kinds}:
            words = "one of " + ", ".join(kinds)
        case {"x-alone": {"items": item}}:
            words = f"{_takes(item, defs)}, or a list of it"
        case {"anyOf": ways}:
            words = _any_of([_takes(one, defs) for one in ways if one.get("type") != "null"])
        case {"enum": values}:
            words = ", ".join(map(_yaml, values))
        case {"const": value}:
            words = _yaml(value)
        case {"type": "array"}:
            words = f"a list of {_takes(schema.get('items', {}), defs)}"
        case {"type": "integer" | "number"}:
            words = "a number" + _range(schema)
        case _:
            words = {"string": "text", "boolean": "true, false"}.get(
                schema.get("type", ""), "a mapping"
            )
    return words


def _any_of(ways: list[str]) -> str:
    if "text" in ways and any(way.startswith("a number") for way in ways):
        ways = ["text with a unit" if way == "text" else way for way in ways]
    return " or ".join(dict.fromkeys(ways))


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f" from {low}" if low else f" up to {high}" if high is not None else ""


def _value(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    """A value that a schema allows: its example, its default, or the plainest one."""
    found = resolve(schema, defs)
    own = schema.get("examples") or found.get("examples")
    if own:
        return own[0]
    if schema.get("default") not in (None, "", [], {}):
        return schema["default"]
    match found:
        case {"properties": keys} as mapping:
            value: Any = {
                key: _value(one, defs)
                for key, one in keys.items()
                if key in mapping.get("required", ())
            }
        case {"x-kinds": kinds}:
            kind, below = next(iter(kinds.items()))
            value = {kind: _value(below, defs)}
        case {"anyOf": ways}:
            value = _value(next(one for one in ways if one.get("type") != "null"), defs)
        case {"enum": [value, *_]} | {"const": value}:
            pass
        case {"x-alone": {"items": item}} | {"type": "array", "items": item}:
            value = [_value(item, defs)]
        case other:
            value = _plain(other)
    return value


def _plain(schema: Mapping[str, Any]) -> Any:
    if schema.get("type") in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    return {"boolean": True, "string": "text"}.get(schema.get("type", ""), {})


def _yaml(value: Any) -> str:
    """A value as a file has it, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    plain = isinstance(value, str) and not _UNSAFE.search(value)
    return value if plain else json.dumps(value, ensure_ascii=False)
