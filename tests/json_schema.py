"""Checks of documents against JSON schemas."""

from __future__ import annotations

from typing import Any


def problems(document: Any, schema: Any) -> list[str]:
    """What of a document does not fit the schema, which is valid itself."""
    from jsonschema.validators import validator_for

    kind = validator_for(schema)
    kind.check_schema(schema)
    return [error.message for error in kind(schema).iter_errors(document)]
