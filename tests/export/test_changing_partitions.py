"""A table that changes all the time: what is published is what it had at the snapshot time, partition by partition."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.core.documents.run import Owner
from bqdump.core.errors import VerificationError
from bqdump.core.risks import Risk
from bqdump.export.run import run
from export.test_partitions import KEEP, MODES, PartitionedExport

DAYS = ["20260101", "20260102", "20260103", "20260104", "__NULL__"]
CALLS = ("table", "tables", "now", "partitions", "ask", "extract", "query", "job")


class Restless(PartitionedExport):
    """Something may happen before and after each request. often: how likely that is."""

    def __init__(self, settings: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dice, self.often = random.Random(seed), 0.0
        self.rows = [f"{day}:{number}" for number, day in enumerate(DAYS[:3])]
        self.numbers = 100
        super().__init__(settings, self.rows)
        for name in CALLS:
            monkeypatch.setattr(self.warehouse, name, self._disturbed(getattr(self.warehouse, name)))

    def _disturbed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def disturbed(*arguments: Any) -> Any:
            self.happen()
            answer = await call(*arguments)
            self.happen()
            return answer

        return disturbed

    def happen(self) -> None:
        """A row is added, a row or a partition is deleted; or nothing."""
        self.now += 1
        if self.dice.random() >= self.often:
            return
        kind = self.dice.random()
        if kind < 0.6 or len(self.rows) < 4:
            self.numbers += 1
            self.rows = [*self.rows, f"{self.dice.choice(DAYS)}:{self.numbers}"]
        elif kind < 0.9:
            gone = self.dice.choice(self.rows)
            self.rows = [row for row in self.rows if row != gone]
        else:
            day = self.dice.choice(self.rows).partition(":")[0]
            self.rows = [row for row in self.rows if not row.startswith(day)] or self.rows
        self.put(self.rows)
        self.now += 1

    def rows_at(self, time: int) -> list[str]:
        versions = self.warehouse.datasets["p", "d"]["events"].versions
        return sorted(next(version.rows or () for version in reversed(versions) if version.since <= time))

    def check(self) -> None:
        """The published export is what the table had at its snapshot time."""
        manifest, entry = self.manifest(), self.entry()
        stored = [self.store.peek(file.name) for file in entry.files]
        assert None not in stored
        lines = sorted(b"".join(one[0] for one in stored if one).decode().splitlines())
        assert lines == self.rows_at(manifest.snapshot)
        for day, some in self.lines(entry).items():
            assert {line.partition(":")[0] for line in some} <= {day}
        if self.settings is not KEEP and "{run}" not in self.settings.path:
            assert sorted(file.name for one in manifest.tables for file in one.files) == self.data()


@MODES
@pytest.mark.parametrize("seed", range(25))
def test_what_is_published_is_as_of_the_snapshot_time(
    settings: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = msgspec.structs.replace(settings, incremental=True, allow=(Risk.REMOVED_PARTITIONS,))
    world = Restless(chosen, seed, monkeypatch)
    published = 0
    for number in range(5):
        world.often = world.dice.choice((0.0, 0.02, 0.1))
        try:
            asyncio.run(run(world.task(f"r{number}")))
        except VerificationError:
            # Nothing is published where the rows do not add up, such as for a partition that came and went.
            continue
        finally:
            world.often = 0.0
        published += 1
        world.check()
        if world.dice.random() < 0.7:
            world.often = 1.0
            world.happen()
            world.often = 0.0
    assert published


@MODES
@pytest.mark.parametrize("seed", range(15))
def test_tasks_that_are_killed_and_followed_by_others_publish_the_same(
    settings: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = msgspec.structs.replace(settings, incremental=True, allow=(Risk.REMOVED_PARTITIONS,))
    world = Restless(chosen, seed, monkeypatch)
    world.export("r0")
    world.check()

    async def one(execution: str, number: int) -> None:
        task = world.task("r1", number, 2)
        await run(replace(task, owner=Owner(execution, number)))

    async def every() -> None:
        world.often = 0.05
        killed = [asyncio.create_task(one("e1", number)) for number in range(2)]
        for _ in range(world.dice.randrange(20, 400)):
            await asyncio.sleep(0)
        for task in killed:
            if world.dice.random() < 0.7:
                task.cancel()
        ended = await asyncio.gather(*killed, return_exceptions=True)
        assert not [one for one in ended if isinstance(one, Exception)]
        await asyncio.gather(*(one("e2", number) for number in range(2)))

    asyncio.run(every())
    world.often = 0.0
    world.check()
    assert world.manifest().run == "r1"
