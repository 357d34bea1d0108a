"""The datasets and tables, and all changes to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bqdump_local.access import Access
from bqdump_local.bigquery.errors import BigQueryError, denied, duplicate, invalid, not_found
from bqdump_local.bigquery.tables.datasets import Dataset, Datasets
from bqdump_local.bigquery.tables.definitions import (
    check_definition,
    check_expiration,
    check_schema,
    with_defaults,
)
from bqdump_local.bigquery.tables.evolution import converted
from bqdump_local.bigquery.tables.expiry import expired_rows, is_expired
from bqdump_local.bigquery.tables.partition_times import without_old_versions
from bqdump_local.bigquery.tables.shelf import Shelf
from bqdump_local.bigquery.tables.tables import (
    PARTITION_TIME,
    SETTABLE,
    Table,
    Version,
    check_name,
    reshaped,
    stored_columns,
)
from bqdump_local.bigquery.types import Field, parse_fields

if TYPE_CHECKING:
    import duckdb

    from bqdump_local.bigquery.settings import JobSettings
    from bqdump_local.bigquery.tables.warehouse import Build, Warehouse


class Catalog(Datasets):
    """All datasets and tables of the server."""

    def __init__(self, warehouse: Warehouse, settings: JobSettings) -> None:
        super().__init__(warehouse, settings)
        self.access = Access("projects", denied, invalid)
        # The anonymous tables of queries, by project, location (in lower case) and job.
        self.results: dict[tuple[str, str, str], dict[str, str]] = {}
        self._tables: defaultdict[tuple[str, str], dict[str, Table]] = defaultdict(dict)
        self.routines, self.models = Shelf("routine", warehouse), Shelf("model", warehouse)
        for key, document in warehouse.kept():
            if self.routines.load(key, document) or self.models.load(key, document) or self.load(key, document):
                continue
            if key.startswith("table:"):
                table = Table.from_document(document)
                self._tables[table.project, table.dataset][table.table_id] = table
        stored = (table.stored for tables in self._tables.values() for table in tables.values())
        warehouse.drop_others({name for names in stored for name in names})

    # -- datasets

    def delete_dataset(self, project: str, dataset_id: str, *, contents: bool) -> None:
        """Delete a dataset. It must be empty unless `contents` is set."""
        with self.lock, self.warehouse.together():
            dataset = self.dataset(project, dataset_id)
            dataset_id = dataset.dataset_id
            tables = list(self._tables[project, dataset_id].values())
            if tables and not contents:
                raise BigQueryError("resourceInUse", f"Dataset {dataset.name} is still in use")
            for table in tables:
                self.delete_table(table)
            for shelf in (self.routines, self.models):
                shelf.clear(project, dataset_id)
            del self._datasets[project, dataset_id]
            self._tables.pop((project, dataset_id), None)
            self.warehouse.keep(f"dataset:{dataset.name}", None)

    # -- tables

    def table(self, project: str, dataset_id: str, table_id: str) -> Table:
        """The table, or a notFound error."""
        table = self.find_table(project, dataset_id, table_id)
        if table is None:
            raise not_found("Table", f"{project}:{dataset_id}.{table_id}")
        return table

    def find_table(self, project: str, dataset_id: str, table_id: str) -> Table | None:
        """The table, or None. The dataset must exist. A table that has expired is deleted first."""
        dataset = self.dataset(project, dataset_id)
        table = self._tables[project, dataset.dataset_id].get(table_id) or self._spelled_otherwise(dataset, table_id)
        if table is not None and is_expired(table, self.settings.now_ms()):
            self.delete_table(table)
            return None
        return table

    def _spelled_otherwise(self, dataset: Dataset, table_id: str) -> Table | None:
        """The table whose name differs in case only, in a dataset that ignores it."""
        if not dataset.properties.get("isCaseInsensitive"):
            return None
        tables = list(self._tables[dataset.project, dataset.dataset_id].items())
        return next((table for name, table in tables if name.casefold() == table_id.casefold()), None)

    def tables(self, project: str, dataset_id: str) -> list[Table]:
        """The tables of a dataset, sorted by id."""
        dataset_id = self.dataset(project, dataset_id).dataset_id
        now = self.settings.now_ms()
        with self.lock:
            for table in [table for table in self._tables[project, dataset_id].values() if is_expired(table, now)]:
                self.delete_table(table)
            return sorted(self._tables[project, dataset_id].values(), key=lambda table: table.table_id)

    def create_table(
        self,
        project: str,
        dataset_id: str,
        table_id: str,
        properties: dict[str, Any],
        build: Build | None = None,
        *,
        base: dict[str, Any] | None = None,
        replace: bool = False,
    ) -> Table:
        """Create a table.

        build: creates its first stored version, by default an empty one.
        base: see `Table`.

        replace: it takes the place of a table of this name, which stays if the new one cannot be created.
        """
        dataset = self.dataset(project, dataset_id)
        dataset_id = dataset.dataset_id
        check_name(table_id, any_name=self.settings.any_table_names)
        settable = {key: properties[key] for key in SETTABLE if properties.get(key) is not None}
        now = self.settings.now_ms()
        check_expiration(settable, now)
        settable = with_defaults(settable, dataset.properties, now)
        table = Table(project, dataset_id, table_id, dataset.location, settable, now, now, base=base)
        fields = table.fields
        if fields:
            settable["schema"] = {"fields": [field.to_json() for field in fields]}
        check_definition(table, settable, fields, self.table)
        if self.find_table(project, dataset_id, table_id) and not replace:
            raise duplicate("Table", table.name)
        if table.kind in ("TABLE", "SNAPSHOT"):
            name = self.warehouse.build(build or empty_build(table, fields), expired_rows(settable, now))
            table.versions.append(Version(now, name, fields))
        with self.lock, self.warehouse.together():
            try:
                if (present := self.find_table(project, dataset_id, table_id)) and not replace:
                    raise duplicate("Table", table.name)
            except BigQueryError:
                self.warehouse.drop(table.stored)
                raise
            if present is not None:
                self.delete_table(present)
            self._tables[project, dataset_id][table_id] = table
            self.keep_table(table)
        return table

    def delete_table(self, table: Table) -> None:
        """Delete a table and its history, unless that has been done already: two jobs may choose the same one."""
        with self.lock:
            if not self._has(table):
                return
            del self._tables[table.project, table.dataset][table.table_id]
            self.warehouse.keep(f"table:{table.name}", None)
            stored = table.stored
        self.warehouse.drop(stored)

    def _has(self, table: Table) -> bool:
        """Whether the table is not deleted."""
        return self._tables[table.project, table.dataset].get(table.table_id) is table

    def rename_table(self, table: Table, table_id: str) -> None:
        """Give a table another name in its dataset."""
        check_name(table_id, any_name=self.settings.any_table_names)
        with self.lock, self.warehouse.together():
            self.require(table)
            if self.find_table(table.project, table.dataset, table_id):
                raise duplicate("Table", f"{table.project}:{table.dataset}.{table_id}")
            self._tables[table.project, table.dataset].pop(table.table_id)
            self.warehouse.keep(f"table:{table.name}", None)
            table.table_id, table.modified_ms = table_id, self.settings.now_ms()
            self._tables[table.project, table.dataset][table_id] = table
            self.keep_table(table)

    def change_table(self, table: Table, properties: dict[str, Any]) -> None:
        """Replace all properties. The schema can only gain columns."""
        with table.lock:
            changed = {k: v for k, v in properties.items() if k in SETTABLE and v is not None}
            if changed.get("expirationTime") != table.properties.get("expirationTime"):
                check_expiration(changed, self.settings.now_ms())
            fields = parse_fields((changed.get("schema") or {}).get("fields") or ())
            if fields:
                changed["schema"] = {"fields": [field.to_json() for field in fields]}
            check_definition(table, changed, fields, self.table)
            if table.kind == "TABLE" and fields != table.fields:
                self._change_schema(table, fields, changed)
            with self.lock:
                self.require(table)
                table.properties = changed
                table.modified_ms = self.settings.now_ms()
                self.keep_table(table)
            self._drop_expired(table)

    def _drop_expired(self, table: Table) -> None:
        """Delete the rows of partitions that have expired, such as by a new expiration."""
        expired = expired_rows(table.properties, self.settings.now_ms())
        if expired and table.kind == "TABLE":
            with self.warehouse.cursor() as cursor:
                rows = cursor.execute(f"SELECT 1 FROM {table.current.name} WHERE {expired} LIMIT 1").fetchall()
            if rows:
                source = table.current.name
                self.new_version(table, lambda cursor, name: cursor.execute(f"CREATE TABLE {name} AS FROM {source}"))

    def _change_schema(self, table: Table, fields: tuple[Field, ...], properties: dict[str, Any]) -> None:
        def change() -> None:
            table.properties = properties

        check_schema(table.name, table.fields, fields, adding=True, relaxing=True)
        self.reshape(table, converted(fields, table.fields), fields, change)

    def reshape(
        self, table: Table, selected: str, fields: tuple[Field, ...], also: Callable[[], None] = lambda: None
    ) -> None:
        """Give the rows of a table other columns, also those streamed. selected: the select list that computes them.

        also: see `new_version`.
        """
        hidden = f", {PARTITION_TIME}" if table.ingestion_time else ""

        def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
            cursor.execute(f"CREATE TABLE {name} AS SELECT {selected}{hidden} FROM {table.current.name}")

        with table.lock, reshaped(self.warehouse, table, f"{selected}{hidden}") as place:

            def change() -> None:
                place()
                also()

            self.new_version(table, build, fields, change)

    def new_version(
        self,
        table: Table,
        build: Build,
        fields: tuple[Field, ...] | None = None,
        also: Callable[[], None] = lambda: None,
    ) -> Version:
        """Replace the rows (and columns) of a table. The previous state stays readable by time travel.

        also: changes the table in other ways; both are stored at once. Raises notFound if the table is deleted
        meanwhile.
        """
        table.require_plain()
        with table.lock:
            now = self.settings.now_ms()
            try:
                name = self.warehouse.build(build, expired_rows(table.properties, now))
            except Exception:
                # The rows that it reads may be gone with the table.
                self.require(table)
                raise
            with self.lock:
                try:
                    self.require(table)
                except BigQueryError:
                    self.warehouse.drop([name])
                    raise
                now = max(now, self.settings.now_ms())
                kept = table.fields if fields is None else fields
                version = Version(now, name, kept)
                table.versions.append(version)
                table.modified_ms = now
                table.properties["schema"] = {"fields": [field.to_json() for field in kept]}
                also()
                with self.warehouse.cursor() as cursor:
                    gone = without_old_versions(cursor, table, now)
                self.keep_table(table)
        self.warehouse.drop([old.name for old in gone])
        return version

    def keep_table(self, table: Table) -> None:
        """Store the table for the next start. Raises notFound if it was deleted meanwhile."""
        with self.lock:
            self.require(table)
            self.warehouse.keep(f"table:{table.name}", table.to_document())

    def require(self, table: Table) -> None:
        """Raise notFound if the table is deleted."""
        with self.lock:
            if not self._has(table):
                raise not_found("Table", table.name)


def empty_build(table: Table, fields: tuple[Field, ...]) -> Build:
    """A function that creates a table without rows."""

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        cursor.execute(f"CREATE TABLE {name} ({stored_columns(table, fields)})")

    return build
