"""Examples for what is described without one, made of the description itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_BY_FORMAT = {
    "uuid": "0198c1f2-6a00-7c3e-8f00-000000000001",
    "date-time": "2026-03-01T09:00:00Z",
    "date": "2026-03-01",
    "email": "ada@example.com",
    "uri": "https://hub.example.com",
}
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}
_DEEPEST = 6


def sample(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """Make a value that fits a schema: its own examples where it has some, else one of its kind."""
    if "$ref" in schema:
        return sample(schemas[str(schema["$ref"]).rpartition("/")[2]], schemas, depth + 1)
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return sample(schema[choice][0], schemas, depth + 1)
    return _of_type(schema, schemas, depth)


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", ()))
        return {
            name: sample(each, schemas, depth + 1)
            for name, each in properties.items()
            if depth < _DEEPEST or name in required
        }
    if kind == "array":
        items: list[Any] = schema.get("prefixItems") or [schema.get("items", {})]
        return [] if depth >= _DEEPEST else [sample(each, schemas, depth + 1) for each in items]
    if kind == "string":
        text = _BY_FORMAT.get(str(schema.get("format")), "text")
        return text[: schema["maxLength"]] if "maxLength" in schema else text
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return _BY_TYPE.get(str(kind))


def complete(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Add to an example what it must have and has not: FastAPI leaves out of examples whatever is null."""
    while "$ref" in schema:
        schema = schemas[str(schema["$ref"]).rpartition("/")[2]]
    for choice in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(choice, ()):
            if _is_of(value, part, schemas):
                return complete(value, part, schemas)
    if isinstance(value, dict):
        return _complete_object(value, schema, schemas)  # pyright: ignore[reportUnknownArgumentType] - JSON
    if isinstance(value, list):
        items = schema.get("items", {})
        return [complete(each, items, schemas) for each in value]  # pyright: ignore[reportUnknownVariableType] - as above
    return value


def _complete_object(value: dict[str, Any], schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    properties: Mapping[str, Any] = schema.get("properties", {})
    more = schema.get("additionalProperties")
    others: Mapping[str, Any] = cast("dict[str, Any]", more) if isinstance(more, dict) else {}
    whole = {name: complete(each, properties.get(name, others), schemas) for name, each in value.items()}
    for name in schema.get("required", ()):
        if name not in whole and name in properties:
            known = properties[name]
            nullable = not known.get("type") and "$ref" not in known and "anyOf" not in known
            null = nullable or any(each.get("type") == "null" for each in known.get("anyOf", ()))
            whole[name] = None if null else sample(known, schemas)
    return whole


def _is_of(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> bool:
    """Tell whether a value may be meant by one of several choices."""
    while "$ref" in schema:
        schema = schemas[str(schema["$ref"]).rpartition("/")[2]]
    kind = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else None
    return kind is not None and schema.get("type") == kind
