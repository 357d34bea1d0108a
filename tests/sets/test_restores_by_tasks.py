"""Several tasks share the restore of a set, one of them may be killed anywhere, and the same command resumes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import pytest

from bqdump import verbs
from bqdump.core.documents.notes import Restored
from bqdump.core.errors import UsageError
from bqdump.core.progress.events import Event, TableStarted
from bqdump.core.progress.tally import Progress
from bqdump.core.restore.result import Restoration
from restore.killed import Killed, killed_at
from sets.restores import RestoreWorld

TABLES = {f"{dataset}.{table}" for dataset in ("ops_eu", "ops_us", "sales") for table in ("items", "orders")}


def test_tasks_share_all_tables_of_a_set_and_one_of_them_goes_on_to_the_end() -> None:
    world = RestoreWorld()
    world.define("sales", over="SELECT * FROM ops_eu.orders")
    seen: list[str] = []

    async def every() -> list[Restoration]:
        tasks = [world.restore_task(task=number, tasks=3)._replace(tell=tell) for number in range(3)]
        return await asyncio.gather(*(verbs.restore(task) for task in tasks))

    def tell(event: Event) -> None:
        if isinstance(event, TableStarted):
            seen.append(event.table)

    done = asyncio.run(every())
    assert sorted(one.state for one in done) == ["restored", "running", "running"]
    assert set(seen) == TABLES
    assert len(world.big.started) == 2 * 6
    assert world.query("sales_copy", "over") == "SELECT * FROM ops_eu_copy.orders"


def test_a_task_killed_anywhere_is_resumed_by_the_same_command_which_loads_nothing_twice() -> None:
    kills = 0
    while True:
        world = RestoreWorld()
        world.define("sales", over="SELECT * FROM ops_eu.orders")
        try:
            asyncio.run(verbs.restore(killed_at(world.restore_task(), 11 * kills)))
        except Killed:
            kills += 1
        else:
            break
        done = world.restore(execution="again")
        assert (done.state, done.rows, len(done.objects)) == ("restored", 6, 1)
        assert len(world.big.started) == 2 * 6
        assert world.rows("ops_us_copy", "items") == ["ops_us.items"]
    assert kills > 4


def test_a_task_killed_beside_another_leaves_it_all_to_that_one() -> None:
    for after in range(10, 60, 12):
        world = RestoreWorld()
        world.define("sales", over="SELECT * FROM ops_eu.orders")
        done = asyncio.run(beside_a_killed_one(world, after))
        if done.state == "running":
            done = world.restore(execution="again")
        assert (done.state, done.rows, len(done.objects)) == ("restored", 6, 1)
        assert len(world.big.started) == 2 * 6


async def beside_a_killed_one(world: RestoreWorld, after: int) -> Restoration:
    tasks = [world.restore_task(task=number, tasks=2) for number in range(2)]
    killed = asyncio.create_task(swallowed(verbs.restore(killed_at(tasks[1], after))))
    done = await verbs.restore(tasks[0])
    await killed
    return done


async def swallowed(work: Awaitable[Restoration]) -> None:
    with suppress(Killed):
        await work


def test_later_tasks_restore_what_the_first_one_has_chosen_whatever_is_published_meanwhile() -> None:
    world = RestoreWorld(path="{run}/{table}/{table}_*.csv")
    first = asyncio.run(verbs.restore(world.restore_task(tasks=2)))
    world.put("new", "orders")
    world.run("r2", path="{run}/{table}/{table}_*.csv")
    later = asyncio.run(verbs.restore(world.restore_task(task=1, tasks=2)))
    assert (first.run, later) == ("r1", first)
    with pytest.raises(UsageError, match="execution first: it restores other datasets or another run"):
        world.restore(run="r2")


def test_progress_counts_the_tables_of_all_datasets_under_numbers_of_their_own() -> None:
    world = RestoreWorld()
    progress, ended = Progress(), dict[int, str]()

    def tell(event: Event) -> None:
        progress.take(event, 1.0)
        if isinstance(event, Restored):
            ended[event.number] = event.name

    asyncio.run(verbs.restore(world.restore_task()._replace(tell=tell)))
    view = progress.view(2.0)
    assert (view.stage, view.tables, view.done, view.bytes_done) == ("finishing", 6, 6, view.bytes)
    assert sorted(ended.values()) == sorted(TABLES)
