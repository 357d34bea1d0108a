"""The two ports as one process sees them: over a network that is slow and loses things.

A request travels, is carried out at one instant (a batch: one item after the other), and its answer travels back.
On the way it may be lost, delivered late, answered to nobody, or be the last thing that its process does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from typing import IO, NamedTuple, TypeVar

from urllib3.exceptions import IncompleteRead

from bqdump.adapters.google import errors
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.retry import resumed
from bqdump.core.dealing import Sharing
from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.errors import BqdumpError, DamagedError, NotFoundError
from bqdump.core.tables.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.ports.reader import Batch, ReadRequest, ReadSession
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, Stored
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest
from bqdump_memory import MemoryReader, MemoryWarehouse
from simulation.contents import flipped, is_avro, is_parquet, miscounted
from simulation.law import Law
from simulation.laws import Laws
from simulation.process import Outside, Process
from simulation.trace import Trace
from simulation.two_steps import TwoStepStore
from simulation.weather import Damage, Dice, Fate

Result = TypeVar("Result")


class Network(NamedTuple):
    """One process's way to the services."""

    process: Process
    dice: Dice
    trace: Trace

    async def call(
        self, operation: str, subject: str, carry_out: Callable[[], Awaitable[Result]], *, changes: bool = False
    ) -> Result:
        """The answer to one request, if it and its answer arrive."""
        await self.travel(carry_out if changes else None)
        fate = self.dice.fate()
        self.trace.add(self.process.name, operation, subject, "" if fate is Fate.ANSWERED else fate.name)
        if fate is Fate.LATE and changes:
            self._deliver_later(carry_out)
        if fate in (Fate.LOST, Fate.LATE):
            raise self.dice.refusal(operation, subject)
        if fate is Fate.CRASH_BEFORE:
            self.crash()
        self.process.doomed = fate is Fate.CRASH_AFTER
        try:
            result = await carry_out()
        except BqdumpError as error:
            self.trace.add(self.process.name, operation, subject, type(error).__name__)
            raise
        if fate is Fate.CRASH_AFTER:
            self.crash()
        await self.travel(None)
        if fate is Fate.UNANSWERED:
            raise self.dice.refusal(operation, subject)
        return result

    async def travel(self, cargo: Callable[[], Awaitable[object]] | None) -> None:
        """Take some time. Where the caller goes away meanwhile, `cargo` may be carried out all the same."""
        if self.process.dead:
            raise asyncio.CancelledError
        try:
            if seconds := self.dice.latency():
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if cargo and self.dice.delivered():
                self._deliver_later(cargo)
            raise
        if self.process.dead:
            raise asyncio.CancelledError

    def crash(self) -> None:
        """End the process here and now."""
        self.process.kill()
        raise asyncio.CancelledError

    def _deliver_later(self, carry_out: Callable[[], Awaitable[object]]) -> None:
        async def deliver() -> None:
            await asyncio.sleep(self.dice.latency())
            self.trace.add(self.process.name, "(late)", "", "")
            await carry_out()

        with Outside():
            asyncio.get_running_loop().create_task(deliver())


