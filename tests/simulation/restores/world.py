"""One schedule of restores: executions that overlap, crash and repeat, files and tables that change, and law 9."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any
from unittest import mock

import msgspec

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, QuotaError, UnavailableError, UsageError, VerificationError
from bqdump.core.restore.drill import Drilled, Sample
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.ports.warehouse import JobError
from bqdump.restoration.drill import NAME
from bqdump.restoration.drill import drill_one as drill
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request, Task
from bqdump_memory import gated
from simulation.faults import Network
from simulation.loop import VirtualLoop
from simulation.process import CrashedError, Process, adopt
from simulation.restores import scenery
from simulation.restores.laws import RestoreLaws
from simulation.restores.network import FaultyPort
from simulation.restores.scenery import EPOCH, INTO, PROJECT, SETTINGS, Warehouse
from simulation.schedule import Verdict, nothing_by_chance, verdict, without_pages
from simulation.trace import Trace
from simulation.weather import CALM, Dice, forecast

ATTEMPTS = 2
# Scratch tables that a late request has created expire within this time.
EXPIRED_SECONDS = 4 * 86_400.0
Ended = Restoration | Drilled | BqdumpError | None


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same verdict, whatever ran before."""
    with nothing_by_chance(seed, EPOCH) as (patches, names):
        patches.enter_context(mock.patch("bqdump.core.restore.loads.MOST_FILES", names.choice((1, 2, 100))))
        patches.enter_context(mock.patch("bqdump.core.restore.partitions.MOST_CHANGED", 2))
        without_pages(patches, "report.render_report", "report.render_restored")
        if seed % 4:
            # Choosing one finisher saves work and must not be what safety rests on.
            patches.enter_context(mock.patch("bqdump.restoration.restore.takes_turn", _everybody))
        return SimulatedRestores(seed, None if whole_trace else 60).verdict()


async def _everybody(_finishing: object) -> bool:
    """Every task that sees all tables done goes on with what follows them."""
    return True


