"""The first page of a query's rows in Arrow format; the others are in the job's default stream of the Storage Read API.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query (queryResultsFormat)
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import invalid, unsupported

if TYPE_CHECKING:
    from bqdump_local.bigquery.jobs.jobs import Job
    from bqdump_local.bigquery.storage_read.arrow import Codec
    from bqdump_local.bigquery.tables.catalog import Catalog

FORMATS = ("QUERY_RESULTS_FORMAT_UNSPECIFIED", "STRUCT_ENCODING", "ARROW")
CODECS: dict[str, Codec | None] = {"COMPRESSION_UNSPECIFIED": None, "LZ4_FRAME": "LZ4", "ZSTD": "ZSTD"}
PRECISIONS = ("PICOS_TIMESTAMP_PRECISION_UNSPECIFIED", "TIMESTAMP_PRECISION_MICROS")
# Of one page.
MOST_ROWS = 2048


def wanted(body: dict[str, Any]) -> bool:
    """Whether a request asks for Arrow."""
    chosen = body.get("queryResultsFormat") or FORMATS[0]
    if chosen not in FORMATS:
        raise invalid(f"Invalid value for queryResultsFormat: {chosen}")
    return bool(chosen == "ARROW")


def codec(body: dict[str, Any]) -> Codec | None:
    """How the request wants its rows to be compressed. Refuses what is missing here, before the query runs."""
    if not wanted(body):
        return None
    options = body.get("arrowSerializationOptions") or {}
    if (precision := options.get("picosTimestampPrecision") or PRECISIONS[0]) not in PRECISIONS:
        raise unsupported(f"picosTimestampPrecision={precision}")
    chosen = options.get("bufferCompression") or "COMPRESSION_UNSPECIFIED"
    if chosen not in CODECS:
        raise invalid(f"Invalid value for bufferCompression: {chosen}")
    return CODECS[chosen]


def page(catalog: Catalog, job: Job, answer: dict[str, Any], chosen: Codec | None) -> dict[str, Any]:
    """The answer with its rows in Arrow format."""
    from bqdump_local.bigquery.storage_read import arrow

    rows = answer.get("rows") or []
    kept = {key: value for key, value in answer.items() if key not in ("rows", "schema", "pageToken")}
    fields = job.outcome.result.fields
    if not fields or job.outcome.destination is None:
        return kept
    serialized = arrow.schema_message(arrow.arrow_schema(fields))
    kept["arrowSchema"] = {"serializedSchema": base64.b64encode(serialized).decode()}
    kept["pageRowCount"] = "0"
    if not rows:
        return kept
    place = job.outcome.destination
    table = catalog.table(place["projectId"], place["datasetId"], place["tableId"])
    count = min(len(rows), MOST_ROWS)
    with catalog.warehouse.cursor() as cursor:
        query = cursor.sql(f"SELECT {arrow.read_columns(fields)} FROM {table.current.name} LIMIT {count}")
        batch = next(iter(arrow.batches(query, fields, count)))
    message = base64.b64encode(arrow.batch_message(batch, chosen)).decode()
    kept["arrowRecordBatch"] = {"serializedRecordBatch": message}
    kept["pageRowCount"] = str(batch.num_rows)
    if batch.num_rows < int(answer["totalRows"]):
        kept["pageToken"] = str(batch.num_rows)
    return kept
