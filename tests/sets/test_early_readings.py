"""A set whose tables changed lately: a reading from before its snapshot time saves an export of each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bqdump.core.documents.codec import decode
from bqdump.core.documents.sets import Listings
from bqdump.core.errors import DeniedError
from bqdump.core.tables.catalog import Dataset, Table
from sets.world import SetWorld

DAY = 86_400_000


class Watched(SetWorld):
    """Two datasets with tables of the same names. Knows what was read before the clock was asked, and lets things
    happen just before or after that.
    """

    def __init__(self) -> None:
        super().__init__("a", "b")
        self.early: list[str] = []
        self.happens: dict[str, Callable[[], None]] = {}
        self.denied = ""
        self._timed = True
        table, now = self.warehouse.table, self.warehouse.now

        async def read(dataset: Dataset, name: str) -> Table | None:
            found = await table(dataset, name)
            if not self._timed:
                if dataset.name == self.denied:
                    raise DeniedError("describe", name, "no permission")
                self.early.append(f"{dataset.name}.{name}")
            return found

        async def clock(location: str) -> int:
            self.happens.pop("before", lambda: None)()
            found = await now(location)
            self._timed = True
            self.happens.pop("after", lambda: None)()
            return found

        self.warehouse.__dict__.update(table=read, now=clock)

    def night(self, run: str, **settings: Any) -> None:
        """An incremental run, a day later."""
        self.time += DAY
        self.early, self._timed = [], False
        super().run(run, **{"incremental": True, "full_every": 0, **settings})

    def change(self, *rows: str) -> None:
        """Give the orders of dataset a these rows."""
        self.warehouse.put("p", "a", "orders", list(rows))

    def origins(self) -> dict[str, str]:
        """The run that exported each table."""
        manifests = {name: self.manifest(name) for name in ("a", "b")}
        return {
            f"{name}.{entry.table}": entry.carried.run if entry.carried else manifest.run
            for name, manifest in manifests.items()
            if manifest
            for entry in manifest.tables
        }


@pytest.fixture
def world() -> Watched:
    """The orders of dataset a have changed once since the others were found unchanged."""
    world = Watched()
    for run in ("r1", "r2"):
        world.night(run)
    world.change("first")
    for run in ("r3", "r4"):
        world.night(run)
    assert world.origins() == {"a.items": "r2", "a.orders": "r4", "b.items": "r2", "b.orders": "r2"}
    return world


def test_a_table_that_changed_lately_is_exported_once_for_its_next_change(world: Watched) -> None:
    for run in ("r5", "r6", "r7"):
        world.change(run)
        world.night(run)
        assert world.early == ["a.orders"]
        assert world.origins()["a.orders"] == run
    world.night("r8")
    assert world.origins() == {"a.items": "r2", "a.orders": "r7", "b.items": "r2", "b.orders": "r2"}
    assert "r7" in world.content("a")["orders"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_around_the_snapshot_time_is_exported_again(world: Watched, when: str) -> None:
    world.change("second")
    world.happens[when] = lambda: world.change("third")
    world.night("r5")
    world.night("r6")
    assert world.origins()["a.orders"] == "r6"
    assert "third" in world.content("a")["orders"]


def test_with_a_chosen_time_or_excluded_nothing_is_read_early(world: Watched) -> None:
    world.night("r5", exclude=("orders",), keep_others=True)
    assert world.early == []
    world.night("r6", snapshot_time="2026-09-26T00:00:00Z", exclude=("orders",), keep_others=True)
    assert world.early == []


def test_a_table_that_cannot_be_read_early_is_exported_twice(world: Watched) -> None:
    world.denied = "a"
    world.change("second")
    world.night("r5")
    world.night("r6")
    assert world.origins() == {"a.items": "r2", "a.orders": "r6", "b.items": "r2", "b.orders": "r2"}


def test_a_damaged_manifest_fails_no_dataset(world: Watched) -> None:
    manifest = world.manifest("a")
    assert manifest
    world.store.put_now(f"x/a/_bqdump/runs/{manifest.run}/manifest.json", b"{")
    world.night("r5")
    for name in ("a", "b"):
        published = world.manifest(name)
        assert published
        assert published.run == "r5"


def test_listings_that_an_earlier_version_has_stored_have_no_early_readings() -> None:
    assert decode(b'{"datasets":[[]]}', Listings, "listing.json").early_of(0) == {}
