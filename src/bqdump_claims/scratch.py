"""The scratch dataset and prefix of a check, and what claims do there: statements, exports, loads, objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from bqdump.core.errors import AccessError, BqdumpError, DeniedError, JobFailedError, NotFoundError
from bqdump.core.formats.types import columns
from bqdump.core.settings.target import Target
from bqdump.core.sql.statements import identifier
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.task import ReadRoute
from bqdump.ports.destination import CopyRequest, Destination, LoadRequest, StatementRequest, TableName
from bqdump.ports.reader import FileShape, ReadRequest
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.ports.warehouse import ExtractRequest, Job, QueryRequest
from bqdump_claims.jobs import FIRST_PAUSE, LONGEST_PAUSE, StartedJobs
from bqdump_claims.result import NotTriedError

Answer = TypeVar("Answer")
# Writes rows into the streaming buffer of a table.
Stream = Callable[[Dataset, str, Sequence[Mapping[str, str]]], Awaitable[None]]
# BigQuery's streaming may not know a new table for some minutes.
NEW_TABLE_SECONDS = 180
# More than a tick of BigQuery's clock as bqdump reads it, in seconds.
TICK = 0.002
DAY_MS = 24 * 3600 * 1000
# Of each query: a guard, as the tables have a few rows.
MOST_BYTES_BILLED = 100 << 20


async def cannot_stream(*_: object) -> None:
    """Where nothing streams."""
    raise NotTriedError("nothing here can write into a streaming buffer")


class Place(NamedTuple):
    """Where a check works.

    folder: the prefix of its objects, which ends with a slash.
    key: a Cloud KMS key, or "".
    several: the bytes of rows that a job writes as several files.
    """

    dataset: Dataset
    target: Target
    folder: str
    name: str
    key: str = ""
    several: int = 0


class Exported(NamedTuple):
    """The files of an export, by name, with their bytes; and the job, None for the read route."""

    files: tuple[ObjectInfo, ...]
    data: tuple[bytes, ...]
    job: Job | None = None


class Scratch:
    """What claims work with. All names are new: the dataset and the folder belong to one check."""

    def __init__(
        self,
        destination: Destination,
        store: ObjectStore,
        open_read_route: Callable[[], ReadRoute],
        place: Place,
        stream: Stream = cannot_stream,
    ) -> None:
        self.destination, self.store, self.place = destination, store, place
        self._open_read_route, self._stream = open_read_route, stream
        self.jobs = StartedJobs(destination, place.dataset.location)
        self._made: dict[Hashable, asyncio.Task[Any]] = {}
        self._clock: asyncio.Task[int] | None = None
        self._names = 0
        self._exists = False

    async def create(self) -> None:
        """Create the dataset. Raises errors such as DeniedError."""
        place = self.place
        definition = {
            "location": place.dataset.location,
            "defaultTableExpirationMs": str(DAY_MS),
            "description": "Scratch dataset of bqdump check-service. It can be deleted.",
            "labels": self.labels,
        }
        body = msgspec.Raw(msgspec.json.encode(definition))
        self._exists = True
        try:
            await self.jobs.begin(self.destination.create_dataset(place.dataset.project, place.dataset.name, body))
        except (AccessError, DeniedError, JobFailedError, NotFoundError):
            self._exists = False
            raise

    @property
    def dataset(self) -> Dataset:
        """The scratch dataset."""
        return self.place.dataset

    @property
    def labels(self) -> dict[str, str]:
        """The labels of all jobs."""
        return {"bqdump_check": self.place.name}

    def table(self, name: str) -> str:
        """A table of the dataset, for a statement."""
        return ".".join(map(identifier, (self.dataset.project, self.dataset.name, name)))

    def new(self, what: str) -> str:
        """A name that nothing else has."""
        self._names += 1
        return f"{what}_{self._names}"

    async def once(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """What several claims share: made by the first one that needs it."""
        if key not in self._made:
            self._made[key] = asyncio.ensure_future(make())
        return await asyncio.shield(self._made[key])

    async def begin(self, request: Awaitable[Answer]) -> Answer:
        """A request that changes something, see StartedJobs.begin."""
        return await self.jobs.begin(request)

    # BigQuery.

    async def run(self, *statements: str) -> Job:
        """Run statements, one after the other, as one job."""
        script = ";\n".join(statements)
        request = StatementRequest(self.job_id(), self.dataset, "t", script, self.labels, MOST_BYTES_BILLED)
        return await self.jobs.done(self.destination.statement, request)

    async def ask(self, select: str) -> list[int]:
        """The only row of a query."""
        async with self.jobs.room:
            return await self.destination.ask(self.dataset, "t", select, MOST_BYTES_BILLED)

    async def described(self, name: str) -> tuple[Table, dict[str, Any]]:
        """A table and its resource."""
        table = await self.destination.table(self.dataset, name)
        if table is None:
            raise JobFailedError("read", f"table {name}", "it does not exist")
        return table, msgspec.json.decode(table.definition)

    async def now(self) -> int:
        """BigQuery's clock (ms), after everything that has ended is in the past. Claims share one query of it."""
        if self._clock is None:
            self._clock = asyncio.ensure_future(self._later())
        return await asyncio.shield(self._clock)

    async def _later(self) -> int:
        await asyncio.sleep(FIRST_PAUSE)
        # Who comes now needs a later query; since the others came, the clock has ticked.
        self._clock = None
        await asyncio.sleep(TICK)
        return await self.begin(self.destination.now(self.dataset.location))

    async def extract(
        self, table: str, format_: str, *, codec: str = "none", snapshot: int = 0, name: str = "", **options: Any
    ) -> Exported:
        """An extract job of a table as of a time (0: now). name: of the files, which may exist already."""
        name = name or self.new(f"extract_{format_}")
        extras = {"header": True, "delimiter": ",", "labels": self.labels, **options}
        at, uri = snapshot or await self.now(), self._uri(name, format_)
        request = ExtractRequest(self.job_id(), self.dataset, table, at, uri, format_, codec, **extras)
        return await self._exported(name, await self.jobs.done(self.destination.extract, request))

    async def query(
        self, table: str, select: str, format_: str, *, codec: str = "none", name: str = "", **options: Any
    ) -> Exported:
        """EXPORT DATA of a query of a table. name: see `extract`."""
        name = name or self.new(f"query_{format_}")
        bounded = {"parameters": {}, "max_bytes_billed": MOST_BYTES_BILLED}
        extras = {"header": True, "delimiter": ",", "labels": self.labels, **bounded, **options}
        uri = self._uri(name, format_)
        request = QueryRequest(self.job_id(), self.dataset, table, None, select, uri, format_, codec, **extras)
        return await self._exported(name, await self.jobs.done(self.destination.query, request))

    async def read(
        self, table: str, format_: str, *, snapshot: int = 0, restriction: str = "", null_marker: str = ""
    ) -> Exported:
        """The read route: a read session of one stream, encoded by this process into one file."""
        route = self._open_read_route()
        described, _ = await self.described(table)
        at = snapshot or await self.now()
        session = await route.reader.open(ReadRequest(self.dataset, table, at, (), restriction, 1))
        shape = FileShape(format_, "none", columns(described.definition), null_marker=null_marker)

        def encoded() -> bytes:
            import io

            file = io.BytesIO()
            rows = (batch for stream in session.streams for batch in route.reader.read(stream, 0))
            route.encoder.encode(session.schema, rows, shape, file)
            return file.getvalue()

        data = await route.in_thread(encoded)
        name = f"{self.place.folder}{self.new(f'read_{format_}')}.{format_}"
        info = await self.put(name, data)
        return Exported((info,), (data,))

    async def load(
        self, table: str, uris: tuple[str, ...], options: msgspec.Raw, schema: msgspec.Raw, **to: Any
    ) -> Job:
        """A load job into a table that exists and is empty. to: a partition."""
        into = TableName(self.dataset, table, **to)
        request = LoadRequest(self.job_id(), into, uris, options, schema, empty=True, labels=self.labels)
        return await self.jobs.done(self.destination.load, request)

    async def stream(self, table: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Write rows into the streaming buffer of a table."""
        until = asyncio.get_running_loop().time() + NEW_TABLE_SECONDS
        while True:
            try:
                return await self.begin(self._stream(self.dataset, table, rows))
            except NotFoundError:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(LONGEST_PAUSE)

    async def copy(self, source: str, to: str) -> Job:
        """A copy job over a table."""
        names = TableName(self.dataset, source), TableName(self.dataset, to)
        return await self.jobs.done(self.destination.copy, CopyRequest(self.job_id(), *names, self.labels))

    def job_id(self) -> str:
        """The id of a job that does not exist yet."""
        return self.new(f"bqdump_check_{self.place.name}")

    # Cloud Storage.

    def pattern(self, name: str, format_: str) -> str:
        """The name of an export's files, with one `*`."""
        return f"{self.place.folder}{name}/{name}_*.{format_}"

    def _uri(self, name: str, format_: str) -> str:
        return self.place.target.uri(self.pattern(name, format_))

    def uri(self, name: str) -> str:
        """The address of an object."""
        return self.place.target.uri(name)

    async def put(self, name: str, data: bytes, expect: int | None = 0) -> ObjectInfo:
        """Write an object, by its complete name."""
        await self.jobs.begin(self.store.write(name, data, expect))
        stored = await self.store.stat(name)
        if stored is None:
            raise NotTriedError(f"object {name} disappeared")
        return stored

    async def objects(self, prefix: str) -> list[ObjectInfo]:
        """The objects below a prefix."""
        return [info async for page in self.store.objects(prefix) for info in page]

    async def _exported(self, name: str, job: Job) -> Exported:
        files = await self.objects(f"{self.place.folder}{name}/")
        data = await asyncio.gather(*(self.store.read(file.name) for file in files))
        return Exported(tuple(files), tuple(stored.data for stored in data), job)

    # Afterwards.

    async def clean(self) -> list[str]:
        """Delete the dataset and the objects, once what was started has ended. Returns what could not be deleted."""
        for task in self._made.values():
            task.cancel()
        await asyncio.gather(*self._made.values(), return_exceptions=True)
        await self.jobs.ended()
        left: list[str] = []
        try:
            if self._exists:
                await self.destination.drop_dataset(self.dataset)
        except BqdumpError as error:
            name = f"{self.dataset.project}:{self.dataset.name}"
            left.append(
                f"dataset {name}: {error.cause}. Its tables expire after a day; to delete it: bq rm -r -f -d {name}"
            )
        try:
            await self._delete_objects()
        except BqdumpError as error:
            address = self.uri(self.place.folder)
            left.append(
                f"objects below {address}: {error.cause}. To delete them: gcloud storage rm --recursive {address}"
            )
        return left

    async def _delete_objects(self) -> None:
        objects = await self.objects(self.place.folder)
        for result in await self.store.delete([(info.name, info.generation) for info in objects]):
            if isinstance(result, BqdumpError):
                raise result
