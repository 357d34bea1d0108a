"""One schedule of copies: at the same time as exports and prunes on both sides, all of which may die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any
from unittest import mock

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.retry import RetryingStore
from bqdump.copying.run import copy
from bqdump.copying.survey import Place
from bqdump.copying.survey import Task as CopyTask
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import (
    BqdumpError,
    ConflictError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from bqdump.core.retention.erased import ErasedFrom, requested_erasure
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.core.retention.pruned import Pruned
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run as export
from bqdump.export.task import Task
from bqdump.ports.store import Abilities, ObjectInfo, Stored
from bqdump.repository.repository import exists, value_of
from bqdump.retain.erase import erase
from bqdump.retain.prune import prune
from bqdump.retain.rewrite import Task as Erasing
from bqdump.retain.survey import Task as PruneTask
from bqdump_memory import MemoryDestination
from simulation.contents import flipped
from simulation.copies.laws import CopyLaws
from simulation.faults import Network
from simulation.loop import VirtualLoop
from simulation.process import CrashedError, Process, adopt
from simulation.restores.network import FaultyPort
from simulation.schedule import Verdict, nothing_by_chance, verdict, without_pages
from simulation.trace import Trace
from simulation.weather import CALM, Dice, forecast

PROJECT, SOURCE = "p", "d"
EPOCH = 1_790_000_000_000
TABLES = ("a", "b", "c")
ABANDONED_SECONDS = 900
DAY_SECONDS = 86_400.0
SETTINGS = Settings(
    project=PROJECT,
    dataset=SOURCE,
    target=Target("gs", "bucket", "x/"),
    header=False,
    format="avro",
    keep_last=1,
    abandoned_after=ABANDONED_SECONDS,
    allow=(Risk.REMOVED_TABLES,),
)
THERE = Target("gs", "second", "y/")
PATHS = ("{run}/{table}/{table}_*.{ext}", "{table}/{table}_*.{ext}")


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same verdict, whatever ran before."""
    with nothing_by_chance(seed, EPOCH) as (patches, _):
        without_pages(patches, "report.render_report", "report.render_unpublished")
        world = SimulatedCopies(seed, None if whole_trace else 60)
        # As many batches as tasks can share.
        patches.enter_context(mock.patch("bqdump.core.copy.plan.BATCH_FILES", world.rng.choice((1, 2, 16))))
        return world.verdict()


class Streaming(FaultyPort):
    """A port whose streams are repeated as a service's own client does, and whose parts of files may arrive damaged."""

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """See ObjectStore."""
        sent = [piece async for piece in pieces]

        async def once() -> ObjectInfo:
            async def again() -> AsyncIterator[bytes]:
                for piece in sent:
                    yield piece

            stored: ObjectInfo = await self._request(
                "stream", lambda: self._port.stream(name, again(), expect), (name,)
            )
            return stored

        try:
            return await Retrying(Patience(tries=self._network.dice.weather.tries)).call(once)
        except ConflictError:
            found = await self._port.stat(name)
            if found and (await self._port.read(name)).data == b"".join(sent):
                return ObjectInfo(*found)
            raise

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        stored: Stored = await self._request("read", lambda: self._port.read(name, start, length), (name,))
        if length is None or not stored.data or self._network.dice.damage(name, start, of_file=True) is None:
            return stored
        return stored._replace(data=flipped(stored.data, 0))


class Deletions:
    """The place of the copies, which shows deletions to the laws before they are made."""

    def __init__(self, store: MemoryStore, laws: CopyLaws, process: str) -> None:
        self._store, self._laws, self._process = store, laws, process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        results: list[bool | BqdumpError] = []
        for one in objects:
            found = self._store.peek(one[0])
            if found and found[1].generation == one[1]:
                self._laws.deleting(self._process, [one])
            results += await self._store.delete([one])
        return results


