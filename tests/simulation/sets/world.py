"""One schedule of sets: executions that overlap, tasks that die, and a dataset that fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, DatasetsFailedError, OutageError, QuotaError, UnavailableError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.task import ReadRoute
from bqdump.ports.warehouse import JobError
from bqdump.sets.run import SetResult, run_set
from bqdump.sets.task import SetTask
from bqdump_memory import MemoryWarehouse, gated
from simulation.faults import Network
from simulation.history import PROJECT, History
from simulation.loop import VirtualLoop
from simulation.process import CrashedError, Process, adopt
from simulation.restores.network import FaultyPort
from simulation.schedule import Verdict, verdict
from simulation.sets.laws import SetLaws
from simulation.trace import Trace
from simulation.weather import CALM, Dice, forecast

DATASETS = ("a", "b", "c")
ATTEMPTS = 3
SETTINGS = Settings(
    project=PROJECT, dataset="*", target=Target("gs", "bucket", "x/"), header=False, compression="none", format="csv"
)
Ended = SetResult | BqdumpError | None


def _nothing_to_read() -> ReadRoute:
    raise AssertionError("nothing is read here")


class Pausing(FaultyPort):
    """A store whose process pauses, at times, before it looks at project.json at the end of its run."""

    async def _request(self, name: str, ask: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        dice = self._network.dice
        if name == "read" and arguments[0].endswith("/project.json") and dice.weather is not CALM:
            await asyncio.sleep(dice.rng.choice((0.0, 0.0, 20.0, 200.0)))
        return await super()._request(name, ask, arguments)


class SimulatedSet:
    """Everything of one schedule."""

    def __init__(self, seed: int, trace: int | None) -> None:
        self.seed = seed
        self.rng = rng = random.Random(f"{seed} world")
        self.loop = VirtualLoop(f"{seed} loop", adopt)
        self.trace = Trace(self.loop.time, trace)
        # What fails is what the schedule lets fail.
        weather = forecast(rng)._replace(job_repeatable=0, job_permanent=0, job_quota=0, losing=0, leftovers=0)
        self.dice = Dice(f"{seed} dice", weather._replace(damaged=0, rewriting=0, expiring=0))
        self.store = MemoryStore("bucket", page=rng.choice((1, 3, 1000)))
        names = DATASETS[: rng.choice((2, 2, 2, 3))]
        self.histories = {name: History(self.loop.time, name) for name in names}
        clock = self.histories["a"].clock
        self.warehouse = MemoryWarehouse(self.store, clock, seconds=self._seconds, failing=self._job_ends)
        self.settings = SETTINGS
        self.laws = SetLaws(self.store, self.settings, self.histories, self.loop.stop)
        if rng.random() < 0.4:
            self.laws.failing.add(rng.choice(names))
        for name in names:
            self.warehouse.datasets[PROJECT, name] = {}
            for number in range(rng.choice((1, 1, 2))):
                self._put(name, self._table(name, number))
        self.runs: list[str] = []
        self._processes = 0

    def verdict(self) -> Verdict:
        """Run it to its end."""
        return verdict(self, self.laws.blame)

    async def main(self) -> None:
        """Run the schedule."""
        rng = self.rng
        writer = self.loop.create_task(self._change_tables())
        work = []
        for number in range(rng.choice((1, 2, 2, 3))):
            again = bool(self.runs) and rng.random() < 0.4
            run = rng.choice(self.runs) if again else f"r{number}"
            self.runs += [] if again else [run]
            work.append(self._execute(run, f"x{number}", rng.choice((1, 2, 2, 3)), rng.choice((0.0, 3.0, 60.0))))
        await asyncio.gather(*work)
        self.dice.clear_up()
        writer.cancel()
        await asyncio.sleep(1000.0)
        await self._finish()

    def _table(self, dataset: str, number: int) -> str:
        """The name of a table."""
        return f"{dataset}_{number}"

    def _put(self, dataset: str, table: str) -> None:
        history = self.histories[dataset]
        history.put(self.warehouse, table, history.new_rows(table, self.rng.randint(0, 3)))

    async def _change_tables(self) -> None:
        rng = random.Random(f"{self.seed} writer")
        while True:
            await asyncio.sleep(rng.expovariate(0.3))
            dataset = rng.choice(sorted(self.histories))
            history = self.histories[dataset]
            table = rng.choice(sorted(history.tables()))
            history.put(self.warehouse, table, history.tables()[table] + history.new_rows(table, 1))

    async def _execute(self, run: str, execution: str, tasks: int, start: float = 0.0) -> list[Ended]:
        """Run every task of an execution, some twice and some late, each up to so many times."""
        rng = self.rng
        await asyncio.sleep(rng.uniform(0.0, start))
        starts = [*range(tasks), *(task for task in range(tasks) if rng.random() < 0.1)]
        late = rng.choice((0.0, 1.0, 30.0))

        async def supervise(task: int, delay: float) -> Ended:
            ended: Ended = None
            for _ in range(ATTEMPTS):
                await asyncio.sleep(delay)
                ended = await self._once(run, Owner(execution, task), tasks)
                if isinstance(ended, SetResult):
                    break
                delay = rng.uniform(0.1, 10.0)
            return ended

        return list(await asyncio.gather(*(supervise(task, rng.uniform(0.0, late)) for task in starts)))

    async def _once(self, run: str, owner: Owner, tasks: int) -> Ended:
        """One process of one task: its result or its error, None where it died."""
        self._processes += 1
        process = Process(f"{owner.execution}/{owner.task}#{self._processes}", run)
        network = Network(process, self.dice, self.trace)
        if (fatal := self.dice.kill_after()) is not None:
            self.loop.call_later(fatal, process.kill)
        patience = Patience(tries=self.dice.weather.tries)
        store: Any = Pausing(self.store, network, self.laws.heard)
        warehouse: Any = FaultyPort(self.warehouse, network, self.laws.heard)
        task = SetTask(RetryingStore(store, patience), gated(warehouse, Gate(patience)), self.settings, run,
                       owner, tasks, _nothing_to_read)  # fmt: skip
        work: Coroutine[Any, Any, SetResult] = run_set(task)
        try:
            result = await process.execute(work)
        except CrashedError:
            self.trace.add(process.name, "died", "", "")
            return None
        except BqdumpError as error:
            self.trace.add(process.name, "failed", "", str(error))
            stormy = self.dice.weather is not CALM and isinstance(error, (UnavailableError, OutageError, QuotaError))
            failing = self.laws.failing | self.laws.waiting
            if not stormy and not (failing and isinstance(error, DatasetsFailedError)):
                self.laws.blame(f"{process.name} fails: {error!r}")
            return error
        except Exception as error:
            self.laws.blame(f"{process.name} failed: {error!r}")
            raise
        self.trace.add(process.name, "ended", "", result.state)
        return result

    async def _finish(self) -> None:
        """In calm weather: complete the run with the latest snapshot time, first with the dataset that fails."""
        plans = [plan for run in self.runs if (plan := self.laws.plan(run))]
        run = max(plans, key=lambda plan: plan.age).run if plans else self.runs[0]
        if self.laws.failing:
            await self._execute(run, "with-failing", 2)
            self._others_are_published(run)
            self.laws.failing.clear()
        ended = await self._execute(run, "again", 2)
        self._is_complete(run, ended)
        for late in plans:
            await self._execute(late.run, f"late-{late.run}", 1)
        self._is_complete(run, ended)

    def _others_are_published(self, run: str) -> None:
        """A dataset that fails holds back no other."""
        published = {dataset for dataset, of in self.laws.published if of == run}
        expected = self.histories.keys() - self.laws.failing
        self.laws.hold(published == expected, f"{run} has published {sorted(published)}, not {sorted(expected)}")
        project = self.laws.set_manifest()
        states = {one.dataset: one.state for one in project.datasets} if project else {}
        wanted = {name: "failed" if name in self.laws.failing else "published" for name in self.histories}
        self.laws.hold(states == wanted, f"project.json names {states}, not {wanted}")

    def _is_complete(self, run: str, ended: list[Ended]) -> None:
        """The run with the latest snapshot time is what project.json names, with every dataset."""
        states = [one.state if isinstance(one, SetResult) else repr(one) for one in ended]
        self.laws.hold("published" in states, f"{run} ends with {states}")
        project = self.laws.set_manifest()
        named = (project.run, project.status, {one.state for one in project.datasets}) if project else None
        self.laws.hold(named == (run, "complete", {"published"}), f"project.json names {named}, not all of {run}")

    def _seconds(self, _table: str) -> float:
        return 0.0 if self.dice.weather is CALM else self.dice.rng.choice((0.0, 0.1, 1.0, 20.0))

    def _job_ends(self, table: str, _job_id: str) -> JobError | None:
        return JobError("invalid", "it is broken") if table in {f"{one}_0" for one in self.laws.failing} else None
