"""Formats: names, extensions, codecs."""

from __future__ import annotations

import pytest

from bqdump.core.formats.formats import ALIASES, FORMATS, extension

EXTENSIONS = {
    ("csv", "none"): "csv",
    ("csv", "gzip"): "csv.gz",
    ("json", "none"): "json",
    ("json", "gzip"): "json.gz",
    ("avro", "none"): "avro",
    ("avro", "deflate"): "avro",
    ("avro", "snappy"): "avro",
    ("parquet", "none"): "parquet",
    ("parquet", "snappy"): "parquet",
    ("parquet", "gzip"): "parquet",
    ("parquet", "zstd"): "parquet",
}


def test_every_format_and_codec_is_tried_here() -> None:
    assert set(EXTENSIONS) == {(name, codec) for name, format_ in FORMATS.items() for codec in format_.codecs}


@pytest.mark.parametrize(("format_", "codec"), EXTENSIONS)
def test_only_compressed_text_has_a_second_extension(format_: str, codec: str) -> None:
    assert extension(format_, codec) == EXTENSIONS[format_, codec]


def test_aliases_lead_to_formats() -> None:
    assert set(ALIASES.values()) <= set(FORMATS)
    assert not set(ALIASES) & set(FORMATS)
