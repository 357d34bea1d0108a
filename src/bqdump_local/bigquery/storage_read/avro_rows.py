"""Rows in the format of the Storage Read API: an Avro schema, and rows in Avro's binary encoding without a file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastavro

from bqdump_local.bigquery.files import avro
from bqdump_local.bigquery.files.formats import avro_columns

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.types import Field


@dataclass(frozen=True)
class AvroRows:
    """Encoded rows."""

    encoded: list[bytes]

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.encoded)

    def slice(self, start: int, count: int) -> AvroRows:
        """`count` rows from `start` on."""
        return AvroRows(self.encoded[start : start + count])

    def message(self) -> bytes:
        """All rows, one after the other."""
        return b"".join(self.encoded)


def schema_of(fields: Sequence[Field]) -> dict[str, Any]:
    """The schema of these columns. Raises BigQueryError for types that Avro does not have."""
    return {**avro.schema_of(fields, logical_types=True), "name": "__root__"}


def schema_message(fields: Sequence[Field]) -> str:
    """The schema as JSON."""
    return json.dumps(schema_of(fields))


def batches(cursor: duckdb.DuckDBPyConnection, source: str, fields: Sequence[Field], rows: int) -> Iterator[AvroRows]:
    """The rows of a source such as `t LIMIT 5`, at most `rows` per batch."""
    schema = fastavro.parse_schema(schema_of(fields))
    cursor.execute(f"SELECT {avro_columns(fields, logical_types=True)} FROM {source}")
    while fetched := cursor.fetchmany(rows):
        yield AvroRows([_encoded(schema, record) for record in avro.records(fields, fetched)])


def _encoded(schema: Any, record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()
