"""A store and a warehouse in memory: what the simulation, the benchmarks and the contract suites run on.

Both are honest about generations, snapshot times, shards and job ids; time is the event loop's.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, NamedTuple, TypeVar

import msgspec

from bqdump.adapters.checksums import crc32c
from bqdump.core.documents.layout import is_note
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError
from bqdump.core.formats.avro_blocks import SYNC_BYTES, Header, header_bytes, long_bytes, sized_bytes
from bqdump.core.plan.catalog import Dataset, Listed, Table
from bqdump.core.settings.path_template import shard_name
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, Stored
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, JobError, QueryRequest

PAGE = 1000
LINES = msgspec.Raw(b'[{"name":"line","type":"STRING"}]')
Result = TypeVar("Result")


class _Object(NamedTuple):
    data: bytes
    info: ObjectInfo
    note: bool


class MemoryStore:
    """An ObjectStore in a dictionary. `page`: how many names a listing's page holds."""

    def __init__(self, bucket: str = "memory", *, page: int = PAGE) -> None:
        self.url = f"gs://{bucket}"
        self.bucket = BucketInfo("US", 0, 0)
        self._objects: dict[str, _Object] = {}
        self._generation = 0
        self._page = page

    async def describe(self) -> BucketInfo:
        """See ObjectStore."""
        return self.bucket

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        found = self._objects.get(name)
        return found.info if found else None

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        found = self._objects.get(name)
        if found is None:
            raise NotFoundError("read", f"{self.url}/{name}", "there is no such object")
        if length is None and not start:
            refuse_size(name, len(found.data))
        end = None if length is None else start + length
        return Stored(found.data[start:end], found.info.generation)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return self._put(name, data, expect, "", note=False).generation

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. `fill` runs in the event loop's thread."""
        file = io.BytesIO()
        result = fill(file)
        return self._put(name, file.getvalue(), expect, "", note=False), result

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        if len(data) > NOTE_BYTES or not is_note(name):
            raise ValueError(f"a note of {len(data)} bytes called {name}")
        return self._put(name, data, expect, "", note=True).generation

    async def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """See ObjectStore."""
        async for page in self._pages(prefix):
            yield [Note(o.info.name, o.data, o.info.generation) for o in page if o.note]

    async def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        async for page in self._pages(prefix):
            yield [o.info for o in page]

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        return sorted({name[len(prefix) :].partition("/")[0] for name in self._objects
                       if name.startswith(prefix) and "/" in name[len(prefix) :]})  # fmt: skip

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore."""
        return [self._copy(wish, origin) for wish in copies]

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        results: list[bool | BqdumpError] = []
        for name, generation in objects:
            found = self._objects.get(name)
            if there := found is not None and found.info.generation == generation:
                del self._objects[name]
            results.append(there)
        return results

    async def close(self) -> None:
        """Nothing to let go of."""

    def put_now(self, name: str, data: bytes) -> ObjectInfo:
        """Store an object at once, as somebody else would."""
        return self._put(name, data, None, "", note=False)

    def names_now(self) -> list[str]:
        """All names, as somebody else would see them at this instant."""
        return sorted(self._objects)

    def peek(self, name: str) -> tuple[bytes, ObjectInfo] | None:
        """An object as it is at this instant."""
        found = self._objects.get(name)
        return (found.data, found.info) if found else None

    async def _pages(self, prefix: str) -> AsyncIterator[list[_Object]]:
        names = sorted(name for name in self._objects if name.startswith(prefix))
        for start in range(0, len(names) or 1, self._page):
            page = names[start : start + self._page]
            yield [self._objects[name] for name in page if name in self._objects]
            await asyncio.sleep(0)

    def _put(self, name: str, data: bytes, expect: int | None, origin: str, *, note: bool) -> ObjectInfo:
        found = self._objects.get(name)
        current = found.info.generation if found else 0
        if expect is not None and expect != current:
            raise ConflictError("write", f"{self.url}/{name}", f"its generation is {current}, not {expect}")
        self._generation += 1
        info = ObjectInfo(name, len(data), crc32c(data), self._generation, origin)
        self._objects[name] = _Object(data, info, note)
        return info

    def _copy(self, wish: Copy, origin: str) -> ObjectInfo | BqdumpError:
        source = self._objects.get(wish.source)
        if source is None or source.info.generation != wish.source_generation:
            return NotFoundError("copy", f"{self.url}/{wish.source}", "there is no such object of this generation")
        try:
            return self._put(wish.target, source.data, wish.expect, origin, note=False)
        except ConflictError as error:
            return error


class Version(NamedTuple):
    """A table's rows from `since` (ms) on; None: it was dropped then."""

    since: int
    rows: tuple[str, ...] | None


