"""A QueryShell with DuckDB. Files are kept in the folder for temporary files, where nobody else changes them."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from bqdump.adapters.avro_batches import parquet_batches
from bqdump.adapters.data_files import csv_relation, json_relation, parquet_relation
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.formats.types import Column
from bqdump.core.sizes import named
from bqdump.core.sql.views import empty_table, view
from bqdump.core.wording import close_name
from bqdump.ports.data_reader import Answer, DataFile

# DuckDB makes Python's values of these with other packages.
ZONED = re.compile("TIME(STAMP)? WITH TIME ZONE")
INSTANT = "TIMESTAMP WITH TIME ZONE"
# The database of the export's tables, as DuckDB names it.
EXPORT = "memory"
COPIES = "COPY FROM DATABASE", 'CREATE TABLE y."{0}" AS FROM "{0}";'
EXPORTS = "EXPORT DATABASE", """COPY (FROM "{0}") TO '{0}.parquet';"""
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
IDENTIFIER = r'"[^"]+"|\w+'
DATABASE = re.compile(
    rf"\s*(COPY\s+FROM\s+DATABASE\s+(?P<copied>{IDENTIFIER})|EXPORT\s+DATABASE\s+((?P<exported>{IDENTIFIER})\s+TO\s)?)",
    re.IGNORECASE,
)
# Statements whose tables DuckDB does not list, and functions that take the name of a table as a value.
PREPARED = re.compile(r"\s*PREPARE\b", re.IGNORECASE)
NAMING = re.compile(r"\bquery(_table)?\s*\(", re.IGNORECASE)
MISSING = re.compile(r"table with name (\S+) does not exist")
# More names than these are listed, not guessed.
FEW_NAMES = 3
SETTINGS = (
    # GEOGRAPHY stays WKB: without DuckDB's extension nothing can be done with its own type.
    "SET enable_geoparquet_conversion = false",
    # Statistics of Parquet omit NaN, and DuckDB would conclude that there is none.
    "SET disabled_optimizers = 'statistics_propagation'",
    "SET TimeZone = 'UTC'",
)


class DuckDBShell:
    """See QueryShell."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        for statement in SETTINGS:
            self._connection.execute(statement)
        self._folder = Path(tempfile.mkdtemp(prefix="bqdump-"))
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._attached: set[str] = set()
        # Tables whose names differ by case only, by that name in lower case.
        self._alike: dict[str, str] = {}
        self._files = 0

    def define(self, table: str, columns: Sequence[Column]) -> None:
        if other := next((known for known in self._columns if known.lower() == table.lower()), None):
            self._alike[table.lower()] = f"tables {other} and {table}"
            return
        self._columns[table] = tuple(columns)
        try:
            self._connection.execute(empty_table(table, columns))
        except duckdb.Error as error:
            cause = f"DuckDB has no table of these columns ({str(error).partition(chr(10))[0]})"
            raise DocumentError("define", f"table {table}", cause) from None

    def needed(self, statement: str) -> list[str]:
        """See QueryShell. Raises UsageError for tables whose names differ by case only."""
        try:
            statement.encode()
        except UnicodeEncodeError:
            raise UsageError("run", "the statement", "it is not valid UTF-8") from None
        self._refuse_databases(statement)
        try:
            named = {name.lower() for name in self._connection.get_table_names(statement)}
            certain = PREPARED.match(COMMENT.sub(" ", statement)) is None
        except duckdb.Error:
            # Such as several statements.
            named, certain = set(), False
        if not certain:
            # Every word may be a table, and text of which only DuckDB knows the value may be any table.
            named |= {word.lower() for word in re.findall(r'"[^"]+"|[\w-]+', statement)}
            if NAMING.search(statement):
                named |= {table.lower() for table in self._columns} - self._alike.keys()
        named = {name.strip('"') for name in named}
        if alike := sorted(named & self._alike.keys()):
            cause = "DuckDB does not distinguish names that differ by case only"
            raise UsageError("query", self._alike[alike[0]], cause, "{call:ui} has code for other tools to copy.")
        return [table for table in self._columns if table.lower() in named and table not in self._attached]

    def _refuse_databases(self, statement: str) -> None:
        """Raise UsageError for a statement that copies a database as a whole: its tables would have no rows.

        Those whose files were not read yet are empty, and the others are views of files that are deleted in the end.
        """
        try:
            statements = [COMMENT.sub(" ", part.query) for part in self._connection.extract_statements(statement)]
        except duckdb.Error:
            return
        for match in filter(None, map(DATABASE.match, statements)):
            name = (match["copied"] or match["exported"] or self._database()).strip('"')
            if name.lower() == EXPORT:
                what, how = COPIES if match["copied"] else EXPORTS
                cause = f"{what} does not read the files of the export's tables"
                hint = f"Copy the tables one by one: {how.format(next(iter(self._columns), 't'))}"
                raise UsageError("run", "the statement", cause, hint)

    def _database(self) -> str:
        """The one that the session uses."""
        ((name,),) = self._connection.execute("SELECT current_database()").fetchall()
        return str(name)

    async def store(self, content: AsyncIterator[bytes]) -> Path:
        path = self._new()
        try:
            with path.open("wb") as stored:
                async for piece in content:
                    await asyncio.to_thread(stored.write, piece)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            cause = error.strerror or str(error)
            raise UsageError("store", f"temporary files in {self._folder}", cause, "Set TMPDIR.") from error
        return path

    async def attach(self, table: str, files: Sequence[tuple[DataFile, Path]]) -> None:
        relations = []
        for file, path in files:
            relations += await asyncio.to_thread(self._relations, file, path)
        if relations:
            source = "(" + " UNION ALL BY NAME ".join(f"FROM {relation}" for relation in relations) + ")"
            await asyncio.to_thread(self._show, table, source, files[0][0])
        self._attached.add(table)

    def run(self, statement: str) -> Answer:
        try:
            relation = self._connection.sql(statement)
            if relation is None:
                return Answer(columns=(), rows=[])
            # Several columns may have the same name.
            names, kinds = [f"c{number}" for number in range(len(relation.columns))], list(map(str, relation.types))
            shown = ", ".join(map(_python_value, names, kinds))
            rows = relation.query("found", f"SELECT {shown} FROM found AS found({', '.join(names)})").fetchall()  # noqa: S608 (names above)
            if not rows and self._connection.extract_statements(statement)[-1].type is not duckdb.StatementType.SELECT:
                # Of a statement such as DROP, DuckDB has a column for its success, or for a count.
                return Answer(columns=(), rows=[])
            return Answer(columns=tuple(relation.columns), rows=[_in_utc(row, kinds) for row in rows])
        except duckdb.Error as error:
            cause, hint = _in_one_sentence(error)
            if self._columns and (missing := MISSING.match(cause)):
                # DuckDB also guesses tables of its own.
                alike = close_name(missing[1], self._columns)
                hint = f"Did you mean {alike}?" if alike else f"Tables: {named(list(self._columns), FEW_NAMES)}."
            if qualified := next(filter(None, map(_qualified(statement), self._columns)), ""):
                hint = f"A table is named alone, without project and dataset: {qualified}."
            raise UsageError("run", "the statement", cause, hint) from None

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new(self) -> Path:
        self._files += 1
        return self._folder / str(self._files)

    def _relations(self, file: DataFile, path: Path) -> list[str]:
        """Relations that together have the rows of a file."""
        if not path.stat().st_size and file.format in ("csv", "json"):
            return []
        if file.format == "csv":
            return [csv_relation(file, path, header=file.header, null=file.null_marker)]
        if file.format == "json":
            return [json_relation(file, path)]
        if file.format == "parquet":
            return [parquet_relation(path)]
        relations = []
        try:
            for batch in parquet_batches(path, file.name):
                kept = self._new()
                shutil.move(batch, kept)
                relations.append(parquet_relation(kept))
        except ValueError as error:
            raise DocumentError("read", file.name, str(error)) from None
        return relations

    def _show(self, table: str, source: str, file: DataFile) -> None:
        try:
            columns = self._connection.execute(f"SELECT * FROM {source} LIMIT 0").description  # noqa: S608 (quoted)
            kinds = {item[0]: str(item[1]) for item in columns or ()}
            self._connection.execute(view(table, self._columns[table], source, file.format, kinds))
        except duckdb.Error as error:
            raise DocumentError("read", f"table {table}", str(error).partition("\n")[0]) from None