class SimulatedRestores:
    """Everything of one schedule."""

    laws: RestoreLaws

    def __init__(self, seed: int, trace: int | None) -> None:
        self.rng = random.Random(f"{seed} world")
        self.seed = seed
        self.loop = VirtualLoop(f"{seed} loop", adopt)
        self.trace = Trace(self.loop.time, trace)
        self.dice = Dice(f"{seed} dice", CALM)
        self.store = MemoryStore("bucket")
        self.store.clock = self.clock
        self.big = Warehouse(
            self.store,
            self.clock,
            seconds=self._seconds,
            failing=self._job_ends,
            matching=scenery.matching,
            page=self.rng.choice((1, 3, 1000)),
        )
        self._executions = self._processes = self._drills = 0

    def clock(self) -> int:
        """The warehouse's clock."""
        return EPOCH + int(self.loop.time() * 1000)

    def verdict(self) -> Verdict:
        """Run it to its end."""
        return verdict(self, lambda problem: self.laws.blame(problem))

    async def main(self) -> None:
        rng = self.rng
        found = await scenery.build(rng, self.store, self.big)
        self.laws = RestoreLaws(self.big, found, self.loop.stop)
        self.dice.weather = forecast(rng)
        runs = list(found.manifests)
        commands = [(rng.choice(runs), rng.choice((1, 1, 2, 3))) for _ in range(rng.choice((1, 1, 2, 2)))]
        others = [self.loop.create_task(other) for other in (self._intrude(), self._replace_files())]
        drilling = self.loop.create_task(self._drill_meanwhile(rng.choice(runs)))
        started = [self._execute(run, tasks, rng.choice((0.0, rng.uniform(0, 20)))) for run, tasks in commands]
        await asyncio.gather(*started)
        await drilling
        self.dice.clear_up()
        for other in others:
            other.cancel()
        # Whatever is still under way, such as requests that arrive late and jobs, ends within this time.
        await asyncio.sleep(1000.0)
        for run in dict.fromkeys(run for run, _ in commands):
            await self._finish(run)
        if len(self.laws.scenery.manifests) == 1:
            self.laws.settled()
        if self._drills:
            await self._drill(runs[-1])
        await asyncio.sleep(EXPIRED_SECONDS)
        await self._nothing_beside()

    async def _execute(self, run: str, tasks: int, start: float) -> None:
        """The tasks of one execution of a command, as an engine starts, restarts and duplicates them."""
        await asyncio.sleep(start)
        name, rng = self._new_execution(), self.rng
        starts = [task for task in range(tasks) if task == 0 or rng.random() < 0.9]
        starts += [task for task in starts if rng.random() < 0.2]
        await asyncio.gather(*(self._supervise(run, Owner(name, task), tasks) for task in starts))

    async def _supervise(self, run: str, owner: Owner, tasks: int) -> None:
        for _ in range(ATTEMPTS):
            await asyncio.sleep(self.rng.choice((0.0, self.rng.uniform(0.1, 10.0))))
            if isinstance(await self._once(run, owner, tasks), Restoration):
                return

    def _new_execution(self) -> str:
        self._executions += 1
        return f"x{self._executions}"

    async def _once(self, run: str, owner: Owner, tasks: int) -> Ended:
        """One process of one task of a restore, from its start to its end; None where it died."""
        return await self._process(run, owner, tasks, Request(self.laws.scenery.options, run))

    async def _drill_meanwhile(self, run: str) -> None:
        """At times, a drill of a run while restores are at work."""
        rng = random.Random(f"{self.seed} drill")
        if rng.random() < 0.25:
            await asyncio.sleep(rng.uniform(0.0, 30.0))
            await self._drill(run)

    async def _drill(self, run: str) -> None:
        """One process of a drill, which drops its dataset. In calm weather it says what differs, or proves the run."""
        self._drills += 1
        swapped, before = set(self.laws.swapped), set(self._drill_datasets())
        request = Request(Options(project=PROJECT, dataset=""), run)
        ended = await self._process(run, Owner(f"drill{self._drills}", 0), 1, request)
        if self.dice.weather is CALM:
            self.laws.hold(isinstance(ended, Drilled), f"a drill of {run} ends with {ended}")
            self.laws.hold(set(self._drill_datasets()) == before, "a drill leaves its dataset")
        if isinstance(ended, Drilled):
            self.laws.drilled(ended, swapped, calm=self.dice.weather is CALM)

    def _drill_datasets(self) -> list[str]:
        """The scratch datasets of drills."""
        return [name for _, name in self.big.datasets if name.startswith(NAME)]

    async def _process(self, run: str, owner: Owner, tasks: int, request: Request) -> Ended:
        """One process, from its start to its end; None where it died. A request without a dataset is a drill."""
        self._processes += 1
        process = Process(f"{owner.execution}/{owner.task}#{self._processes} {run}", run)
        network = Network(process, self.dice, self.trace)
        if (fatal := self.dice.kill_after()) is not None:
            self.loop.call_later(fatal, process.kill)
        elif not request.options.dataset and self.dice.weather is not CALM and self.rng.random() < 0.5:
            # A drill has one process, which is killed half of the time.
            self.loop.call_later(self.rng.uniform(1.0, 60.0), process.kill)
        patience = Patience(tries=self.dice.weather.tries)
        store: Any = FaultyPort(self.store, network, self.laws.heard)
        destination: Any = FaultyPort(self.big, network, self.laws.heard)
        settings = msgspec.structs.replace(SETTINGS, concurrency=self.rng.choice((1, 2, 500)))
        task = Task(
            RetryingStore(store, patience),
            gated(destination, Gate(patience)),
            settings,
            request,
            owner,
            tasks,
        )
        is_drill = not request.options.dataset
        if is_drill:
            task = task._replace(documents=MemoryStore())
        work: Coroutine[Any, Any, Restoration | Drilled] = drill(task, Sample()) if is_drill else restore(task)
        try:
            result = await process.execute(work)
        except CrashedError:
            self.trace.add(process.name, "died", "", "")
            return None
        except BqdumpError as error:
            self.trace.add(process.name, "failed", "", f"{type(error).__name__} {error}")
            explained = isinstance(error, (UnavailableError, QuotaError))
            self.laws.hold(explained or self._refused(run, error), f"{process.name} failed: {error!r}")
            return error
        except Exception as error:
            self.laws.blame(f"{process.name} failed: {error!r}")
            raise
        self.trace.add(process.name, "ended", "", result.state)
        if isinstance(result, Restoration):
            self.laws.ended(result)
        return result

    def _refused(self, run: str, error: BqdumpError) -> bool:
        """Whether a restore was refused for a reason that exists."""
        if isinstance(error, VerificationError):
            return bool(self.laws.swapped)
        others = self.laws.strangers or len(self.laws.scenery.manifests) > 1
        reasons = ("not empty", "another kind", "its partitioning or clustering", "is at work there")
        in_the_way = any(reason in error.cause for reason in reasons)
        return isinstance(error, UsageError) and in_the_way and bool(others)

    async def _finish(self, run: str) -> None:
        """The same command again, while nothing fails: it restores everything, or names what cannot be restored."""
        ended = await self._once(run, Owner(self._new_execution(), 0), 1)
        if not isinstance(ended, Restoration) or ended.state == "restored":
            return
        allowed = self.laws.swapped | self.laws.strangers
        shared = len(self.laws.scenery.manifests) > 1
        for one in ended.failed:
            known = one.name in allowed or bool(allowed and one.kind != "TABLE")
            self.laws.hold(shared or known, f"{one.name} is not restored: {one.reason}: {one.message}")

    async def _nothing_beside(self) -> None:
        """In the end every table of the target is one of the export, or was not made by a restore."""
        dataset = (PROJECT, INTO)
        if dataset in self.big.datasets:
            await self.big.tables(await self.big.dataset(*dataset))
            self.laws.look()
            left = [name for name in self.laws.target if name.startswith("bqdump_scratch_")]
            self.laws.hold(not left, f"scratch tables do not expire: {left}")
        for name in self._drill_datasets():
            tables = await self.big.tables(await self.big.dataset(PROJECT, name))
            self.laws.hold(not tables, f"tables of a drill do not expire: {tables}")

    async def _intrude(self) -> None:
        """At times, something else creates a table in the target, under a name that is still free."""
        rng = random.Random(f"{self.seed} intruder")
        if rng.random() >= 0.25:
            return
        await asyncio.sleep(rng.uniform(0.0, 30.0))
        while (PROJECT, INTO) not in self.big.datasets:
            await asyncio.sleep(rng.uniform(0.1, 2.0))
        name = rng.choice(sorted({*self.laws.exported, "last", "other"}))
        if name not in self.laws.target:
            self.big.put(PROJECT, INTO, name, rng.choice(((), ("a stranger,1",))))
            self.trace.add("stranger", "created", name, "")
            self.laws.strangers.add(name)
            self.laws.protect(INTO, name)

    async def _replace_files(self) -> None:
        """At times, files of the export are replaced by others with as many rows."""
        rng = random.Random(f"{self.seed} files")
        if rng.random() >= 0.25:
            return
        await asyncio.sleep(rng.choice((0.0, rng.uniform(0.0, 30.0))))
        for manifest in self.laws.scenery.manifests.values():
            entry = rng.choice(manifest.tables)
            for file in entry.files:
                found = self.store.peek(file.name)
                assert found
                self.store.put_now(file.name, found[0].replace(b" of ", b" OF "))
            self.trace.add("exporter", "replaced", entry.table, "")
            self.laws.swapped.add(entry.table)

    def _seconds(self, table: str) -> float:
        if self.dice.weather is CALM:
            return 0.0
        return self.dice.rng.choice((0.0, 0.1, 1.0, self.dice.rng.uniform(1.0, 30.0)))

    def _job_ends(self, table: str, job_id: str) -> JobError | None:
        if job_id in self.big.started and self.big.too_many_partitions(job_id):
            return JobError("invalid", "Too many partitions produced by query, allowed 4000")
        return self.dice.job_error()
