"""Resources of datasets and tables in a MemoryDestination."""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.adapters.memory.warehouse import MemoryTable
from bqdump.core.plan.catalog import Dataset


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
