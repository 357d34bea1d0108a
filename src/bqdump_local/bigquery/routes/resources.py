"""Datasets and tables in the format of the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bqdump_local.bigquery.bodies import etag
from bqdump_local.bigquery.sql.metadata import measured, partitions_summary
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.datasets import Dataset
from bqdump_local.bigquery.tables.decorators import SUMMARY
from bqdump_local.bigquery.tables.partitions import partition
from bqdump_local.bigquery.tables.tables import SETTABLE, Table

# The properties in tables.list, in addition to name, type and creation time.
LISTED = (
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "labels",
    "friendlyName",
    "expirationTime",
    "requirePartitionFilter",
)


# Access entries of a new dataset.
OWNERS = [
    {"role": "WRITER", "specialGroup": "projectWriters"},
    {"role": "OWNER", "specialGroup": "projectOwners"},
    {"role": "READER", "specialGroup": "projectReaders"},
]


def dataset_reference(dataset: Dataset) -> dict[str, str]:
    """A `DatasetReference`."""
    return {"projectId": dataset.project, "datasetId": dataset.dataset_id}


def dataset_etag(dataset: Dataset) -> str:
    """Changes with every change of a dataset."""
    return etag([dataset.properties, dataset.created_ms, dataset.modified_ms])


def table_etag(table: Table) -> str:
    """Changes with every change of a table: its definition, its rows, or its streaming buffer."""
    streamed = table.buffer.rows if table.buffer else None
    version = table.versions[-1].name if table.versions else None
    return etag([table.properties, table.created_ms, table.modified_ms, table.kind, version, streamed])


def dataset_resource(dataset: Dataset) -> dict[str, Any]:
    """A `Dataset`."""
    server_set = {
        "kind": "bigquery#dataset",
        "etag": dataset_etag(dataset),
        "id": dataset.name,
        "selfLink": f"/bigquery/v2/projects/{dataset.project}/datasets/{dataset.dataset_id}",
        "datasetReference": dataset_reference(dataset),
        "creationTime": str(dataset.created_ms),
        "lastModifiedTime": str(dataset.modified_ms),
        "location": dataset.location,
        "type": "DEFAULT",
    }
    return {"maxTimeTravelHours": "168", "access": OWNERS, **dataset.properties, **server_set}


def dataset_view(dataset: Dataset, view: str) -> dict[str, Any]:
    """A `Dataset` without its access (`METADATA`), with little else (`ACL`), or complete."""
    resource = dataset_resource(dataset)
    if view == "METADATA":
        return {key: value for key, value in resource.items() if key != "access"}
    if view == "ACL":
        return {key: resource[key] for key in ("kind", "etag", "id", "selfLink", "datasetReference", "access")}
    return resource


def selected_fields(fields: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The columns with these names, such as `a` and `b.c`, in the order of the table."""
    chosen = []
    for field in fields:
        parts = [name.partition(".") for name in names]
        below = [rest for first, _, rest in parts if first.lower() == field["name"].lower()]
        if below and all(below) and field.get("fields"):
            chosen.append({**field, "fields": selected_fields(field["fields"], below)})
        elif below:
            chosen.append(field)
    return chosen


def dataset_item(dataset: Dataset) -> dict[str, Any]:
    """An element of datasets.list."""
    item = {
        "kind": "bigquery#dataset",
        "id": dataset.name,
        "datasetReference": dataset_reference(dataset),
        "location": dataset.location,
    }
    chosen = {key: dataset.properties[key] for key in ("labels", "friendlyName") if dataset.properties.get(key)}
    return {**item, **chosen}


def table_reference(table: Table) -> dict[str, str]:
    """A `TableReference`."""
    return {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table_id}


def table_item(table: Table) -> dict[str, Any]:
    """An element of tables.list, without rows, bytes, modification time and etag."""
    item: dict[str, Any] = {
        "kind": "bigquery#table",
        "id": table.name,
        "tableReference": table_reference(table),
        "type": table.kind,
        "creationTime": str(table.created_ms),
    }
    item |= {key: table.properties[key] for key in LISTED if key in table.properties}
    if table.kind == "VIEW":
        item["view"] = {"useLegacySql": bool(table.properties["view"].get("useLegacySql", False))}
    return item


def _base(table: Table) -> dict[str, Any]:
    """`snapshotDefinition` or `cloneDefinition`."""
    if table.base is None:
        return {}
    kind = str(table.base["kind"]).lower()
    moment = datetime.fromtimestamp(table.base["at_ms"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {f"{kind}Definition": {"baseTableReference": table.base["table"], f"{kind}Time": moment}}


def table_resource(
    catalog: Catalog, table: Table, view: str | None = None, partition_id: str | None = None
) -> dict[str, Any]:
    """A `Table`. `view=BASIC` omits values that must be computed. partition_id: with the numbers of this partition."""
    resource: dict[str, Any] = {
        "kind": "bigquery#table",
        "etag": table_etag(table),
        "id": table.name,
        "selfLink": f"/bigquery/v2/projects/{table.project}/datasets/{table.dataset}/tables/{table.table_id}",
        "tableReference": table_reference(table),
        "type": table.kind,
        "creationTime": str(table.created_ms),
        "location": table.location,
    }
    resource |= {key: table.properties[key] for key in SETTABLE if key in table.properties}
    resource |= _base(table)
    if view == "BASIC":
        return resource
    modified, (rows, size) = table.modified_ms, measured(catalog, table)
    if partition_id is not None:
        _, rows, size, modified = partition(catalog, table, partition_id)
    resource["lastModifiedTime"] = str(modified)
    resource |= {
        "numRows": str(rows),
        "numBytes": str(size),
        "numLongTermBytes": "0",
        "numTotalLogicalBytes": str(size),
        "numActiveLogicalBytes": str(size),
        "numLongTermLogicalBytes": "0",
    }
    if table.buffer is not None:
        resource["streamingBuffer"] = {
            "estimatedRows": str(table.buffer.rows),
            "estimatedBytes": str(table.buffer.bytes),
            "oldestEntryTime": str(table.buffer.since_ms),
        }
    return resource


def summary_resource(catalog: Catalog, table: Table) -> dict[str, Any]:
    """A `Table` for `t$__PARTITIONS_SUMMARY__`."""
    fields, _ = partitions_summary(catalog, table)
    resource = table_resource(catalog, table, view="BASIC")
    name = f"{table.table_id}${SUMMARY}"
    shown = {key: resource[key] for key in ("kind", "etag", "type", "creationTime", "location")}
    return shown | {
        "id": f"{table.name}${SUMMARY}",
        "selfLink": f"{resource['selfLink']}${SUMMARY}",
        "tableReference": resource["tableReference"] | {"tableId": name},
        "schema": {"fields": [field.to_json() for field in fields]},
    }
