"""Routes below `/_local/` for tables and permissions: what has no method in the API."""

from __future__ import annotations

from typing import Any

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes import resources
from bqdump_local.bigquery.routes.http import Call, Endpoint
from bqdump_local.bigquery.tables import buffers


class ControlRoutes:
    """Kinds of tables, change data capture, the streaming buffer, and permissions."""

    def __init__(self, service: Service) -> None:
        self._catalog = service.catalog

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("PUT", "/_local/kinds", self.set_kind),
            Endpoint("PUT", "/_local/changes", self.set_watermark),
            Endpoint("POST", "/_local/streaming/flush", self.flush),
            Endpoint("GET", "/_local/denied", self.denied, quick=True),
            Endpoint("PUT", "/_local/denied", self.deny, quick=True),
        ]

    def flush(self, call: Call) -> dict[str, Any]:
        """Control: move streamed rows to their tables, all or those that the body selects."""
        only = call.body.get("table")
        flushed = 0
        for dataset in self._catalog.all_datasets():
            for table in self._catalog.tables(dataset.project, dataset.dataset_id):
                if only in {None, table.table_id}:
                    flushed += buffers.flush(self._catalog, table)
        return {"rows": flushed}

    def set_kind(self, call: Call) -> dict[str, Any]:
        """Control: `{project, dataset, table, kind}` changes a table to a kind of object that cannot be read."""
        body = call.body
        try:
            table = self._catalog.table(body["project"], body["dataset"], body["table"])
            table.other_kind = str(body["kind"])
        except KeyError as error:
            raise BigQueryError("invalid", f"Required key is missing: {error}") from error
        self._catalog.keep_table(table)
        return resources.table_item(table)

    def set_watermark(self, call: Call) -> dict[str, Any]:
        """Control: `{project, dataset, table, watermark}`: change data capture, applied up to the watermark (ms)."""
        body = call.body
        try:
            table = self._catalog.table(body["project"], body["dataset"], body["table"])
            watermark = body["watermark"]
        except KeyError as error:
            raise BigQueryError("invalid", f"Required key is missing: {error}") from error
        if watermark is not None and not (table.properties.get("tableConstraints") or {}).get("primaryKey"):
            raise BigQueryError("invalid", f"{table.name} has no primary key, which change data capture requires.")
        table.watermark_ms = None if watermark is None else int(watermark)
        self._catalog.keep_table(table)
        return resources.table_item(table)

    def denied(self, _: Call) -> dict[str, Any]:
        """Control: the permissions that are denied."""
        return self._catalog.access.resource()

    def deny(self, call: Call) -> dict[str, Any]:
        """Control: `{"projects": {"name": ["bigquery.tables.list"]}}` replaces the permissions that are denied."""
        self._catalog.access.deny(call.body)
        return self._catalog.access.resource()
