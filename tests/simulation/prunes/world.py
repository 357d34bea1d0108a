"""One schedule of retention: prunes at the same time as exports, verifications and restores, all of which may die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.check.findings import Verified
from bqdump.check.verify import verify
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import NAME
from bqdump.core.errors import BqdumpError, NotFoundError, QuotaError, UnavailableError, UsageError
from bqdump.core.iceberg.table import HINT, run_of
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.retention.erased import ErasedFrom, requested_erasure
from bqdump.core.retention.policy import policy_of
from bqdump.core.retention.pruned import Pruned
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import rfc3339
from bqdump.export.act import TaskResult
from bqdump.export.run import run as export
from bqdump.export.task import Task
from bqdump.repository.notes import change_tags
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as RestoreTask
from bqdump.retain import erase as erasure
from bqdump.retain.prune import prune
from bqdump.retain.rewrite import Task as Erasing
from bqdump.retain.survey import Task as PruneTask
from bqdump_memory import MemoryDestination, gated
from simulation.faults import Network
from simulation.loop import VirtualLoop
from simulation.process import CrashedError, Process, adopt
from simulation.prunes.laws import PruneLaws
from simulation.restores.network import FaultyPort
from simulation.schedule import Verdict, nothing_by_chance, verdict, without_pages
from simulation.trace import Trace
from simulation.view import metadata_of
from simulation.weather import CALM, Dice, forecast

PROJECT, SOURCE = "p", "d"
EPOCH = 1_790_000_000_000
TABLES = ("a", "b", "c")
HOUR, DAY = 3600.0, 86_400.0
# Processes that only read.
READERS = ("verify", "restore")
# Longer than any request takes: a run that has not ended after this time has no request under way.
ABANDONED_SECONDS = 3 * int(DAY)
# Of a restore, where an erasure has written the manifest anew that it was planned from.
REWRITTEN = "it was replaced after the restore had been planned"
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
PATHS = ("{run}/{table}/{table}_*.{ext}", "{run}/{table}/{table}_*.{ext}", "{table}/{run}_*.{ext}", "{table}/*.{ext}")


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same verdict, whatever ran before."""
    with nothing_by_chance(seed, EPOCH) as (patches, _):
        without_pages(patches, "report.render_report", "report.render_unpublished", "report.render_restored")
        return SimulatedPrunes(seed, None if whole_trace else 60).verdict()


class Deletions:
    """A store that shows deletions to the laws before they are made, one by one."""

    def __init__(self, store: MemoryStore, laws: PruneLaws, process: str) -> None:
        self._store, self._laws, self._process = store, laws, process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        results: list[bool | BqdumpError] = []
        for one in objects:
            self._laws.deleting(self._process, [one])
            results += await self._store.delete([one])
        return results


