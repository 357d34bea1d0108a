"""Bodies and parameters of requests: what the API does not have, and what is missing here, is refused."""

from __future__ import annotations

from bqdump_local.bigquery.errors import BigQueryError, unsupported
from bqdump_local.bigquery.routes.api_fields import PARAMETERS, SCHEMAS
from bqdump_local.fields import Checker, check_parameters


def _unknown(name: str, where: str) -> BigQueryError:
    message = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
    return BigQueryError("badRequest", message)


checked = Checker(SCHEMAS, unknown=_unknown, missing=unsupported).checked


def check_query(method: str, given: list[tuple[str, str]]) -> None:
    """Refuse parameters of a query that are missing here. method: such as `bigquery.tables.get`."""
    check_parameters(PARAMETERS, method, given, unsupported)
