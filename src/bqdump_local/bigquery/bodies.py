"""Bodies of requests: what the API does not have, and what has no effect here, is refused."""

from __future__ import annotations

from bqdump_local.bigquery.api_fields import SCHEMAS
from bqdump_local.bigquery.errors import BigQueryError, unsupported
from bqdump_local.fields import Checker


def _unknown(name: str, where: str) -> BigQueryError:
    message = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
    return BigQueryError("badRequest", message)


checked = Checker(SCHEMAS, unknown=_unknown, missing=unsupported).checked
