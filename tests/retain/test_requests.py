"""A prune that finds nothing to delete, and a list of runs, ask for no more, however many runs there are, or were."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.observe.history import list_runs
from bqdump.retain.prune import prune
from retain.scene import SETTINGS, Scene


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


def requests_of_a_prune_of_nothing(kept: int, pruned: int, *, delete: bool) -> int:
    scene = Scene()
    for number in range(kept + pruned):
        # Every other run has a file that later ones name.
        scene.warehouse.put("p", "sales", ("items", "sales")[number % 2], [f"row {number}"])
        scene.run(f"n{number}", incremental=True)
    assert len(scene.prune(keep_last=kept).removed) == pruned
    task = scene.pruning(delete=delete, keep_last=kept)
    store: Any = Counted(scene.store)
    result = asyncio.run(prune(task._replace(store=store)))
    assert (result.removed, result.files, result.left) == ([], 0, ())
    return int(store.requests)


@pytest.mark.parametrize("delete", [True, False])
def test_a_prune_of_nothing_takes_as_many_requests_for_many_runs_as_for_one(delete: bool) -> None:
    assert requests_of_a_prune_of_nothing(12, 12, delete=delete) == requests_of_a_prune_of_nothing(1, 1, delete=delete)


def test_a_list_of_many_runs_takes_as_many_requests_as_one_of_few() -> None:
    def requests(runs: int) -> int:
        scene = Scene()
        scene.run(*(f"n{number}" for number in range(runs)))
        store: Any = Counted(scene.store)
        assert [line.state for line in asyncio.run(list_runs(store, SETTINGS))] == ["complete"] * runs
        return int(store.requests)

    assert requests(12) == requests(1)
