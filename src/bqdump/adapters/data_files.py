"""Decodes the files of an export: DuckDB for CSV, JSON and Parquet, polars for the blocks of Avro.

Each file is written to the system's folder for temporary files and decoded there as a stream.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from bqdump.adapters.avro_batches import parquet_batches
from bqdump.core.errors import UsageError, open_files_error, out_of_files
from bqdump.core.formats.types import Column
from bqdump.core.sizes import size_text
from bqdump.core.sql.checksums import Leaf, chunks, file_statement, leaves, parsing_statement
from bqdump.core.sql.views import fits, literal, quoted
from bqdump.ports.data_reader import DataFile, Digest

# BigQuery exports rows of up to 100 MB; two files are decoded at once, each with room for such a row.
MEMORY = "2GB"
DECODED_AT_ONCE = 2
LARGEST_VALUE_BYTES = 100 << 20
PIECE = 1 << 20
# A wide file of up to this size, decoded, is read once into a table; a larger one once for each group of its columns.
HELD_BYTES = 512 << 20
# No column of BigQuery can have this name.
HELD = '"$held"'
CELL_BYTES = 16
EXPANSION = 4


TMPDIR = "Set TMPDIR to a folder on a disk with more room."


@contextmanager
def _on_this_disk(folder: str) -> Iterator[None]:
    """Raise errors of the disk for temporary files as UsageError."""
    try:
        yield
    except OSError as error:
        if out_of_files(error):
            raise open_files_error("read", "files") from error
        place = f"temporary files in {folder or os.environ.get('TMPDIR') or 'the system temporary folder'}"
        raise UsageError("read files", place, error.strerror or str(error), TMPDIR) from error


class DataFiles:
    """A DataReader in one DuckDB database without tables."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"memory_limit": MEMORY, "autoinstall_known_extensions": "false"})
        # A Parquet file's statistics omit NaN, and DuckDB would conclude that there is none.
        self._connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        self._connection.execute("SET threads = 4")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET preserve_insertion_order = false")
        self._threads = ThreadPoolExecutor(DECODED_AT_ONCE, thread_name_prefix="decode")
        with _on_this_disk(""):
            self._folder = tempfile.TemporaryDirectory(prefix="bqdump-")
        self._connection.execute(f"SET temp_directory = {literal(self._folder.name)}")

    def check_room(self, size: int) -> None:
        if (free := shutil.disk_usage(self._folder.name).free) < size:
            cause = (
                f"{size_text(free)} free, but the largest files that are read at the same time need {size_text(size)}"
            )
            raise UsageError("read files", f"temporary files in {self._folder.name}", cause, TMPDIR)

    async def digest(
        self, file: DataFile, content: AsyncIterator[bytes], *, checksums: bool, texts: bool = False
    ) -> Digest:
        with _on_this_disk(self._folder.name):
            descriptor, name = tempfile.mkstemp(dir=self._folder.name)
        path = Path(name)
        try:
            with _on_this_disk(self._folder.name), os.fdopen(descriptor, "wb") as stored:
                async for piece in content:
                    await asyncio.to_thread(stored.write, piece)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._read, file, path, checksums, texts)
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        self._threads.shutdown()
        self._connection.close()
        self._folder.cleanup()

    def _read(self, file: DataFile, path: Path, checksums: bool, texts: bool) -> Digest:
        columns = leaves(file.columns)
        if not path.stat().st_size:
            # A file without rows may be empty, even with gzip.
            file = file._replace(codec="none")
        try:
            with self._connection.cursor() as cursor:
                parts = [
                    _Part(cursor, file, path, source, columns, checksums, texts) for source in _sources(file, path)
                ]
        except (duckdb.Error, OSError, EOFError, ValueError) as error:
            if out_of_files(error):
                raise open_files_error("read", file.name) from error
            return Digest(unreadable=_first_line(error))
        differences = tuple(dict.fromkeys(difference for part in parts for difference in part.differences))
        return Digest(
            rows=sum(part.rows for part in parts),
            sums=tuple(map(sum, zip(*(part.sums for part in parts), strict=True))),
            differences=differences,
        )


class _Part:
    """The content of one relation."""

    def __init__(
        self,
        cursor: Any,
        file: DataFile,
        path: Path,
        source: str,
        columns: Sequence[Leaf],
        checksums: bool,
        texts: bool,
    ) -> None:
        self.rows = 0
        self.sums: list[int] = []
        self.differences = _schema_differences(cursor, file, path, source)
        if self.differences:
            (self.rows,) = cursor.execute(f"SELECT count(*) FROM {source}").fetchone()
            return
        groups = chunks(columns)
        if len(groups) > 1:
            source = _held(cursor, path, source, len(columns))
        for some in groups:
            if checksums:
                statement = file_statement(source, some, file.format, texts=texts, alike=file.alike)
                self.rows, *sums = cursor.execute(statement).fetchone()
                self.sums += map(int, sums)
            else:
                statement = parsing_statement(source, some, file.format)
                self.rows, *rest = cursor.execute(statement).fetchone()
                wrong = zip(some, rest[: len(some)], strict=True)
                for leaf, count in wrong:
                    if count:
                        verb = "value is" if count == 1 else "values are"
                        self.differences.append(f"{leaf.name}: {count} {verb} not {leaf.type}")


