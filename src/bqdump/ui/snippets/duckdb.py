"""SQL for DuckDB."""

from __future__ import annotations

from bqdump.core.sql.views import TEXT_FORMATS, column_type, literal, quoted
from bqdump.ui.snippets.source import MAGIC, Source

ON_BUCKETS = (
    "-- Buckets need httpfs and a secret: https://duckdb.org/docs/stable/guides/network_cloud_storage/gcs_import"
)
# BigQuery exports rows of up to 100 MB.
LARGEST = 100 << 20


def duckdb(source: Source) -> str:
    """A query of all rows; "" where DuckDB cannot read them."""
    lines = [ON_BUCKETS] if source.bucket else []
    if source.format == "parquet" and source.has("GEOGRAPHY"):
        # Otherwise it is a GEOMETRY, which needs an extension, and which Iceberg tables do not have.
        lines.append("SET enable_geoparquet_conversion = false;")
    if source.iceberg:
        return "\n".join(
            [*lines, "INSTALL iceberg;", "LOAD iceberg;", f"FROM iceberg_scan({literal(source.iceberg)});"]
        )
    if source.format == "avro":
        if source.has("NUMERIC", "BIGNUMERIC"):
            return ""
        lines += ["INSTALL avro;", "LOAD avro;"]
    return "\n".join([*lines, f"{_select(source)} {_relation(source)};"])


def _select(source: Source) -> str:
    replaced = []
    for column in source.columns:
        name = quoted(column.name)
        if column.type == "BYTES" and source.format in TEXT_FORMATS and not column.repeated:
            replaced.append(f"from_base64({name}) AS {name}")
        elif column.type == "DATETIME" and source.format == "avro" and not column.repeated:
            replaced.append(f"{name}::TIMESTAMP AS {name}")
    return f"SELECT * REPLACE ({', '.join(replaced)})\nFROM" if replaced else "FROM"


def _relation(source: Source) -> str:
    files = "".join(f"\n    {literal(_escaped(source, address))}," for address in source.addresses)
    options = _options(source) if source.format in TEXT_FORMATS else []
    options += ["hive_partitioning = false"] if source.hive and source.format != "avro" else []
    return f"read_{source.format}([{files}\n]{''.join(f', {option}' for option in options)})"


def _options(source: Source) -> list[str]:
    types = "".join(
        f"\n    {literal(column.name)}: {literal(column_type(column, text=True))}," for column in source.columns
    )
    options = [f"columns = {{{types}\n}}", "auto_detect = false", f"compression = {literal(source.codec)}"]
    if source.format == "json":
        return [*options, "format = 'newline_delimited'", f"maximum_object_size = {LARGEST}"]
    return [
        *options,
        f"header = {str(source.header).lower()}",
        f"delim = {literal(source.delimiter)}",
        f"nullstr = {literal(source.null)}",
        "allow_quoted_nulls = false",
        "quote = '\"'",
        "escape = '\"'",
        "new_line = '\\n'",
        "parallel = false",
        f"max_line_size = {LARGEST}",
        f"buffer_size = {LARGEST + 1}",
    ]


def _escaped(source: Source, address: str) -> str:
    """The address of a file whose name may look like a pattern."""
    return (
        address
        if source.patterns
        else "".join(f"[{character}]" if character in MAGIC else character for character in address)
    )
