"""Copy jobs: from tables, with or without decorators, to a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.rows import writing
from bqdump_local.bigquery.statements import clones
from bqdump_local.bigquery.tables import decorators
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Table
from bqdump_local.bigquery.types import quote

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog


def _sources(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    copy = configuration["copy"]
    return copy.get("sourceTables") or ([copy["sourceTable"]] if copy.get("sourceTable") else [])


def check(configuration: dict[str, Any]) -> None:
    """Refuse invalid configurations."""
    if not _sources(configuration):
        raise invalid("Required parameter is missing: sourceTables")
    if not (configuration["copy"].get("destinationTable") or {}).get("tableId"):
        raise invalid("Required parameter is missing: destinationTable")


def run(catalog: Catalog, configuration: dict[str, Any], location: str) -> dict[str, Any]:
    """Run a copy job. Returns its statistics."""
    sources = [decorators.resolve(catalog, reference, location) for reference in _sources(configuration)]
    copy, first = configuration["copy"], sources[0]
    if (rows := clones.copy(catalog, copy, sources)) is not None:
        return {"copy": {"copiedRows": str(rows), "copiedLogicalBytes": "0"}}
    _check_layout(catalog, first.table, copy["destinationTable"])
    hidden = [PARTITION_TIME] if first.table.ingestion_time else []
    names = ", ".join([*(quote(field.name) for field in first.fields), *hidden])
    select = " UNION ALL ".join(f"SELECT {names} FROM {source.relation}" for source in sources)
    # https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationTableCopy (writeDisposition)
    keys = (*writing.INHERITED, "tableConstraints")
    inherited = {key: first.table.properties[key] for key in keys if key in first.table.properties}
    arrived = PARTITION_TIME if hidden else ""
    target = copy["destinationTable"]
    written = writing.place(catalog, target, {**inherited, **copy}, first.fields, select, arrived=arrived)
    return {"copy": {"copiedRows": str(written.rows), "copiedLogicalBytes": str(written.bytes)}}


def _check_layout(catalog: Catalog, source: Table, destination: dict[str, Any]) -> None:
    """Refuse to copy over a table with other partitioning or clustering, which a copy cannot change.

    Documented for partitioning: https://cloud.google.com/bigquery/docs/managing-partitioned-table-data#copy_to_new
    """
    table_id, partition, _ = decorators.split(destination["tableId"])
    table = catalog.find_table(destination["projectId"], destination["datasetId"], table_id)
    if table is None or partition is not None:
        return
    if (theirs := _layout(table)) != (ours := _layout(source)):
        message = "Incompatible table partitioning specification. Destination table exists with partitioning"
        raise invalid(f"{message} specification {theirs}, but transfer target partitioning specification is {ours}.")


def _layout(table: Table) -> str:
    """Partitioning and clustering as in BigQuery's messages."""
    time, ranges = table.properties.get("timePartitioning"), table.properties.get("rangePartitioning")
    layout = "none"
    if time:
        field = f",field:{time['field']}" if time.get("field") else ""
        layout = f"interval(type:{time['type'].lower()}{field})"
    elif ranges:
        bounds = ",".join(str(ranges["range"][key]) for key in ("start", "end", "interval"))
        layout = f"range(field:{ranges['field']},{bounds})"
    clustered = (table.properties.get("clustering") or {}).get("fields") or ()
    return f"{layout} clustering({','.join(clustered)})" if clustered else layout
