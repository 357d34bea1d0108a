"""Executions: how an engine such as Cloud Run starts, restarts, duplicates and forgets the tasks of a run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Set
from typing import Any, NamedTuple

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import (
    BqdumpError,
    OutageError,
    QuotaError,
    TablesFailedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from bqdump.core.settings.settings import Settings
from bqdump.export import run as flow
from bqdump.export.act import TaskResult
from bqdump.export.task import ReadRoute, Task
from bqdump_memory import MemoryEncoder, gated
from simulation.faults import FaultyStore, FaultyWarehouse, Network
from simulation.process import CrashedError, Process

ATTEMPTS = 3
Ended = TaskResult | BqdumpError | None


class Execution(NamedTuple):
    """One execution of a run: so many tasks. `settings` may name a moment."""

    run: str
    name: str
    tasks: int
    settings: Settings


async def _at_once(call: Callable[[], Any]) -> Any:
    """What blocks elsewhere takes no time here."""
    return call()


class Engine:
    """Starts processes. `connect` gives one its network; `failed` is told of an error that nothing explains.

    lossy: runs of which a job has left rows out, which may be refused for that.
    """

    def __init__(
        self,
        rng: random.Random,
        connect: Callable[[Process], tuple[Network, FaultyStore, FaultyWarehouse]],
        failed: Callable[[str, BaseException], None],
        lossy: Set[str],
    ) -> None:
        self.rng, self._connect, self._failed, self._lossy = rng, connect, failed, lossy
        self.done: set[str] = set()
        self._started: dict[str, int] = {}

    async def execute(self, execution: Execution) -> list[Ended]:
        """Run every task of an execution, with all that may happen to it."""
        rng = self.rng
        starts: list[int] = [task for task in range(execution.tasks) if task == 0 or rng.random() < 0.9]
        # Where a table may be given up, two processes that differ about it are what is most likely to go wrong.
        twice = 0.8 if execution.settings.allow_partial else 0.1
        starts += [task for task in starts if rng.random() < twice]
        late = rng.choice((0.0, 1.0, 30.0))
        tasks = [self._supervise(execution, task, rng.uniform(0, late)) for task in starts]
        return list(await asyncio.gather(*tasks))

    async def once(self, execution: Execution, task: int) -> Ended:
        """One process of one task, from its start to its end; None where it died."""
        owner = Owner(execution.name, task)
        number = self._started[execution.name] = self._started.get(execution.name, 0) + 1
        process = Process(f"{execution.name}/{task}#{number}", execution.run)
        network, store, warehouse = self._connect(process)
        if (fatal := network.dice.kill_after()) is not None:
            asyncio.get_running_loop().call_later(fatal, process.kill)
        patience = Patience(tries=network.dice.weather.tries)
        reading = ReadRoute(warehouse.reader(patience), MemoryEncoder(), 2, _at_once)
        started = Task(RetryingStore(store, patience), gated(warehouse, Gate(patience)), execution.settings,
                       execution.run, owner, execution.tasks, open_read_route=lambda: reading)  # fmt: skip
        try:
            outcome = await process.execute(flow.run(started))
        except CrashedError:
            network.trace.add(process.name, "died", "", "")
            return None
        except (UnavailableError, OutageError, QuotaError, TablesFailedError) as error:
            network.trace.add(process.name, "failed", "", str(error))
            return error
        except Exception as error:
            lost = isinstance(error, VerificationError) and execution.run in self._lossy
            if isinstance(error, UsageError) or (isinstance(error, BqdumpError) and lost):
                network.trace.add(process.name, "refused", "", str(error))
                return error
            network.trace.add(process.name, "failed", "", repr(error))
            self._failed(process.name, error)
            raise
        network.trace.add(process.name, "ended", "", outcome.state)
        if outcome.state in ("published", "superseded"):
            self.done.add(execution.run)
        return outcome

    async def _supervise(self, execution: Execution, task: int, delay: float) -> Ended:
        ended: Ended = None
        for _ in range(ATTEMPTS):
            await asyncio.sleep(delay)
            ended = await self.once(execution, task)
            if isinstance(ended, TaskResult):
                break
            delay = self.rng.uniform(0.1, 10.0)
        return ended
