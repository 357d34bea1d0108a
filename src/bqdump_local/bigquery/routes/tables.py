"""Routes for datasets, tables and their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.bodies import checked
from bqdump_local.bigquery.errors import invalid, unsupported
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes import resources
from bqdump_local.bigquery.routes.http import Call, Endpoint
from bqdump_local.bigquery.rows import load, streaming
from bqdump_local.bigquery.sql.metadata import partitions_summary
from bqdump_local.bigquery.sql.results import fetch
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.statements import ddl
from bqdump_local.bigquery.tables.decorators import SUMMARY, partition_condition
from bqdump_local.bigquery.tables.definitions import check_access, labels_filter, patched
from bqdump_local.bigquery.tables.partitions import decorated
from bqdump_local.bigquery.tables.tables import Table, Version
from bqdump_local.bigquery.types import quote

if TYPE_CHECKING:
    import duckdb

BASE = "/bigquery/v2/projects/{project}"
DATASET = BASE + "/datasets/{dataset}"
TABLE = DATASET + "/tables/{table}"


class TableRoutes:
    """The API's methods for datasets and tables."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._catalog = service.catalog

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("POST", BASE + "/datasets", self.insert_dataset),
            Endpoint("GET", BASE + "/datasets", self.list_datasets, quick=True),
            Endpoint("GET", DATASET, self.get_dataset, quick=True),
            Endpoint("PATCH", DATASET, self.patch_dataset),
            Endpoint("PUT", DATASET, self.patch_dataset),
            Endpoint("DELETE", DATASET, self.delete_dataset),
            Endpoint("POST", DATASET + "/tables", self.insert_table),
            Endpoint("GET", DATASET + "/tables", self.list_tables, quick=True),
            Endpoint("GET", TABLE, self.get_table),
            Endpoint("PATCH", TABLE, self.patch_table),
            Endpoint("PUT", TABLE, self.update_table),
            Endpoint("DELETE", TABLE, self.delete_table),
            Endpoint("GET", TABLE + "/data", self.list_rows),
            Endpoint("POST", TABLE + "/insertAll", self.insert_all),
            Endpoint("POST", TABLE + ":testIamPermissions", self.test_permissions, quick=True),
            Endpoint("GET", BASE + "/serviceAccount", self.service_account, quick=True),
        ]

    def _table(self, call: Call) -> Table:
        return self._catalog.table(call.project, call.path["dataset"], call.path["table"])

    # -- datasets

    def insert_dataset(self, call: Call) -> dict[str, Any]:
        """datasets.insert."""
        self._catalog.access.require(call.project, "bigquery.datasets.create")
        body = checked("Dataset", call.body, "dataset")
        dataset_id = (body.get("datasetReference") or {}).get("datasetId")
        if not dataset_id:
            raise invalid("Required parameter is missing: datasetReference.datasetId")
        check_access(body.get("access") or [], call.query.get("accessPolicyVersion", "1"))
        return resources.dataset_resource(self._catalog.create_dataset(call.project, dataset_id, body))

    def list_datasets(self, call: Call) -> dict[str, Any]:
        """datasets.list. Hidden datasets are listed only with `all`."""
        every, wanted = call.query.get("all", "").lower() == "true", labels_filter(call.query.get("filter", ""))
        shown = [
            dataset
            for dataset in self._catalog.datasets(call.project)
            if (every or not dataset.dataset_id.startswith("_")) and wanted(dataset.properties.get("labels") or {})
        ]
        listed = call.listed("datasets", shown, lambda dataset: dataset.dataset_id, resources.dataset_item)
        return {"kind": "bigquery#datasetList", "etag": "", **listed}

    def get_dataset(self, call: Call) -> dict[str, Any]:
        """datasets.get."""
        view = call.query.get("datasetView", "FULL")
        if view != "ACL":
            self._catalog.access.require(call.project, "bigquery.datasets.get")
        if view != "METADATA":
            self._catalog.access.require(call.project, "bigquery.datasets.getIamPolicy")
        return resources.dataset_view(self._catalog.dataset(call.project, call.path["dataset"]), view)

    def patch_dataset(self, call: Call) -> dict[str, Any]:
        """datasets.patch and datasets.update."""
        body = checked("Dataset", call.body, "dataset")
        dataset = self._catalog.dataset(call.project, call.path["dataset"])
        if (mode := call.query.get("updateMode")) in ("UPDATE_METADATA", "UPDATE_ACL"):
            body = {key: value for key, value in body.items() if (key == "access") == (mode == "UPDATE_ACL")}
        if access := body.get("access"):
            self._catalog.access.require(call.project, "bigquery.datasets.setIamPolicy")
            check_access(access, call.query.get("accessPolicyVersion", "1"))
        with self._catalog.lock:
            call.require_match(resources.dataset_etag(dataset))
            self._catalog.change_dataset(dataset, body)
            return resources.dataset_resource(dataset)

    def delete_dataset(self, call: Call) -> None:
        """datasets.delete."""
        contents = call.query.get("deleteContents", "").lower() == "true"
        with self._catalog.lock:
            call.require_match(resources.dataset_etag(self._catalog.dataset(call.project, call.path["dataset"])))
            self._catalog.delete_dataset(call.project, call.path["dataset"], contents=contents)

    # -- tables

    def insert_table(self, call: Call) -> dict[str, Any]:
        """tables.insert. The columns of a view come from its query."""
        body = checked("Table", call.body, "table")
        dataset = self._catalog.dataset(call.project, call.path["dataset"])
        table_id = (body.get("tableReference") or {}).get("tableId")
        if not table_id:
            raise invalid("Required parameter is missing: tableReference.tableId")
        self._derive_columns(call.project, dataset.location, body)
        table = self._catalog.create_table(call.project, dataset.dataset_id, table_id, body)
        return resources.table_resource(self._catalog, table)

    def _derive_columns(self, project: str, location: str, body: dict[str, Any], *, files: bool = True) -> None:
        """Set the columns of a view in a body, from its query; also those of external files."""
        definition = body.get("view") or body.get("materializedView")
        external = body.get("externalDataConfiguration")
        if definition:
            translation = Translation(self._catalog, project, None, location, self._service.settings.now_ms())
            fields = ddl.view_fields(definition.get("query", ""), translation)
            body["schema"] = {"fields": [field.to_json() for field in fields]}
        elif files and external and not body.get("schema"):
            body["schema"] = external.get("schema")
            if not body["schema"] and (fields := load.file_fields(self._catalog, self._service.store, external)):
                body["schema"] = {"fields": [field.to_json() for field in fields]}

    def list_tables(self, call: Call) -> dict[str, Any]:
        """tables.list: pages of 50 by default."""
        self._catalog.access.require(call.project, "bigquery.tables.list")
        tables = self._catalog.tables(call.project, call.path["dataset"])
        listed = call.listed("tables", tables, lambda table: table.table_id, resources.table_item)
        return {"kind": "bigquery#tableList", "etag": "", "totalItems": len(tables), **listed}

    def get_table(self, call: Call) -> dict[str, Any]:
        """tables.get, also of a partition such as `t$20260131`, and of the list of all partitions."""
        self._catalog.access.require(call.project, "bigquery.tables.get")
        name, partition = call.path["table"], None
        if self._catalog.find_table(call.project, call.path["dataset"], name) is None and "$" in name:
            name, partition = decorated(name)
        table = self._catalog.table(call.project, call.path["dataset"], name)
        if partition == SUMMARY:
            return resources.summary_resource(self._catalog, table)
        resource = resources.table_resource(self._catalog, table, call.query.get("view"), partition)
        if selected := call.query.get("selectedFields"):
            resource["schema"] = {
                "fields": resources.selected_fields(resource["schema"]["fields"], selected.split(","))
            }
        return resource

    def patch_table(self, call: Call) -> dict[str, Any]:
        """tables.patch."""
        table, body = self._table(call), checked("Table", call.body, "table")
        self._derive_columns(call.project, table.location, body, files=_detects(call, table))
        with table.lock:
            call.require_match(resources.table_etag(table))
            self._catalog.change_table(table, patched(table.properties, body))
        return resources.table_resource(self._catalog, table)

    def update_table(self, call: Call) -> dict[str, Any]:
        """tables.update: properties that are not in the body are removed, except for the columns."""
        table, body = self._table(call), checked("Table", call.body, "table")
        self._derive_columns(call.project, table.location, body, files=_detects(call, table))
        with table.lock:
            kept = {key: value for key, value in table.properties.items() if key == "schema"}
            call.require_match(resources.table_etag(table))
            self._catalog.change_table(table, {**kept, **body})
        return resources.table_resource(self._catalog, table)

    def delete_table(self, call: Call) -> None:
        """tables.delete; of a partition such as `t$20260131`, its rows are deleted."""
        name, partition = call.path["table"], None
        if self._catalog.find_table(call.project, call.path["dataset"], name) is None and "$" in name:
            name, partition = decorated(name)
        table = self._catalog.table(call.project, call.path["dataset"], name)
        if partition is None:
            with self._catalog.lock:
                call.require_match(resources.table_etag(table))
                self._catalog.delete_table(table)
            return
        gone = partition_condition(table, partition)

        def build(cursor: duckdb.DuckDBPyConnection, stored: str) -> None:
            cursor.execute(f"CREATE TABLE {stored} AS FROM {table.current.name} WHERE NOT coalesce({gone}, false)")

        with table.lock:
            call.require_match(resources.table_etag(table))
            self._catalog.new_version(table, build)

    # -- rows

    def list_rows(self, call: Call) -> dict[str, Any]:
        """tabledata.list: the rows of a table, including streamed rows, or the list of its partitions."""
        name = call.path["table"]
        parts: list[str] = []
        if name.endswith("$" + SUMMARY):
            start = call.number("pageToken") or 0
            table = self._catalog.table(call.project, call.path["dataset"], decorated(name)[0])
            fields, summary = partitions_summary(self._catalog, table)
            stored = [f"({summary})"]
        else:
            table = self._table(call)
            table.require_rows()
            version, stored, start = _rows_of(table, call.query.get("pageToken"))
            fields, parts = version.fields, stored
        selected = (call.query.get("selectedFields") or "").lower().split(",")
        if part := next((name for name in selected if "." in name), None):
            raise unsupported(f"the parameter selectedFields with the part {part} of a column")
        chosen = tuple(field for field in fields if selected == [""] or field.name.lower() in selected)
        names = ", ".join(quote(field.name) for field in chosen) or "NULL"
        rows = " UNION ALL ".join(f"SELECT {names} FROM {source}" for source in stored)
        start = start or call.number("startIndex") or 0
        max_results = call.number("maxResults")
        size = 10_000 if max_results is None else max_results
        with self._catalog.warehouse.cursor() as cursor:
            total = cursor.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0]
            page = fetch(cursor, chosen, f"({rows} LIMIT {size} OFFSET {start})")
        answer = {"kind": "bigquery#tableDataList", "etag": "", "totalRows": str(total), "rows": page}
        after = start + len(page)
        return {**answer, "pageToken": ":".join([*parts, str(after)])} if page and after < total else answer

    def insert_all(self, call: Call) -> dict[str, Any]:
        """tabledata.insertAll: adds rows to the streaming buffer."""
        return streaming.insert_all(
            self._catalog, self._table(call), checked("TableDataInsertAllRequest", call.body, "request")
        )

    # -- permissions

    def test_permissions(self, call: Call) -> dict[str, Any]:
        """tables.testIamPermissions: the permissions that are not denied."""
        self._table(call)
        sent = call.body.get("permissions") or ()
        # Google's client nests them, and the service accepts that.
        wanted = [name for parts in sent for name in (parts if isinstance(parts, list) else [parts])]
        granted = self._catalog.access.granted(call.project, wanted)
        return {"permissions": granted} if granted else {}

    def service_account(self, call: Call) -> dict[str, Any]:
        """projects.getServiceAccount."""
        email = f"bq-{call.project}@bigquery-encryption.iam.gserviceaccount.com"
        return {"kind": "bigquery#getServiceAccountResponse", "email": email}


def _rows_of(table: Table, token: str | None) -> tuple[Version, list[str], int]:
    """The rows of a listing: the version, the stored tables with its rows, and the number of rows before the page.

    All pages show the table as it was when the first one was read.
    """
    with table.lock:
        stored = [table.current.name, *([table.buffer.name] if table.buffer else [])]
        if not token:
            return table.current, stored, 0
        *names, start = token.split(":")
        version = next((version for version in table.versions if names[:1] == [version.name]), None)
        if version is None or not start.isdigit() or not set(names[1:]) <= {*stored[1:]}:
            raise invalid(f"Invalid value for pageToken: {token}")
        return version, names, int(start)


def _detects(call: Call, table: Table) -> bool:
    """Whether a change of an external table detects its columns again."""
    return call.query.get("autodetect_schema", "").lower() == "true" or not table.fields
