"""Python for polars."""

from __future__ import annotations

import json

import msgspec

from bqdump.core.formats.types import Column
from bqdump.ui.snippets.source import Source

# What polars reads as it is. Everything else is text in CSV and JSON, which an expression converts.
CSV_TYPES = {"INT64": "pl.Int64", "FLOAT64": "pl.Float64", "BOOL": "pl.Boolean", "DATE": "pl.Date"}
JSON_TYPES = {"BOOL": "pl.Boolean"}
PARSED = {
    "BYTES": '.str.decode("base64")',
    "DATE": ".str.to_date()",
    "TIME": '.str.to_time("%H:%M:%S%.f")',
    "DATETIME": '.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us")',
    "TIMESTAMP": '.str.to_datetime("%Y-%m-%d %H:%M:%S%.f UTC", time_unit="us", time_zone="UTC")',
}
# Within STRUCT and ARRAY, too. Other values there stay text.
CAST = {"INT64": "pl.Int64", "FLOAT64": "pl.Float64", "BOOL": "pl.Boolean", "NUMERIC": "pl.Decimal(38, 9)"}


def polars(source: Source) -> str:
    """A data frame of all rows; "" where polars cannot read them."""
    if source.iceberg:
        return f"import polars as pl\n\nframe = pl.scan_iceberg({text(source.iceberg)}).collect()"
    if source.format in ("avro", "parquet") and source.route != "read" and source.has("BIGNUMERIC"):
        return ""
    if source.format == "json" and source.literal:
        # It would read what the name matches as a pattern.
        return ""
    if source.format == "avro":
        return _avro(source)
    files = "".join(f"\n        {text(address)}," for address in source.addresses)
    options = "".join(f"\n    {option}," for option in _options(source))
    reader = "ndjson" if source.format == "json" else source.format
    return (
        f"import polars as pl\n\nframe = pl.scan_{reader}(\n    [{files}\n    ],{options}\n)"
        f"{_conversions(source)}.collect()"
    )


def text(value: str) -> str:
    """A string literal of Python."""
    return json.dumps(value, ensure_ascii=False)


def _avro(source: Source) -> str:
    files = "".join(f"\n    {text(address)}," for address in source.addresses)
    if source.bucket:
        # polars reads Avro from this machine only.
        opened = "pl.read_avro(file.open()) for file in fsspec.open_files(files)"
        return f"import fsspec  # and gcsfs\nimport polars as pl\n\nfiles = [{files}\n]\nframe = pl.concat({opened})"
    return f"import polars as pl\n\nfiles = [{files}\n]\nframe = pl.concat(pl.read_avro(file) for file in files)"


def _options(source: Source) -> list[str]:
    # A file's name may look like a pattern.
    options = ["glob=False"] if source.literal else []
    if source.format == "parquet":
        return [*options, "hive_partitioning=False"] if source.hive else options
    types = "".join(f"\n        {text(column.name)}: {_read_as(column, source.format)}," for column in source.columns)
    options.append(f"schema={{{types}\n    }}")
    if source.format == "json":
        return options
    options += [f"has_header={source.header}", f"separator={text(source.delimiter)}"]
    return options + ([f"null_values={text(source.null)}"] if source.null else [])


def _read_as(column: Column, format_: str) -> str:
    types = CSV_TYPES if format_ == "csv" else JSON_TYPES
    return _type(column, types)


def _type(column: Column, types: dict[str, str]) -> str:
    if column.repeated:
        return f"pl.List({_type(msgspec.structs.replace(column, repeated=False), types)})"
    if column.type == "STRUCT":
        return f"pl.Struct({{{', '.join(f'{text(field.name)}: {_type(field, types)}' for field in column.fields)}}})"
    return types.get(column.type, "pl.String")


def _conversions(source: Source) -> str:
    if source.format == "parquet":
        return ""
    expressions = [
        f"\n    pl.col({text(column.name)}){way}," for column in source.columns if (way := _way(column, source.format))
    ]
    return f".with_columns({''.join(expressions)}\n)" if expressions else ""


def _way(column: Column, format_: str) -> str:
    """How a column becomes its type; "" where it has it."""
    if not column.repeated and column.type in PARSED and _read_as(column, format_) == "pl.String":
        return PARSED[column.type]
    wanted = _type(column, CAST)
    return f".cast({wanted})" if wanted != "pl.String" and wanted != _read_as(column, format_) else ""
