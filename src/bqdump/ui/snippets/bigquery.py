"""GoogleSQL for an external table.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#external_table_option_list
"""

from __future__ import annotations

from bqdump.core.formats.fidelity import cell
from bqdump.core.formats.formats import FORMATS
from bqdump.core.formats.types import Column
from bqdump.core.sql.statements import identifier, literal
from bqdump.core.sql.views import TEXT_FORMATS
from bqdump.ui.snippets.source import Source

DATASET = "scratch"
BETWEEN = ",\n  "
# What Parquet and Avro files say of themselves.
FORMAT_OPTIONS = {"parquet": ["enable_list_inference = true"], "avro": ["enable_logical_types = true"]}


def bigquery(source: Source) -> str:
    """A statement that creates the table; "" for files in a folder, which BigQuery cannot read."""
    if not source.bucket:
        return ""
    described = source.format in TEXT_FORMATS
    columns = f" (\n  {BETWEEN.join(_column(column, source) for column in source.columns)}\n)" if described else ""
    uris = BETWEEN.join(map(literal, source.addresses)).replace("\n", "\n  ")
    options = [f"format = {literal(FORMATS[source.format].api)}", *_options(source), f"uris = [\n    {uris}\n  ]"]
    name = f"{identifier(DATASET)}.{identifier(source.table)}"
    return f"CREATE EXTERNAL TABLE {name}{columns}\nOPTIONS (\n  {BETWEEN.join(options)}\n);"


def _column(column: Column, source: Source) -> str:
    return f"{identifier(column.name)} {_type(column, source)}"


def _type(column: Column, source: Source) -> str:
    if column.type == "STRUCT":
        type_ = f"STRUCT<{', '.join(_column(field, source) for field in column.fields)}>"
    else:
        # A type that BigQuery cannot read from these files is text there; so is what replaces a masked value.
        loads = column.type and not cell(source.format, source.route, column.type).back.cast
        type_ = (column.type + (f"<{column.element}>" if column.element else "")) if loads else "STRING"
    return f"ARRAY<{type_}>" if column.repeated else type_


def _options(source: Source) -> list[str]:
    if source.format not in TEXT_FORMATS:
        decimals = ["decimal_target_types = ['NUMERIC', 'BIGNUMERIC']"] if source.has("NUMERIC", "BIGNUMERIC") else []
        return [*FORMAT_OPTIONS[source.format], *decimals]
    options = ["compression = 'GZIP'"] if source.codec == "gzip" else []
    if source.format == "json":
        return options
    options += [
        f"skip_leading_rows = {int(source.header)}",
        f"field_delimiter = {literal(source.delimiter)}",
        "allow_quoted_newlines = true",
        "preserve_ascii_control_characters = true",
    ]
    return options + ([f"null_marker = {literal(source.null)}"] if source.null else [])
