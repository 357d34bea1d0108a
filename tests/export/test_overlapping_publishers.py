"""Of two runs that overlap, the earlier one is shown to readers before the later one announces itself, or never."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest, ManifestFiles
from bqdump.core.documents.run import Owner, Plan, TablePlan
from bqdump.core.documents.target import Latest, Pointer, Publishing
from bqdump.core.errors import BqdumpError, UnavailableError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.collected import Collected
from bqdump.export.placement.choose import Files, running_export
from bqdump.export.placement.final_names import announce, make_ready, publishing
from bqdump.export.publish.clear import clear_stale, origin
from bqdump.export.publish.publish import publish
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import RunningExport, Task
from bqdump.export.work.work import work
from bqdump.pool.tables import read_ledger
from bqdump.ports.store import Copy, ObjectInfo, ObjectStore
from bqdump.repository.published import read_base, read_latest
from bqdump.repository.repository import load, overwrite
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))


class OverlappingRuns:
    """A table, and runs of moments a second apart."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000
        self.store = MemoryStore()
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now)
        self.warehouse.put("p", "d", "t", ["1"])

    def task(self, name: str) -> Task:
        return Task(self.store, self.warehouse, SETTINGS, name, Owner(name, 0), 1)

    async def planned(self, name: str) -> tuple[Task, Plan]:
        self.now += 1000
        task = self.task(name)
        plan = await obtain_plan(task)
        await work(running_export(task, plan))
        return task, plan

    async def export(self, name: str) -> TaskResult:
        self.now += 1000
        return await run(self.task(name))

    def announced(self, name: str) -> bool:
        found = self.store.peek(SETTINGS.layout.publishing.name)
        return found is not None and decode(found[0], Publishing, "publishing.json").run == name

    async def latest(self) -> str:
        latest = await read_latest(self.store, SETTINGS)
        return latest.run if latest else ""