class SimulatedCopies:
    """Everything of one schedule. erases: at times, a table is erased in both places."""

    erases = True

    def __init__(self, seed: int, trace: int | None) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed} world")
        self.loop = VirtualLoop(f"{seed} loop", adopt)
        self.trace = Trace(self.loop.time, trace)
        self.dice = Dice(f"{seed} dice", CALM)
        self.source = MemoryStore("bucket", page=self.rng.choice((1, 3, 1000)))
        # Of every other schedule, generations come later, as in S3.
        self.target = MemoryStore(
            "second", page=self.rng.choice((1, 3, 1000)), abilities=Abilities(late_generations=bool(seed % 2))
        )
        self.source.clock = self.target.clock = self.clock
        self.big = MemoryDestination(self.source, self.clock, seconds=lambda table: 0.0, shard_rows=2)
        path, incremental = self.rng.choice(PATHS), self.rng.random() < 0.7
        self.here = msgspec.structs.replace(SETTINGS, path=path, incremental=incremental)
        self.there = msgspec.structs.replace(self.here, target=THERE)
        self.laws = CopyLaws(self.source, self.target, self.here, self.there, self.loop.stop)
        self.told: set[str] = set()
        self._processes = self._executions = 0

    def clock(self) -> int:
        """The clock of the warehouse and of both stores."""
        return EPOCH + int(self.loop.time() * 1000)

    def verdict(self) -> Verdict:
        """Run it to its end."""
        return verdict(self, self.laws.blame)

    async def main(self) -> None:
        rng = self.rng
        for name in TABLES:
            self._put(name)
        for number in range(rng.choice((1, 2, 3, 4))):
            await self._export(f"night-{number}")
            if rng.random() < 0.6:
                await self._copy()
            await asyncio.sleep(rng.uniform(1.0, 100.0))
        if rng.random() < 0.2 and self.laws.latest():
            self._place_foreign()
        self.dice.weather = forecast(rng)
        work: list[Coroutine[Any, Any, object]] = [
            self._copy_repeatedly(rng.uniform(0.0, 30.0)) for _ in range(rng.choice((1, 2, 2, 3)))
        ]
        work += [self._prune(self.there, rng.uniform(0.0, 40.0)) for _ in range(rng.choice((0, 1, 2)))]
        work += [self._prune(self.here, rng.uniform(0.0, 40.0)) for _ in range(rng.choice((0, 0, 1)))]
        work += [self._export("later", rng.uniform(0.0, 30.0)) for _ in range(rng.choice((0, 0, 1)))]
        erasing = random.Random(f"{self.seed} erasures")
        if self.erases and erasing.random() < 0.3:
            table = erasing.choice(TABLES)
            work.append(self._erase(self.here, table, erasing.uniform(0.0, 60.0)))
            work += [self._erase(self.there, table, erasing.uniform(0.0, 200.0)) for _ in range(erasing.choice((1, 2)))]
        await asyncio.gather(*work)
        self.dice.clear_up()
        await asyncio.sleep(1000.0)
        await self._finish()

    def _put(self, table: str) -> None:
        rows = [f"{table} at {self.clock()} {number}" for number in range(self.rng.randint(0, 4))]
        self.big.put(PROJECT, SOURCE, table, rows)

    def _place_foreign(self) -> None:
        """Put a file of somebody else where a later copy stores its own."""
        name = "y/later/a/a_000000000000.avro"
        self.laws.foreign[name] = self.target.put_now(name, b"mine").generation

    async def _export(self, run: str, start: float = 0.0) -> Any:
        await asyncio.sleep(start)
        for table in self.rng.sample(TABLES, self.rng.randint(0, 2)):
            self._put(table)

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Any]:
            warehouse: Any = FaultyPort(self.big, network, lambda *_: None)
            store: Any = RetryingStore(Streaming(self.source, network, self.laws.heard_source), self._patience())
            return export(Task(store, warehouse, self.here, run, Owner(process.name, 0), 1))

        return await self._process(f"export {run}", run, work)

    async def _copy(self, start: float = 0.0, *, every: bool = False, tasks: int = 1) -> Any:
        """One execution of these tasks, some of which start late, twice, or again once they have ended."""
        await asyncio.sleep(start)
        self._executions += 1
        execution = f"copy-{self._executions}"

        async def one(number: int) -> Any:
            def work(process: Process, network: Network) -> Coroutine[Any, Any, Copied]:
                source: Any = RetryingStore(Streaming(self.source, network, lambda *_: None), self._patience())
                target = self._target(process, network)
                sides = Place(source, self.here), Place(target, self.there)
                mover, owner = StreamMover(source, target), Owner(execution, number)
                return copy(CopyTask(*sides, mover, owner, self.clock(), tasks=tasks), (), Policy(), every=every)

            if tasks > 1:
                await asyncio.sleep(self.rng.choice((0.0, 0.0, self.rng.uniform(0.0, 60.0))))
            ended = await self._process("copy", "", work)
            if tasks > 1 and (ended is None or self.rng.random() < 0.1):
                ended = await self._process("copy", "", work)
            return ended

        numbers = [*range(tasks), *([self.rng.randrange(tasks)] if tasks > 1 and self.rng.random() < 0.2 else [])]
        ended = await asyncio.gather(*map(one, numbers))
        return next((result for result in ended if not isinstance(result, Copied)), ended[0])

    async def _copy_repeatedly(self, start: float) -> None:
        await asyncio.sleep(start)
        for _ in range(self.rng.choice((1, 2, 3))):
            start, every = self.rng.choice((0.0, self.rng.uniform(0.0, 40.0))), self.rng.random() < 0.4
            await self._copy(start, every=every, tasks=self.rng.choice((1, 2, 3, 4)))

    async def _erase(self, settings: Settings, table: str, start: float = 0.0) -> Any:
        """An erasure in one of the places; where one of this table was interrupted, it goes on with that."""
        await asyncio.sleep(start)
        requested, lost = requested_erasure(table, "", "a request", "dana", self.clock()), set[tuple[str, str]]()

        def work(process: Process, network: Network) -> Coroutine[Any, Any, ErasedFrom]:
            lost.update(one for one in self.laws.lost if one[1] == table)
            source: Any = RetryingStore(Streaming(self.source, network, lambda *_: None), self._patience())
            store = self._target(process, network) if settings is self.there else source
            return erase(Erasing(store, settings, requested, delete=True))

        ended = await self._process(f"erase {table} in {settings.target.bucket}", "", work)
        if isinstance(ended, ErasedFrom) and settings is self.there:
            self.laws.erased(lost)
        elif isinstance(ended, ErasedFrom):
            self.laws.lost |= {(run, table) for run in ended.runs}
        return ended

    async def _prune(self, settings: Settings, start: float = 0.0, **policy: Any) -> Any:
        await asyncio.sleep(start)
        chosen = msgspec.structs.replace(settings, **policy)

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Any]:
            store: Any = RetryingStore(Streaming(self.source, network, lambda *_: None), self._patience())
            store = self._target(process, network) if settings is self.there else store
            return prune(PruneTask(store, chosen, policy_of(chosen), self.clock(), delete=True))

        ended: Any = await self._process("prune", "", work)
        if isinstance(ended, Pruned):
            self.told.update(ended.left)
        return ended

    def _target(self, process: Process, network: Network) -> Any:
        port = Streaming(Deletions(self.target, self.laws, process.name), network, self.laws.heard)
        return RetryingStore(port, self._patience())

    async def _process(self, name: str, run: str, work: Any) -> Any:
        """One process, from its start to its end: its result or its error, None where it died."""
        self._processes += 1
        process = Process(f"{name}#{self._processes}", run)
        network = Network(process, self.dice, self.trace)
        if (fatal := self.dice.kill_after()) is not None:
            self.loop.call_later(fatal, process.kill)
        try:
            return await process.execute(work(process, network))
        except CrashedError:
            self.trace.add(process.name, "died", "", "")
            return None
        except BqdumpError as error:
            self.trace.add(process.name, "failed", "", f"{type(error).__name__} {error}")
            awaits_erasure = "is being erased" in str(error)
            if self.dice.weather is CALM and isinstance(error, (UnavailableError, QuotaError)) and not awaits_erasure:
                self.laws.blame(f"{process.name} fails: {error!r}")
            return error
        except Exception as error:
            self.laws.blame(f"{process.name} failed: {error!r}")
            raise

    def _patience(self) -> Patience:
        return Patience(tries=self.dice.weather.tries)

    async def _finish(self) -> None:
        """In calm weather: a last export is copied, whatever came before; then the copies are pruned."""
        for settings, store in ((self.here, self.source), (self.there, self.target)):
            await self._finish_erasure(settings, store)
        if self.laws.lost and not self.laws.foreign:
            await self._follow_erasures()
        await self._export("night-last")
        ended = await self._copy(tasks=self.rng.choice((1, 2, 3, 4)))
        if isinstance(ended, VerificationError):
            # A file of somebody else has the name of one that is carried over. It is deleted, as the message says.
            for name in [name for name in self.laws.foreign if name in str(ended)]:
                await self.target.delete([(name, self.laws.foreign.pop(name))])
            ended = await self._copy()
        copied = isinstance(ended, Copied) and [one.run for one in ended.runs] == ["night-last"]
        self.laws.hold(copied, f"the last copy ends with {ended!r}")
        latest = self.laws.latest()
        self.laws.hold(latest is not None and latest.run == "night-last", "the last copy is not published")
        again = await self._copy()
        moves = not isinstance(again, Copied) or again.files
        self.laws.hold(not moves, f"a copy of the same run moves files: {again!r}")
        await asyncio.sleep(ABANDONED_SECONDS + 3700.0)
        # It takes runs out of the log, and another one deletes them a day later.
        await self._prune(self.there)
        await asyncio.sleep(DAY_SECONDS)
        await self._prune(self.there)
        there = [name for name in self.target.names_now() if name.endswith("/manifest.json")]
        manifests = [manifest for name in there if (manifest := self.laws.manifest(name))]
        for manifest in manifests:
            self.laws.whole(manifest)
        self._nothing_else(manifests)

    async def _finish_erasure(self, settings: Settings, store: MemoryStore) -> None:
        """The same command finishes an erasure that was killed, or says that it was refused."""
        if begun := await value_of(store, settings.layout.erasing):
            ended = await self._erase(settings, begun.table)
            self.laws.hold(isinstance(ended, ErasedFrom | UsageError), f"an erasure ends with {ended!r}")
            marked = await exists(store, settings.layout.erasing)
            self.laws.hold(not marked, f"the mark of an erasure stays: {ended!r}")

    async def _follow_erasures(self) -> None:
        """What was erased in the source is erased here as well, as copies say, and they go on."""
        await self._copy(every=True)
        await asyncio.sleep(ABANDONED_SECONDS + 3700.0)
        await self._prune(self.there, keep_last=9)
        for table in sorted({table for _, table in self.laws.lost}):
            ended = await self._erase(self.there, table)
            self.laws.hold(isinstance(ended, ErasedFrom | NotFoundError), f"an erasure ends with {ended!r}")
        ended = await self._copy(every=True)
        problems = [run.problem for run in ended.not_copied] if isinstance(ended, Copied) else [str(ended)]
        for problem in problems:
            # A run of the source that is later than the erasure there has lost the table here only.
            stuck = "erased from it in the source" in problem or "unfinished" in problem
            self.laws.hold(not stuck, f"after an erasure, a run is not copied: {problem}")
        for manifest in self.laws.kept():
            self.laws.without(manifest, self.laws.lost)

    def _nothing_else(self, manifests: Sequence[Manifest]) -> None:
        """Of runs that are gone nothing is left, unless another one names it, or prune has told that it stays."""
        named = {file.name for one in manifests for entry in one.tables for file in entry.files}
        state = self.there.layout.root
        left = [one for one in self.target.names_now() if not one.startswith(state) and one not in named]
        left = [one for one in left if one not in self.laws.foreign and one not in self.told]
        self.laws.hold(not left, f"{left[:3]} stay, and nothing names them")
