"""The storage of runs: what each one names alone, and what it shares with others."""

from __future__ import annotations

import asyncio

from bqdump.observe.history import list_runs
from bqdump.repository.storage import read_storage
from retain.scene import LAYOUT, SETTINGS, Scene

REPLACE = "{table}/{table}_*.{ext}"


def size(scene: Scene, part: str) -> int:
    return sum(
        len(found[0]) for name in scene.names(part) if "_bqdump" not in name and (found := scene.store.peek(name))
    )


def test_what_a_run_shares_is_not_freed_with_it(scene: Scene) -> None:
    scene.run("a")
    scene.run("b", include=("sales",), keep_others=True)
    items, sales = size(scene, "x/a/items"), size(scene, "x/a/sales")
    storage = asyncio.run(read_storage(scene.store, SETTINGS))
    assert (storage.of("a").alone, storage.of("a").shared) == (sales, items)
    assert (storage.of("b").alone, storage.of("b").shared) == (size(scene, "x/b/"), items)
    assert storage.bytes == size(scene, "x/")
    lines = asyncio.run(list_runs(scene.store, SETTINGS, storage=scene.store))
    assert [(line.run, line.alone, line.shared) for line in lines] == [
        ("b", size(scene, "x/b/"), items),
        ("a", sales, items),
    ]
    assert [line.alone for line in asyncio.run(list_runs(scene.store, SETTINGS))] == [None, None]


def test_where_runs_replace_files_only_what_exists_counts(scene: Scene) -> None:
    scene.run("a", "b", path=REPLACE)
    storage = asyncio.run(read_storage(scene.store, SETTINGS))
    assert storage.of("a").bytes == 0
    assert storage.of("b").alone == storage.bytes == size(scene, "x/")


def test_a_run_that_cannot_be_read_does_not_hide_the_others(scene: Scene) -> None:
    scene.run("a", "b")
    scene.store.put_now(LAYOUT.run("a").manifest.name, b"{")
    lines = asyncio.run(list_runs(scene.store, SETTINGS, storage=scene.store))
    assert [(line.run, line.alone is None) for line in lines] == [("b", False), ("a", True)]