class Noting(Files):
    """An extra that notes its steps, each with the names of the objects that existed before it."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.steps = store, dict[str, str]()

    def note(self, step: str) -> None:
        names = ("manifest.json", "latest.json")
        self.steps[step] = " ".join(name for name in names if any(name in stored for stored in self.store.names_now()))

    async def prepare(self, export: RunningExport, tables: Sequence[TablePlan], collected: Collected) -> None:
        self.note("prepare")
        await super().prepare(export, tables, collected)

    async def describe(self, export: RunningExport, manifest: Manifest, latest: Latest | None) -> Manifest:
        self.note("describe")
        return await super().describe(export, manifest, latest)

    async def name(self, export: RunningExport, manifest: ManifestFiles) -> str:
        self.note("name")
        return await super().name(export, manifest)

    async def show(self, export: RunningExport, manifest: ManifestFiles) -> None:
        self.note("show")

    async def withdraw(self, export: RunningExport) -> None:
        self.note("withdraw")


async def ready(world: OverlappingRuns, task: Task, plan: Plan) -> Latest:
    """What latest.json becomes, once the manifest is stored: that of the same run without another."""
    name = task.layout.manifest.name
    if world.store.peek(name) is None:
        alone = OverlappingRuns()
        await alone.export(plan.run)
        manifest = alone.store.peek(name)
        assert manifest
        world.store.put_now(name, manifest[0])
    stored = world.store.peek(name)
    assert stored
    return Latest(
        run=plan.run, dataset="d", project="p", snapshot_time="", snapshot=plan.snapshot, status="complete",
        mode="replace", manifest=name, manifest_generation=stored[1].generation,
    )  # fmt: skip


async def test_whoever_announces_itself_over_a_run_that_is_ready_shows_that_one_first() -> None:
    world = OverlappingRuns()
    (early, first), (late, second) = await world.planned("r1"), await world.planned("r2")
    assert await announce(running_export(early, first), ["t/t_000000000000.csv"], None, ["t"])
    assert await make_ready(running_export(early, first), await ready(world, early, first))
    assert await make_ready(running_export(early, first), await ready(world, early, first))
    assert await world.latest() == ""
    assert await announce(running_export(late, second), ["t/t_000000000000.csv"], None, ["t"])
    assert await world.latest() == "r1"
    now = await publishing(running_export(late, second))
    assert now is not None
    assert (now.run, now.ready) == ("r2", None)
    assert not await make_ready(running_export(early, first), await ready(world, early, first))


async def test_a_run_over_which_another_has_announced_itself_is_not_published_any_more() -> None:
    world = OverlappingRuns()
    (early, first), (late, second) = await world.planned("r1"), await world.planned("r2")
    assert await announce(running_export(early, first), ["t/t_000000000000.csv"], None, ["t"])
    assert await announce(running_export(late, second), ["t/t_000000000000.csv"], None, ["t"])
    published = await publish(running_export(early, first), await read_ledger(early.store, early.layout, first))
    assert published.result == "superseded"
    assert await world.latest() == ""
    outcome = await run(late)
    assert (outcome.state, await world.latest()) == ("published", "r2")
    found = world.store.peek(SETTINGS.layout.latest.name)
    assert found
    assert decode(found[0], Latest, "latest.json").uncleared == ()


async def test_an_extra_takes_part_in_publishing_and_withdraws_where_a_later_run_has_announced_itself() -> None:
    world = OverlappingRuns()
    (early, first), (late, second) = await world.planned("r1"), await world.planned("r2")
    extra = Noting(world.store)
    export, ledger = (
        replace(running_export(late, second), extra=extra),
        await read_ledger(late.store, late.layout, second),
    )
    assert (await publish(export, ledger)).result == "published"
    both = "manifest.json latest.json"
    assert extra.steps == {"prepare": "", "describe": "", "name": "manifest.json", "show": both}
    extra = Noting(world.store)
    export, ledger = (
        replace(running_export(early, first), extra=extra),
        await read_ledger(early.store, early.layout, first),
    )
    assert (await publish(export, ledger)).result == "superseded"
    assert extra.steps == {"prepare": both, "withdraw": both}


async def test_a_published_run_stays_published_whoever_announces_itself_later() -> None:
    world = OverlappingRuns()
    (early, first), (late, second) = await world.planned("r1"), await world.planned("r2")
    ledger = await read_ledger(early.store, early.layout, first)
    assert (await publish(running_export(early, first), ledger)).result == "published"
    assert await announce(running_export(late, second), ["t/t_000000000000.csv"], None, ["t"])
    assert (await publish(running_export(early, first), ledger)).result == "published"
    assert await world.latest() == "r1"
    assert world.store.peek("t/t_000000000000.csv")


async def test_what_a_pruned_run_had_announced_is_not_taken_for_a_new_run_of_its_id() -> None:
    world = OverlappingRuns()
    intent = SETTINGS.layout.run("r1").intent.name
    await overwrite(world.store, SETTINGS.layout.publishing, Publishing("r1", world.now, intent))
    for name in ("r1", "r2"):
        world.now += 1000
        assert (await run(world.task(name))).state == "published"


async def test_a_process_of_a_pruned_run_leaves_the_final_names_to_a_new_run_of_its_id() -> None:
    world = OverlappingRuns()
    task, plan = await world.planned("r1")
    later = Publishing("r1", plan.snapshot + 1000, task.layout.intent.name)
    await overwrite(world.store, SETTINGS.layout.publishing, later)
    assert await announce(running_export(task, plan), ["t/t_000000000000.csv"], None, ["t"]) is None
    assert await publishing(running_export(task, plan)) == later


async def test_a_run_is_published_over_one_that_came_between_and_lacks_a_dropped_table_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = OverlappingRuns()
    world.warehouse.put("p", "d", "u", ["1"])
    for table in "vw":
        world.warehouse.put("p", "d", table, ["1"])
    assert (await run(world.task("first"))).state == "published"
    world.warehouse.drop("p", "d", "u")
    (early, one), (late, two) = await world.planned("early"), await world.planned("late")
    between = list[str]()

    async def overtaken(store: ObjectStore, settings: Settings) -> Latest | None:
        latest = await read_base(store, settings)
        if not between:
            between.append("early")
            await publish(running_export(early, one), await read_ledger(early.store, early.layout, one))
        return latest

    monkeypatch.setattr("bqdump.export.publish.publish.read_base", overtaken)
    published = await publish(running_export(late, two), await read_ledger(late.store, late.layout, two))
    assert (between, published.result, await world.latest()) == (["early"], "published", "late")


async def test_a_staged_file_that_was_stored_again_with_the_same_bytes_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = OverlappingRuns()
    task, plan = await world.planned("r1")
    export, ledger = running_export(task, plan), await read_ledger(task.store, task.layout, plan)
    copying = world.store.copy

    async def stored_again(wishes: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        monkeypatch.setattr(world.store, "copy", copying)
        data, info = world.store.peek(wishes[0].source) or (b"", None)
        assert info
        await world.store.write(wishes[0].source, data, info.generation)
        return await copying(wishes, origin)

    monkeypatch.setattr(world.store, "copy", stored_again)
    assert (await publish(export, ledger)).result == "published"


class Stopping(MemoryStore):
    """A store that refuses some writes, which stops a run. stops: chooses them by name."""

    stops: Callable[[str], bool] = staticmethod(lambda name: False)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        if self.stops(name):
            raise UnavailableError("write", name, "it did not arrive")
        return await super().write(name, data, expect)


@pytest.mark.parametrize("step", ["manifest", "ready", "latest"])
@pytest.mark.parametrize("published", [False, True], ids=["over nothing", "over a published run"])
async def test_what_a_stopped_run_has_placed_goes_once_a_later_run_is_published(step: str, published: bool) -> None:
    world = OverlappingRuns()
    world.store = store = Stopping()
    world.warehouse = MemoryWarehouse(world.store, lambda: world.now, shard_rows=1)
    world.warehouse.put("p", "d", "t", ["1", "2"])
    if published:
        assert (await world.export("first")).state == "published"
    world.warehouse.put("p", "d", "t", ["1", "2", "3"])
    steps: dict[str, Callable[[str], bool]] = {
        "manifest": lambda name: name.endswith("/stopped/manifest.json"),
        "ready": lambda name: name.endswith("/publishing.json") and world.announced("stopped"),
        "latest": lambda name: name.endswith("/latest.json"),
    }
    store.stops = steps[step]
    with pytest.raises(UnavailableError):
        await world.export("stopped")
    assert "t/t_000000000002.csv" in world.store.names_now()
    del store.stops
    world.warehouse.put("p", "d", "t", ["1"])
    assert (await world.export("later")).state == "published"
    files = [name for name in world.store.names_now() if name.startswith("t/")]
    assert files == ["t/t_000000000000.csv"]


async def test_what_a_superseded_run_places_after_a_later_one_is_published_goes_when_it_steps_aside() -> None:
    world = OverlappingRuns()
    world.warehouse = MemoryWarehouse(world.store, lambda: world.now, shard_rows=1)
    world.warehouse.put("p", "d", "t", ["1", "2"])
    early, first = await world.planned("r1")
    export, names = running_export(early, first), ["t/t_000000000000.csv", "t/t_000000000001.csv"]
    assert await announce(export, names, None, ["t"])
    world.warehouse.put("p", "d", "t", ["1"])
    assert (await world.export("r2")).state == "published"
    late = world.store.put_now("of-r1.csv", b"2\n")
    await world.store.copy([Copy(late.name, late.generation, names[1], 0, late.size, late.crc32c)], origin(first))
    published = await publish(export, await read_ledger(early.store, early.layout, first))
    assert published.result == "superseded"
    assert [name for name in world.store.names_now() if name.startswith("t/")] == names[:1]


@pytest.mark.parametrize("complete", [False, True], ids=["while it places its files", "once it has its manifest"])
async def test_a_late_task_of_the_published_run_leaves_the_files_of_a_new_run_with_the_id_of_a_pruned_one(
    complete: bool,
) -> None:
    world = OverlappingRuns()
    world.store = store = Stopping()
    world.warehouse = MemoryWarehouse(world.store, lambda: world.now, shard_rows=1)
    world.warehouse.put("p", "d", "t", ["1"])
    pruned = world.now
    assert (await world.export("later")).state == "published"
    task = world.task("later")
    later, latest = running_export(task, await obtain_plan(task)), await load(store, SETTINGS.layout.latest)
    assert latest
    manifest = SETTINGS.layout.run("reused").manifest.name
    uncleared = msgspec.structs.replace(latest.value, uncleared=(Pointer("reused", pruned, manifest),))
    await overwrite(store, SETTINGS.layout.latest, uncleared)
    world.warehouse.put("p", "d", "t", ["1", "2", "3"])
    store.stops = lambda name: name == (SETTINGS.layout.latest.name if complete else manifest)
    with pytest.raises(UnavailableError):
        await world.export("reused")
    assert (manifest in store.names_now()) == complete
    del store.stops
    files = await load(store, SETTINGS.layout.run("later").manifest_files)
    assert files
    await clear_stale(later, files.value)
    assert len([name for name in store.names_now() if name.startswith("t/")]) == 3
