"""Bodies, parameters and etags: what the API does not have, and what is missing here, is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec

from bqdump_local.bigquery.api_fields import PARAMETERS, SCHEMAS
from bqdump_local.bigquery.errors import BigQueryError, invalid, unsupported
from bqdump_local.fields import Checker, check_parameters


def _unknown(name: str, where: str) -> BigQueryError:
    message = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
    return BigQueryError("badRequest", message)


def _wrong(where: str, value: Any) -> BigQueryError:
    shown = value if isinstance(value, (str, int, float)) else "a list" if isinstance(value, list) else "an object"
    return BigQueryError("badRequest", f"Invalid JSON payload received. Invalid value at '{where}': {shown}")


checked = Checker(SCHEMAS, unknown=_unknown, missing=unsupported, wrong=_wrong).checked


def decoded(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body, or of a part of one; an empty body is an empty object."""
    try:
        body = msgspec.json.decode(raw or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BigQueryError("parseError", "Parse Error: the body is not valid JSON", status=400) from error
    if not isinstance(body, dict):
        raise invalid("The body must be a JSON object.")
    return body


def check_query(method: str, parameters: list[tuple[str, str]]) -> None:
    """Refuse parameters of a query that are missing here. method: such as `bigquery.tables.get`."""
    check_parameters(PARAMETERS, method, parameters, unsupported)


def etag(content: Any) -> str:
    """The etag of something, which changes with its content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()
