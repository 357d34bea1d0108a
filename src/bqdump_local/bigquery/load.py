"""Load jobs: from files to a table; and how all jobs write rows to a destination table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from bqdump_local.bigquery import decorators
from bqdump_local.bigquery.errors import BigQueryError, duplicate, invalid
from bqdump_local.bigquery.readers import reader
from bqdump_local.bigquery.tables import PARTITION_TIME, Table, partition_start
from bqdump_local.bigquery.types import Field, columns, literal, parse_fields, quote

if TYPE_CHECKING:
    from bqdump_local.bigquery.catalog import Catalog
    from bqdump_local.bigquery.objects import ObjectStore

__all__ = ["Files", "check", "place", "reader", "run"]

FORMATS = {"CSV", "NEWLINE_DELIMITED_JSON", "AVRO", "PARQUET"}


@dataclass(frozen=True)
class Files:
    """Local files that a job reads."""

    paths: list[Path]

    @property
    def bytes(self) -> int:
        """Their total size."""
        return sum(path.stat().st_size for path in self.paths)

    @staticmethod
    @contextmanager
    def download(store: ObjectStore, uris: Sequence[str]) -> Iterator[Files]:
        """Download objects, which are removed at the end of the context."""
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            paths = []
            for number, uri in enumerate(found for pattern in uris for found in store.expand(pattern)):
                path = Path(folder) / f"{number:06d}"
                store.get(uri, path)
                paths.append(path)
            yield Files(paths)


def check(configuration: dict[str, Any], *, upload: bool) -> None:
    """Refuse invalid configurations."""
    load = configuration["load"]
    if not (load.get("destinationTable") or {}).get("tableId"):
        raise invalid("Required parameter is missing: destinationTable")
    if not upload and not load.get("sourceUris"):
        raise invalid("Required parameter is missing: sourceUris")
    if (load.get("sourceFormat") or "CSV").upper() not in FORMATS:
        raise invalid(f"Invalid value for sourceFormat: {load['sourceFormat']} is not a valid value")


def run(catalog: Catalog, store: ObjectStore, configuration: dict[str, Any], upload: Path | None) -> dict[str, Any]:
    """Run a load job. Returns its statistics."""
    load = configuration["load"]
    if upload is not None:
        return _load(catalog, load, Files([upload]))
    with Files.download(store, load["sourceUris"]) as files:
        return _load(catalog, load, files)


def _load(catalog: Catalog, load: dict[str, Any], files: Files) -> dict[str, Any]:
    destination = load["destinationTable"]
    fields = parse_fields((load.get("schema") or {}).get("fields") or ())
    table_id, _, _ = decorators.split(destination["tableId"])
    existing = catalog.find_table(destination["projectId"], destination["datasetId"], table_id)
    if not fields and existing is not None and not load.get("autodetect"):
        fields = existing.fields
    with tempfile.TemporaryDirectory(prefix="load-") as folder, catalog.warehouse.cursor() as cursor:
        try:
            fields, select = reader(cursor, files.paths, load, fields, Path(folder))
            rows, size = place(catalog, destination, {"writeDisposition": "WRITE_APPEND", **load}, fields, select)
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise invalid(f"Error while reading data, error message: {reason}") from error
    return {
        "load": {
            "inputFiles": str(len(files.paths)),
            "inputFileBytes": str(files.bytes),
            "outputRows": str(rows),
            "outputBytes": str(size),
            "badRecords": "0",
        }
    }


def place(
    catalog: Catalog, destination: dict[str, Any], options: dict[str, Any], fields: tuple[Field, ...], select: str
) -> tuple[int, int]:
    """Write the rows of a query to a table, according to the dispositions. Returns the number of rows and bytes added.

    The default disposition is WRITE_EMPTY, as for queries.
    """
    table_id, partition, _ = decorators.split(destination["tableId"])
    reference = (destination["projectId"], destination["datasetId"], table_id)
    table = catalog.find_table(*reference)
    names = ", ".join(quote(field.name) for field in fields)
    before = (0, 0)
    if table is None:
        if options.get("createDisposition") == "CREATE_NEVER":
            catalog.table(*reference)
        keys = ("timePartitioning", "rangePartitioning", "clustering", "labels")
        properties = {key: options[key] for key in keys if options.get(key)}
        properties["schema"] = {"fields": [field.to_json() for field in fields]}
        arrival = _arrival(options.get("timePartitioning"), partition, catalog.settings.now_ms())

        def create(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
            hidden = f", {PARTITION_TIME} TIMESTAMPTZ" if arrival else ""
            cursor.execute(f"CREATE TABLE {name} ({columns(fields)}{hidden})")
            _insert(cursor, name, names, select, arrival)
            _check_required(cursor, name, fields)

        version = catalog.create_table(*reference, properties, create).current
    else:
        disposition = options.get("writeDisposition") or "WRITE_EMPTY"
        with catalog.warehouse.cursor() as cursor:
            before = table.current.measure(cursor)
        if disposition == "WRITE_EMPTY" and before[0]:
            raise duplicate("Table", table.name)
        truncate = disposition == "WRITE_TRUNCATE"
        if truncate:
            before = (0, 0)
        build, after = _rewrite(table, fields, partition, select, catalog.settings.now_ms(), truncate=truncate)
        version = catalog.new_version(table, build, after)
    with catalog.warehouse.cursor() as cursor:
        rows, size = version.measure(cursor)
    return rows - before[0], size - before[1]


def _rewrite(
    table: Table, fields: tuple[Field, ...], partition: str | None, select: str, now_ms: int, *, truncate: bool
) -> tuple[Callable[[duckdb.DuckDBPyConnection, str], None], tuple[Field, ...]]:
    """A function that builds the next version of a table, and the columns of that version."""
    table.require_plain()
    names = ", ".join(quote(field.name) for field in fields)
    arrival = _arrival(table.properties.get("timePartitioning"), partition, now_ms)
    if truncate and partition is None:
        after, kept = fields, None
    else:
        after = table.fields or fields
        known = {field.name.lower() for field in after}
        if extra := [field.name for field in fields if field.name.lower() not in known]:
            raise invalid(f"Provided Schema does not match Table {table.name}. Cannot add fields (field: {extra[0]})")
        kept = "true"
        if truncate and partition is not None:
            kept = f"NOT coalesce({decorators.partition_condition(table, partition)}, false)"

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        if kept is None or not table.fields:
            hidden = f", {PARTITION_TIME} TIMESTAMPTZ" if table.ingestion_time else ""
            cursor.execute(f"CREATE TABLE {name} ({columns(after)}{hidden})")
        else:
            cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name} WHERE {kept}")
        _insert(cursor, name, names, select, arrival)
        _check_required(cursor, name, after)

    return build, after


def _arrival(partitioning: dict[str, Any] | None, partition: str | None, now_ms: int) -> str | None:
    """The value of the hidden column of a table partitioned by ingestion time."""
    if partitioning is None or partitioning.get("field"):
        return None
    if partition is not None:
        return f"strptime({literal(partition)}, {literal(decorators.PARTITION_ID[partitioning['type']])})::TIMESTAMPTZ"
    return partition_start(partitioning, f"to_timestamp({now_ms} / 1000.0)")


def _insert(cursor: duckdb.DuckDBPyConnection, name: str, names: str, select: str, arrival: str | None) -> None:
    hidden, value = (f", {PARTITION_TIME}", f", {arrival}") if arrival else ("", "")
    cursor.execute(f"INSERT INTO {name} ({names}{hidden}) SELECT {names}{value} FROM ({select}) AS loaded")


def _check_required(cursor: duckdb.DuckDBPyConnection, name: str, fields: Sequence[Field]) -> None:
    for field in fields:
        if field.mode == "REQUIRED":
            nulls = cursor.execute(f"SELECT 1 FROM {name} WHERE {quote(field.name)} IS NULL LIMIT 1").fetchall()
            if nulls:
                raise BigQueryError("invalid", f"Required field {field.name} cannot be null")
