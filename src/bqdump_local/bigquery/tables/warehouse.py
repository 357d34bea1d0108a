"""The DuckDB database: cursors, names of stored tables, and stored documents."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.functions.calls import MACROS
from bqdump_local.bigquery.types import literal
from bqdump_local.held import folder_in_use

# Creates a stored table of this name.
Build = Callable[[duckdb.DuckDBPyConnection, str], object]
INTERRUPT_SECONDS, INTERRUPTIONS = 0.05, 100


class WarehouseClosedError(BigQueryError):
    """The database closes, and takes no more statements."""


class Warehouse:
    """One DuckDB database. Every thread uses its own cursors."""

    def __init__(self, data_dir: Path | None = None) -> None:
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
        self._persistent = data_dir is not None
        try:
            self._connection = duckdb.connect(str(data_dir / "bigquery.duckdb") if data_dir else ":memory:")
        except duckdb.IOException as error:
            if data_dir is None or "Could not set lock" not in str(error):
                raise
            raise folder_in_use(data_dir) from error
        self._lock = threading.Lock()
        # What the block `together` of a thread has changed so far.
        self._unwritten = threading.local()
        # The cursors in use. DuckDB neither makes two at once, nor closes a database whose cursors are busy.
        self._busy: set[duckdb.DuckDBPyConnection] = set()
        self._cursors = threading.Condition()
        self._closed = False
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # Jobs run side by side, and most of them for less time than it takes to share one among threads.
        self._connection.execute("SET GLOBAL threads = 1")
        # Names in queries must not refer to variables of this program.
        self._connection.execute("SET GLOBAL python_enable_replacements = false")
        # A list of 1,000 values, or a sum over 1,000 columns, is an expression of that depth.
        self._connection.execute("SET GLOBAL max_expression_depth = 5000")
        # sqlglot writes lambdas with an arrow.
        self._connection.execute("SET GLOBAL lambda_syntax = 'ENABLE_SINGLE_ARROW'")
        # Whatever a query finds a way to call, DuckDB reads and writes no other files than those of this folder.
        self.files = Path(tempfile.mkdtemp(prefix="bqdump-files-")).resolve()
        self._connection.execute(f"SET GLOBAL allowed_directories = [{literal(self.files)}]")
        self._connection.execute("SET GLOBAL enable_external_access = false")
        self._connection.execute(MACROS)
        self._connection.execute("CREATE SCHEMA IF NOT EXISTS data")
        self._connection.execute("CREATE TABLE IF NOT EXISTS kept (key VARCHAR PRIMARY KEY, document VARCHAR)")
        taken = self._connection.execute(
            "SELECT coalesce(max(substr(table_name, 3)::BIGINT), 0) FROM duckdb_tables() WHERE schema_name = 'data'"
        ).fetchall()[0][0]
        self._numbers = itertools.count(taken + 1)

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A separate connection to the database. Raises BigQueryError once the database closes."""
        with self._cursors:
            if self._closed:
                raise WarehouseClosedError("backendError", "The local stack is shutting down.")
            cursor = self._connection.cursor()
            self._busy.add(cursor)
        try:
            yield cursor
        finally:
            with self._cursors:
                cursor.close()
                self._busy.remove(cursor)
                self._cursors.notify_all()

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for files that DuckDB reads or writes, which is removed at the end of the context."""
        with tempfile.TemporaryDirectory(dir=self.files) as name:
            yield Path(name)

    def fresh_name(self) -> str:
        """A unique name for a new stored table."""
        return f"data.v_{next(self._numbers)}"

    def build(self, build: Build, expired: str) -> str:
        """Store a new table without its expired rows, or nothing after an error. Returns its name."""
        name = self.fresh_name()
        with self.cursor() as cursor:
            try:
                build(cursor, name)
                if expired:
                    cursor.execute(f"DELETE FROM {name} WHERE {expired}")
            except Exception:
                cursor.execute(f"DROP TABLE IF EXISTS {name}")
                raise
        return name

    @contextmanager
    def together(self) -> Iterator[None]:
        """Store all documents of this block at once, and remove stored tables after that.

        If the process is killed, the next one finds all the changes, or none. Other threads must not change the same
        documents meanwhile.
        """
        if getattr(self._unwritten, "documents", None) is not None:
            yield
            return
        documents: dict[str, dict[str, Any] | None] = {}
        dropped: list[str] = []
        self._unwritten.documents, self._unwritten.dropped = documents, dropped
        try:
            yield
        finally:
            self._unwritten.documents = self._unwritten.dropped = None
            # What has changed in memory is stored, even if the block has failed.
            self._store(documents)
            self.drop(dropped)

    def drop(self, names: list[str]) -> None:
        """Remove stored tables. Transactions that read them continue."""
        if (later := getattr(self._unwritten, "dropped", None)) is not None:
            later += names
            return
        with self.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP TABLE IF EXISTS {name}")

    def drop_others(self, names: set[str]) -> None:
        """Remove all stored tables but these: what an earlier process had built when it was killed."""
        with self.cursor() as cursor:
            rows = cursor.execute("SELECT 'data.' || table_name FROM duckdb_tables() WHERE schema_name = 'data'")
            stored = {str(row[0]) for row in rows.fetchall()}
        self.drop(sorted(stored - names))

    def keep(self, key: str, document: dict[str, Any] | None) -> None:
        """Store a document, or delete it with None. Does nothing for a database in memory."""
        if (later := getattr(self._unwritten, "documents", None)) is not None:
            later[key] = None if document is None else copy.deepcopy(document)
        else:
            self._store({key: document})

    def _store(self, documents: dict[str, dict[str, Any] | None]) -> None:
        if not self._persistent or not documents:
            return
        with self._lock, self.cursor() as cursor:
            cursor.execute("BEGIN")
            for key, document in documents.items():
                if document is None:
                    cursor.execute("DELETE FROM kept WHERE key = ?", [key])
                else:
                    cursor.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", [key, json.dumps(document)])
            cursor.execute("COMMIT")

    def kept(self) -> list[tuple[str, dict[str, Any]]]:
        """All stored documents, sorted by key."""
        with self.cursor() as cursor:
            rows = cursor.execute("SELECT key, document FROM kept ORDER BY key").fetchall()
        return [(key, json.loads(document)) for key, document in rows]

    def close(self) -> None:
        """End the statements that run, write everything, and close the file."""
        try:
            self._end()
        finally:
            shutil.rmtree(self.files, ignore_errors=True)

    def _end(self) -> None:
        with self._cursors:
            self._closed = True
            for _ in range(INTERRUPTIONS):
                try:
                    self._connection.close()
                except duckdb.OperationalError:
                    # A statement is running. Its thread may begin another one after it.
                    for cursor in self._busy:
                        with suppress(duckdb.ConnectionException):
                            cursor.interrupt()
                    self._cursors.wait(INTERRUPT_SECONDS)
                else:
                    return
            self._connection.close()
