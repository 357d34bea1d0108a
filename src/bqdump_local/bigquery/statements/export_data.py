"""EXPORT DATA: the rows of a query to files in Cloud Storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid, invalid_query
from bqdump_local.bigquery.files.formats import logical_bytes
from bqdump_local.bigquery.rows import extract
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.statements import ddl

if TYPE_CHECKING:
    from bqdump_local.bigquery.files.objects import ObjectStore


def run(
    statement: exp.Export, translation: Translation, store: ObjectStore, stopped: Callable[[], bool]
) -> dict[str, Any]:
    """Run the query and write its files. Returns the statistics."""
    uri, overwrite, file_format = _checked(statement)
    if not overwrite and store.exists(uri):
        raise invalid(f"Invalid value: Destination {uri} is not empty. Set overwrite to true to overwrite files.")
    catalog = translation.catalog
    stored, fields = ddl.materialize(statement.this, translation)
    try:
        with catalog.warehouse.cursor() as cursor:
            rows, size = cursor.execute(f"SELECT count(*), {logical_bytes(fields)} FROM {stored}").fetchall()[0]
            written = extract.Writer(translation.catalog.warehouse, cursor, stored, fields, file_format).write(
                store,
                [uri],
                rows=rows,
                size=size,
                settings=catalog.settings,
                name="the query",
                stopped=stopped,
            )
    finally:
        catalog.warehouse.drop([stored])
    return {"fileCount": str(sum(written.file_counts)), "rowCount": str(written.rows)}


def _checked(statement: exp.Export) -> tuple[str, bool, extract.FileFormat]:
    """The URI, whether to overwrite, and the format."""
    options = _options(statement)
    uri, name = str(options.get("uri", "")), str(options.get("format", "")).upper()
    format_ = "NEWLINE_DELIMITED_JSON" if name == "JSON" else name
    compression = str(options.get("compression") or "NONE").upper()
    extract.check([uri], format_, compression)
    if compression == "ZSTD":
        raise invalid_query("Option 'compression' value must be one of GZIP, DEFLATE, SNAPPY.")
    if "*" not in uri:
        raise invalid_query("Option 'uri' value must be a wild card URI.")
    file_format = extract.FileFormat(
        format=format_,
        compression=compression,
        header=bool(options.get("header")),
        delimiter=str(options.get("field_delimiter") or ","),
        avro_logical_types=bool(options.get("use_avro_logical_types", True)),
    )
    return uri, bool(options.get("overwrite")), file_format


def _options(statement: exp.Export) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in statement.args["options"].expressions:
        if isinstance(item, exp.FileFormatProperty):
            options["format"] = item.this.name
        else:
            value = item.args["value"]
            options[item.name.lower()] = bool(value.this) if isinstance(value, exp.Boolean) else value.name
    return options
