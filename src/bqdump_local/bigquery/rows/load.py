"""Load jobs: from files to a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.files import decimals
from bqdump_local.bigquery.rows import writing
from bqdump_local.bigquery.rows.readers import compression, reader
from bqdump_local.bigquery.sql import refusals
from bqdump_local.bigquery.tables import decorators, evolution
from bqdump_local.bigquery.tables.definitions import check_schema
from bqdump_local.bigquery.types import Field, parse_fields

if TYPE_CHECKING:
    from bqdump_local.bigquery.files.objects import ObjectStore
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.warehouse import Warehouse

WITH_SCHEMA = {"AVRO", "PARQUET"}
FORMATS = {"CSV", "NEWLINE_DELIMITED_JSON", "AVRO", "PARQUET"}
DISPOSITIONS = {"WRITE_APPEND", "WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"}
# What a load job takes columns of Parquet files for, without a schema.
IN_PARQUET = {"DATETIME": "TIMESTAMP", "JSON": "STRING"}
# https://cloud.google.com/bigquery/quotas#load_jobs
MOST_URIS = 10_000


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
    def download(warehouse: Warehouse, store: ObjectStore, uris: Sequence[str]) -> Iterator[Files]:
        """Download objects, which are removed at the end of the context."""
        with warehouse.folder() as folder:
            paths = []
            for number, uri in enumerate(object_uri for pattern in uris for object_uri in store.expand(pattern)):
                path = folder / f"{number:06d}"
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
    if (uris := len(load.get("sourceUris") or ())) > MOST_URIS:
        raise invalid(f"Too many sources provided: {uris}. Limit is {MOST_URIS}.")
    if (disposition := load.get("writeDisposition") or "WRITE_APPEND") not in DISPOSITIONS:
        raise invalid(f"Invalid value for writeDisposition: {disposition} is not a valid value")
    decimals.allowed(load)
    evolution.updates(load)
    if (load.get("sourceFormat") or "CSV").upper() not in FORMATS:
        raise invalid(f"Invalid value for sourceFormat: {load['sourceFormat']} is not a valid value")


def file_fields(catalog: Catalog, store: ObjectStore, options: dict[str, Any]) -> tuple[Field, ...]:
    """The columns of the files of a load job or an external table; none where the options do not let them be detected.

    The columns are those of the file in `referenceFileSchemaUri`, if there is one.
    """
    reference, source = options.get("referenceFileSchemaUri"), (options.get("sourceFormat") or "CSV").upper()
    if source not in FORMATS or (source not in WITH_SCHEMA and not options.get("autodetect")):
        return ()
    uris = [reference] if reference else options.get("sourceUris") or ()
    with (
        Files.download(catalog.warehouse, store, uris) as files,
        catalog.warehouse.folder() as folder,
        catalog.warehouse.cursor() as cursor,
    ):
        return reader(cursor, files.paths, options, (), folder)[0]


def run(catalog: Catalog, store: ObjectStore, configuration: dict[str, Any], upload: Path | None) -> dict[str, Any]:
    """Run a load job. Returns its statistics."""
    load = configuration["load"]
    if load.get("referenceFileSchemaUri") and not load.get("schema"):
        fields = file_fields(catalog, store, load)
        load = {**load, "schema": {"fields": [field.to_json() for field in fields]}}
    if upload is not None:
        return _load(catalog, load, Files([upload]))
    with Files.download(catalog.warehouse, store, load["sourceUris"]) as files:
        return _load(catalog, load, files)


def _load(catalog: Catalog, load: dict[str, Any], files: Files) -> dict[str, Any]:
    destination = load["destinationTable"]
    fields = parse_fields((load.get("schema") or {}).get("fields") or ())
    table_id, _, _ = decorators.split(destination["tableId"])
    existing = catalog.find_table(destination["projectId"], destination["datasetId"], table_id)
    replaced = load.get("writeDisposition") == "WRITE_TRUNCATE"
    if fields and existing is not None and existing.fields and not replaced:
        adding, relaxing = evolution.updates(load)
        check_schema(existing.name, existing.fields, fields, adding=adding, relaxing=relaxing, fewer=True)
    in_file = replaced and (load.get("sourceFormat") or "CSV").upper() in WITH_SCHEMA
    if not fields and existing is not None and not load.get("autodetect") and not in_file:
        # Without a schema, the columns that a truncated table gets have no policy tags.
        fields = writing.without_protection(existing.fields) if replaced else existing.fields
    with catalog.warehouse.folder() as folder, catalog.warehouse.cursor() as cursor:
        _check_sizes(catalog, load, files.paths)
        _check_types(load, fields)
        try:
            options = {**load, "ignoreUnknownValues": bool(load.get("ignoreUnknownValues"))}
            fields, select = reader(cursor, files.paths, options, fields, folder)
            written = writing.place(catalog, destination, {"writeDisposition": "WRITE_APPEND", **load}, fields, select)
        except duckdb.Error as error:
            raise invalid(f"Error while reading data, error message: {refusals.of_data(error)}") from error
    return {
        "load": {
            "inputFiles": str(len(files.paths)),
            "inputFileBytes": str(files.bytes),
            "outputRows": str(written.rows),
            "outputBytes": str(written.bytes),
            "badRecords": "0",
        }
    }


def _check_types(load: dict[str, Any], fields: Sequence[Field]) -> None:
    """Refuse columns that the format cannot load, or only with a schema in the job.

    RANGE in JSON: reported, not documented. Parquet: a file says neither DATETIME nor JSON.
    https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions
    """
    source = (load.get("sourceFormat") or "CSV").upper()
    for field in fields:
        if source == "NEWLINE_DELIMITED_JSON" and field.type == "RANGE":
            raise invalid(f"Error while reading data, error message: JSON has no RANGE; Field: {field.name}")
        if source == "PARQUET" and not load.get("schema") and field.type in IN_PARQUET:
            theirs = f"from {field.type} to {IN_PARQUET[field.type]}"
            raise invalid(f"Provided Schema does not match Table. Field {field.name} has changed type {theirs}")
        _check_types(load, field.fields)


def _check_sizes(catalog: Catalog, load: dict[str, Any], paths: Sequence[Path]) -> None:
    """Refuse large files that BigQuery cannot read in parallel: compressed ones, and CSV with line breaks in values.

    https://cloud.google.com/bigquery/quotas#load_jobs
    """
    limit = catalog.settings.largest_unsplit_bytes
    source = (load.get("sourceFormat") or "CSV").upper()
    for path in paths:
        if (size := path.stat().st_size) <= limit:
            continue
        whole = source == "CSV" and load.get("allowQuotedNewlines")
        if whole or (source in {"CSV", "NEWLINE_DELIMITED_JSON"} and compression(path) == "gzip"):
            raise invalid(f"Input files are too large and not splittable. Max allowed size is: {limit}. Size: {size}.")
