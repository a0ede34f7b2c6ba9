"""The JSON Schema of a space file, for editors, from the same tables as the checks.

``python -m search.schema`` prints it, as ``spaces/space.schema.json`` holds it.
"""

from __future__ import annotations

import json
from typing import Any

from search.parameters import MAX_CHOICES
from search.sections import MAX_OBJECTIVES, SECTIONS
from search.space import NAME, SEARCH
from trainables.config import Setting, TrialConfig, settings

WITH_BRANCH = {  # a value of a choice that brings parameters of its own
    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"$ref": "#/properties/space"},
}
TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", tuple: "array"}


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12) of a space file."""
    name = {"description": "name; by default the file's", "type": "string", "pattern": f"^{NAME.pattern}$"}
    search = {"description": SEARCH.help, "default": SEARCH.choices[0], **value_schema(SEARCH)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A search space",
        "type": "object",
        "properties": {
            "name": name, "search": search, **{section: section_schema(section) for section in SECTIONS},
            "objective": objective_schema(), "baseline": baseline_schema(),
        },
        "required": ["space"],
        "anyOf": [{"required": ["budget"]}, {"required": ["search"], "properties": {"search": {"const": "grid"}}}],
        "additionalProperties": False,
    }


def section_schema(section: str) -> dict[str, Any]:
    cls = SECTIONS[section]
    values = parameter_schema if section == "space" else value_schema
    schema = {
        "type": "object" if section in ("space", "budget") else ["object", "null"],
        "description": cls.__doc__.split(". ")[0].split("\n")[0].rstrip("."),
        "properties": {
            name: {"description": rule.help, "default": getattr(cls, name), **values(rule)}
            for name, rule in settings(cls).items()
        },
        "additionalProperties": False,
    }
    ends = {"anyOf": [{"required": [name]} for name in ("trials", "minutes", "gpu_hours")]}
    return schema | (ends if section == "budget" else {})


def objective_schema() -> dict[str, Any]:
    """Return the schema of one objective, or of a list of several."""
    one = section_schema("objective")
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_OBJECTIVES}]}


def baseline_schema() -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": "Values of searched parameters for the first trial; by default what is nearest to their defaults",
        "properties": {name: value_schema(rule) for name, rule in settings(TrialConfig).items() if rule.searchable},
        "additionalProperties": False,
    }


def value_schema(rule: Setting) -> dict[str, Any]:
    """Return the schema of one value that ``rule`` allows."""
    kind = TYPES[rule.type]
    bounds = {"minimum": rule.low, "maximum": rule.high, "exclusiveMinimum": rule.above, "exclusiveMaximum": rule.below}
    schema = {"type": [kind, "null"] if rule.optional else kind}
    schema |= {word: bound for word, bound in bounds.items() if bound is not None}
    if rule.choices:
        schema["enum"] = [*rule.choices, *([None] if rule.optional else [])]
    if rule.words:
        schema = {"anyOf": [schema, {"enum": list(rule.words)}]}
    if rule.pattern:
        schema = {"anyOf": [schema, {"type": kind, "pattern": f"^{rule.pattern}$"}]}
    return schema


def parameter_schema(rule: Setting) -> dict[str, Any]:
    """Return the schema of a trial's parameter: a value, or one of the forms that `search.parameters` reads."""
    value = value_schema(rule)
    if not rule.searchable:
        return value
    item = {"anyOf": [value, {**WITH_BRANCH, **({"propertyNames": keys(rule)} if rule.type is str else {})}]}
    values = {"type": "array", "items": item, "uniqueItems": True, "minItems": 1, "maxItems": MAX_CHOICES}
    forms = [form_schema("choice", values)]
    if rule.type in (int, float) and not rule.choices:
        forms.append(form_schema("int", pair({**value, "type": "integer"}), {"type": "integer", "exclusiveMinimum": 0}))
    if rule.type is float:
        forms.append(form_schema("uniform", pair(value), {"type": "number", "exclusiveMinimum": 0}))
        forms.append(form_schema("loguniform", pair({**value, "exclusiveMinimum": 0})))
    return {"anyOf": [value, *forms]}


def keys(rule: Setting) -> dict[str, Any]:
    """Return the schema of a value that stands as the key of its own parameters."""
    return {name: inner for name, inner in value_schema(rule).items() if name != "type"}


def pair(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": value, "minItems": 2, "maxItems": 2}


def form_schema(form: str, value: dict[str, Any], step: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {form: value} | ({"step": step} if step else {})
    return {"type": "object", "properties": properties, "required": [form], "additionalProperties": False}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
