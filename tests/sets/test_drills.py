"""A drill of a set drills the export of each dataset, and proves the set when all of them came back."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime

import msgspec
import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.cli.main import start
from bqdump.core.errors import DeniedError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.drill import Drilled, Restorable, Sample
from bqdump.core.restore.plan import Options
from bqdump.core.times import time_of
from bqdump.observe.status import Status
from bqdump.repository.drills import read_drills
from bqdump.restoration import obtain, planning
from bqdump.restoration.drill import drill as drill_all
from bqdump.restoration.planning import Draft, draft
from bqdump.restoration.task import Task
from logged import logged
from opened import everywhere, open_given
from proofs import drilled
from sets.restores import RestoreWorld

DATASETS = ("ops_eu", "ops_us", "sales")
TABLES = {f"{dataset}.{table}" for dataset in DATASETS for table in ("items", "orders")}


@pytest.fixture
def world() -> RestoreWorld:
    return RestoreWorld()


def drill(world: RestoreWorld, tables: int = 0, include: tuple[str, ...] = ()) -> Drilled:
    options = Options(project="p", dataset="", include=include, temporary=True)
    task = world.restore_task(options)._replace(documents=MemoryStore())
    return asyncio.run(drill_all(task, Sample(tables)))


def scratch(world: RestoreWorld) -> list[str]:
    return [name for _, name in world.warehouse.datasets if name.startswith("bqdump_drill_")]


def test_every_dataset_of_a_set_is_drilled(world: RestoreWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    done = drill(world)
    assert (done.state, done.run, set(done.tables), done.of, done.rows) == ("proven", "r1", TABLES, 6, 6)
    assert len(done.dataset.split(",")) == 3
    assert scratch(world) == []
    for name in DATASETS:
        (note,) = asyncio.run(read_drills(world.store, world.settings(prefix=f"x/{name}/").layout))
        assert (note.tables, note.of) == (2, 2)
    lines = logged(caplog, LogEvent.DRILL_PROVEN)
    assert [(vars(line)["dataset"], vars(line)["target"]) for line in lines] == [
        *((name, f"gs://memory/x/{name}/") for name in DATASETS), ("*", "gs://memory/x/"),
    ]  # fmt: skip


def test_the_status_of_a_set_shows_when_it_was_last_proven_restorable(
    world: RestoreWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each dataset, and of the set, whose tables add up."""

    def shown() -> tuple[Status, str]:
        open_given(monkeypatch, lambda _: world.store)
        monkeypatch.setenv("SOURCE_DATASET", "*")
        assert start(["status", "--bucket", "memory", "--prefix", "x"]) == 0
        return asyncio.run(verbs.status(everywhere(world.store), world.settings())), capsys.readouterr().out

    found, text = shown()
    assert [one.restorable for one in found.datasets] == [Restorable(of=2)] * 3
    assert (found.restorable, text.count("proven restorable: never")) == (Restorable(of=6), 1)
    prove(world, "ops_eu", 1)
    oldest = prove(world, "ops_us", 9)
    found, text = shown()
    assert [one.restorable.extent for one in found.datasets if one.restorable] == ["2 of 2 tables"] * 2 + [
        "0 of 2 tables"
    ]
    assert "\n    proven restorable: 2 of 2 tables, 9 days ago\n" in text
    assert text.endswith("\n  proven restorable: 4 of 6 tables, the oldest proof 9 days old\n")
    newest = prove(world, "sales", 0, "items")
    found, text = shown()
    assert found.restorable == Restorable(newest, "", 5, 6, "", oldest)
    assert text.endswith("\n  proven restorable: 5 of 6 tables, the oldest proof 9 days old\n")
    prove(world, "sales", -1, "orders", different=("items",))
    assert shown()[1].endswith("9 days old; the newest drill failed: sales: items: rows\n")


