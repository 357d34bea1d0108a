"""One schedule: a dataset that changes, executions that overlap, crash and repeat, readers, and the laws over all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from unittest import mock

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.plan.hidden_data import expected_rows, hidden_rows
from bqdump.core.times import rfc3339
from bqdump.export.act import TaskResult
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryWarehouse
from simulation import ending, scenery
from simulation.executions import Ended, Engine, Execution
from simulation.faults import FaultyStore, FaultyWarehouse, Network
from simulation.history import DATASET, EPOCH, RIVAL, History
from simulation.law import Law
from simulation.laws import Laws
from simulation.loop import VirtualLoop
from simulation.process import Process, adopt
from simulation.readers import Reader
from simulation.schedule import Verdict, nothing_by_chance, verdict, without_pages
from simulation.trace import Trace
from simulation.two_steps import TwoStepStore
from simulation.view import View
from simulation.weather import Dice, forecast


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same verdict, whatever ran before."""
    return judged(seed, lambda: SimulatedExport(seed, None if whole_trace else 60))


def judged(seed: int, world: Callable[[], SimulatedExport]) -> Verdict:
    """The verdict on a world that is made with nothing of this process's chance in it."""
    with nothing_by_chance(seed, EPOCH) as (patches, _):
        if seed % 4:
            # Choosing one publisher saves work and must not be what safety rests on.
            patches.enter_context(mock.patch("bqdump.export.act.takes_turn", _everybody))
        # There is one clock here, so that readings just before a snapshot time are put to the test.
        patches.enter_context(mock.patch("bqdump.core.plan.reuse.CLOCKS_DIFFER_MS", 0))
        if seed % 10:
            # Pages take a fifth of the time, and no law is about them.
            without_pages(patches, "report.render_report", "report.render_unpublished")
        return world().verdict()


async def _everybody(_publishing: object) -> bool:
    """Every task that sees the run done publishes it."""
    return True


