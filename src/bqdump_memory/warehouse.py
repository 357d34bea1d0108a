"""A Warehouse in memory, whose jobs write to a MemoryStore."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

import msgspec
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.dealing import Sharing
from bqdump.core.documents.path_template import shard_name
from bqdump.core.errors import ConflictError, NotFoundError, TableGoneError
from bqdump.core.tables.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.core.tables.patterns import labels_in
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, JobError, QueryRequest
from bqdump_memory.definitions import MemoryDefinitions
from bqdump_memory.lines import file_of
from bqdump_memory.tables import (
    BY_DAY,
    DAYS,
    LINES,
    MemoryTable,
    Version,
    day_in,
    day_of,
    of_partition,
)

PAGE = 1000
AS_OF = re.compile(r"TIMESTAMP_MILLIS\(([0-9]+)\)")


class MemoryWarehouse(MemoryDefinitions):
    """A Warehouse in dictionaries, which extracts into a MemoryStore.

    A row is a line of text. Files contain the lines, or an Avro file with one string column. In a partitioned table,
    what precedes the colon in a line is the id of its partition, as in `20260131:a`.

    locations: of datasets in another location than `location`.
    clock: the current time in milliseconds.
    seconds: the duration of a job on this table.
    shard_rows: rows per file.
    failing: the error of a job, by table and job id.
    losing: whether a job silently omits the last row of each file.
    streams: the rows of each stream of all read sessions. sessions: the number
    of read sessions so far. streamed: the tables with change data capture. buffered: the rows in streaming buffers.
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: Callable[[], int],
        *,
        location: str = "US",
        seconds: Callable[[str], float] = lambda table: 0.0,
        shard_rows: int = 1_000_000,
        failing: Callable[[str, str], JobError | None] = lambda table, job_id: None,
        losing: Callable[[str], bool] = lambda job_id: False,
        page: int = PAGE,
    ) -> None:
        super().__init__()
        self.store, self.clock, self.location = store, clock, location
        self.seconds, self.shard_rows, self.failing, self.losing, self.page = seconds, shard_rows, failing, losing, page
        self.datasets: dict[tuple[str, str], dict[str, MemoryTable]] = {}
        self.locations: dict[str, str] = {}
        self.streams: dict[str, tuple[str, ...]] = {}
        self.sessions = 0
        self.streamed: set[str] = set()
        self.buffered: dict[str, int] = {}
        self.extracted: dict[str, ExtractRequest | QueryRequest] = {}
        self._jobs: dict[str, Job] = {}
        self._running: set[asyncio.Task[None]] = set()

    def put(
        self,
        project: str,
        dataset: str,
        table: str,
        rows: Sequence[str],
        kind: str = "TABLE",
        modified: int = 0,
        *,
        partitioned: bool = False,
    ) -> None:
        """Give a table these rows from now on. modified: its lastModifiedTime, if not now.

        partitioned: a new table is partitioned by day.
        """
        tables = self.datasets.setdefault((project, dataset), {})
        now = self.clock()
        known = tables.get(table)
        if known is None or known.versions[-1].rows is None:
            definition: dict[str, object] = {"id": f"{project}:{dataset}.{table}", "schema": {"fields": LINES}}
            if partitioned:
                definition |= {"schema": {"fields": DAYS}, "timePartitioning": BY_DAY}
            tables[table] = MemoryTable(kind, now, [], msgspec.Raw(msgspec.json.encode(definition)))
        tables[table].versions.append(Version(now, tuple(rows), modified))

    def drop(self, project: str, dataset: str, table: str) -> None:
        """Drop a table now."""
        self.datasets[project, dataset][table].versions.append(Version(self.clock(), None))

    def label(self, project: str, dataset: str, table: str, labels: dict[str, str]) -> None:
        """Give a table these labels and no others."""
        found = self.datasets[project, dataset][table]
        definition = {**msgspec.json.decode(found.definition), "labels": labels}
        self.datasets[project, dataset][table] = found._replace(definition=msgspec.Raw(msgspec.json.encode(definition)))

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """See Warehouse."""
        names = sorted(name for owner, name in self.datasets if owner == project and not name.startswith("_"))
        return [
            ListedDataset(name, self.locations.get(name, self.location), labels=labels_in(self.resource(project, name)))
            for name in names
        ]

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        if (project, name) not in self.datasets:
            raise NotFoundError("find", f"dataset {project}.{name}", "no such dataset")
        location = self.locations.get(name, self.location)
        return Dataset(project, name, location, definition=self.resource(project, name))

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return self.clock()

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        tables = self.datasets[dataset.project, dataset.name]
        return [
            Listed(name, table.kind, table.created, table.partitioned, labels_in(table.definition))
            for name, table in sorted(tables.items())
            if table.versions[-1].rows is not None
        ]

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return self._table(dataset, name)

    def _table(self, dataset: Dataset, name: str) -> Table | None:
        table, _, partition = name.partition("$")
        stored = self.datasets[dataset.project, dataset.name].get(table)
        if stored is None or (rows := stored.versions[-1].rows) is None:
            return None
        since = stored.versions[-1].modified or stored.versions[-1].since
        if partition:
            rows, since = of_partition(rows, partition), stored.modified_at(partition)
        size = sum(map(len, rows))
        numbers = {"numRows": len(rows), "numBytes": size, "creationTime": stored.created, "lastModifiedTime": since}
        state: dict[str, object] = {key: str(number) for key, number in numbers.items()}
        if table in self.buffered:
            state["streamingBuffer"] = {"estimatedRows": str(self.buffered[table])}
        definition = msgspec.Raw(msgspec.json.encode(state)[:-1] + b"," + bytes(stored.definition)[1:])
        return Table(name, stored.kind, len(rows), size, definition)

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return self._start(request)

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse. It bills the size that the table has now, and ignores `select`."""
        metadata = self._table(dataset, table)
        if metadata is None:
            raise TableGoneError("query", f"table {table}", f"Not found: Table {dataset.name}.{table}")
        columns = msgspec.json.decode(metadata.definition, type=dict[str, msgspec.Raw]).get("schema")
        fields = msgspec.json.decode(columns, type=dict[str, msgspec.Raw])["fields"] if columns else LINES
        return Estimate(metadata.bytes, at_least=False, columns=fields)

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse. It counts the rows of the table, as of a time where `select` has one."""
        at = AS_OF.search(select)
        rows = self._rows_at(dataset, table, int(at[1]) if at else None)
        if rows is None:
            raise TableGoneError("query", f"table {table}", f"Not found: Table {dataset.name}.{table}")
        return [len(rows)]

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """See Warehouse. It counts the rows of each partition, as of a time where `select` has one."""
        at = AS_OF.search(select)
        rows = self._rows_at(dataset, table, int(at[1]) if at else None)
        if rows is None:
            raise TableGoneError("query", f"table {table}", f"Not found: Table {dataset.name}.{table}")
        return dict(Counter(map(day_in, rows)))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return sorted(self.streamed)

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        listed: dict[str, list[Partition]] = {}
        for name in tables:
            table = self.datasets[dataset.project, dataset.name].get(name)
            rows = table.versions[-1].rows if table and table.partitioned else None
            for partition in sorted({day_in(row) for row in rows or ()}):
                some = of_partition(rows or (), partition)
                at = table.modified_at(partition) if table else 0
                listed.setdefault(name, []).append(Partition(partition, len(some), sum(map(len, some)), at))
        return listed

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse. It exports complete tables, or the partition that `select` names."""
        return self._start(request)

    def _start(self, request: ExtractRequest | QueryRequest) -> Job:
        job = self._begin(request.job_id, lambda job: self._run(request, job))
        self.extracted[request.job_id] = request
        return job

    def _begin(self, job_id: str, run: Callable[[Job], Coroutine[None, None, None]]) -> Job:
        if job_id in self._jobs:
            raise ConflictError("start", f"job {job_id}", "the id is taken")
        now = self.clock()
        job = self._jobs[job_id] = Job(job_id, "pending", None, 0, now, 0, 0)
        running = asyncio.get_running_loop().create_task(run(job))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return job

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""
        if job_id not in self._jobs:
            raise NotFoundError("find", f"job {job_id}", "no such job")
        return self._jobs[job_id]

    def share_limits(self, sharing: Sharing) -> None:
        """See Warehouse. Nothing is limited in memory."""

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        newest_first = [job for job in reversed(self._jobs.values()) if job.created >= since]
        for start in range(0, len(newest_first) or 1, self.page):
            yield newest_first[start : start + self.page]
            await asyncio.sleep(0)

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""
        return {job.id for job in self._jobs.values() if job.created >= since and job.state != "done"}

    async def close(self) -> None:
        """See Warehouse. Jobs keep running."""

    async def _run(self, request: ExtractRequest | QueryRequest, job: Job) -> None:
        self._jobs[job.id] = job = replace(job, state="running", started=self.clock())
        await asyncio.sleep(self.seconds(request.table))
        error = self.failing(request.table, request.job_id)
        rows: tuple[str, ...] | None = ()
        if error is None and (rows := self._requested(request)) is None:
            error = JobError("notFound", f"Not found: Table {request.dataset.name}.{request.table}")
        elif isinstance(request, ExtractRequest) and self._kind(request) not in ("TABLE", "SNAPSHOT"):
            error = JobError("invalid", f"{request.table} is a {self._kind(request)}")
        files = 0
        if error is None and rows is not None:
            kept = -1 if self.losing(request.job_id) else None
            for start in range(0, len(rows) or 1, self.shard_rows):
                lines = rows[start : start + self.shard_rows][:kept]
                self.store.put_now(shard_name(request.uri.split("/", 3)[3], files), file_of(lines, request.format))
                files += 1
        self._jobs[job.id] = replace(
            job,
            state="done",
            error=error,
            files=files,
            ended=self.clock(),
            rows=len(rows) if isinstance(request, QueryRequest) and error is None and rows is not None else None,
            row_policies=bool(self.policies.get(request.table)),
        )

    def _kind(self, request: ExtractRequest) -> str:
        return self.datasets[request.dataset.project, request.dataset.name][request.table].kind

    def _requested(self, request: ExtractRequest | QueryRequest) -> tuple[str, ...] | None:
        if isinstance(request, ExtractRequest):
            at = None if request.partition else request.snapshot
            partition = request.partition
        else:
            at, partition = request.snapshot, day_of(request.select)
        rows = self._rows_at(request.dataset, request.table, at)
        return rows if rows is None or not partition else of_partition(rows, partition)

    def _rows_at(self, dataset: Dataset, table: str, at: int | None) -> tuple[str, ...] | None:
        """The rows of a table at a time (ms), or now; None if it does not exist."""
        stored = self.datasets[dataset.project, dataset.name].get(table)
        if stored is None or stored.versions[-1].rows is None:
            return None
        as_of = self.clock() if at is None else at
        return next((v.rows for v in reversed(stored.versions) if v.since <= as_of), None)
