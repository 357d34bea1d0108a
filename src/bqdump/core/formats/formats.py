"""The file formats and codecs of an extract job, and what their files are called.

Source: https://cloud.google.com/bigquery/docs/exporting-data#export_formats_and_compression_types
"""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One file format: BigQuery's name for it, the extension, its codecs."""

    api: str
    extension: str
    codecs: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "csv": Format("CSV", "csv", ("none", "gzip")),
    "json": Format("NEWLINE_DELIMITED_JSON", "json", ("none", "gzip")),
    "avro": Format("AVRO", "avro", ("none", "deflate", "snappy")),
    "parquet": Format("PARQUET", "parquet", ("none", "snappy", "gzip", "zstd")),
}
ALIASES = {"newline_delimited_json": "json", "ndjson": "json", "jsonl": "json"}


def codecs(route: str, format_: str) -> tuple[str, ...]:
    """The codecs of a format by a route: EXPORT DATA has no ZSTD.

    Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements#gcs_s3_export_option
    """
    return tuple(codec for codec in FORMATS[format_].codecs if (route, codec) != ("query", "zstd"))


def extension(format_: str, codec: str) -> str:
    """The extension of a file, without a leading dot; text files that are compressed say so."""
    text = format_ in ("csv", "json")
    return FORMATS[format_].extension + (".gz" if text and codec == "gzip" else "")
