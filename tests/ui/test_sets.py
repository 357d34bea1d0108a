"""The console over a set: the whole, each dataset, and each dataset's own pages."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from starlette.requests import Request

from bqdump.core.errors import DatasetsFailedError, DocumentError, NotFoundError
from bqdump.repository.manifests import read_contents
from bqdump.ui.archive import Collection
from bqdump.ui.frame import Place
from bqdump.ui.run import ENDED, run_page
from bqdump.ui.sets import datasets_page, set_live_part, set_run_page
from proofs import drilled
from sets.world import SetWorld

DAY = 86_400_000
pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def world() -> SetWorld:
    made = SetWorld()
    made.put("sales", "bad")
    made.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        made.run("first", 2)
    return made


def asked(**parameters: str) -> Request:
    return Request({"type": "http", "query_string": b"", "headers": [], "path_params": parameters})


def shown(world: SetWorld) -> str:
    return bytes(asyncio.run(datasets_page(Collection(world.store, world.settings()), asked())).body).decode()


def test_the_first_page_shows_the_whole_and_each_dataset(world: SetWorld) -> None:
    page = shown(world)
    assert "2 datasets published by run <code>first</code>" in page
    assert "1 dataset not." in page
    for dataset in ("ops_eu", "ops_us", "sales"):
        assert f'<a href="/datasets/{dataset}/"><code>{dataset}</code></a>' in page
    assert "1 of 3 tables failed" in page
    assert '<a href="/runs/first">' in page


def test_the_first_page_shows_how_many_tables_of_each_dataset_are_proven(world: SetWorld) -> None:
    began = round(time.time() * 1000) - 3 * DAY
    layout = world.settings(prefix="x/ops_eu/").layout
    contents = asyncio.run(read_contents(world.store, layout.run("first")))
    assert contents
    drilled(world.store, layout, "first", began, [line.table for line in contents.tables][:1])
    page = shown(world)
    assert f"<td>1 of {len(contents.tables)} tables, 3 days ago</td>" in page
    assert "<td>never</td>" in page


def test_a_published_dataset_whose_folder_was_deleted_is_not_shown_as_published(world: SetWorld) -> None:
    names = [name for name in world.store.names_now() if name.startswith("x/ops_eu/")]
    infos = [found[1] for name in names if (found := world.store.peek(name))]
    asyncio.run(world.store.delete([(info.name, info.generation) for info in infos]))
    page = shown(world)
    assert "1 dataset published by run <code>first</code>" in page
    assert "Its export by run first is no longer there." in page


def test_a_dataset_that_left_the_set_nights_ago_is_still_linked(world: SetWorld) -> None:
    world.broken.clear()
    del world.warehouse.datasets["p", "ops_eu"]
    for run, heading in (("second", "Not in this set"), ("third", "Not in the set any more")):
        world.run(run)
        page = shown(world)
        assert heading in page
    assert '<a href="/datasets/ops_eu/"><code>ops_eu</code></a>: its last export stays' in page


def test_pages_of_a_dataset_stay_below_its_address(world: SetWorld) -> None:
    archive = asyncio.run(Collection(world.store, world.settings()).of("ops_eu"))
    page = bytes(asyncio.run(run_page(archive, asked(run="first"))).body).decode()
    assert 'href="/datasets/ops_eu/runs/first/tables/orders"' in page
    assert '<a href="/">Datasets</a>' in page
    assert 'href="/runs/' not in page


def test_a_run_of_the_set_shows_each_datasets_part(world: SetWorld) -> None:
    collection = Collection(world.store, world.settings())
    page = bytes(asyncio.run(set_run_page(collection, asked(run="first"))).body).decode()
    assert "3 datasets, 6 of 7 tables done; 1 dataset failed." in page
    assert 'href="/datasets/sales/runs/first"' in page
    with pytest.raises(NotFoundError, match="no documents of this run"):
        asyncio.run(set_run_page(collection, asked(run="other")))


# A task that dies leaves listings open.
@pytest.mark.filterwarnings("ignore:coroutine method 'aclose' of")
def test_a_run_in_progress_is_live_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SetWorld()
    task = world.task("night")

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.warehouse, "extract", dies)
    with suppress(KeyboardInterrupt):
        world.run("night")
    assert world.read(task.layout.plan)
    collection = Collection(world.store, world.settings())
    assert asyncio.run(collection.several())
    assert b"data-live" in asyncio.run(set_run_page(collection, asked(run="night"))).body
    assert "No run of 3 datasets has finished" in shown(world)
    assert "bqdump-run" not in asyncio.run(set_live_part(collection, asked(run="night"))).headers
    monkeypatch.undo()
    world.run("night", execution="again")
    assert dict(asyncio.run(set_live_part(collection, asked(run="night"))).headers).items() >= ENDED.items()


def test_where_the_plan_of_a_set_is_gone_its_run_is_shown_from_the_datasets(world: SetWorld) -> None:
    plan = world.store.peek("x/_bqdump/projects/first/plan.json")
    assert plan
    asyncio.run(world.store.delete([("x/_bqdump/projects/first/plan.json", plan[1].generation)]))
    page = asyncio.run(set_run_page(Collection(world.store, world.settings()), asked(run="first")))
    assert b"Partial." in page.body
    assert b"3 datasets, 4 of 7 tables done" in page.body


def test_a_damaged_plan_of_a_dataset_does_not_hide_the_others(world: SetWorld) -> None:
    world.store.put_now("x/ops_eu/_bqdump/runs/first/plan.json", b"{")
    page = asyncio.run(set_run_page(Collection(world.store, world.settings()), asked(run="first")))
    assert b'href="/datasets/ops_us/runs/first"' in page.body
    assert b'href="/datasets/ops_eu/runs/first"' in page.body


def test_a_set_whose_record_is_damaged_follows_from_its_runs_and_is_no_prefix_without_runs(world: SetWorld) -> None:
    intact = asyncio.run(Collection(world.store, world.settings()).several())
    world.store.put_now("x/_bqdump/project.json", b"{")
    assert asyncio.run(Collection(world.store, world.settings()).several()) == intact
    assert intact
    for name in world.store.names_now():
        if "/projects/" in name:
            world.store.put_now(name, b"{")
    with pytest.raises(DocumentError, match=r"project.json: it is not a valid SetManifest"):
        asyncio.run(Collection(world.store, world.settings()).several())


@pytest.mark.parametrize("name", ["nope", "", "..", "ops_eu/../sales"])
def test_a_name_that_is_not_a_dataset_of_the_set_never_becomes_part_of_an_object_name(
    world: SetWorld, name: str
) -> None:
    with pytest.raises(NotFoundError, match="has no dataset of this name"):
        asyncio.run(Collection(world.store, world.settings()).of(name))


def test_addresses_of_a_dataset_are_quoted() -> None:
    place = Place("gs://a", "öl")
    assert place.run("r", "tables", "a b/c") == "/datasets/%C3%B6l/runs/r/tables/a%20b%2Fc"
    assert place.runs == (("Datasets", "/"), ("öl", "/datasets/%C3%B6l/"))
