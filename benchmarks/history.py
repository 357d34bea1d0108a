"""Requests and bytes of each command with few, 100 and 400 kept runs, on the in-memory store, in virtual time.

20 tables of an incremental export with Iceberg tables, a run a night, of which one table changes each night. Then each
command is called once, where it has nothing to do. Bytes are those of objects that are read and written; listings also
return the content of notes, such as the entries of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from benchmarks.size import sized
from benchmarks.virtual import VirtualLoop
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Place
from bqdump.copying.survey import Task as CopyTask
from bqdump.core.documents.run import Owner
from bqdump.core.restore.plan import Options
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.wording import COMMANDS
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as RestoreTask
from bqdump.verbs import checks, exports, inspection, restores, retention
from bqdump_memory import MemoryDestination, MemoryWarehouse

TABLES, KEPT = sized(20, 3), (0, *sized((100, 400), (4, 8)))
# What the fewest runs are: one that exports everything, and one that finds everything unchanged.
FEWEST, NIGHT_MS, EPOCH = 3, 86_400_000, 1_700_000_000_000
MOST = 1.1
SETTINGS = Settings(
    project="p",
    dataset="d",
    target=Target("gs", "memory", "x/"),
    format="parquet",
    iceberg=True,
    incremental=True,
    full_every=0,
    path="{run}/{table}/{table}_*.{ext}",
    keep_last=1000,
)


class Cost(NamedTuple):
    """Requests, bytes read and written, and bytes of notes in listings."""

    requests: int = 0
    bytes: int = 0
    listed: int = 0


class Counted:
    """A port whose requests and bytes are counted; each page of a listing is one request."""

    def __init__(self, port: Any) -> None:
        self._port, self.cost = port, Cost()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method) or name in ("peek", "names_now", "clock"):
            return method
        return self._pages(method) if name in ("notes", "objects", "jobs") else self._call(method)

    def _add(self, moved: int = 0, listed: int = 0) -> None:
        self.cost = Cost(self.cost.requests + 1, self.cost.bytes + moved, self.cost.listed + listed)

    def _call(self, method: Any) -> Any:
        async def call(*given: Any, **named: Any) -> Any:
            answer = await method(*given, **named)
            if not given or given[0]:
                # What is asked for nothing makes no request.
                self._add(sum(map(_size, (answer, *given))))
            return answer

        return call

    def _pages(self, method: Any) -> Any:
        async def pages(*given: Any, **named: Any) -> AsyncIterator[Any]:
            async for page in method(*given, **named):
                self._add(listed=sum(map(_size, page)))
                yield page

        return pages


def _size(value: Any) -> int:
    return len(value if isinstance(value, bytes) else getattr(value, "data", b""))


class Nights:
    """A bucket with a history, and a place with a copy of its last run."""

    def __init__(self) -> None:
        self.store, self.copies, self.now = MemoryStore(), MemoryStore("second"), EPOCH
        self.warehouse = MemoryWarehouse(self.store, self._tick)
        self.number = 0
        for number in range(TABLES):
            self.warehouse.put("p", "d", f"table_{number:02}", [str(number)])

    def _tick(self) -> int:
        self.now += 1
        return self.now

    async def night(self, store: Any = None, warehouse: Any = None) -> None:
        """A run, a day after the one before."""
        self.now += NIGHT_MS
        name, self.number = f"r{self.number:04}", self.number + 1
        await run(Task(store or self.store, warehouse or self.warehouse, SETTINGS, name, Owner(name, 0), 1))

    async def copy(self, store: Any, there: Any) -> None:
        """Copy the published run."""
        place = Place(store, SETTINGS), Place(there, replace(SETTINGS, target=Target("gs", "second", "x/")))
        task = CopyTask(*place, StreamMover(store, there), Owner("copy", 0), self.now)
        await copy_exports(task, (), Policy(), every=False)


def _nothing_to_read() -> ReadRoute:
    raise AssertionError("nothing is read here")


async def measure(kept: int) -> dict[str, Cost]:
    """What each command costs with this many runs and the fewest."""
    nights = Nights()
    for night in range(kept + FEWEST):
        if night < kept:
            nights.warehouse.put("p", "d", "table_00", [f"night {night}"])
        await nights.night()
    await nights.copy(nights.store, nights.copies)
    costs = dict[str, Cost]()

    async def count(name: str, act: Callable[[Any, Any, Any], Awaitable[object]]) -> None:
        ports = Counted(nights.store), Counted(nights.warehouse), Counted(nights.copies)
        await act(*ports)
        costs[name] = Cost(*map(sum, zip(*(port.cost for port in ports), strict=True)))

    def services(store: Any, warehouse: Any) -> Any:
        read_route = SimpleNamespace(open=_nothing_to_read)
        return SimpleNamespace(store=store, warehouse=warehouse, signer=None, read_route=read_route)

    def restoring(store: Any) -> RestoreTask:
        big = MemoryDestination(nights.store, nights.warehouse.clock)
        options = Options(project="p", dataset="restored")
        return RestoreTask(store, big, SETTINGS, Request(options), Owner("restore", 0), 1)

    await count("plan", lambda store, big, _: exports.plan(services(store, big), SETTINGS, "next", 1))
    await count("status", lambda store, *_: inspection.status(lambda _: store, SETTINGS))
    objectives = replace(SETTINGS, rpo=86_400, rto=86_400)
    await count("status --rpo", lambda store, *_: inspection.status(lambda _: store, objectives, words=COMMANDS))
    await count("runs", lambda store, *_: inspection.runs(lambda _: store, SETTINGS))
    await count("diff", lambda store, *_: inspection.diff(lambda _: store, SETTINGS))
    await count("verify", lambda store, *_: checks.verify(lambda _: store, SETTINGS))
    await count("restore --plan", lambda store, *_: restores.plan_restore(restoring(store)))
    await count("prune", lambda store, *_: retention.prune(lambda _: store, SETTINGS, delete=True))
    await count("copy", lambda store, _, there: nights.copy(store, there))
    await count("run", lambda store, big, _: nights.night(store, big))
    return costs


def main() -> None:
    found = []
    for kept in KEPT:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            found.append(runner.run(measure(kept)))
    fewest, *more = found
    counts = " and ".join(f"{kept:,}" for kept in KEPT[1:])
    print(f"{TABLES} tables, {FEWEST} runs, and {counts} more, of which each changes one table; over {FEWEST} runs")
    print("                requests                     bytes                listed notes")
    for name, cost in fewest.items():
        requests = "".join(f"{costs[name].requests / cost.requests:8.2f}" for costs in more)
        bytes_ = "".join(f"{costs[name].bytes / max(1, cost.bytes):8.2f}" for costs in more)
        listed = "".join(f"{costs[name].listed:10,}" for costs in found)
        print(f"{name:<14}{cost.requests:10,}{requests}{cost.bytes:10,}{bytes_}{listed}")
    print(f"target: {MOST}")


if __name__ == "__main__":
    main()
