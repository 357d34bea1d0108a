"""Copy jobs: from tables, with or without decorators, to a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery import decorators, load
from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.types import quote

if TYPE_CHECKING:
    from bqdump_local.bigquery.catalog import Catalog


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
    first = sources[0]
    names = ", ".join(quote(field.name) for field in first.fields)
    select = " UNION ALL ".join(f"SELECT {names} FROM {source.relation}" for source in sources)
    keys = ("timePartitioning", "rangePartitioning", "clustering", "labels")
    inherited = {key: first.table.properties[key] for key in keys if key in first.table.properties}
    copy = configuration["copy"]
    rows, size = load.place(catalog, copy["destinationTable"], {**inherited, **copy}, first.fields, select)
    return {"copy": {"copiedRows": str(rows), "copiedLogicalBytes": str(size)}}