class SimulatedExport:
    """Everything of one schedule."""

    def __init__(self, seed: int, trace: int | None) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed} world")
        self.loop = VirtualLoop(f"{seed} loop", adopt)
        self.trace = Trace(self.loop.time, trace)
        self.dice = Dice(f"{seed} dice", forecast(self.rng))
        self.history = History(self.loop.time)
        # Drawn apart, so that the other schedules stay what they were.
        kind = TwoStepStore if random.Random(f"{seed} two steps").random() < 0.4 else MemoryStore
        self.store = kind("bucket", page=self.rng.choice((1, 2, 3, 1000)))
        self.warehouse = MemoryWarehouse(
            self.store, self.history.clock, seconds=self._seconds, shard_rows=2, failing=self._job_ends,
            losing=self._loses, page=self.rng.choice((1, 3, 1000)),
        )  # fmt: skip
        self.scenery = scenery.build(self.rng, self.store, self.warehouse, self.history)
        if self.scenery.settings.allow_partial and self.rng.random() < 0.8:
            self.dice.weather = self.dice.weather._replace(job_permanent=0.3)
        self.view = View(self.store, self.scenery.settings.layout)
        # Drawn apart, so that the other schedules stay what they were.
        rivals, rival = random.Random(f"{seed} rival"), History(self.loop.time, RIVAL)
        self.rivals: random.Random | None = rivals if rivals.random() < 0.25 else None
        if self.rivals:
            scenery.build_rival(rivals, self.warehouse, rival)
        self.laws = Laws(self.view, {DATASET: self.history, RIVAL: rival}, self.scenery.foreign, self.loop.stop)
        self.laws.protected = dict.fromkeys(self.warehouse.policies, 0)
        self.lossy: set[str] = set()
        self.engine = Engine(self.rng, self._connect, self._unexpected, self.lossy)
        self.runs: dict[str, Execution] = {}
        self.started: list[Execution] = []
        self.mistaken: list[str] = []
        self.resumed = 0
        self.switching = False

    def verdict(self) -> Verdict:
        """Run it to its end."""
        return verdict(self, lambda problem: self.laws.blame(Law.RESUMABLE, problem))

    async def main(self) -> None:
        others = [
            self.loop.create_task(self._change_tables()),
            self.loop.create_task(self._protect()),
            *self._readers(),
        ]
        await asyncio.gather(*(self._execute(execution, start) for execution, start in self._executions()))
        self.dice.clear_up()
        for other in others:
            other.cancel()
        # Whatever is still under way, such as requests that arrive late and jobs, ends within this time.
        await asyncio.sleep(1000.0)
        self._readers()
        await ending.finish(self)
        await self.finish()

    async def finish(self) -> None:
        """What follows the end of all runs."""

    def _readers(self) -> list[asyncio.Task[None]]:
        latest = self.scenery.settings.layout.latest.name
        count = self.rng.randint(0, 2)
        readers = [Reader(self.rng.random(), self.store, latest, self.laws) for _ in range(count)]
        return [self.loop.create_task(reader.run()) for reader in readers]

    def _executions(self) -> list[tuple[Execution, float]]:
        """Executions and when they start: of different runs, or (at times) a second one of the same run."""
        rng = self.rng
        executions: list[tuple[Execution, float]] = []
        # Whether some runs of this target keep their files and others replace them.
        switching = self.switching = rng.random() < 0.15
        # Drawn apart, so that the other schedules stay what they were.
        seldom = random.Random(f"{self.seed} selections")
        selecting = seldom.random() < 0.4
        for number in range(rng.choice((1, 2, 2, 3, 3))):
            again = bool(executions) and rng.random() < (0.4 if self.scenery.settings.allow_partial else 0.2)
            run = rng.choice(executions)[0].run if again else f"run{number}"
            settings = self.scenery.settings
            if again:
                settings = self.runs[run].settings
            elif rng.random() < 0.1:
                settings = msgspec.structs.replace(settings, snapshot_time=rfc3339(EPOCH + rng.randint(1, 900)))
            if switching and not again and rng.random() < 0.5:
                settings = scenery.switched(rng, settings)
            if selecting and not again and seldom.random() < 0.6:
                settings = scenery.selecting(seldom, settings)
            self.laws.allowed[run] = settings.allow
            execution = Execution(run, f"x{number}", rng.choice((1, 1, 2, 2, 3, 5)), settings)
            self.runs.setdefault(run, execution)
            self.started.append(execution)
            start = 1.0 + rng.choice((0.0, rng.uniform(0.0, 3.0), rng.uniform(0.0, 60.0)))
            # So that a run finds an export that it may not reduce.
            executions.append((execution, start + (seldom.choice((0.0, 60.0, 200.0)) * number if selecting else 0.0)))
        return executions + self._rivals(min(start for _, start in executions))

    def _rivals(self, start: float) -> list[tuple[Execution, float]]:
        """At times, executions of another dataset: by mistake, which plan nothing, or in earnest."""
        if (rng := self.rivals) is None:
            return []
        rivals = []
        for number, mistaken in enumerate(
            rng.choice(((False,), (True,), (True, False), (True, False), (True, False, False)))
        ):
            settings = msgspec.structs.replace(self.scenery.settings, dataset=RIVAL)
            if mistaken:
                self.mistaken.append(f"rival{number}")
                settings = msgspec.structs.replace(settings, snapshot_time=rfc3339(EPOCH - 30 * 86_400_000))
            execution = Execution(f"rival{number}", f"y{number}", rng.choice((1, 1, 2)), settings)
            self.runs[execution.run] = execution
            self.laws.allowed[execution.run] = settings.allow
            self.started.append(execution)
            rivals.append((execution, max(0.0, start + rng.uniform(-1.0, 1.5))))
        return rivals

    async def _execute(self, execution: Execution, start: float) -> None:
        await asyncio.sleep(start)
        ended = await self.engine.execute(execution)
        self._not_in_silence(execution, ended)

    def _not_in_silence(self, execution: Execution, ended: list[Ended]) -> None:
        """An execution whose tasks all ended well by themselves has published, unless another one has part in it."""
        outcomes = [one.state for one in ended if isinstance(one, TaskResult)]
        alone = sum(line.run == execution.run for line in self.started) == 1
        if alone and len(outcomes) == len(ended) and set(outcomes) == {"unfinished"}:
            self.laws.blame(
                Law.RESUMABLE, f"every task of {execution.name} ended well, and {execution.run} is not published"
            )

    async def _change_tables(self) -> None:
        """Append to tables, shrink, drop and create them."""
        rng, history = random.Random(f"{self.seed} writer"), self.history
        busy = rng.choice((0.0, 0.05, 0.2, 0.5))
        dropping = rng.choice((0.0, 0.1, 0.3, 0.6))
        while busy:
            await asyncio.sleep(rng.expovariate(busy))
            tables = history.tables()
            table = rng.choice(scenery.NAMES)
            if table not in tables:
                if rng.random() < 0.5:
                    history.put(self.warehouse, table, history.new_rows(table, rng.randint(0, 5)))
            elif rng.random() < dropping:
                history.drop(self.warehouse, table)
            else:
                kept = tables[table][rng.choice((0, 0, 1, 3)) :]
                history.put(self.warehouse, table, kept + history.new_rows(table, rng.randint(0, 4)))
            self.trace.add("writer", "changed", table, f"{len(history.tables().get(table, ()))} rows")

    async def _protect(self) -> None:
        """At times, put a row access policy on a table while runs are under way."""
        rng = random.Random(f"{self.seed} protector")
        if rng.random() < 0.4:
            await asyncio.sleep(rng.uniform(1.0, 30.0))
            table = rng.choice(scenery.NAMES)
            self.warehouse.policies[table] = ["some_rows"]
            self.laws.protected.setdefault(table, self.history.clock())
            self.trace.add("protector", "protected", table, "")

    def _connect(self, process: Process) -> tuple[Network, FaultyStore, FaultyWarehouse]:
        network = Network(process, self.dice, self.trace)
        return network, FaultyStore(self.store, network, self.laws), FaultyWarehouse(self.warehouse, network, self.laws)

    def _unexpected(self, name: str, error: BaseException) -> None:
        self.laws.blame(Law.RESUMABLE, f"{name} failed: {error!r}")

    def _seconds(self, table: str) -> float:
        return self.dice.rng.choice((0.0, 0.1, 1.0, self.dice.rng.uniform(1.0, 30.0)))

    def _loses(self, job_id: str) -> bool:
        """Whether a job leaves rows out, of a table whose number of rows is certain and whose files tell theirs.

        Such a run must never be published.
        """
        if self.scenery.settings.format != "avro" or self.dice.rng.random() >= self.dice.weather.losing:
            return False
        run = next(run for run in self.runs if job_id.startswith(f"bqdump_{run}_"))
        plan = self.view.plan(run)
        assert plan is not None
        # Where policies may hide rows none can be missed.
        hidden = hidden_rows(plan, ()) | {table for table, names in self.warehouse.policies.items() if names}
        for unit in self.view.units(plan):
            if job_id.startswith(f"bqdump_{run}_{plan.nonce}_{unit.id}_") and expected_rows(plan, unit, hidden):
                self.lossy.add(run)
                return True
        return False

    def _job_ends(self, table: str, job_id: str) -> JobError | None:
        """What the job fails with. A job that fails may have written files; each makes files of its own size."""
        rng = self.dice.rng
        self.warehouse.shard_rows = rng.choice((1, 2, 3, 100))
        error = self.dice.job_error()
        if error is not None and rng.random() < self.dice.weather.leftovers:
            pattern = self.warehouse.extracted[job_id].uri.split("/", 3)[3]
            for number in range(rng.randint(1, 5)):
                self.store.put_now(pattern.replace("*", f"{number:012d}"), b"half a file")
        return error
