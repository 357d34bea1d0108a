"""Copies and erasures: a copy is erased for itself, and copying goes on afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bqdump.core.documents.target import Erasing
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.ports.store import ObjectStore
from bqdump.retain.erase import erase
from bqdump.retain.rewrite import Task
from copying.scene import Copies, complete


def erased(copies: Copies, store: ObjectStore, settings: Settings) -> tuple[str, ...]:
    erasing = Erasing("sales", copies.source.now + 5000, "dana", "why")
    return asyncio.run(erase(Task(store, settings, erasing, delete=True))).runs


def test_a_copy_is_erased_for_itself_and_later_runs_are_copied() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    copies.copy("r1", "r2")
    assert erased(copies, copies.source.store, copies.settings) == ("r1", "r2")
    assert any("/sales_" in name for name in copies.data())
    assert erased(copies, copies.target, copies.there) == ("r1", "r2")
    assert not any("/sales_" in name for name in copies.data())
    copies.export("r3")
    copies.copy("r1", "r2", "r3")
    complete(copies)
    assert copies.verify().findings == ()
    assert [[entry.table for entry in copies.manifest(run).tables] for run in ("r1", "r3")] == [
        ["items"], ["items", "sales"],
    ]  # fmt: skip


def test_a_run_that_was_erased_before_it_is_copied_arrives_without_the_table() -> None:
    copies = Copies()
    copies.export("r1", "r2")
    erased(copies, copies.source.store, copies.settings)
    copies.copy("r1", "r2")
    complete(copies)
    assert [note.table for note in copies.manifest("r1").erased] == ["sales"]
    assert not any("/sales_" in name for name in copies.data())


def test_a_locked_copy_is_refused_with_the_date_of_its_lock() -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1", lock=30)
    until = time_of(copies.source.now) + timedelta(days=30)
    with pytest.raises(UsageError, match=f"is locked until {until:%Y-%m-%d}"):
        erased(copies, copies.target, copies.there)
