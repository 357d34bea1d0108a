"""Extract jobs: from a table to files in Cloud Storage."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import BigQueryError, cancelled, invalid
from bqdump_local.bigquery.files import avro, formats, parquet
from bqdump_local.bigquery.files.objects import ObjectStore, split_uri
from bqdump_local.bigquery.tables import decorators
from bqdump_local.bigquery.types import Field, literal

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.settings import JobSettings
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.warehouse import Warehouse

CODECS = {
    "CSV": {"NONE", "GZIP"},
    "NEWLINE_DELIMITED_JSON": {"NONE", "GZIP"},
    "AVRO": {"NONE", "DEFLATE", "SNAPPY"},
    "PARQUET": {"NONE", "SNAPPY", "GZIP", "ZSTD"},
}
TEXT_FORMATS = ("CSV", "NEWLINE_DELIMITED_JSON")
TOO_LARGE = (
    "Table {name} too large to be exported to a single file. Specify a uri including a * to shard export. "
    "See 'Exporting data into one or more files' in https://cloud.google.com/bigquery/docs/exporting-data."
)


@dataclass(frozen=True)
class FileFormat:
    """The format of the files."""

    format: str = "CSV"
    compression: str = "NONE"
    header: bool = True
    delimiter: str = ","
    avro_logical_types: bool = False


@dataclass(frozen=True)
class Written:
    """The files and rows that were written."""

    rows: int
    bytes: int
    file_counts: list[int] = field(default_factory=list)


def check(uris: Sequence[str], format_: str, compression: str) -> None:
    """Refuse invalid formats, codecs and URIs."""
    if not uris:
        raise invalid("Required parameter is missing: destinationUris")
    if len(uris) > 500:
        raise invalid("Too many destination URIs: at most 500 are allowed.")
    if format_ not in CODECS:
        raise invalid(f"Invalid value for destinationFormat: {format_} is not a valid value")
    if compression not in CODECS[format_]:
        raise invalid(f"{compression} compression is not supported for the format {format_}")
    for uri in uris:
        split_uri(uri)
        if uri.count("*") > 1 or "*" in uri.rpartition("/")[0]:
            raise invalid(
                f"Invalid extract destination URI '{uri}'. Option can only contain one '*', in the name of the file."
            )


def parse(configuration: dict[str, Any]) -> tuple[list[str], FileFormat]:
    """The validated URIs and format of a `JobConfigurationExtract`."""
    extract = configuration["extract"]
    source = extract.get("sourceTable")
    if not source:
        raise invalid("Required parameter is missing: sourceTable")
    for key in ("projectId", "datasetId", "tableId"):
        if not source.get(key):
            raise invalid(f"Required parameter is missing: sourceTable.{key}")
    uris = list(extract.get("destinationUris") or ())
    if not uris and extract.get("destinationUri"):
        uris = [extract["destinationUri"]]
    format_ = (extract.get("destinationFormat") or "CSV").upper()
    compression = (extract.get("compression") or "NONE").upper()
    check(uris, format_, compression)
    delimiter = extract.get("fieldDelimiter") or ","
    return uris, FileFormat(
        format=format_,
        compression=compression,
        header=extract.get("printHeader") is not False,
        delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter),
        avro_logical_types=bool(extract.get("useAvroLogicalTypes")),
    )


def run(
    catalog: Catalog, store: ObjectStore, configuration: dict[str, Any], location: str, stopped: Callable[[], bool]
) -> dict[str, Any]:
    """Run an extract job. Returns its statistics."""
    uris, file_format = parse(configuration)
    reference = configuration["extract"]["sourceTable"]
    source = decorators.resolve(catalog, reference, location)
    catalog.access.require(source.table.project, "bigquery.tables.getData", "bigquery.tables.export")
    name = f"{reference['projectId']}:{reference['datasetId']}.{reference['tableId']}"
    with catalog.warehouse.cursor() as cursor:
        # In one transaction, the version stays readable even if it is dropped meanwhile.
        cursor.execute("BEGIN")
        if source.condition is None:
            rows, size = source.version.measure(cursor)
        else:
            measure = f"SELECT count(*), {formats.logical_bytes(source.fields)} FROM {source.relation}"
            rows, size = cursor.execute(measure).fetchall()[0]
        writer = Writer(catalog.warehouse, cursor, source.relation, source.fields, file_format)
        written = writer.write(store, uris, rows=rows, size=size, settings=catalog.settings, name=name, stopped=stopped)
    counts = [str(count) for count in written.file_counts]
    return {
        "extract": {"destinationUriFileCounts": counts, "inputBytes": str(size)},
        "rowLevelSecurityStatistics": {"rowLevelSecurityApplied": bool(source.table.policies)},
        "dataMaskingStatistics": {"dataMaskingApplied": source.table.masked},
    }


class Writer:
    """Writes the rows of a relation as files of one format."""

    def __init__(
        self,
        warehouse: Warehouse,
        cursor: duckdb.DuckDBPyConnection,
        relation: str,
        fields: Sequence[Field],
        file_format: FileFormat,
    ) -> None:
        self._warehouse = warehouse
        self._cursor = cursor
        self._relation = relation
        self._fields = fields
        self._format = file_format
        if not fields:
            raise invalid("Table has no schema. Set a schema before exporting it.")
        _check_types(fields, file_format.format)

    def write(
        self,
        store: ObjectStore,
        uris: Sequence[str],
        *,
        rows: int,
        size: int,
        settings: JobSettings,
        name: str,
        stopped: Callable[[], bool],
    ) -> Written:
        """Upload the files. With a `*` in the URI, their number depends on the size."""
        wild = [uri for uri in uris if "*" in uri]
        if not wild and size > settings.shard_bytes * len(uris):
            raise invalid(TOO_LARGE.format(name=name))
        shards = min(rows, -(-size // settings.shard_bytes)) if wild else 1
        files = max(len(uris), shards) if rows else settings.empty_table_files
        parts = [(rows * number // files, rows * (number + 1) // files) for number in range(files)]
        if wild and rows:
            parts = _with_empty_ones(parts, settings.empty_shards)
        counts = [0] * len(uris)
        with self._warehouse.folder() as folder:
            path = folder / "part"
            for (first, after), slot in zip(parts, _slots(uris), strict=False):
                if stopped():
                    raise cancelled()
                if first == after and settings.bare_empty_files and self._format.format in TEXT_FORMATS:
                    path.write_bytes(b"")
                else:
                    self._one_file(path, None if after - first == rows else (first, after))
                store.put(uris[slot].replace("*", f"{counts[slot]:012d}"), path)
                counts[slot] += 1
        return Written(rows, size, counts)

    def _one_file(self, path: Path, part: tuple[int, int] | None) -> None:
        tail = "" if part is None else f" LIMIT {part[1] - part[0]} OFFSET {part[0]}"
        match self._format.format:
            case "CSV":
                options = (
                    f"FORMAT csv, HEADER {str(self._format.header).lower()}, "
                    f"DELIMITER {literal(self._format.delimiter)}, COMPRESSION {self._format.compression.lower()}"
                )
                self._copy(formats.csv_columns(self._fields), tail, path, options)
            case "PARQUET":
                parquet.write(self._cursor, self._relation + tail, self._fields, path, self._format.compression)
            case "AVRO":
                logical = self._format.avro_logical_types
                self._cursor.execute(
                    f"SELECT {formats.avro_columns(self._fields, logical_types=logical)} FROM {self._relation}{tail}"
                )
                with path.open("wb") as file:
                    avro.write(file, self._fields, self._rows(), codec=self._format.compression, logical_types=logical)
            case _:
                self._json(tail, path)

    def _copy(self, columns: str, tail: str, path: Path, options: str) -> None:
        self._cursor.execute(f"COPY (SELECT {columns} FROM {self._relation}{tail}) TO {literal(path)} ({options})")

    def _json(self, tail: str, path: Path) -> None:
        plain = path.with_name("plain") if self._format.compression == "GZIP" else path
        self._cursor.execute(f"SELECT {formats.json_row(self._fields)} FROM {self._relation}{tail}")
        with plain.open("w", encoding="utf-8", newline="\n") as file:
            while batch := self._cursor.fetchmany(20_000):
                file.write("\n".join([row[0] for row in batch]))
                file.write("\n")
        if plain is not path:
            with plain.open("rb") as source, gzip.open(path, "wb", compresslevel=1) as target:
                shutil.copyfileobj(source, target, 1 << 20)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        while batch := self._cursor.fetchmany(10_000):
            yield from batch


def _with_empty_ones(parts: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """The parts with `count` parts without rows, evenly spread. The first one has no rows."""
    rest, total = iter(parts), len(parts) + count
    # Of the first N parts, this many are empty.
    empty = [-(-number * count // total) for number in range(total + 1)]
    return [(0, 0) if empty[number + 1] > empty[number] else next(rest) for number in range(total)]


def _slots(uris: Sequence[str]) -> Iterator[int]:
    """The URI of each file in turn. A URI without `*` is used for one file."""
    yield from range(len(uris))
    wild = [slot for slot, uri in enumerate(uris) if "*" in uri]
    while wild:
        yield from wild


def _check_types(fields: Sequence[Field], format_: str) -> None:
    for item in fields:
        if format_ == "CSV" and item.nested:
            raise BigQueryError("invalid", f"Operation cannot be performed on a nested schema. Field: {item.name}")
        if (format_, item.type) in {("PARQUET", "INTERVAL"), ("PARQUET", "RANGE"), ("AVRO", "RANGE")}:
            raise invalid(f"Unsupported type {item.type} for {format_.title()} export. Field: {item.name}")
        _check_types(item.fields, format_)
