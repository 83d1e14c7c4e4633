"""What a mistake in a YAML file means for who wrote it: one line with the file, the line, the key and what was due.

Recipes and trainings are told alike. This module does not know their keys.
"""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jobs.source import Source


def explained(source: Source, invalid: ValidationError, section: type[BaseModel]) -> str:
    """The first thing that is wrong, unknown keys before their consequences, in one line.

    `section` is what the values were read into.
    """
    errors = sorted(invalid.errors(), key=lambda error: error["type"] != "extra_forbidden")
    first = errors[0]
    place = source.place(first["loc"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first["type"] == "extra_forbidden":
        return source.unknown(place, _valid_names(section, first["loc"][:-1])) + more
    message = first["msg"].removeprefix("Value error, ").replace("valid tuple", "list")  # as YAML calls it
    if first["type"] == "missing":
        place, message = (*place, first["loc"][-1]), "this key is required"
    elif first["type"] in ("union_tag_not_found", "union_tag_invalid"):
        place, message = (*place, "kind"), _kind_wanted(first)
    elif first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = f"keys and values are due here, not {first['input']!r}"
    elif not isinstance(first["input"], dict | list | tuple | BaseModel):
        message = f"{message}, not {first['input']!r}"
    return f"{source.where(place)}: {message[0].lower()}{message[1:]}{more}"


def _kind_wanted(error: ErrorDetails) -> str:
    """What to write for a kind that is missing or unknown."""
    context = error.get("ctx", {})
    kinds = [kind.strip(" '") for kind in context.get("expected_tags", "").split(",")]
    if error["type"] == "union_tag_not_found":
        return "this key is required"
    near = difflib.get_close_matches(str(context["tag"]), kinds, 1, cutoff=0.5)
    return f"unknown kind {context['tag']!r}; " + (f"did you mean {near[0]}?" if near else f"kinds: {', '.join(kinds)}")


def _valid_names(section: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that a section has at a location of pydantic's, read from its JSON Schema."""
    schema = section.model_json_schema()
    node: Any = schema
    for step in location:
        node = _child(schema, node, step)
    return list(_follow(schema, node).get("properties", {}))


def _follow(schema: Any, node: Any) -> Any:
    node = next((branch for branch in node.get("anyOf", ()) if "$ref" in branch), node)  # what may be left out
    return schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def _child(schema: Any, node: Any, step: int | str) -> Any:
    """One step into a JSON Schema: a property, an item, or the branch of a union that pydantic names by its kind."""
    node = _follow(schema, node)
    branches = node.get("discriminator", {}).get("mapping", {})
    if step in branches:
        return {"$ref": branches[step]}
    if isinstance(step, int):
        return node.get("items", {})
    child = node.get("properties", {}).get(step)
    if child is None and isinstance(node.get("additionalProperties"), dict):
        child = node["additionalProperties"]
    return child or {}
