"""A prefix belongs to one dataset: who claims it first has it, and what was never planned gives it back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.ports.store import Abilities
from bqdump.repository import prefix_owner
from bqdump_memory import MemoryWarehouse
from opened import Given, everywhere
from sets.world import SetWorld

SETTINGS = Settings(project="p", dataset="sales", target=Target("gs", "memory", "x/"))
OWNER = SETTINGS.layout.owner.name


class Scene:
    """A bucket, and two datasets that have a table of the same name."""

    def __init__(self) -> None:
        clock = itertools.count(1_790_000_000_000)
        self.store = MemoryStore()
        self.warehouse = MemoryWarehouse(self.store, lambda: next(clock))
        for dataset in ("sales", "stock"):
            for table in ("items", dataset):
                self.warehouse.put("p", dataset, table, [f"{dataset} {table}"])

    def task(self, name: str, **settings: Any) -> Task:
        """The only task of a run."""
        if "prefix" in settings:
            settings["target"] = msgspec.structs.replace(SETTINGS.target, prefix=settings.pop("prefix"))
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        return Task(self.store, self.warehouse, chosen, name, Owner(name, 0), 1)

    def run(self, name: str, **settings: Any) -> TaskResult:
        """A run from its start to its end."""
        return asyncio.run(run(self.task(name, **settings)))

    def plan(self, name: str, **settings: Any) -> None:
        """A run that is planned, and dies."""
        asyncio.run(obtain_plan(self.task(name, **settings)))

    def refused(self, name: str, **settings: Any) -> UsageError:
        """Why a run is refused."""
        with pytest.raises(UsageError) as refused:
            self.run(name, **settings)
        return refused.value

    def files(self) -> dict[str, bytes]:
        """What is exported."""
        names = [name for name in self.store.names_now() if "_bqdump/" not in name]
        return {name: found[0] for name in names if (found := self.store.peek(name))}

    def entries(self) -> list[str]:
        """The names of the log's entries."""
        return [name for name in self.store.names_now() if name.startswith(SETTINGS.layout.log)]

    def remove(self, *names: str) -> None:
        """Delete objects by hand."""
        infos = [found[1] for name in names if (found := self.store.peek(name))]
        asyncio.run(self.store.delete([(info.name, info.generation) for info in infos]))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_of_two_datasets_that_start_at_once_one_is_refused(scene: Scene) -> None:
    async def both() -> list[TaskResult | BaseException]:
        tasks = [scene.task("first"), scene.task("second", dataset="stock")]
        return await asyncio.gather(*map(run, tasks), return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, TaskResult)
    assert first.state == "published"
    assert isinstance(second, UsageError)
    assert second.cause == "it belongs to p.sales"
    assert set(scene.files().values()) == {b"sales items\n", b"sales sales\n"}


def test_of_two_datasets_of_which_nothing_is_published_the_first_has_the_prefix(scene: Scene) -> None:
    scene.plan("first")
    scene.refused("second", dataset="stock")
    assert not any("/runs/second/" in name for name in scene.store.names_now())
    assert scene.run("first").state == "published"


def test_a_dataset_of_the_same_name_in_another_project_is_another_one(scene: Scene) -> None:
    scene.warehouse.put("q", "sales", "items", ["other"])
    scene.plan("first")
    assert scene.refused("second", project="q").cause == "it belongs to p.sales"


def test_what_is_published_shows_the_owner_of_a_prefix_whose_document_is_gone(scene: Scene) -> None:
    scene.run("first")
    scene.remove(OWNER)
    assert scene.refused("second", dataset="stock").cause == "it belongs to p.sales"
    scene.run("third")
    assert scene.store.peek(OWNER)