class MemoryTable(NamedTuple):
    """A table with its history."""

    kind: str
    created: int
    versions: list[Version]
    definition: msgspec.Raw


class MemoryWarehouse:
    """A Warehouse in dictionaries, which extracts into a MemoryStore.

    clock: milliseconds now. seconds: how long a job takes. shard_rows: rows a file. failing: what a job of this
    table and job id fails with. losing: whether a job leaves the last row of each file out, in silence.
    Rows are lines of text; files hold them as such, or as the strings of an Avro file.
    policies: row access policies by table. streams: what the streams of all read sessions hold.
    sessions: how many there have been.
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
        self.store, self.clock, self.location = store, clock, location
        self.seconds, self.shard_rows, self.failing, self.losing, self.page = seconds, shard_rows, failing, losing, page
        self.datasets: dict[tuple[str, str], dict[str, MemoryTable]] = {}
        self.policies: dict[str, list[str]] = {}
        self.streams: dict[str, tuple[str, ...]] = {}
        self.sessions = 0
        self.sees_policies = True
        # The tables into which changes are streamed.
        self.streamed: set[str] = set()
        self.extracted: dict[str, ExtractRequest | QueryRequest] = {}
        self._jobs: dict[str, Job] = {}
        self._running: set[asyncio.Task[None]] = set()

    def put(self, project: str, dataset: str, table: str, rows: Sequence[str], kind: str = "TABLE") -> None:
        """Give a table these rows from now on."""
        tables = self.datasets.setdefault((project, dataset), {})
        now = self.clock()
        known = tables.get(table)
        if known is None or known.versions[-1].rows is None:
            definition = {
                "id": f"{project}:{dataset}.{table}",
                "schema": {"fields": LINES},
            }
            tables[table] = MemoryTable(kind, now, [], msgspec.Raw(msgspec.json.encode(definition)))
        tables[table].versions.append(Version(now, tuple(rows)))

    def drop(self, project: str, dataset: str, table: str) -> None:
        """Drop a table now."""
        self.datasets[project, dataset][table].versions.append(Version(self.clock(), None))

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        if (project, name) not in self.datasets:
            raise NotFoundError("find", f"dataset {project}.{name}", "there is no such dataset")
        return Dataset(project, name, self.location)

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return self.clock()

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        tables = self.datasets[dataset.project, dataset.name]
        return [Listed(n, t.kind, t.created) for n, t in sorted(tables.items()) if t.versions[-1].rows is not None]

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return self._table(dataset, name)

    def _table(self, dataset: Dataset, name: str) -> Table | None:
        found = self.datasets[dataset.project, dataset.name].get(name)
        if found is None or (rows := found.versions[-1].rows) is None:
            return None
        state = b'{"numRows":"%d","lastModifiedTime":"%d",' % (len(rows), found.versions[-1].since)
        definition = msgspec.Raw(state + bytes(found.definition)[1:])
        return Table(name, found.kind, len(rows), sum(map(len, rows)), definition)

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """See Warehouse."""
        return self.policies.get(table, []) if self.sees_policies else None

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return self._start(request)

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse. It bills what the whole table has now: `select` is not looked at."""
        found = self._table(dataset, table)
        if found is None:
            raise NotFoundError("query", f"table {table}", f"Not found: Table {dataset.name}.{table}")
        return Estimate(found.bytes, at_least=False, columns=LINES)

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse. It counts the rows that the table has now: `select` is not looked at."""
        found = self._table(dataset, table)
        if found is None:
            raise NotFoundError("query", f"table {table}", f"Not found: Table {dataset.name}.{table}")
        return [found.rows]

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return sorted(self.streamed)

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse. It reads whole tables: `select` is not looked at."""
        return self._start(request)

    def _start(self, request: ExtractRequest | QueryRequest) -> Job:
        if request.job_id in self._jobs:
            raise ConflictError("start", f"job {request.job_id}", "the id is taken")
        now = self.clock()
        job = self._jobs[request.job_id] = Job(request.job_id, "pending", None, 0, now, 0, 0)
        self.extracted[request.job_id] = request
        running = asyncio.get_running_loop().create_task(self._run(request, job))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return job

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""
        if job_id not in self._jobs:
            raise NotFoundError("find", f"job {job_id}", "there is no such job")
        return self._jobs[job_id]

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
        """Nothing to let go of: jobs run on."""

    async def _run(self, request: ExtractRequest | QueryRequest, job: Job) -> None:
        self._jobs[job.id] = job = job._replace(state="running", started=self.clock())
        await asyncio.sleep(self.seconds(request.table))
        error = self.failing(request.table, request.job_id)
        rows: tuple[str, ...] | None = ()
        if error is None and (rows := self._rows_at(request)) is None:
            error = JobError("notFound", f"Not found: Table {request.dataset.name}.{request.table}")
        elif isinstance(request, ExtractRequest) and self._kind(request) not in ("TABLE", "SNAPSHOT"):
            error = JobError("invalid", f"{request.table} is a {self._kind(request)}")
        files = 0
        if error is None and rows is not None:
            kept = -1 if self.losing(request.job_id) else None
            for start in range(0, len(rows) or 1, self.shard_rows):
                lines = rows[start : start + self.shard_rows][:kept]
                data = _avro(lines) if request.format == "avro" else "".join(f"{row}\n" for row in lines).encode()
                self.store.put_now(shard_name(request.uri.split("/", 3)[3], files), data)
                files += 1
        told = len(rows) if isinstance(request, QueryRequest) and error is None and rows is not None else None
        self._jobs[job.id] = job._replace(state="done", error=error, files=files, ended=self.clock(), rows=told,
                                          row_policies=bool(self.policies.get(request.table)))  # fmt: skip

    def _kind(self, request: ExtractRequest) -> str:
        return self.datasets[request.dataset.project, request.dataset.name][request.table].kind

    def _rows_at(self, request: ExtractRequest | QueryRequest) -> tuple[str, ...] | None:
        found = self.datasets[request.dataset.project, request.dataset.name].get(request.table)
        if found is None or found.versions[-1].rows is None:
            return None
        moment = self.clock() if request.snapshot is None else request.snapshot
        return next((v.rows for v in reversed(found.versions) if v.since <= moment), None)


AVRO = Header({"avro.schema": b'{"type":"record","name":"Root","fields":[{"name":"line","type":"string"}]}'},
              bytes(range(SYNC_BYTES)), 0)  # fmt: skip
ROWS_A_BLOCK = 2


def _avro(rows: Sequence[str]) -> bytes:
    """An Avro file of one column, in blocks of a few rows."""
    parts = [header_bytes(AVRO)]
    for start in range(0, len(rows), ROWS_A_BLOCK):
        block = [sized_bytes(row.encode()) for row in rows[start : start + ROWS_A_BLOCK]]
        parts += [long_bytes(len(block)), sized_bytes(b"".join(block)), AVRO.sync]
    return b"".join(parts)
