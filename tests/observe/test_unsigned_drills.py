"""Where keys are trusted, drills count only if one of them has signed their notes, wherever they are shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.signing_keys import FileKey
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.drills import sign_drill
from bqdump.repository.repository import create
from bqdump.services.keys import with_signed_drills
from bqdump.ui.archive import Archive
from bqdump.verbs import inspection
from observe.test_trust import ANOTHER, KEY, public, sign
from proofs import note_of
from retain.scene import LAYOUT, SETTINGS, Scene


@pytest.fixture
def trusting(tmp_path: Path) -> Settings:
    return msgspec.structs.replace(SETTINGS, trust=(public(tmp_path),))


def drilled(store: MemoryStore, name: str, began: int, key: Ed25519PrivateKey | None = None) -> None:
    """Store a note that says that all was proven."""
    note = note_of(store, LAYOUT, "r1", began)
    document = LAYOUT.drill(name)

    async def both() -> None:
        if key:
            await sign_drill(store, SETTINGS.target, LAYOUT, document.name, note, FileKey(key))
        await create(store, document, note)

    asyncio.run(both())


def proven(store: MemoryStore, settings: Settings) -> list[int]:
    """When the run was proven (ms), 0 for never: by runs, by status, and by the console."""

    async def ask() -> list[int]:
        def at(_: object) -> ObjectStore:
            return cast("ObjectStore", store)

        (line,) = await inspection.runs(at, settings)
        restorable = (await inspection.status(at, settings)).restorable
        console = Archive(with_signed_drills(at, settings)(settings.target), settings)
        (shown,) = await console.runs("r1", await console.drills())
        times = line.proven, restorable.proven if restorable else None, shown.proven
        return [round(time.timestamp() * 1000) if time else 0 for time in times]

    return asyncio.run(ask())


def test_a_note_without_a_signature_proves_nothing_where_keys_are_trusted(trusting: Settings) -> None:
    scene = Scene()
    scene.run("r1")
    drilled(scene.store, "planted", 3)
    assert (proven(scene.store, SETTINGS), proven(scene.store, trusting)) == ([3] * 3, [0] * 3)
    drilled(scene.store, "of another key", 2, ANOTHER)
    assert proven(scene.store, trusting) == [0] * 3
    drilled(scene.store, "signed", 1, KEY)
    assert (proven(scene.store, SETTINGS), proven(scene.store, trusting)) == ([3] * 3, [1] * 3)


def test_the_evidence_of_a_run_calls_such_a_note_unsigned(trusting: Settings) -> None:
    scene = Scene()
    scene.run("r1")
    sign(scene.store, SETTINGS.target, LAYOUT, "r1")

    def page(settings: Settings) -> str:
        return asyncio.run(inspection.report(lambda _: scene.store, settings, "r1", drill=True))[1].decode()

    drilled(scene.store, "planted", 2)
    assert all(text in page(trusting) for text in ("Not proven", "unsigned note"))
    assert ("Proven restorable" in page(SETTINGS), "unsigned note" in page(SETTINGS)) == (True, False)
    drilled(scene.store, "signed", 1, KEY)
    assert "Proven restorable" in page(trusting)