def test_a_published_set_shows_the_owner_of_a_prefix_whose_document_is_gone() -> None:
    world = SetWorld("ops", "shop")
    world.run("n1")
    owner = world.settings().layout.owner.name
    found = world.store.peek(owner)
    assert found
    asyncio.run(world.store.delete([(owner, found[1].generation)]))
    single = Task(world.store, world.warehouse, world.settings(dataset="shop"), "other", Owner("other", 0), 1)
    with pytest.raises(UsageError, match=r"it belongs to a set of datasets of p\."):
        asyncio.run(run(single))
    assert world.store.peek(owner) is None
    world.store.put_now(world.settings().layout.set_manifest.name, b"{}")
    with pytest.raises(DocumentError, match=r"project\.json"):
        asyncio.run(run(single))
    world.run("n2")
    assert world.store.peek(owner)
    assert world.set_manifest().run == "n2"


def test_looking_for_a_published_set_costs_a_request_only_where_the_document_is_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()
    read = scene.store.read

    async def counted(name: str, *args: Any) -> Any:
        asked.append(name)
        return await read(name, *args)

    monkeypatch.setattr(scene.store, "read", counted)
    scene.run("first")
    project = SETTINGS.layout.set_manifest.name
    # While planning: before dataset.json is there.
    first = asked.count(project)
    asked.clear()
    scene.run("second")
    assert (first, asked.count(project)) == (1, 0)


@pytest.mark.parametrize(
    "settings", [{"dataset": "sails"}, {"exclude": ("*",), "snapshot_time": "2001-01-01T00:00:00Z"}]
)
def test_a_run_that_is_refused_gives_the_prefix_back(scene: Scene, settings: dict[str, Any]) -> None:
    with pytest.raises((NotFoundError, UsageError)):
        scene.run("mistake", **settings)
    assert scene.store.names_now() == []
    assert scene.run("second", dataset="stock").state == "published"


def test_a_refused_run_does_not_give_away_what_another_run_has_planned(scene: Scene) -> None:
    scene.plan("first")
    with pytest.raises(UsageError):
        scene.run("mistake", snapshot_time="2001-01-01T00:00:00Z")
    assert scene.refused("second", dataset="stock").cause == "it belongs to p.sales"


@pytest.mark.parametrize("step", range(40))
def test_a_prefix_is_not_given_back_under_a_run_that_is_planned_meanwhile(step: int) -> None:
    """A mistaken run claims the prefix and gives it back; another run of its dataset plans at any step of that."""
    scene = Scene()
    mistake = scene.task("mistake", snapshot_time="2001-01-01T00:00:00Z")
    others = [scene.task("good"), scene.task("other", dataset="stock")]

    async def all_three() -> list[Any]:
        later = [partial(obtain_plan, task) for task in others]
        between = Between(scene.store, step, later)
        with pytest.raises(UsageError):
            await obtain_plan(replace(mistake, store=between))
        rest = [await _outcome(one) for one in later[len(between.ended) :]]
        return [*between.ended, *rest, *[await _outcome(partial(run, task)) for task in others]]

    ended = asyncio.run(all_three())
    published = [one for one in ended if isinstance(one, TaskResult)]
    assert len(published) == 1
    failed = [one for one in ended if isinstance(one, BaseException)]
    assert failed
    assert all(isinstance(one, UsageError) for one in failed)


def test_deleting_what_the_refusal_names_hands_a_prefix_over(scene: Scene) -> None:
    scene.run("first")
    hint = scene.refused("second", dataset="stock").hint
    assert "To give them up and use this place, delete" in hint
    named = [word.removeprefix("gs://memory/").rstrip(".,") for word in hint.split() if word.startswith("gs://")]
    assert named == [OWNER, SETTINGS.layout.log]
    scene.remove(OWNER, *scene.entries())
    assert scene.run("second", dataset="stock").state == "published"
    files = scene.files()
    assert files["x/items/items_000000000000.csv"] == b"stock items\n"
    # What the new owner does not write stays, and is nobody's.
    assert files["x/sales/sales_000000000000.csv"] == b"sales sales\n"
    assert scene.refused("third").cause == "it belongs to p.stock"