def prove(world: RestoreWorld, dataset: str, days: int, *tables: str, different: tuple[str, ...] = ()) -> datetime:
    """Store the note on a drill so many days ago, of these tables (default: all); when it ended."""
    layout = world.settings(prefix=f"x/{dataset}/").layout
    began = round(time.time() * 1000) - days * 86_400_000 - 1000
    return time_of(drilled(world.store, layout, "r1", began, tables or None, different).ended)


def test_named_tables_are_drilled_in_the_datasets_that_have_them(world: RestoreWorld) -> None:
    assert drill(world, include=("ite*",)).tables == tuple(f"{name}.items" for name in DATASETS)
    with pytest.raises(UsageError, match="'itens': matches no object of any dataset; did you mean 'items'"):
        drill(world, include=("itens",))


def test_all_tables_of_one_dataset_do_not_prove_a_set(world: RestoreWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    manifest = world.manifest("sales")
    assert manifest
    only = replace(manifest, tables=(replace(manifest.tables[0], table="only"),))
    world.store.put_now(world.settings(prefix="x/sales/").layout.run("r1").manifest.name, msgspec.json.encode(only))
    done = drill(world, include=("only",))
    assert (done.state, done.tables, done.of) == ("proven", ("sales.only",), 1)
    assert "1 of 1 table of run r1 can be restored: 1 dataset" in caplog.text


def test_a_sample_is_of_the_tables_of_each_dataset_in_turn(world: RestoreWorld) -> None:
    assert drill(world, 1).tables == tuple(f"{name}.items" for name in DATASETS)
    assert drill(world, 1).tables == tuple(f"{name}.orders" for name in DATASETS)


def test_a_difference_in_one_dataset_is_the_sets_and_the_others_are_drilled(
    world: RestoreWorld, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = world.manifest("ops_us")
    assert manifest
    lost = next(table for table in manifest.tables if table.table == "orders").files[0]
    asyncio.run(world.store.delete([(lost.name, lost.generation)]))
    done = drill(world)
    assert done.state == "different"
    assert {table.split(".")[0] for table in done.tables} == {"ops_eu", "sales"}
    assert [one.name for one in done.different] == ["ops_us.run r1"]
    assert not [line for line in logged(caplog, LogEvent.DRILL_PROVEN) if vars(line)["dataset"] == "*"]


def test_an_export_that_cannot_be_read_is_a_failure_of_its_dataset(
    world: RestoreWorld, caplog: pytest.LogCaptureFixture
) -> None:
    layout = world.settings(prefix="x/ops_us/").layout
    name = layout.run("r1").manifest.name
    asyncio.run(world.store.write(name, b"{", None))
    done = drill(world)
    assert done.state == "incomplete"
    (failure,) = done.failed
    assert (failure.name, failure.kind) == ("ops_us", "DATASET")
    assert {table.split(".")[0] for table in done.tables} == {"ops_eu", "sales"}
    assert logged(caplog, LogEvent.DRILL_FAILED)


def test_without_permission_to_create_datasets_nothing_is_drilled(world: RestoreWorld) -> None:
    class Every(frozenset[str]):
        def __contains__(self, name: object) -> bool:
            return True

    world.big.refused = Every()
    with pytest.raises(DeniedError, match=r"cannot create dataset p\.bqdump_drill_\w+: no permission"):
        drill(world)


def test_within_a_limit_each_dataset_is_planned_once(world: RestoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []

    async def counted(task: Task) -> Draft:
        planned.append(task.dataset)
        return await draft(task)

    for module in (obtain, planning):
        monkeypatch.setattr(module, "draft", counted)
    task = world.restore_task(Options(project="p", dataset="", temporary=True))._replace(documents=MemoryStore())
    limited = task._replace(settings=world.settings(max_bytes_billed=10**12))
    done = asyncio.run(drill_all(limited, Sample()))
    assert (done.state, set(done.tables)) == ("proven", TABLES)
    assert planned == list(DATASETS)
