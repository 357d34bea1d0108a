"""References: a run may rely on an earlier one's files only while that one is not being pruned."""

from __future__ import annotations

import asyncio

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import Tombstone
from bqdump.repository.references import refer
from bqdump.repository.repository import create

LAYOUT = Layout("x/")
OLD = LAYOUT.run("old")


def test_a_reference_holds_while_the_manifest_is_there() -> None:
    store = MemoryStore()
    store.put_now(OLD.manifest.name, b"{}")
    assert asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert asyncio.run(refer(store, LAYOUT, "old", "new"))
    assert OLD.reference("new").name in store.names_now()


def test_a_reference_does_not_hold_against_a_tombstone() -> None:
    store = MemoryStore()
    store.put_now(OLD.manifest.name, b"{}")
    asyncio.run(create(store, OLD.tombstone, Tombstone(run="old")))
    assert not asyncio.run(refer(store, LAYOUT, "old", "new"))


def test_a_reference_to_a_run_that_was_pruned_completely_does_not_hold() -> None:
    assert not asyncio.run(refer(MemoryStore(), LAYOUT, "old", "new"))
