"""A prune that finds nothing to delete asks for no more, however many tables the runs have that are pruned already."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.retain.prune import prune
from retain.scene import Scene


class Counted:
    """A store that counts requests, and listings page by page."""

    def __init__(self, store: MemoryStore) -> None:
        self._store, self.requests = store, 0
        self.url, self.abilities = store.url, store.abilities

    def __getattr__(self, name: str) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            self.requests += 1
            return getattr(self._store, name)(*given, **named)

        return counted


def requests_of_a_prune_of_nothing(tables: int, pruned: int, *, delete: bool = True) -> int:
    scene = Scene()
    for number in range(tables):
        scene.warehouse.put("p", "sales", f"t{number:03d}", ["row"])
    for number in range(pruned + 1):
        # Every run has files of its own that later ones name.
        for table in range(number, tables, pruned + 1):
            scene.warehouse.put("p", "sales", f"t{table:03d}", [f"row {number}"])
        scene.run(f"n{number}", incremental=True)
    assert len(scene.prune().removed) == pruned
    task = scene.pruning(delete=delete)
    store: Any = Counted(scene.store)
    result = asyncio.run(prune(task._replace(store=store)))
    assert (result.removed, result.files, result.left) == ([], 0, ())
    return int(store.requests)


@pytest.mark.parametrize("delete", [True, False])
def test_a_prune_of_nothing_takes_as_many_requests_for_50_tables_as_for_5(delete: bool) -> None:
    few, many = (requests_of_a_prune_of_nothing(tables, 3, delete=delete) for tables in (5, 50))
    assert few == many


def test_a_run_that_is_pruned_and_whose_files_are_named_takes_one_request() -> None:
    assert requests_of_a_prune_of_nothing(10, 3) - requests_of_a_prune_of_nothing(10, 2) == 1
