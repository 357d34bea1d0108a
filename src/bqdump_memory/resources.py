"""Resources of datasets and tables in a MemoryDestination."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec

from bqdump.core.errors import ConflictError, JobFailedError
from bqdump.core.tables.catalog import Dataset
from bqdump_memory.tables import MemoryTable

# Access entries of a new dataset: a group of the project, and the account that created it.
OWNERS = [{"role": "OWNER", "specialGroup": "projectOwners"}, {"role": "OWNER", "userByEmail": "restorer@example.com"}]


def new_dataset(project: str, name: str) -> dict[str, Any]:
    """The resource of a dataset, apart from what the request sets."""
    return {"access": [*OWNERS], "datasetReference": {"projectId": project, "datasetId": name}}


def etag_of(resource: dict[str, Any]) -> str:
    """Changes with every change of a resource."""
    return hashlib.sha256(raw(resource)).hexdigest()[:16]


def with_access(
    resource: dict[str, Any], access: list[dict[str, Any]], etag: str, unknown: Collection[str]
) -> dict[str, Any]:
    """A dataset's resource with these entries. Raises ConflictError and JobFailedError."""
    subject = f"access to dataset {resource['datasetReference']['datasetId']}"
    if etag != etag_of(resource):
        raise ConflictError("change", subject, "Precondition check failed.")
    for email in (entry.get("userByEmail") for entry in access):
        if email in unknown:
            raise JobFailedError("change", subject, f"IAM setPolicy failed for Dataset: User {email} does not exist.")
    return {**resource, "access": access}


def definition_of(table: MemoryTable) -> dict[str, Any]:
    """A table's resource."""
    decoded: dict[str, Any] = msgspec.json.decode(table.definition)
    return decoded


def layout(properties: dict[str, Any], key: str) -> dict[str, Any]:
    """Partitioning or clustering, without the expiration of partitions."""
    part = properties.get(key) or {}
    return {name: value for name, value in part.items() if name not in ("expirationMs", "requirePartitionFilter")}


def names_of(dataset: Dataset, table: str) -> dict[str, Any]:
    """What names a table in its resource."""
    reference = {"projectId": dataset.project, "datasetId": dataset.name, "tableId": table}
    return {"id": f"{dataset.project}:{dataset.name}.{table}", "tableReference": reference}


def patched(properties: dict[str, Any], changes: msgspec.Raw) -> dict[str, Any]:
    """A resource after a patch: labels are merged, other properties replaced, and null removes either."""
    patch = msgspec.json.decode(changes)
    if patch.get("labels"):
        patch["labels"] = {**properties.get("labels", {}), **patch["labels"]}
        patch["labels"] = {key: value for key, value in patch["labels"].items() if value is not None}
    return {key: value for key, value in {**properties, **patch}.items() if value is not None}


def raw(value: dict[str, Any]) -> msgspec.Raw:
    """A resource as JSON."""
    return msgspec.Raw(msgspec.json.encode(value))
