"""A Destination in memory, whose load jobs read from MemoryStores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.errors import JobFailedError, NotFoundError, TableGoneError
from bqdump.core.tables.catalog import Dataset, Listed, Table
from bqdump.ports.destination import CopyRequest, LoadRequest, Present, StatementRequest, TableName
from bqdump.ports.warehouse import Job, JobError
from bqdump_memory.datasets import MemoryDatasets
from bqdump_memory.lines import rows_of
from bqdump_memory.references import inserted, missing
from bqdump_memory.resources import definition_of, layout, names_of, patched, raw
from bqdump_memory.tables import MemoryTable, Version, day_in, of_partition

KINDS = {"view": "VIEW", "materializedView": "MATERIALIZED_VIEW", "externalDataConfiguration": "EXTERNAL"}
# What a copy cannot change of the table that it replaces, and what it takes from its source.
LAYOUT = ("timePartitioning", "rangePartitioning", "clustering")
COPIED = ("schema", "tableConstraints")
Request = LoadRequest | StatementRequest | CopyRequest


class _RefusedError(Exception):
    """A job fails with this error."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.error = JobError(reason, message)


class MemoryDestination(MemoryDatasets):
    """A Destination in dictionaries. A row is a line of text, as in MemoryWarehouse, which describes the options.

    Load jobs read the files that exist when they run, and ignore the options of the format: no file has a header.
    Statements: `INSERT … SELECT … FROM` adds the rows of that table for which `matching(statement, row)` is true. DDL
    is only recorded. Tables disappear when they expire. Of partitions it only copies single ones.

    stores: by bucket. policy_definitions: by dataset and table, and name. started: the requests of jobs by id. ddl: the
    statements that are not an INSERT.
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: Callable[[], int],
        *,
        matching: Callable[[str, str], bool] = lambda statement, row: True,
        **options: Any,
    ) -> None:
        super().__init__(store, clock, **options)
        self.matching = matching
        self.stores = {store.url.removeprefix("gs://"): store}
        self.policy_definitions: dict[tuple[str, str, str], dict[str, msgspec.Raw]] = {}
        self.started: dict[str, Request] = {}
        self.ddl: list[str] = []

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        stored = await super().dataset(project, name)
        return Dataset(project, name, self._resource(stored)["location"])

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        self._present_tables(dataset)
        return await super().tables(dataset)

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        self._present_tables(dataset)
        return await super().table(dataset, name)

    async def drop_dataset(self, dataset: Dataset) -> None:
        """See Destination."""
        place = dataset.project, dataset.name
        for of_dataset in (self.datasets, self.resources, self.routine_definitions):
            of_dataset.pop(place, None)
        for policy in [key for key in self.policy_definitions if key[:2] == place]:
            del self.policy_definitions[policy]

    async def present(self, dataset: Dataset) -> list[Present]:
        """See Destination."""
        tables = sorted(self._present_tables(dataset).items())
        return [Present(name, t.kind, t.created, definition_of(t).get("labels", {})) for name, t in tables]

    async def create_table(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        if name in self._present_tables(dataset):
            return False
        now, properties = self.clock(), msgspec.json.decode(definition)
        self._check(dataset, f"table {name}", properties)
        lifetime = self._resource(dataset).get("defaultTableExpirationMs")
        if lifetime and "expirationTime" not in properties:
            properties["expirationTime"] = str(now + int(lifetime))
        kind = next((KINDS[key] for key in KINDS if key in properties), "TABLE")
        table = MemoryTable(kind, now, [Version(now, ())], raw(properties | names_of(dataset, name)))
        self._tables_of(dataset)[name] = table
        return True

    async def change_table(self, dataset: Dataset, name: str, changes: msgspec.Raw) -> None:
        """See Destination."""
        table = self._existing(dataset, name)
        properties = patched(definition_of(table), changes)
        self._check(dataset, f"table {name}", properties)
        self._tables_of(dataset)[name] = table._replace(definition=raw(properties))

    async def replace_definition(self, dataset: Dataset, name: str, definition: msgspec.Raw) -> None:
        """See Destination."""
        table, properties = self._existing(dataset, name), msgspec.json.decode(definition)
        self._check(dataset, f"table {name}", properties)
        self._tables_of(dataset)[name] = table._replace(definition=raw(properties | names_of(dataset, name)))

    async def drop_table(self, dataset: Dataset, name: str) -> None:
        """See Destination."""
        if name in self._present_tables(dataset):
            self.drop(dataset.project, dataset.name, name)
            self.policies.pop(name, None)
            self.policy_definitions.pop((dataset.project, dataset.name, name), None)

    async def create_routine(self, dataset: Dataset, name: str, definition: msgspec.Raw, *, replace: bool) -> bool:
        """See Destination."""
        known = self._routines(dataset)
        if name in known and not replace:
            return False
        self._check(dataset, f"routine {name}", msgspec.json.decode(definition))
        known[name] = definition
        return True

    async def create_row_policy(self, dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        """See Destination."""
        if table not in self._present_tables(dataset):
            raise TableGoneError("create", f"row access policy {name}", f"Not found: Table {dataset.name}.{table}")
        known = self.policy_definitions.setdefault((dataset.project, dataset.name, table), {})
        if name in known:
            return False
        known[name] = definition
        body = msgspec.json.decode(definition)
        self.filters[table, name] = body["filterPredicate"]
        self.members[table, name] = tuple(body.get("grantees", ()))
        return True

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        created = self.policy_definitions.get((dataset.project, dataset.name, table))
        if created is None or not self.sees_policies:
            return await super().row_policies(dataset, table)
        return [RowPolicy(table, name, self.filters[table, name]) for name in created]

    async def find_job(self, job_id: str, location: str) -> Job | None:
        """See Destination."""
        return self._jobs.get(job_id)

    async def cancel_job(self, job_id: str, location: str) -> None:
        """See Destination."""
        job = self._jobs.get(job_id)
        if job and job.state != "done":
            stopped = JobError("stopped", "Job execution was cancelled: User requested cancellation")
            self._jobs[job_id] = replace(job, state="done", error=stopped, ended=self.clock())

    async def load(self, request: LoadRequest) -> Job:
        """See Destination."""
        return self._request(request, request.to.table, lambda: self._load(request))

    async def statement(self, request: StatementRequest) -> Job:
        """See Destination."""
        return self._request(request, request.table, lambda: self._execute(request))

    async def copy(self, request: CopyRequest) -> Job:
        """See Destination."""
        return self._request(request, request.to.table, lambda: self._copy(request))

    def _request(self, request: Request, table: str, work: Callable[[], tuple[int | None, int | None]]) -> Job:
        async def run(job: Job) -> None:
            self._jobs[job.id] = job = replace(job, state="running", started=self.clock())
            await asyncio.sleep(self.seconds(table))
            if self._jobs[job.id].state == "done":
                # It was cancelled.
                return
            error, rows, billed = self.failing(table, job.id), None, None
            if error is None:
                try:
                    rows, billed = work()
                except _RefusedError as refused:
                    error = refused.error
            self._jobs[job.id] = replace(job, state="done", error=error, ended=self.clock(), rows=rows, billed=billed)

        job = self._begin(request.job_id, run)
        self.started[request.job_id] = request
        return job

    def _load(self, request: LoadRequest) -> tuple[int | None, int | None]:
        present = self._rows(request.to)
        if request.empty and present:
            raise _RefusedError("duplicate", f"Already Exists: Table {request.to.dataset.name}.{request.to.table}")
        loaded: list[str] = []
        for uri in request.uris:
            bucket, _, name = uri.removeprefix("gs://").partition("/")
            content = self.stores[bucket].peek(name) if bucket in self.stores else None
            if content is None:
                raise _RefusedError("notFound", f"Not found: URI {uri}")
            kept = -1 if self.losing(request.job_id) else None
            loaded += rows_of(content[0], uri)[:kept]
        self._add(request.to, (*present, *loaded))
        return len(loaded), None

    def _execute(self, request: StatementRequest) -> tuple[int | None, int | None]:
        names = inserted(request.statement)
        if names is None:
            if gone := missing(request.dataset, request.statement, self._names()):
                raise _RefusedError("notFound", f"Not found: {gone}")
            self.ddl.append(request.statement)
            return None, 0
        to, source = (TableName(Dataset(project, name, ""), table) for project, name, table in names)
        present, rows = self._rows(to), self._rows(source)
        billed = sum(map(len, rows))
        if 0 < request.max_bytes_billed < billed:
            message = f"Query exceeded limit for bytes billed: {request.max_bytes_billed}. {billed} or higher required."
            raise _RefusedError("bytesBilledLimitExceeded", message)
        chosen = [row for row in rows if self.matching(request.statement, row)]
        self._add(to, (*present, *chosen))
        return len(chosen), billed

    def _copy(self, request: CopyRequest) -> tuple[int | None, int | None]:
        filled, rows = self._rows(request.to), self._rows(request.source)
        if partition := request.to.partition:
            rest = [row for row in filled if day_in(row) != partition]
            self._add(request.to, (*rest, *of_partition(rows, partition)))
            return None, None
        if request.empty and filled:
            raise _RefusedError("duplicate", f"Already Exists: Table {request.to.dataset.name}.{request.to.table}")
        tables, name = self._tables_of(request.to.dataset), request.to.table
        source = definition_of(self._tables_of(request.source.dataset)[request.source.table])
        target = definition_of(tables[name])
        if any(layout(source, key) != layout(target, key) for key in LAYOUT):
            raise _RefusedError("invalid", "Incompatible table partitioning specification.")
        kept = {key: value for key, value in target.items() if key not in COPIED}
        copied = {key: source[key] for key in COPIED if key in source}
        tables[name] = tables[name]._replace(definition=raw({**kept, **copied}))
        self.policy_definitions[request.to.dataset.project, request.to.dataset.name, name] = {}
        self._add(request.to, rows)
        return None, None

    def _rows(self, name: TableName) -> tuple[str, ...]:
        tables = self.datasets.get((name.dataset.project, name.dataset.name), {})
        rows = tables[name.table].versions[-1].rows if name.table in tables else None
        if rows is None:
            raise _RefusedError("notFound", f"Not found: Table {name.dataset.name}.{name.table}")
        return rows

    def _add(self, name: TableName, rows: tuple[str, ...]) -> None:
        versions = self.datasets[name.dataset.project, name.dataset.name][name.table].versions
        versions.append(Version(self.clock(), rows))

    def _check(self, dataset: Dataset, subject: str, properties: dict[str, Any]) -> None:
        """Refuse a definition that has expired, or whose SQL names something that does not exist."""
        if (until := int(properties.get("expirationTime") or 0)) and until <= self.clock():
            raise JobFailedError("create", subject, "Invalid expiration time: it is in the past")
        queries = [properties.get(key, {}).get("query", "") for key in ("view", "materializedView")]
        for sql in (*queries, properties.get("definitionBody", "")):
            if gone := missing(dataset, sql, self._names()):
                raise TableGoneError("create", subject, f"Not found: {gone}")

    def _names(self) -> set[tuple[str, str, str]]:
        """Every table, view and routine that exists."""
        tables = {(*place, name) for place in self.datasets for name in self._present_tables(Dataset(*place, ""))}
        return tables | {(*place, name) for place, known in self.routine_definitions.items() for name in known}

    def _routines(self, dataset: Dataset) -> dict[str, msgspec.Raw]:
        self._tables_of(dataset)
        return self.routine_definitions.setdefault((dataset.project, dataset.name), {})

    def _present_tables(self, dataset: Dataset) -> dict[str, MemoryTable]:
        """What exists now, after those have been dropped that have expired."""
        tables, now = self._tables_of(dataset), self.clock()
        for name, table in tables.items():
            until = int(definition_of(table).get("expirationTime") or 0)
            if 0 < until <= now and table.versions[-1].rows is not None:
                self.drop(dataset.project, dataset.name, name)
        return type(tables)({name: table for name, table in tables.items() if table.versions[-1].rows is not None})

    def _existing(self, dataset: Dataset, name: str) -> MemoryTable:
        table = self._present_tables(dataset).get(name)
        if table is None:
            raise NotFoundError("change", f"table {name}", f"Not found: Table {dataset.name}.{name}")
        return table
