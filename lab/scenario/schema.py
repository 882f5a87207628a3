"""The JSON Schema of scenario files, from the models themselves: what editors complete and check.

Looser than `flowlab lint`, never stricter: hosts, ports and packets that fit are lint's affair.
JSON Schema draft 2020-12.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from lab.scenario.model import IN_A_FILE, TOPOLOGY, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

SCHEMA_FILE: Final = "docs/scenario.schema.json"

KINDS: Final = "x-kinds"
"""What `models` has in place of ``{kind: settings}``: the settings by kind."""
ALONE: Final = "x-alone"
"""What `models` has in place of a list whose only item may be written without the list."""

_BOUNDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}
"""What pydantic calls bounds of what may be written as text too, and JSON Schema's names."""

BESIDE: Final = "x-beside"
"""What a field's example needs beside it in the same mapping."""


def models() -> dict[str, Any]:
    """The schema of all models, with `KINDS` and `ALONE` where files are written shorter."""
    whole = Scenario.model_json_schema(schema_generator=_Generator)
    whole["required"] = [key for key in whole["required"] if key != "name"]
    return whole


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file."""
    whole = models()
    written = _written(whole, whole["$defs"])
    in_a_file = {"type": "string", "description": "A file that has what would stand here."}
    written["properties"][TOPOLOGY]["anyOf"].append(_keyed(IN_A_FILE, in_a_file))
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": "flowlab scenario", **written}


def text() -> str:
    """The content of `SCHEMA_FILE`."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Marks the places where a file may be written shorter than the model is."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """``{kind: settings}``."""
        return {
            KINDS: {str(kind): self.generate_inner(one) for kind, one in schema["choices"].items()}
        }

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        """One item for a list of it, a number for its bounds."""
        written = super().function_before_schema(schema)
        name = getattr(schema["function"]["function"], "__name__", "")
        if written.get("type") == "array" and name in ("listed", "_listed"):
            return {ALONE: written}
        if name == "_exact":
            return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}, written]}
        return written

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """No titles: the key says the same."""
        return False


def _written(node: Any, defs: Mapping[str, Any]) -> Any:
    """A schema with its marks replaced by all the ways in which a file may be written."""
    if isinstance(node, list):
        return [_written(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    rest = {
        _BOUNDS.get(key, key): _written(value, defs)
        for key, value in node.items()
        if key not in (KINDS, ALONE, BESIDE)
    }
    if isinstance(node.get("title"), str):
        del rest["title"]  # the class's name; a key called title has a mapping here
    if KINDS in node:
        below = {kind: _settings(one, defs) for kind, one in node[KINDS].items()}
        bare = [kind for kind, one in node[KINDS].items() if _needs_nothing(one, defs)]
        return {
            "anyOf": [*([{"enum": bare}] if bare else []), *map(_keyed, below, below.values())],
            **rest,
        }
    if ALONE in node:
        items = node[ALONE]["items"]
        ways = [_written(node[ALONE], defs), _written(items, defs)]
        if KINDS in items:
            below = {kind: _settings(one, defs) for kind, one in items[KINDS].items()}
            ways.append({"type": "object", "properties": below, "additionalProperties": False})
        return {"anyOf": ways, **rest}
    return rest


def _keyed(kind: str, settings: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {kind: settings},
        "required": [kind],
        "additionalProperties": False,
    }


def _settings(one: Any, defs: Mapping[str, Any]) -> Any:
    written = _written(one, defs)
    return {"anyOf": [written, {"type": "null"}]} if _needs_nothing(one, defs) else written


def _needs_nothing(one: Mapping[str, Any], defs: Mapping[str, Any]) -> bool:
    """Whether a kind may stand without settings."""
    found = resolve(one, defs)
    return found.get("type") == "object" and not found.get("required")


def resolve(one: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for; anything else is itself."""
    return defs[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one