def _held(cursor: Any, path: Path, source: str, width: int) -> str:
    """The relation itself, or a table with its rows if they fit into memory. width: the number of columns."""
    try:
        (rows,) = cursor.execute(f"SELECT count(*) FROM {source}").fetchone()
        if rows * width * CELL_BYTES + path.stat().st_size * EXPANSION > HELD_BYTES:
            return source
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {HELD} AS SELECT * FROM {source}")
    except duckdb.Error:
        # The statements that read the values say what is wrong, or need less memory.
        return source
    return HELD


def _sources(file: DataFile, path: Path) -> Iterator[str]:
    """Relations that together contain the file's rows."""
    match file.format:
        case "csv":
            _check_quotes(path, file.codec)
            yield csv_relation(file, path, header=file.header, null=file.null_marker)
        case "json":
            yield json_relation(file, path)
        case "parquet":
            yield parquet_relation(path)
        case "avro":
            yield from map(parquet_relation, parquet_batches(path, file.name))
        case _:
            raise ValueError(f"unsupported format {file.format}")


# A folder called NAME=VALUE would otherwise be a column of this name, in place of the file's.
NO_HIVE = "hive_partitioning = false"
MAGIC = "*?["


def address(path: Path) -> str:
    """A literal that DuckDB takes for this very file, and not for a pattern."""
    return literal("".join(f"[{character}]" if character in MAGIC else character for character in str(path)))


def parquet_relation(path: Path) -> str:
    """A Parquet file as a relation."""
    return f"read_parquet({address(path)}, {NO_HIVE})"


def csv_relation(file: DataFile, path: Path, *, header: bool, null: str = "") -> str:
    """A CSV file as a relation of strings.

    null: the unquoted text that means NULL. In quotes it is a string.
    """
    columns = ", ".join(f"{literal(column.name)}: 'VARCHAR'" for column in file.columns)
    return (
        f"read_csv({address(path)}, {NO_HIVE}, "
        f"auto_detect = false, header = {header}, delim = {literal(file.delimiter)}, nullstr = {literal(null)}, "
        f"allow_quoted_nulls = false, quote = '\"', escape = '\"', new_line = '\\n', "
        f"columns = {{{columns}}}, parallel = false, "
        f"compression = {literal(file.codec)}, max_line_size = {LARGEST_VALUE_BYTES}, "
        f"buffer_size = {LARGEST_VALUE_BYTES + 1})"
    )


def json_relation(file: DataFile, path: Path) -> str:
    """A file of newline-delimited JSON as a relation of strings, also within structs and lists."""
    columns = ", ".join(f"{literal(column.name)}: {literal(_text_type(column))}" for column in file.columns)
    return (
        f"read_json({address(path)}, {NO_HIVE}, "
        f"format = 'newline_delimited', auto_detect = false, columns = {{{columns}}}, "
        f"compression = {literal(file.codec)}, records = true, maximum_object_size = {LARGEST_VALUE_BYTES})"
    )


def _text_type(column: Column) -> str:
    if column.type == "STRUCT":
        members = ", ".join(f"{quoted(member.name)} {_text_type(member)}" for member in column.fields)
        kind = f"STRUCT({members})"
    else:
        kind = "VARCHAR"
    return kind + ("[]" if column.repeated else "")


def _check_quotes(path: Path, codec: str) -> None:
    """Check that quotes come in pairs: an unterminated value would silently swallow the rows after it."""
    with gzip.open(path) if codec == "gzip" else path.open("rb") as text:
        count = 0
        while piece := text.read(PIECE):
            count += piece.count(b'"')
    if count % 2:
        raise ValueError("a quoted value is not terminated")


def _schema_differences(cursor: Any, file: DataFile, path: Path, source: str) -> list[str]:
    """The differences between the file's columns and the table's."""
    if file.format == "csv":
        return _header_differences(cursor, file, path) if file.header and file.columns else []
    if file.format == "json":
        return _unknown_keys(cursor, file, path)
    columns = cursor.execute(f"SELECT * FROM {source} LIMIT 0").description
    names, expected = [item[0] for item in columns], [column.name for column in file.columns]
    if names != expected:
        return [f"columns {', '.join(names)} instead of {', '.join(expected)}"]
    return [
        f"{column.name}: {item[1]} instead of {column.text}"
        for item, column in zip(columns, file.columns, strict=True)
        if not fits(column, item[1])
    ]


def _header_differences(cursor: Any, file: DataFile, path: Path) -> list[str]:
    first = f"SELECT * FROM {csv_relation(file, path, header=False)} LIMIT 1"
    header = cursor.execute(first).fetchone()
    expected = tuple(column.name for column in file.columns)
    return (
        []
        if header in (None, expected)
        else [f"columns {', '.join(map(str, header))} instead of {', '.join(expected)}"]
    )


def _unknown_keys(cursor: Any, file: DataFile, path: Path) -> list[str]:
    objects = (
        f"read_json_objects({address(path)}, {NO_HIVE}, "
        f"format = 'newline_delimited', compression = {literal(file.codec)}, "
        f"maximum_object_size = {LARGEST_VALUE_BYTES})"
    )
    known = {column.name for column in file.columns}
    keys = cursor.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects}").fetchall()
    return [f"{key}: unknown column" for (key,) in sorted(keys) if key not in known]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".: ") or type(error).__name__