def test_a_run_of_the_dataset_that_has_lost_its_prefix_is_not_resumed(scene: Scene) -> None:
    scene.run("first")
    scene.plan("old")
    scene.remove(OWNER, *scene.entries())
    scene.run("second", dataset="stock")
    assert scene.refused("old").cause == "it belongs to p.stock"


@pytest.mark.parametrize("earlier", [False, True])
def test_an_export_below_another_ones_prefix_keeps_its_files(scene: Scene, earlier: bool) -> None:
    """Table `items` of the prefix x/ and the export below x/items/ have names in common."""
    if earlier:
        # Then it is not its first publication, which looks at everything below its prefix.
        scene.warehouse.drop("p", "sales", "items")
        scene.run("before")
        scene.warehouse.put("p", "sales", "items", ["sales items"])
    scene.warehouse.shard_rows = 1
    scene.warehouse.put("p", "stock", "items", ["one", "two"])
    inner = {"dataset": "stock", "prefix": "x/items/", "path": "{table}_*.{ext}"}
    scene.run("inner", **inner)
    inside = scene.files()
    refused = scene.refused("outer")
    assert refused.subject == "x/items/items_000000000000.csv"
    assert "below the prefix 'x/items/', run inner" in refused.cause
    assert {name: data for name, data in scene.files().items() if name in inside} == inside
    assert scene.run("outer2", path="tables/{table}/*.{ext}").state == "published"
    assert scene.run("inner2", **inner).state == "published"


async def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return await work()
    except BqdumpError as error:
        return error


class Between:
    """A store that lets others work right before its call number `step`, and two calls later again."""

    def __init__(self, store: MemoryStore, step: int, others: Sequence[Callable[[], Any]]) -> None:
        self._store, self._step, self._others = store, step, list(others)
        self.url = store.url
        self.ended: list[Any] = []
        self._made = 0

    @property
    def abilities(self) -> Abilities:
        return self._store.abilities

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> Any:
            await self._let_others()
            return await getattr(self._store, name)(*given)

        return call

    async def objects(self, *given: str) -> AsyncIterator[Any]:
        await self._let_others()
        async for page in self._store.objects(*given):
            yield page

    async def notes(self, *given: str) -> AsyncIterator[Any]:
        await self._let_others()
        async for page in self._store.notes(*given):
            yield page

    async def _let_others(self) -> None:
        if self._made in (self._step, self._step + 2) and len(self.ended) < len(self._others):
            self.ended.append(await _outcome(self._others[len(self.ended)]))
        self._made += 1


@pytest.mark.parametrize("published", [True, False])
def test_a_misspelt_dataset_is_what_is_wrong_and_not_the_prefix(*, published: bool) -> None:
    scene = Scene()
    if published:
        scene.run("first")
    before = scene.store.names_now()
    for ask in (scene.run, lambda name, **settings: asyncio.run(planned(scene.task(name, **settings)))):
        with pytest.raises(NotFoundError, match=r"salse.*\. Did you mean sales\?$") as error:
            ask("second", dataset="salse")
        assert "delete" not in str(error.value)
    assert scene.store.names_now() == before


def test_a_dataset_that_exists_is_told_whose_prefix_it_is() -> None:
    scene = Scene()
    scene.run("first")
    assert "it belongs to p.sales" in str(scene.refused("second", dataset="stock"))


def test_a_dataset_that_is_gone_and_like_no_other_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no such dataset") as error:
        Scene().run("first", dataset="zzzzzz")
    assert "Did you mean" not in str(error.value)


async def planned(task: Task) -> Any:
    """What `bqdump plan` shows."""
    services = Given(task.settings, everywhere(task.store), task.warehouse)
    return await verbs.plan(services, task.settings, task.run, 1)


def test_times_that_are_shown_are_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.25)
    assert prefix_owner.now() == 1_800_000_000_250
