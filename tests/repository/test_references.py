"""References: a run may rely on an earlier one's files only while that one is not being pruned."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import Tombstone
from bqdump.core.errors import BqdumpError
from bqdump.repository.references import refer
from bqdump.repository.repository import create, replace

LAYOUT = Layout("x/")
OLD = LAYOUT.run("old")


def test_a_reference_holds_while_the_manifest_is_there() -> None:
    store = MemoryStore()
    store.put_now(OLD.manifest.name, b"{}")
    assert asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert OLD.reference("new").name in store.names_now()


def test_a_reference_does_not_hold_against_a_deletion_that_is_decided() -> None:
    store = MemoryStore()
    store.put_now(OLD.manifest.name, b"{}")
    asyncio.run(create(store, OLD.tombstone, Tombstone(run="old", decided=True)))
    assert not asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert OLD.tombstone.name in store.names_now()


def test_a_deletion_that_is_only_proposed_is_withdrawn() -> None:
    store = MemoryStore()
    store.put_now(OLD.manifest.name, b"{}")
    asyncio.run(create(store, OLD.tombstone, Tombstone(run="old")))
    assert asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert OLD.tombstone.name not in store.names_now()


def test_a_deletion_that_is_decided_just_before_it_is_withdrawn_stands() -> None:
    class Decided(MemoryStore):
        async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            assert await replace(self, OLD.tombstone, Tombstone(run="old", decided=True), objects[0][1])
            return await super().delete(objects)

    store = Decided()
    store.put_now(OLD.manifest.name, b"{}")
    asyncio.run(create(store, OLD.tombstone, Tombstone(run="old")))
    assert not asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert OLD.tombstone.name in store.names_now()


def test_a_reference_to_a_run_that_was_pruned_completely_does_not_hold() -> None:
    assert not asyncio.run(refer(MemoryStore(), LAYOUT, "old", "new"))
