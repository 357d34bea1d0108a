"""The file formats and codecs of an extract job, and what their files are called.

Source: https://cloud.google.com/bigquery/docs/exporting-data#export_formats_and_compression_types
"""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One file format: BigQuery's name for it, the extension, its codecs, and whether nested columns fit in."""

    api: str
    extension: str
    codecs: tuple[str, ...]
    nested: bool


FORMATS: dict[str, Format] = {
    "csv": Format("CSV", "csv", ("none", "gzip"), nested=False),
    "json": Format("NEWLINE_DELIMITED_JSON", "json", ("none", "gzip"), nested=True),
    "avro": Format("AVRO", "avro", ("none", "deflate", "snappy"), nested=True),
    "parquet": Format("PARQUET", "parquet", ("none", "snappy", "gzip", "zstd"), nested=True),
}
ALIASES = {"newline_delimited_json": "json", "ndjson": "json", "jsonl": "json"}


def extension(format_: str, codec: str) -> str:
    """The extension of a file, without a leading dot; text files that are compressed say so."""
    text = format_ in ("csv", "json")
    return FORMATS[format_].extension + (".gz" if text and codec == "gzip" else "")


def formats_for_nested() -> str:
    """The formats that can hold nested and repeated columns, for a sentence."""
    names = [name for name, format_ in FORMATS.items() if format_.nested]
    return ", ".join(names[:-1]) + " or " + names[-1]
