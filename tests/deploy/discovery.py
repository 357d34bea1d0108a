"""Validates a body with the schema of Google's API (the discovery documents)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip
# Formats of strings.
FORMATS = {
    "int64": r"-?[0-9]+",
    "google-duration": r"-?[0-9]+(\.[0-9]+)?s",
    "google-datetime": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z",
}


@cache
def document(api: str) -> dict[str, Any]:
    """The discovery document of an API such as "run.v2"."""
    folder = resources.files("googleapiclient.discovery_cache").joinpath("documents")
    loaded = json.loads(folder.joinpath(f"{api}.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def check(api: str, schema: str, value: Any) -> list[str]:
    """The parts of a value that the API would refuse for this schema."""
    schemas = document(api)["schemas"]
    return list(_check(value, schemas[schema], schemas, schema))


def _check(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> Iterator[str]:
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kind = schema.get("type", "any")
    if kind == "any":
        return
    fits = isinstance(value, PYTHON_TYPES[kind]) and (not isinstance(value, bool) or kind == "boolean")
    if not fits:
        yield f"{where}: {kind} is wanted, not {value!r}"
    elif kind == "string":
        yield from _check_text(value, schema, where)
    elif kind == "array":
        for number, item in enumerate(value):
            yield from _check(item, schema["items"], schemas, f"{where}[{number}]")
    elif kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, item in value.items():
            inner = known.get(key, others)
            if inner is None:
                yield f"{where}: there is no field {key!r}"
            else:
                yield from _check(item, inner, schemas, f"{where}.{key}")


def _check_text(value: str, schema: dict[str, Any], where: str) -> Iterator[str]:
    pattern = FORMATS.get(schema.get("format", ""))
    if pattern and not re.fullmatch(pattern, value):
        yield f"{where}: {schema['format']} is wanted, not {value!r}"
    if schema.get("format") == "byte":
        base64.b64decode(value, validate=True)
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {', '.join(schema['enum'])}"
