"""Connection properties of queries.

https://cloud.google.com/bigquery/docs/reference/rest/v2/ConnectionProperty
"""

from __future__ import annotations

from typing import Any

from bqdump_local.bigquery.errors import BigQueryError, invalid

_MISSING = ("query_label", "service_account", "session_id", "time_zone")


def dataset_project(query: dict[str, Any]) -> str | None:
    """The project of datasets that a query names without one; None for that of its job."""
    properties = query.get("connectionProperties") or []
    keys = [prop.get("key", "") for prop in properties]
    if len(set(keys)) < len(keys):
        raise invalid("Each connection property can be set once.")
    for key in _MISSING:
        if key in keys:
            raise BigQueryError(
                "notImplemented", f"This local stand-in does not support the connection property {key}.", status=501
            )
    values = {prop.get("key", ""): prop.get("value") for prop in properties}
    return values.get("dataset_project_id") or None