class FaultyStore:
    """An ObjectStore over such a network; every change is shown to the laws at the instant it happens."""

    def __init__(self, store: MemoryStore, network: Network, laws: Laws) -> None:
        self._store, self._network, self._laws = store, network, laws
        self.url, self.abilities = store.url, store.abilities

    async def describe(self) -> BucketInfo:
        """See ObjectStore."""
        return await self._network.call("describe", "", self._store.describe)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        return await self._network.call("stat", name, lambda: self._store.stat(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        stored = await self._network.call("read", name, lambda: self._store.read(name, start, length))
        # Of the files of one attempt one does at most: all of them are counted again, and not without an end.
        file = is_avro(stored.data) or is_parquet(stored.data)
        place = name.rpartition("/")[0] if file else name
        damage = self._network.dice.damage(place, start, of_file=file) if stored.data else None
        if damage is None:
            return stored
        self._network.trace.add(self._network.process.name, "read", name, damage.name)
        if length is not None:
            # Parts come without a checksum, and whoever breaks the connection off may end the answer in good order.
            return stored._replace(data=self._damaged(name, stored.data, damage))
        if damage is Damage.CUT:
            with errors.translated("read", name):
                raise IncompleteRead(len(stored.data) // 2, len(stored.data) - len(stored.data) // 2)
        raise DamagedError("read", name, "its checksum does not match")

    def _damaged(self, name: str, data: bytes, damage: Damage) -> bytes:
        if damage is Damage.CUT:
            return data[: len(data) // 2]
        if is_parquet(data):
            return flipped(data, -1)
        if not is_avro(data):
            return flipped(data, len(data) // 2)
        # Another number of rows that nothing confirms would be believed.
        return miscounted(data) if self._laws.view.is_confirmed(self._network.process.run, name) else flipped(data, -1)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return await self._write(name, lambda: self._store.write(name, data, expect))

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore."""

        async def store() -> tuple[ObjectInfo, Result]:
            before = self._store.peek(name)
            stored = await self._store.upload(name, fill, expect)
            self._lose_record(name)
            run = self._network.process.run
            self._laws.hold(Law.OWN_FILES, before is None, f"{run} wrote {name} over what was there")
            self._laws.uploaded(run, name)
            return stored

        return await self._network.call("upload", name, store, changes=True)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """See ObjectStore."""

        async def store() -> ObjectInfo:
            before = self._store.peek(name)
            stored = await self._store.stream(name, pieces, expect)
            self._laws.hold(Law.OWN_FILES, before is None, f"{self._network.process.run} wrote {name} over another")
            return stored

        return await self._network.call("stream", name, store, changes=True)

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return await self._write(name, lambda: self._store.write_note(name, data, expect))

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore."""
        async for page in self._listed("notes", prefix, self._store.notes(prefix, start)):
            yield page

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        process, staging = self._network.process, self._laws.view.layout.run(self._network.process.run).staging
        async for page in self._listed("objects", prefix, self._store.objects(prefix, start)):
            self._laws.shown(process, page)
            if page and prefix.startswith(self._laws.view.layout.runs) and not prefix.startswith(staging):
                self._rewrite(page)
            yield page

    def _rewrite(self, page: list[ObjectInfo]) -> None:
        """At times, write a file anew that another run has staged, with the same bytes, right after it was listed."""
        chosen = self._network.dice.rng.choice(page)
        if self._network.dice.weather.rewriting > self._network.dice.rng.random():
            found = self._store.peek(chosen.name)
            # latest.json names a manifest with its generation: a manifest that is written again is another one.
            if found is None or chosen.name.endswith("/manifest.json"):
                return
            self._store.put_now(chosen.name, found[0])
            self._laws.late.add(chosen.name)

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        return await self._network.call("folders", prefix, lambda: self._store.folders(prefix))

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        """See ObjectStore."""
        return await self._network.call("objects", prefix, lambda: self._store.in_folders(prefix, name))

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore."""

        async def one(wish: Copy) -> ObjectInfo | BqdumpError:
            before = self._store.peek(wish.target)
            [result] = await self._store.copy([wish], origin)
            if isinstance(result, ObjectInfo):
                result = self._lose_record(wish.target) or result
            if isinstance(result, ObjectInfo):
                self._laws.copied(self._network.process.run, wish, before, result)
            return result

        return await self._batch("copy", [(wish.target, wish) for wish in copies], one)

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        """See ObjectStore."""

        async def add() -> ObjectInfo:
            added = await self._store.append(name, generation, data, scratch)
            added = self._lose_record(name) or added
            self._laws.appended(self._network.process.run, name)
            return added

        return await self._network.call("append", name, add, changes=True)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""

        async def one(wish: tuple[str, int]) -> bool | BqdumpError:
            before = self._store.peek(wish[0])
            [result] = await self._store.delete([wish])
            if result is True and before is not None:
                self._laws.deleted(self._network.process, before[1])
            return result

        return await self._batch("delete", [(wish[0], wish) for wish in objects], one)

    async def discard_uploads(self, names: Collection[str]) -> None:
        """See ObjectStore. There are none."""

    async def close(self) -> None:
        """Nothing to let go of."""

    def _lose_record(self, name: str) -> ObjectInfo | None:
        """Where writes are two steps, a process that dies in the middle of one has taken the first only."""
        if self._network.process.doomed and isinstance(self._store, TwoStepStore):
            return self._store.enter_again(name)
        return None

    async def _write(self, name: str, carry_out: Callable[[], Awaitable[int]]) -> int:
        async def write() -> int:
            before = self._store.peek(name)
            generation = await carry_out()
            self._lose_record(name)
            self._laws.written(self._network.process, name, before)
            return generation

        return await self._network.call("write", name, write, changes=True)

    async def _listed(
        self, operation: str, prefix: str, listing: AsyncIterator[list[Result]]
    ) -> AsyncIterator[list[Result]]:
        while (page := await self._network.call(operation, prefix, lambda: _next(listing))) is not None:
            yield page

    async def _batch(
        self,
        operation: str,
        wishes: list[tuple[str, Result]],
        one: Callable[[Result], Awaitable[Answer | BqdumpError]],
    ) -> list[Answer | BqdumpError]:
        """Carry out one item after the other, in any order; each item may fail by itself."""
        if not wishes:
            return []
        network, dice = self._network, self._network.dice
        answers: dict[int, Answer | BqdumpError] = {}

        async def carry_out() -> None:
            for index in dice.rng.sample(range(len(wishes)), len(wishes)):
                await network.travel(None)
                name, wish = wishes[index]
                fate = dice.fate()
                if fate is Fate.CRASH_BEFORE:
                    network.crash()
                lost = dice.refusal(operation, name)
                if fate in (Fate.LOST, Fate.LATE):
                    answers[index] = lost
                    continue
                network.process.doomed = fate is Fate.CRASH_AFTER
                answer = await one(wish)
                network.trace.add(network.process.name, operation, name, fate.name)
                answers[index] = lost if fate is Fate.UNANSWERED else answer
                if fate is Fate.CRASH_AFTER:
                    network.crash()

        await network.call(operation, f"{len(wishes)} objects", carry_out)
        order = range(len(wishes))
        return [answers[index] for index in (reversed(order) if operation == "copy" and dice.shuffles() else order)]


Answer = TypeVar("Answer")


async def _next(listing: AsyncIterator[Result]) -> Result | None:
    return await anext(listing, None)


class FaultyReader:
    """A Reader whose sessions are opened over such a network and may end; streams come whole or not at all."""

    def __init__(
        self, reader: MemoryReader, streams: dict[str, tuple[str, ...]], network: Network, patience: Patience
    ) -> None:
        self._reader, self._streams, self._network = reader, streams, network
        self._retrying = Retrying(patience)

    async def open(self, request: ReadRequest) -> ReadSession:
        """See Reader."""
        return await self._retrying.call(
            lambda: self._network.call("open", request.table, lambda: self._reader.open(request))
        )

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """See Reader."""
        return resumed(self._retrying, lambda start: self._read(stream, start), offset)

    def _read(self, stream: str, offset: int) -> Iterator[Batch]:
        dice = self._network.dice
        if dice.weather.expiring and dice.rng.random() < dice.weather.expiring:
            session = stream.partition("/")[0]
            for name in [name for name in self._streams if name.startswith(f"{session}/")]:
                del self._streams[name]
        return self._reader.read(stream, offset)

    def now(self) -> int:
        """See Reader."""
        return self._reader.now()

    async def close(self) -> None:
        """Nothing to let go of."""


class FaultyWarehouse:
    """A Warehouse over such a network."""

    def __init__(self, warehouse: MemoryWarehouse, network: Network, laws: Laws) -> None:
        self._warehouse, self._network, self._laws = warehouse, network, laws

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """See Warehouse."""
        return await self._network.call("datasets", "", lambda: self._warehouse.list_datasets(project))

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        return await self._network.call("dataset", name, lambda: self._warehouse.dataset(project, name))

    def reader(self, patience: Patience) -> FaultyReader:
        """A reader of the same tables."""
        reader = MemoryReader(self._warehouse, self._warehouse.clock, batch_rows=2)
        return FaultyReader(reader, self._warehouse.streams, self._network, patience)

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return await self._network.call("now", "", lambda: self._warehouse.now(location))

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""

        async def listing() -> list[Listed]:
            tables = await self._warehouse.tables(dataset)
            self._laws.listed(self._network.process, [table.name for table in tables])
            return tables

        return await self._network.call("tables", "", listing)

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return await self._network.call("table", name, lambda: self._warehouse.table(dataset, name))

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        return await self._network.call("row_policies", table, lambda: self._warehouse.row_policies(dataset, table))

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """See DefinitionReader."""
        ask = self._warehouse.grantees
        return await self._network.call("grantees", table, lambda: ask(dataset, table, policy))

    async def routines(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._network.call("routines", "", lambda: self._warehouse.routines(dataset))

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """See DefinitionReader."""
        return await self._network.call("routine", name, lambda: self._warehouse.routine(dataset, name))

    async def models(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._network.call("models", "", lambda: self._warehouse.models(dataset))

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """See DefinitionReader."""
        return await self._network.call("indexes", "", lambda: self._warehouse.indexes(dataset, max_bytes_billed))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse. The request for a table that is gone is refused, or becomes a job that fails."""
        return await self._start("extract", request, lambda: self._warehouse.extract(request))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        ask = self._warehouse.estimate
        return await self._network.call("estimate", table, lambda: ask(dataset, table, select, parameters))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        ask = self._warehouse.ask
        return await self._network.call("ask", table, lambda: ask(dataset, table, select, max_bytes_billed))

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """See Warehouse."""
        counts = self._warehouse.counts
        return await self._network.call("counts", table, lambda: counts(dataset, table, select, max_bytes_billed))

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        partitions = self._warehouse.partitions
        return await self._network.call("partitions", "", lambda: partitions(dataset, tables, max_bytes_billed))

    async def policed(self, dataset: Dataset) -> list[str]:
        """See Warehouse."""
        return await self._network.call("policed", "", lambda: self._warehouse.policed(dataset))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await self._network.call("captured", "", lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse; as with extract."""
        return await self._start("query", request, lambda: self._warehouse.query(request))

    async def _start(
        self, operation: str, request: ExtractRequest | QueryRequest, insert: Callable[[], Awaitable[Job]]
    ) -> Job:
        async def start() -> Job:
            gone = await self._warehouse.table(request.dataset, request.table) is None
            if gone and self._network.dice.rng.random() < 0.5:
                raise NotFoundError("start", f"job {request.job_id}", f"Not found: Table {request.table}")
            with Outside():
                return await insert()

        return await self._network.call(operation, request.job_id, start, changes=True)

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse."""
        return await self._network.call("job", job_id, lambda: self._warehouse.job(job_id, location))

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse. A job may be missing from a listing."""
        listing, dice = self._warehouse.jobs(since), self._network.dice
        while (page := await self._network.call("jobs", "", lambda: _next(listing))) is not None:
            yield [job for job in page if dice.rng.random() >= dice.weather.unlisted]

    def share_limits(self, sharing: Sharing) -> None:
        """See Warehouse."""

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""

        async def look() -> set[str]:
            jobs = await self._warehouse.at_work(since)
            self._laws.at_work(self._network.process, jobs)
            return jobs

        return await self._network.call("at_work", "", look)

    async def close(self) -> None:
        """Nothing to let go of."""
