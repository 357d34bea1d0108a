"""From the resource of a dataset to the requests that create one like it.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.definitions import NOTHING

# What BigQuery computes, and the name, which the request has in its address.
OUTPUT_ONLY = (
    *("kind", "etag", "id", "selfLink", "type", "datasetReference", "creationTime", "lastModifiedTime", "satisfiesPzi"),
    *("satisfiesPzs", "tags", "linkedDatasetSource", "linkedDatasetMetadata", "externalDatasetReference"),
    *("restrictions", "catalogSource"),
)
# Set last: tables that are created under them would expire.
EXPIRATIONS = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")


class DatasetRequests(NamedTuple):
    """create: for datasets.insert. finish: for datasets.patch after everything else, JSON null if there is nothing."""

    create: msgspec.Raw
    finish: msgspec.Raw


def dataset_requests(resource: msgspec.Raw, location: str) -> DatasetRequests:
    """The requests that create a dataset like this one (JSON null: one with defaults) in a location.

    Without its access entries, which are granted on request (see access): BigQuery gives a new dataset those of its
    project.
    """
    given: dict[str, Any] = msgspec.json.decode(resource) or {}
    left_out = {*OUTPUT_ONLY, *EXPIRATIONS, "access"}
    create = {key: value for key, value in given.items() if key not in left_out} | {"location": location}
    finish = {key: given[key] for key in EXPIRATIONS if given.get(key)}
    return DatasetRequests(_raw(create), _raw(finish) if finish else NOTHING)


def _raw(body: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body))