def _qualified(statement: str) -> Callable[[str], str]:
    """Whether a statement names a table with its dataset, as BigQuery has it: the table's name, else ""."""
    return lambda table: table if re.search(rf"[\w-]`?[.:]`?{re.escape(table)}\b", statement) else ""


def _in_one_sentence(error: duckdb.Error) -> tuple[str, str]:
    """What DuckDB says in several lines, with a caret below the statement: the cause, and a hint or ""."""
    first, *lines = filter(None, map(str.strip, str(error).splitlines()))
    cause = (first.partition("Error: ")[2] or first).rstrip("!.")
    line = next((match[1] for match in map(re.compile(r"LINE ([0-9]+):").match, lines) if match), "1")
    hint = next((other for other in lines if other.startswith("Did you mean")), "")
    if alike := next((other for other in lines if other.startswith("Candidate bindings: ")), ""):
        names = re.findall(r'"[^"]+"', alike)
        hint = f"Did you mean {' or '.join(names)}?" if len(names) <= FEW_NAMES else f"Columns: {', '.join(names)}."
    return f"{cause[:1].lower()}{cause[1:]}{f', in line {line}' if line != '1' else ''}", hint


def _python_value(name: str, kind: str) -> str:
    """A column for Python: an instant as its time in UTC, or as text within another value."""
    if kind == INSTANT:
        return f"timezone('UTC', {name})"
    text = ZONED.sub("VARCHAR", kind)
    return name if text == kind else f"{name}::{text}"


def _in_utc(row: Sequence[Any], kinds: Sequence[str]) -> list[Any]:
    return [
        # Python has no years after 9999: DuckDB returns these as text.
        value.replace(tzinfo=UTC) if kind == INSTANT and isinstance(value, datetime) else value
        for value, kind in zip(row, kinds, strict=True)
    ]