class Pausing(FaultyPort):
    """A port whose process stands still, at times for hours: before it stores a plan or a manifest, and once it has
    stored a mark or, as a reader, read a manifest.

    planning: called with the snapshot time of a plan that is about to be stored.
    """

    planning: Callable[[int], None] = staticmethod(lambda snapshot: None)

    async def _request(self, name: str, ask: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        subject = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        if name == "write" and "/runs/" in subject and subject.endswith("/plan.json"):
            seconds = self._seconds(0.0, 0.0, 20.0, 19 * HOUR, 21 * HOUR)
            if seconds:
                self.planning(int(msgspec.json.decode(arguments[1])["snapshot"]))
            await asyncio.sleep(seconds)
        elif name == "write" and subject.endswith("/manifest.json"):
            await asyncio.sleep(self._seconds(0.0, 0.0, 20.0, 4 * HOUR))
        answer = await super()._request(name, ask, arguments)
        if name == "read" and subject.endswith("/manifest.json") and self._network.process.name.startswith(READERS):
            # Its run may be pruned, and the files deleted a day later.
            await asyncio.sleep(self._seconds(0.0, 0.0, 0.0, 26 * HOUR))
        if name == "write_note" and "/log/pruned/" in subject:
            await asyncio.sleep(self._seconds(0.0, 0.0, 20.0, 80.0))
        return answer

    def _seconds(self, *choices: float) -> float:
        dice = self._network.dice
        return 0.0 if dice.weather is CALM else dice.rng.choice(choices)


class SimulatedPrunes:
    """Everything of one schedule."""

    def __init__(self, seed: int, trace: int | None) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed} world")
        self.loop = VirtualLoop(f"{seed} loop", adopt)
        self.trace = Trace(self.loop.time, trace)
        self.dice = Dice(f"{seed} dice", CALM)
        self.store = MemoryStore("bucket", page=self.rng.choice((1, 3, 1000)))
        self.store.clock = self.clock
        self.big = MemoryDestination(self.store, self.clock, seconds=self._seconds, shard_rows=2)
        path, incremental = self.rng.choice(PATHS), random.Random(f"{seed} incremental").random() < 0.6
        self.settings = msgspec.structs.replace(SETTINGS, path=path, incremental=incremental)
        if random.Random(f"{seed} iceberg").random() < 0.3:
            self.settings = msgspec.structs.replace(self.settings, format="parquet", iceberg=True)
        self.laws = PruneLaws(self.store, self.settings, self.loop.stop)
        self.started: dict[str, Settings] = {}
        self.told: set[str] = set()
        self.erasures = 0
        self._processes = 0

    def clock(self) -> int:
        """The warehouse's clock, and that of prune."""
        return EPOCH + int(self.loop.time() * 1000)

    def verdict(self) -> Verdict:
        """Run it to its end."""
        return verdict(self, self.laws.blame)

    async def main(self) -> None:
        rng = self.rng
        for name in TABLES:
            self._put(name)
        self.laws.foreign["x/README.txt"] = self.store.put_now("x/README.txt", b"mine").generation
        for number in range(rng.choice((1, 2, 2, 3, 4))):
            await self._export(f"r{number}")
            await asyncio.sleep(rng.uniform(1.0, 100.0))
        self.dice.weather = forecast(rng)
        begun = list(self.started)
        work: list[Coroutine[Any, Any, object]] = [
            self._export(f"n{number}", rng.uniform(0.0, 30.0)) for number in range(rng.choice((0, 1, 2, 2)))
        ]
        work += [self._prune_repeatedly(rng.uniform(0.0, 30.0)) for _ in range(rng.choice((1, 1, 2)))]
        work += [self._verify(rng.choice(begun), rng.uniform(0.0, 40.0)) for _ in range(rng.choice((0, 1, 2)))]
        work += [self._restore(rng.choice(begun), rng.uniform(0.0, 40.0)) for _ in range(rng.choice((0, 1)))]
        work += [self._tag(rng.choice(begun), rng.uniform(0.0, 40.0)) for _ in range(rng.choice((0, 0, 1)))]
        # Drawn apart, so that the other schedules stay what they were.
        erasing = random.Random(f"{self.seed} erasures")
        if erasing.random() < 0.3:
            work += [
                self._erase(erasing.choice(TABLES), erasing.uniform(0.0, 60.0)) for _ in range(erasing.choice((1, 2)))
            ]
        await asyncio.gather(*work)
        self.dice.clear_up()
        await asyncio.sleep(1000.0)
        await self._finish()

    def _put(self, table: str) -> None:
        """Give a table new rows."""
        rows = [f"{table} at {self.clock()} {number}" for number in range(self.rng.randint(0, 4))]
        self.big.put(PROJECT, SOURCE, table, rows)

    async def _export(self, run: str, start: float = 0.0, *, again: bool = False) -> TaskResult | BqdumpError | None:
        """One task of a run; it exports some tables only, at times, and keeps the others of the published export."""
        await asyncio.sleep(start)
        settings = self.started.get(run)
        if settings is None or not again:
            for table in self.rng.sample(TABLES, self.rng.randint(0, 2)):
                self._put(table)
            settings = self.settings
            if self.rng.random() < 0.6:
                chosen = tuple(self.rng.sample(TABLES, self.rng.choice((1, 1, 2))))
                settings = msgspec.structs.replace(settings, include=chosen, keep_others=True)
            self.started[run] = settings

        def work(process: Process, network: Network) -> Coroutine[Any, Any, TaskResult]:
            warehouse: Any = gated(FaultyPort(self.big, network, self.laws.heard), Gate(self._patience()))
            return export(Task(self._store(process, network), warehouse, settings, run, Owner(process.name, 0), 1))

        ended: TaskResult | BqdumpError | None = await self._process(f"export {run}", run, work)
        return ended

    async def _prune(self, start: float = 0.0, **policy: Any) -> Pruned | BqdumpError | None:
        """One prune, with a policy of its own."""
        await asyncio.sleep(start)
        rng = self.rng
        chosen = {"keep_last": rng.choice((1, 1, 2)), "keep_tag": rng.choice(((), (), ("audit",)))} | policy
        settings = msgspec.structs.replace(self.settings, **chosen)

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Pruned]:
            warehouse: Any = gated(FaultyPort(self.big, network, self.laws.heard), Gate(self._patience()))
            store = self._store(process, network)
            return prune(
                PruneTask(store, settings, policy_of(settings), self.clock(), delete=True, at_work=warehouse.at_work)
            )

        ended: Pruned | BqdumpError | None = await self._process("prune", "", work)
        if isinstance(ended, Pruned):
            self.told.update(ended.left)
        return ended

    async def _erase(self, table: str, start: float) -> ErasedFrom | BqdumpError | None:
        """One erasure; where one of this table was interrupted, it goes on with that."""
        await asyncio.sleep(start)
        self.erasures += 1
        task = Erasing(self.store, self.settings, requested_erasure(table, "", "a request", "dana", self.clock()))

        def work(process: Process, network: Network) -> Coroutine[Any, Any, ErasedFrom]:
            return erasure.erase(task._replace(store=self._store(process, network), delete=True))

        ended: ErasedFrom | BqdumpError | None = await self._process(f"erase {table}", "", work)
        if isinstance(ended, ErasedFrom):
            self.laws.erased(table, ended.runs)
        return ended

    async def _finish_erasures(self) -> None:
        """The same command finishes an erasure that was killed, or says that it was refused."""
        if begun := self.laws.view.erasing():
            ended = await self._erase(begun.table, 0.0)
            self.laws.hold(isinstance(ended, ErasedFrom | UsageError), f"an erasure ends with {ended!r}")
            self.laws.hold(self.laws.view.erasing() is None, f"the mark of {begun.table} stays: {ended!r}")

    def _planning(self, snapshot: int) -> None:
        """While a run stands still before its plan is stored, another one is published, and what it relies on pruned:
        it leaves the log at once, and its files a day later.
        """
        self.loop.create_task(self._overtake(f"o{self._processes}", rfc3339(snapshot - 1)))

    async def _overtake(self, run: str, snapshot_time: str) -> None:
        self.started[run] = msgspec.structs.replace(self.settings, snapshot_time=snapshot_time)
        await self._export(run, again=True)
        await self._prune(keep_last=1, keep_tag=())
        await self._prune(DAY, keep_last=1, keep_tag=())

    async def _prune_repeatedly(self, start: float) -> None:
        await asyncio.sleep(start)
        for _ in range(self.rng.choice((1, 2, 4))):
            await self._prune(self.rng.choice((0.0, self.rng.uniform(0.0, 40.0), DAY)))

    async def _verify(self, run: str, start: float) -> None:
        await asyncio.sleep(start)
        latest = self.laws.view.latest()

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Verified]:
            return verify(self._store(process, network), self.settings, run)

        ended = await self._process(f"verify {run}", run, work)
        if isinstance(ended, NotFoundError):
            self.laws.refused("a verification", run, ended)
        elif isinstance(ended, Verified):
            now = self.laws.view.latest()
            moved = latest is None or now is None or not latest.run == now.run == run
            replaced = not self.settings.template.keeps and (moved or bool(self._announced()))
            self.laws.verified(run, ended.findings, replaced=replaced or bool(self.erasures))

    async def _restore(self, run: str, start: float) -> None:
        await asyncio.sleep(start)
        if not self.settings.template.keeps:
            return
        into = f"copy{self._processes}"

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Restoration]:
            destination: Any = FaultyPort(self.big, network, self.laws.heard)
            request = Request(Options(project=PROJECT, dataset=into), run)
            return restore(
                RestoreTask(
                    self._store(process, network),
                    gated(destination, Gate(self._patience())),
                    self.settings,
                    request,
                    Owner(process.name, 0),
                    1,
                )
            )

        ended = await self._process(f"restore {run}", run, work)
        if isinstance(ended, Restoration) and ended.state == "restored":
            self.laws.restored(run, self.big, (PROJECT, into))
        elif isinstance(ended, NotFoundError) and not (self.erasures and REWRITTEN in str(ended)):
            self.laws.refused("a restore", run, ended)
        elif isinstance(ended, Restoration):
            self.laws.hold(not self.laws.gone(run), f"a restore of {run}, which was pruned, ends with {ended.failed}")

    async def _tag(self, run: str, start: float) -> None:
        await asyncio.sleep(start)

        def work(process: Process, network: Network) -> Coroutine[Any, Any, tuple[str, ...]]:
            name = self.rng.choice(("keep", "audit"))
            return change_tags(self._store(process, network), self.settings.layout, run, [name])

        ended = await self._process(f"tag {run}", run, work)
        if ended == ("keep",):
            self.laws.hold(not self.laws.gone(run), f"{run} is tagged, and pruned")

    def _announced(self) -> bool:
        now, latest = self.laws.view.publishing(), self.laws.view.latest()
        return now is not None and latest is not None and now.run != latest.run

    async def _process(self, name: str, run: str, work: Any) -> Any:
        """One process, from its start to its end: its result or its error, None where it died."""
        self._processes += 1
        process = Process(f"{name}#{self._processes}", run)
        network = Network(process, self.dice, self.trace)
        if (fatal := self.dice.kill_after()) is not None:
            self.loop.call_later(fatal, process.kill)
        try:
            result = await process.execute(work(process, network))
        except CrashedError:
            self.trace.add(process.name, "died", "", "")
            return None
        except BqdumpError as error:
            self.trace.add(process.name, "failed", "", f"{type(error).__name__} {error}")
            refused = any(why in str(error) for why in ("is being erased", "was pruned more than 20 hours ago"))
            if self.dice.weather is CALM and isinstance(error, (UnavailableError, QuotaError)) and not refused:
                self.laws.blame(f"{process.name} fails: {error!r}")
            return error
        except Exception as error:
            self.laws.blame(f"{process.name} failed: {error!r}")
            raise
        self.trace.add(process.name, "ended", "", getattr(result, "state", ""))
        return result

    def _store(self, process: Process, network: Network) -> Any:
        store: Any = Pausing(Deletions(self.store, self.laws, process.name), network, self.laws.heard)
        store.planning = self._planning
        return RetryingStore(store, self._patience())

    def _patience(self) -> Patience:
        return Patience(tries=self.dice.weather.tries)

    def _seconds(self, table: str) -> float:
        return 0.0 if self.dice.weather is CALM else self.dice.rng.choice((0.0, 0.1, 1.0, 20.0))

    async def _finish(self) -> None:
        """In calm weather: resume some runs, leave the others, publish a last one, and prune."""
        await self._finish_erasures()
        for run in list(self.started):
            if self.rng.random() < 0.5:
                await self._export(run, again=True)
        await asyncio.sleep(ABANDONED_SECONDS + 1.0)
        # Of all tables, so that it need not carry over what another run was replacing when it stopped.
        self.started["last"] = self.settings
        ended = await self._export("last", again=True)
        self.laws.hold(isinstance(ended, TaskResult), f"the last run ends with {ended!r}")
        count = self.rng.choice((1, 2))
        result = await self._prune(keep_last=count, keep_tag=())
        if not isinstance(result, Pruned):
            self.laws.blame(f"the last prune ends with {result!r}")
            return
        swept = await self._prune(DAY, keep_last=count, keep_tag=())
        self.laws.hold(isinstance(swept, Pruned) and not swept.later_files, f"a prune a day later ends with {swept!r}")
        again = await self._prune(keep_last=count, keep_tag=())
        self.laws.hold(isinstance(again, Pruned) and not again.removed, f"another prune removes {again}")
        if any(one.state in ("complete", "partial") for one in result.removed):
            self.laws.lake_is_clean()
        self._all_in_place({one.run for one in result.kept})

    def _all_in_place(self, kept: set[str]) -> None:
        """What is kept is whole, and of the rest nothing is left that prune has not told."""
        view, layout = self.laws.view, self.settings.layout
        names = set(self.store.names_now())
        lakes = [one for manifest in self.laws.kept() for some in metadata_of(manifest).values() for one in some]
        named = self.laws.named().keys() | {(one.name, one.generation) for one in lakes}
        folders = {name.removeprefix(layout.runs).split("/")[0] for name in names if name.startswith(layout.runs)}
        self.laws.hold(folders <= kept, f"documents of {sorted(folders - kept)} stay")
        of_runs = {match["run"] for name in names if (match := NAME.fullmatch(name.removeprefix(layout.log)))}
        self.laws.hold(of_runs <= kept, f"entries of {sorted(of_runs - kept)} stay in the log")
        for manifest in self.laws.kept():
            self.laws.whole(manifest)
        stay = {name for name, _ in named} | self.laws.foreign.keys()
        unfinished = [plan for run in kept if view.manifest(run) is None and (plan := view.plan(run))]
        for name in names - stay:
            lake = name.startswith(layout.iceberg) and not name.endswith(HINT) and run_of(name) not in kept
            own = name.startswith(layout.root) or name in self.told or any(plan.run in name for plan in unfinished)
            own = own and not lake
            self.laws.hold(own, f"{name} stays, and nothing names it")
