"""Commands and verbs on ports that a test has opened."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bqdump.core.documents.layout import Layout
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.exports import StoreAt
from bqdump.repository.repository import value_of
from bqdump.services import opened
from bqdump.services.opened import Services


def everywhere(store: ObjectStore) -> StoreAt:
    """The same store at each target."""
    return lambda _: store


class Given(Services):
    """Services whose ports are given. store_at: what is at each target."""

    def __init__(self, settings: Settings, store_at: StoreAt, warehouse: Warehouse | None = None) -> None:
        super().__init__(settings)
        self._given = store_at
        if warehouse:
            self.warehouse = warehouse

    def store_at(self, target: Target) -> ObjectStore:
        return self._given(target)


def open_given(monkeypatch: pytest.MonkeyPatch, store_at: StoreAt, destination: Any = None) -> None:
    """Let commands work on these ports in this process."""
    monkeypatch.setattr(opened, "open_store", lambda settings, **_: store_at(settings.target))
    monkeypatch.setattr(opened, "open_destination", lambda *_, **__: destination)


def snapshot_of(store: ObjectStore, layout: Layout, run: str) -> int:
    """The snapshot time of a run in ms, as its manifest has it."""
    manifest = asyncio.run(value_of(store, layout.run(run).manifest))
    assert manifest
    return manifest.snapshot
